use std::{
    fs,
    path::{Path, PathBuf},
};

use chrono::{DateTime, TimeDelta, Utc};
use redb::{Database, TableDefinition};
use serde_json::json;
use uuid::Uuid;

use super::{MARK, Sealed};
use crate::{
    domain::{PartitionId, PolicyName, words},
    job::{BackupJob, BackupTask},
    ledger::{
        Becomes, Change, Embedded, KeyError, KeyFile, KeyValue, Ledger, LedgerError, Versioned,
        samples::{policy, storage},
    },
};

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;
const ID: PartitionId = PartitionId(Uuid::from_u128(7));

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn ledger(&self) -> PathBuf {
        self.0.path().join("ledger.redb")
    }

    fn key(&self) -> KeyFile {
        KeyFile::Own(self.0.path().join("ledger.key"))
    }

    fn sealed(&self) -> Result<Sealed<Embedded>, LedgerError> {
        Sealed::open(&self.ledger(), &self.key())
    }

    fn open(&self) -> Result<Ledger, LedgerError> {
        Ledger::open(&self.ledger(), &self.key())
    }

    fn plain(&self) -> Embedded {
        Embedded::open(&self.ledger()).unwrap()
    }

    fn refusal(&self) -> LedgerError {
        self.open().err().expect("the ledger was opened")
    }
}

fn job() -> BackupJob {
    BackupJob::new(Uuid::from_u128(1), NOW, NOW + TimeDelta::minutes(10), BackupTask::new(storage()))
}

fn holds(path: &Path, text: &str) -> bool {
    let bytes = fs::read(path).unwrap();
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

fn put(key: &str, seen: u64, value: &[u8]) -> Change {
    Change { key: key.to_owned(), seen, becomes: Becomes::Value(value.to_vec()) }
}

#[tokio::test]
async fn no_secret_of_a_policy_or_a_job_is_in_the_file() {
    let place = Place::new();
    let ledger = place.open().unwrap();
    for nth in 0..20 {
        ledger.create_policy(&policy(&format!("p{nth}"))).await.unwrap();
        ledger.change_partition(ID, NOW, |record| record.backup = Some(job())).await.unwrap();
        assert!(!holds(&place.ledger(), "c2VjcmV0"), "while it is open, after {nth}");
    }
    drop(ledger);
    assert!(!holds(&place.ledger(), "c2VjcmV0") && !holds(&place.ledger(), "AccountKey"));
    let again = place.open().unwrap();
    assert_eq!(again.policy(&PolicyName::parse("p19").unwrap()).await.unwrap(), Some(policy("p19")));
    assert_eq!(again.partition(ID).await.unwrap().unwrap().backup, Some(job()));
}

/// As the first versions wrote it: no latest revision, each record counting for itself.
fn written_by_the_first_version(path: &Path) {
    const RECORDS: TableDefinition<&str, (u64, &[u8])> = TableDefinition::new("records");
    let database = Database::create(path).unwrap();
    let write = database.begin_write().unwrap();
    for nth in 0_u128..50 {
        let record = json!({
            "epoch": { "data_loss": 5, "configuration": 1 }, "lsn": 9, "backup": job(), "restore": null,
        });
        let key = format!("partition/{}", Uuid::from_u128(nth));
        let value = serde_json::to_vec(&record).unwrap();
        let mut records = write.open_table(RECORDS).unwrap();
        records.insert(key.as_str(), (u64::try_from(nth).unwrap() + 1, value.as_slice())).unwrap();
    }
    write.commit().unwrap();
}

#[tokio::test]
async fn a_file_of_the_first_version_is_read_and_sealed() {
    let place = Place::new();
    written_by_the_first_version(&place.ledger());
    assert!(holds(&place.ledger(), "c2VjcmV0"));
    let ledger = place.open().unwrap();
    let record = ledger.partition(ID).await.unwrap().unwrap();
    assert_eq!((record.lsn, record.epoch.data_loss, record.backup), (9, 5, Some(job())));
    assert_eq!((record.scheduled, record.entity, record.wrote.len()), (None, None, 0));
    assert_eq!(ledger.partitions().await.unwrap().len(), 50);
    drop(ledger);
    let kept = place.plain().list("", None, usize::MAX).unwrap();
    assert_eq!(kept.len(), 51);
    assert!(kept.iter().all(|(_, record)| record.value[0] == 1), "a record is plain");
    assert!(!holds(&place.ledger(), "c2VjcmV0"), "the file still holds what it held before it was sealed");
    place.open().unwrap();
}

#[test]
fn what_a_process_that_ended_right_after_sealing_left_plain_is_gone_after_the_next_start() {
    let place = Place::new();
    written_by_the_first_version(&place.ledger());
    drop(Sealed::over(place.plain(), place.key().take(false).unwrap()).unwrap());
    assert!(holds(&place.ledger(), "c2VjcmV0"));
    drop(place.open().unwrap());
    assert!(!holds(&place.ledger(), "c2VjcmV0"));
    let (mark, size) = (raw(&place, MARK), fs::metadata(place.ledger()).unwrap().len());
    drop(place.open().unwrap());
    assert_eq!((raw(&place, MARK), fs::metadata(place.ledger()).unwrap().len()), (mark, size), "once is enough");
}

#[tokio::test]
async fn what_was_sealed_goes_on_from_its_revisions() {
    let place = Place::new();
    written_by_the_first_version(&place.ledger());
    let greatest = 50;
    let sealed = place.sealed().unwrap();
    let found = sealed.get(&format!("partition/{}", ID.0)).unwrap().unwrap();
    assert!(found.revision > greatest);
    let stale = sealed.commit(&[put(&format!("partition/{}", ID.0), greatest, b"{}")]);
    assert!(matches!(stale, Err(LedgerError::Conflict { .. })));
}

#[test]
fn a_lost_key_is_told_and_never_replaced() {
    let place = Place::new();
    drop(place.open().unwrap());
    fs::remove_file(place.key().path()).unwrap();
    let text = words(&place.refusal());
    for part in ["ledger.redb", "ledger.key", "does not exist", "restore the key file", "backups are not"] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    assert!(!place.key().path().exists());
}

#[test]
fn a_key_is_not_made_for_sealed_records_without_their_mark() {
    let place = Place::new();
    place.sealed().unwrap().commit(&[put("k", 0, b"{}")]).unwrap();
    let seen = place.plain().get(MARK).unwrap().unwrap().revision;
    place.plain().commit(&[Change { key: MARK.to_owned(), seen, becomes: Becomes::Gone }]).unwrap();
    assert!(matches!(place.refusal(), LedgerError::Sealed { key } if key == "k"));
    fs::remove_file(place.key().path()).unwrap();
    assert!(matches!(place.refusal(), LedgerError::Key { source: KeyError::Missing, .. }));
}

#[test]
fn the_key_of_another_ledger_is_told() {
    let (place, other) = (Place::new(), Place::new());
    drop((place.open().unwrap(), other.open().unwrap()));
    fs::copy(other.key().path(), place.key().path()).unwrap();
    assert!(matches!(place.refusal(), LedgerError::Key { source: KeyError::Foreign, .. }));
}

#[test]
fn a_damaged_or_exposed_key_is_told_with_the_ledger_and_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    drop(place.open().unwrap());
    fs::set_permissions(place.key().path(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(place.refusal(), LedgerError::Key { source: KeyError::Exposed { mode: 0o644 }, .. }));
    fs::set_permissions(place.key().path(), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(place.key().path(), "?").unwrap();
    let text = words(&place.refusal());
    assert!(text.contains("ledger.redb") && text.contains("ledger.key") && text.contains("base64"), "{text}");
}

#[test]
fn a_key_is_kept_for_a_ledger_that_begins_anew() {
    let place = Place::new();
    drop(place.open().unwrap());
    let key = fs::read(place.key().path()).unwrap();
    fs::remove_file(place.ledger()).unwrap();
    drop(place.open().unwrap());
    assert_eq!(fs::read(place.key().path()).unwrap(), key);
}

/// Puts the value of one record under the key of another, behind the back of the seal.
fn forge(place: &Place, key: &str, value: Vec<u8>) {
    let store = place.plain();
    let seen = store.get(key).unwrap().map_or(0, |record| record.revision);
    store.commit(&[Change { key: key.to_owned(), seen, becomes: Becomes::Value(value) }]).unwrap();
}

fn raw(place: &Place, key: &str) -> Versioned {
    place.plain().get(key).unwrap().unwrap()
}

#[test]
fn values_that_changed_places_are_refused() {
    let place = Place::new();
    place.sealed().unwrap().commit(&[put("a", 0, b"{}"), put("b", 0, b"[]")]).unwrap();
    let value = raw(&place, "a").value;
    forge(&place, "b", value);
    let sealed = place.sealed().unwrap();
    assert!(matches!(sealed.get("b"), Err(LedgerError::Sealed { key }) if key == "b"));
    assert!(matches!(sealed.list("", None, 9), Err(LedgerError::Sealed { key }) if key == "b"));
    assert_eq!(sealed.get("a").unwrap().unwrap().value, b"{}");
}

#[test]
fn a_plain_value_in_a_sealed_ledger_is_refused_and_not_sealed_later() {
    let place = Place::new();
    drop(place.open().unwrap());
    forge(&place, "k", b"{}".to_vec());
    for _ in 0..2 {
        assert!(matches!(place.sealed().unwrap().get("k"), Err(LedgerError::Sealed { .. })));
    }
    assert_eq!(raw(&place, "k").value, b"{}");
}

#[tokio::test]
async fn a_damaged_record_of_a_partition_stops_no_other() {
    let place = Place::new();
    let ledger = place.open().unwrap();
    for nth in 1..6 {
        ledger.change_partition(PartitionId(Uuid::from_u128(nth)), NOW, |_| ()).await.unwrap();
    }
    drop(ledger);
    let damaged = PartitionId(Uuid::from_u128(3));
    forge(&place, &format!("partition/{damaged}"), b"\x01nonsense".to_vec());
    let ledger = place.open().unwrap();
    let ids: Vec<u128> = ledger.partitions().await.unwrap().iter().map(|(id, _)| id.0.as_u128()).collect();
    assert_eq!(ids, [1, 2, 4, 5]);
    assert!(matches!(ledger.partition(damaged).await, Err(LedgerError::Sealed { .. })));
}

#[test]
fn one_stale_change_leaves_a_sealed_store_as_it_was() {
    let place = Place::new();
    let sealed = place.sealed().unwrap();
    sealed.commit(&[put("a", 0, b"{}")]).unwrap();
    assert!(sealed.commit(&[put("b", 0, b"{}"), put("a", 0, b"[]")]).is_err());
    assert_eq!(sealed.get("b").unwrap(), None);
    assert_eq!(sealed.list("a", None, 9).unwrap()[0].1.value, b"{}");
}
