//! The embedded store: redb, one file, every commit on disk before it is acknowledged.

use std::{
    error::Error,
    fs::OpenOptions,
    ops::Bound,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use redb::{
    Database, ReadableDatabase, ReadableTable, Table, TableDefinition,
    backends::{FileBackend, InMemoryBackend},
};

use super::{
    Becomes, Change, KeyValue, LedgerError, Revision, Versioned,
    together::{Outcome, Together},
};

const RECORDS: TableDefinition<&str, (u64, &[u8])> = TableDefinition::new("records");
/// One row: the revision of the latest commit.
const LATEST: TableDefinition<(), u64> = TableDefinition::new("latest");

type Records<'t> = Table<'t, &'static str, (u64, &'static [u8])>;

/// Records in one redb file, or in memory.
///
/// redb refuses everything after an I/O error, lest it build on what may not be on the disk. Opening it anew goes back to
/// the last commit, so that a disk that was full for a moment does not stop the service.
pub struct Embedded {
    open: Box<dyn Fn() -> Result<Database, redb::Error> + Send + Sync>,
    /// None while it could not be opened anew.
    database: Mutex<Option<Arc<Database>>>,
    together: Together<Arc<redb::Error>>,
}

impl Embedded {
    /// Opens or creates the file `path` with mode 0600. A second opener of the same file is refused.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let owned = path.to_owned();
        Self::over(move || {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&owned);
            Ok(Database::builder().create_with_backend(FileBackend::new(file?)?)?)
        })
        .map_err(|source| LedgerError::Open { path: path.display().to_string(), source: source.into() })
    }

    /// A store that is gone when it is dropped.
    pub fn in_memory() -> Result<Self, LedgerError> {
        Self::over(|| Ok(Database::builder().create_with_backend(InMemoryBackend::new())?))
            .map_err(|source| LedgerError::Open { path: "in memory".to_owned(), source: source.into() })
    }

    fn over(open: impl Fn() -> Result<Database, redb::Error> + Send + Sync + 'static) -> Result<Self, redb::Error> {
        let database = prepared(open()?)?;
        Ok(Self { open: Box::new(open), database: Mutex::new(Some(Arc::new(database))), together: Together::new() })
    }

    /// Has the file hold little besides its records. For a store that was just opened: whoever reads would be in the way.
    pub(super) fn compact(&self) -> Result<(), LedgerError> {
        let mut current = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = current.as_mut().and_then(Arc::get_mut) else { return Ok(()) };
        database.compact().map(drop).map_err(|error| failed::<redb::Error>("compact", "")(error.into()))
    }

    fn database(&self) -> Result<Arc<Database>, redb::Error> {
        let mut current = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*current {
            return Ok(database.clone());
        }
        let database = Arc::new(prepared((self.open)()?)?);
        Ok(current.insert(database).clone())
    }

    fn commit_all(&self, commits: &[&[Change]]) -> Vec<Outcome<Arc<redb::Error>>> {
        let told = |done: Result<(), String>| done.map_or_else(Outcome::Conflict, |()| Outcome::Done);
        match self.run(|database| commit_all(database, commits)) {
            Ok(done) => done.into_iter().map(told).collect(),
            Err(error) => vec![Outcome::Failed(Arc::new(error)); commits.len()],
        }
    }

    /// Runs `work`; if the database gave up after an earlier I/O error, once more on one that is opened anew. The file is
    /// let go by the last call that still holds it, so opening may fail for a moment: the next call tries again.
    fn run<R>(&self, work: impl Fn(&Database) -> Result<R, redb::Error>) -> Result<R, redb::Error> {
        match work(&*self.database()?) {
            Err(redb::Error::PreviousIo) => {
                *self.database.lock().unwrap_or_else(PoisonError::into_inner) = None;
                work(&*self.database()?)
            }
            result => result,
        }
    }
}

/// The tables must exist before the first reader comes.
fn prepared(database: Database) -> Result<Database, redb::Error> {
    let write = database.begin_write()?;
    {
        let (records, mut latest) = (write.open_table(RECORDS)?, write.open_table(LATEST)?);
        if latest.get(())?.is_none() {
            latest.insert((), greatest(&records)?)?;
        }
    }
    write.commit()?;
    Ok(database)
}

/// Files that were written before there was a latest revision count each record for itself.
fn greatest(records: &impl ReadableTable<&'static str, (u64, &'static [u8])>) -> Result<Revision, redb::Error> {
    let mut greatest = 0;
    for record in records.iter()? {
        greatest = record?.1.value().0.max(greatest);
    }
    Ok(greatest)
}

fn read(database: &Database, key: &str) -> Result<Option<Versioned>, redb::Error> {
    let table = database.begin_read()?.open_table(RECORDS)?;
    Ok(table.get(key)?.map(|record| versioned(record.value())))
}

fn scan(
    database: &Database,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Versioned)>, redb::Error> {
    let table = database.begin_read()?.open_table(RECORDS)?;
    let start = after.filter(|after| *after >= prefix).map_or(Bound::Included(prefix), Bound::Excluded);
    let mut found = Vec::new();
    for record in table.range::<&str>((start, Bound::Unbounded))?.take(limit) {
        let (key, value) = record?;
        if !key.value().starts_with(prefix) {
            break;
        }
        found.push((key.value().to_owned(), versioned(value.value())));
    }
    Ok(found)
}

/// Makes the changes of each commit, or none of them: then the key of the first whose record does not have the revision
/// that was seen. redb has one writer at a time, so no other write can come between the look and the change.
fn commit_all(database: &Database, commits: &[&[Change]]) -> Result<Vec<Result<(), String>>, redb::Error> {
    let write = database.begin_write()?;
    let done = {
        let (mut records, mut latest) = (write.open_table(RECORDS)?, write.open_table(LATEST)?);
        let mut revision = latest.get(())?.map_or(0, |latest| latest.value());
        let mut done = Vec::with_capacity(commits.len());
        for changes in commits {
            let stale = first_stale(&records, changes)?;
            if stale.is_none() {
                revision += 1;
                changes.iter().try_for_each(|change| make(&mut records, change, revision))?;
            }
            done.push(stale.map_or(Ok(()), Err));
        }
        latest.insert((), revision)?;
        done
    };
    if done.iter().any(Result::is_ok) {
        write.commit()?;
    }
    Ok(done)
}

fn first_stale(records: &Records<'_>, changes: &[Change]) -> Result<Option<String>, redb::Error> {
    for Change { key, seen, .. } in changes {
        if records.get(key.as_str())?.map_or(0, |record| record.value().0) != *seen {
            return Ok(Some(key.clone()));
        }
    }
    Ok(None)
}

fn make(records: &mut Records<'_>, change: &Change, revision: Revision) -> Result<(), redb::Error> {
    match &change.becomes {
        Becomes::Value(value) => drop(records.insert(change.key.as_str(), (revision, value.as_slice()))?),
        Becomes::Gone => drop(records.remove(change.key.as_str())?),
        Becomes::Same => {}
    }
    Ok(())
}

fn versioned((revision, value): (u64, &[u8])) -> Versioned {
    Versioned { revision, value: value.to_vec() }
}

fn failed<E: Error + Send + Sync + 'static>(operation: &'static str, key: &str) -> impl FnOnce(E) -> LedgerError {
    let key = key.to_owned();
    move |source| LedgerError::Store { operation, key, source: source.into() }
}

/// The thread that had a commit died before it could tell what became of it.
#[derive(Debug, thiserror::Error)]
#[error("the write stopped unexpectedly; the log says where")]
struct Stopped;

impl KeyValue for Embedded {
    fn get(&self, key: &str) -> Result<Option<Versioned>, LedgerError> {
        self.run(|database| read(database, key)).map_err(failed("read", key))
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Versioned)>, LedgerError> {
        self.run(|database| scan(database, prefix, after, limit)).map_err(failed("list", prefix))
    }

    fn commit(&self, changes: &[Change]) -> Result<(), LedgerError> {
        let key = changes.first().map_or("", |change| change.key.as_str());
        match self.together.commit(changes, |commits| self.commit_all(commits)) {
            Some(Outcome::Done) => Ok(()),
            Some(Outcome::Conflict(key)) => Err(LedgerError::Conflict { key }),
            Some(Outcome::Failed(error)) => Err(failed("write", key)(error)),
            None => Err(failed("write", key)(Stopped)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        os::unix::fs::PermissionsExt,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
    };

    use redb::{Database, StorageBackend, backends::InMemoryBackend};

    use super::Embedded;
    use crate::ledger::{Becomes, Change, KeyValue, LedgerError, Revision};

    fn put(store: &Embedded, key: &str, seen: Revision, value: &[u8]) -> Result<(), LedgerError> {
        store.commit(&[change(key, seen, Some(value))])
    }

    fn change(key: &str, seen: Revision, value: Option<&[u8]>) -> Change {
        let becomes = value.map_or(Becomes::Gone, |value| Becomes::Value(value.to_vec()));
        Change { key: key.to_owned(), seen, becomes }
    }

    fn keys(store: &Embedded, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        store.list(prefix, after, limit).unwrap().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn a_put_that_saw_an_older_revision_is_refused() {
        let store = Embedded::in_memory().unwrap();
        put(&store, "k", 0, b"one").unwrap();
        assert!(matches!(put(&store, "k", 0, b"two"), Err(LedgerError::Conflict { .. })));
        put(&store, "k", 1, b"two").unwrap();
        let record = store.get("k").unwrap().unwrap();
        assert_eq!((record.revision, record.value.as_slice()), (2, b"two".as_slice()));
    }

    #[test]
    fn a_list_holds_the_keys_of_its_prefix_in_order() {
        let store = Embedded::in_memory().unwrap();
        for key in ["b/2", "a/1", "b/1", "c/1"] {
            put(&store, key, 0, b"").unwrap();
        }
        assert_eq!(keys(&store, "b/", None, usize::MAX), ["b/1", "b/2"]);
    }

    #[test]
    fn a_page_begins_after_a_key_whether_that_is_there_or_not() {
        let store = Embedded::in_memory().unwrap();
        for key in ["a/1", "b/1", "b/2", "b/4", "c/1"] {
            put(&store, key, 0, b"").unwrap();
        }
        assert_eq!(keys(&store, "b/", Some("b/1"), 1), ["b/2"]);
        assert_eq!(keys(&store, "b/", Some("b/3"), 9), ["b/4"]);
        assert_eq!(keys(&store, "b/", Some("a"), 2), ["b/1", "b/2"]);
        assert_eq!(keys(&store, "b/1", Some("b/"), 2), ["b/1"]);
        assert_eq!(keys(&store, "b/", Some("c"), 2), [""; 0]);
    }

    #[test]
    fn changes_are_made_together_or_not_at_all() {
        let store = Embedded::in_memory().unwrap();
        put(&store, "a", 0, b"one").unwrap();
        let stale = store.commit(&[change("b", 0, Some(b"new")), change("a", 7, None)]);
        assert!(matches!(stale, Err(LedgerError::Conflict { key }) if key == "a"));
        assert_eq!(keys(&store, "", None, usize::MAX), ["a"]);
        store.commit(&[change("b", 0, Some(b"new")), change("a", 1, None)]).unwrap();
        assert_eq!(keys(&store, "", None, usize::MAX), ["b"]);
    }

    #[test]
    fn a_record_that_is_only_looked_at_stays_as_it_is_and_must_be_as_it_was_seen() {
        let store = Embedded::in_memory().unwrap();
        put(&store, "a", 0, b"one").unwrap();
        let same = |seen| Change { key: "a".to_owned(), seen, becomes: Becomes::Same };
        store.commit(&[same(1), change("b", 0, Some(b"new"))]).unwrap();
        assert_eq!(store.get("a").unwrap().unwrap().revision, 1);
        for (stale, key) in [(same(2), "a"), (Change { key: "b".to_owned(), ..same(0) }, "b")] {
            let refused = store.commit(&[stale, change("c", 0, Some(b"new"))]);
            assert!(matches!(refused, Err(LedgerError::Conflict { key: found }) if found == key));
        }
        assert_eq!(keys(&store, "", None, usize::MAX), ["a", "b"]);
    }

    #[test]
    fn a_record_that_is_made_anew_is_not_taken_for_the_one_before() {
        let store = Embedded::in_memory().unwrap();
        put(&store, "k", 0, b"one").unwrap();
        store.commit(&[change("k", 1, None)]).unwrap();
        put(&store, "k", 0, b"another").unwrap();
        assert!(matches!(put(&store, "k", 1, b"two"), Err(LedgerError::Conflict { .. })));
    }

    #[test]
    fn commits_that_go_together_see_each_other_and_a_stale_one_takes_no_other_with_it() {
        let store = Embedded::in_memory().unwrap();
        let commits: [&[Change]; 4] = [
            &[change("a", 0, Some(b"one"))],
            &[change("b", 0, Some(b"half")), change("a", 0, Some(b"lost"))],
            &[change("a", 1, Some(b"two"))],
            &[change("c", 0, Some(b"new"))],
        ];
        let done = store.run(|database| super::commit_all(database, &commits)).unwrap();
        assert_eq!(done, [Ok(()), Err("a".to_owned()), Ok(()), Ok(())]);
        assert_eq!(keys(&store, "", None, usize::MAX), ["a", "c"]);
        let found = ["a", "c"].map(|key| store.get(key).unwrap().unwrap());
        assert_eq!(found.map(|found| (found.revision, found.value)), [(2, b"two".to_vec()), (3, b"new".to_vec())]);
    }

    #[test]
    fn writers_beside_each_other_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Embedded::open(&dir.path().join("ledger.redb")).unwrap();
        let count_up = || {
            for _ in 0..25 {
                while let Err(error) = {
                    let found = store.get("k").unwrap();
                    let (seen, count) = found.map_or((0, 0), |found| (found.revision, found.value[0]));
                    put(&store, "k", seen, &[count + 1])
                } {
                    assert!(matches!(error, LedgerError::Conflict { .. }));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(count_up);
            }
        });
        assert_eq!(store.get("k").unwrap().unwrap().value, [100]);
    }

    #[test]
    fn records_outlive_the_process_in_a_file_only_its_owner_can_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.redb");
        put(&Embedded::open(&path).unwrap(), "k", 0, b"v").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Embedded::open(&path).unwrap().get("k").unwrap().unwrap().value, b"v");
    }

    #[test]
    fn a_second_opener_of_the_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.redb");
        let _first = Embedded::open(&path).unwrap();
        assert!(matches!(Embedded::open(&path), Err(LedgerError::Open { .. })));
    }

    /// A disk that can be full.
    #[derive(Clone, Debug)]
    struct Disk {
        memory: Arc<InMemoryBackend>,
        full: Arc<AtomicBool>,
    }

    impl Disk {
        fn room(&self) -> io::Result<()> {
            if self.full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.memory.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.memory.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.room().and_then(|()| self.memory.set_len(len))
        }
        fn sync_data(&self) -> io::Result<()> {
            self.room().and_then(|()| self.memory.sync_data())
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.room().and_then(|()| self.memory.write(offset, data))
        }
    }

    #[test]
    fn a_disk_that_was_full_for_a_moment_is_written_again() {
        let disk = Disk { memory: Arc::default(), full: Arc::default() };
        let backend = disk.clone();
        let open = move || Ok(Database::builder().create_with_backend(backend.clone())?);
        let store = Embedded::over(open).unwrap();
        put(&store, "k", 0, b"one").unwrap();
        disk.full.store(true, Ordering::SeqCst);
        assert!(put(&store, "k", 1, b"two").is_err());
        assert!(put(&store, "k", 1, b"two").is_err());
        disk.full.store(false, Ordering::SeqCst);
        put(&store, "k", 1, b"two").unwrap();
        assert_eq!(store.get("k").unwrap().unwrap().value, b"two");
    }
}
