use chrono::{DateTime, TimeDelta};
use uuid::Uuid;

use super::Restores;
use crate::{
    archive::Catalog,
    clock::Clock,
    domain::{
        BackupPoint, Epoch, Failure, FailureCode, FileShare, Location, PartitionId, PartitionKind, StorageSpec, StoreId,
    },
    job::{Depth, Event, VerifyJob, VerifyTask},
    ledger::{Embedded, Ledger},
    storage::{StoreSettings, Stores},
};

const ID: PartitionId = PartitionId(Uuid::from_u128(7));

fn storage() -> StorageSpec {
    StorageSpec::FileShare(FileShare { path: "/srv/shares/own".into(), primary: None, secondary: None })
}

fn point(id: u128, chain: u128, location: &str) -> BackupPoint {
    BackupPoint {
        id: Uuid::from_u128(id),
        chain_id: Uuid::from_u128(chain),
        parent: None,
        location: Location(location.into()),
        created: DateTime::UNIX_EPOCH,
        epoch: Epoch { data_loss: 1, configuration: 1 },
        lsn: 1,
        partition: PartitionKind::Singleton,
        manifest_version: String::new(),
    }
}

/// What is held while the backup 1 at "a" is verified, whose chain may be known.
async fn held(chain: Option<u128>, ended: bool) -> impl Fn(&BackupPoint) -> bool {
    let settings = StoreSettings { share_roots: vec!["/srv/shares".into()], ..StoreSettings::default() };
    let catalog = Catalog::new(Stores::new(settings, Clock::system()));
    let store: StoreId = catalog.identity(&storage()).unwrap();
    let (start, chain) = (DateTime::UNIX_EPOCH, chain.map(Uuid::from_u128));
    let (backup, location) = (Uuid::from_u128(1), Location("a".into()));
    let task = VerifyTask { storage: storage(), backup, location, chain, depth: Depth::Blocks, checked: None };
    let mut job = VerifyJob::new(Uuid::from_u128(5), start, start + TimeDelta::minutes(1), task);
    if ended {
        job.apply(Event::Fail(Failure::new(FailureCode::Aborted, "no more"))).unwrap();
    }
    let ledger = Ledger::over(Embedded::in_memory().unwrap());
    ledger.change_partition(ID, start, |record| record.verify = Some(job.clone())).await.unwrap();
    let restores = Restores::of(&catalog, &ledger.partitions().await.unwrap());
    move |point| restores.need(&store, point)
}

#[tokio::test]
async fn what_is_being_verified_is_held_with_its_chain() {
    let needed = held(Some(9), false).await;
    assert!(needed(&point(1, 9, "a")) && needed(&point(2, 9, "b")));
    assert!(!needed(&point(3, 8, "c")));
}

#[tokio::test]
async fn a_backup_whose_description_cannot_be_read_is_held_by_its_place() {
    let needed = held(None, false).await;
    assert!(needed(&point(4, 8, "a")) && needed(&point(1, 8, "c")));
    assert!(!needed(&point(4, 8, "c")));
}

#[tokio::test]
async fn nothing_is_held_once_the_verification_is_over() {
    let needed = held(Some(9), true).await;
    assert!(!needed(&point(1, 9, "a")));
}
