//! The embedded store: redb, one file, every commit on disk before it is acknowledged.

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use redb::{
    Database, ReadableDatabase, ReadableTable, TableDefinition,
    backends::{FileBackend, InMemoryBackend},
};

use super::{KeyValue, LedgerError, Revision, Versioned};

const RECORDS: TableDefinition<&str, (u64, &[u8])> = TableDefinition::new("records");

/// Records in one redb file, or in memory.
///
/// redb refuses everything after an I/O error, lest it build on what may not be on the disk. Opening it anew goes back to
/// the last commit, so that a disk that was full for a moment does not stop the service.
pub struct Embedded {
    open: Box<dyn Fn() -> Result<Database, redb::Error> + Send + Sync>,
    /// None while it could not be opened anew.
    database: Mutex<Option<Arc<Database>>>,
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
        Ok(Self { open: Box::new(open), database: Mutex::new(Some(Arc::new(database))) })
    }

    fn database(&self) -> Result<Arc<Database>, redb::Error> {
        let mut current = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*current {
            return Ok(database.clone());
        }
        let database = Arc::new(prepared((self.open)()?)?);
        Ok(current.insert(database).clone())
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

/// The table must exist before the first reader comes.
fn prepared(database: Database) -> Result<Database, redb::Error> {
    let write = database.begin_write()?;
    write.open_table(RECORDS)?;
    write.commit()?;
    Ok(database)
}

fn read(database: &Database, key: &str) -> Result<Option<Versioned>, redb::Error> {
    let table = database.begin_read()?.open_table(RECORDS)?;
    Ok(table.get(key)?.map(|record| versioned(record.value())))
}

fn scan(database: &Database, prefix: &str) -> Result<Vec<(String, Versioned)>, redb::Error> {
    let table = database.begin_read()?.open_table(RECORDS)?;
    let mut found = Vec::new();
    for record in table.range(prefix..)? {
        let (key, value) = record?;
        if !key.value().starts_with(prefix) {
            break;
        }
        found.push((key.value().to_owned(), versioned(value.value())));
    }
    Ok(found)
}

/// Whether the record was written; false when its revision is not `seen`. redb has one writer at a time, so no
/// other write can come between the look and the insert.
fn replace(database: &Database, key: &str, seen: Revision, value: &[u8]) -> Result<bool, redb::Error> {
    let write = database.begin_write()?;
    {
        let mut table = write.open_table(RECORDS)?;
        let current = table.get(key)?.map_or(0, |record| record.value().0);
        if current != seen {
            return Ok(false);
        }
        table.insert(key, (seen + 1, value))?;
    }
    write.commit()?;
    Ok(true)
}

fn versioned((revision, value): (u64, &[u8])) -> Versioned {
    Versioned { revision, value: value.to_vec() }
}

fn failed(operation: &'static str, key: &str) -> impl FnOnce(redb::Error) -> LedgerError {
    let key = key.to_owned();
    move |source| LedgerError::Store { operation, key, source: source.into() }
}

impl KeyValue for Embedded {
    fn get(&self, key: &str) -> Result<Option<Versioned>, LedgerError> {
        self.run(|database| read(database, key)).map_err(failed("read", key))
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, Versioned)>, LedgerError> {
        self.run(|database| scan(database, prefix)).map_err(failed("list", prefix))
    }

    fn put(&self, key: &str, seen: Revision, value: &[u8]) -> Result<(), LedgerError> {
        if self.run(|database| replace(database, key, seen, value)).map_err(failed("write", key))? {
            Ok(())
        } else {
            Err(LedgerError::Conflict { key: key.to_owned() })
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
    use crate::ledger::{KeyValue, LedgerError};

    #[test]
    fn a_put_that_saw_an_older_revision_is_refused() {
        let store = Embedded::in_memory().unwrap();
        store.put("k", 0, b"one").unwrap();
        assert!(matches!(store.put("k", 0, b"two"), Err(LedgerError::Conflict { .. })));
        store.put("k", 1, b"two").unwrap();
        let record = store.get("k").unwrap().unwrap();
        assert_eq!((record.revision, record.value.as_slice()), (2, b"two".as_slice()));
    }

    #[test]
    fn a_list_holds_the_keys_of_its_prefix_in_order() {
        let store = Embedded::in_memory().unwrap();
        for key in ["b/2", "a/1", "b/1", "c/1"] {
            store.put(key, 0, b"").unwrap();
        }
        let keys: Vec<String> = store.list("b/").unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["b/1", "b/2"]);
    }

    #[test]
    fn records_outlive_the_process_in_a_file_only_its_owner_can_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.redb");
        Embedded::open(&path).unwrap().put("k", 0, b"v").unwrap();
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
        store.put("k", 0, b"one").unwrap();
        disk.full.store(true, Ordering::SeqCst);
        assert!(store.put("k", 1, b"two").is_err());
        assert!(store.put("k", 1, b"two").is_err());
        disk.full.store(false, Ordering::SeqCst);
        store.put("k", 1, b"two").unwrap();
        assert_eq!(store.get("k").unwrap().unwrap().value, b"two");
    }
}
