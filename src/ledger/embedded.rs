//! The embedded store: redb, one file, every commit on disk before it is acknowledged.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path};

use redb::{
    Database, ReadableDatabase, ReadableTable, TableDefinition,
    backends::{FileBackend, InMemoryBackend},
};

use super::{KeyValue, LedgerError, Revision, Versioned};

const RECORDS: TableDefinition<&str, (u64, &[u8])> = TableDefinition::new("records");

/// Records in one redb file, or in memory.
pub struct Embedded(Database);

impl Embedded {
    /// Opens or creates the file `path` with mode 0600. A second opener of the same file is refused.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| LedgerError::Open {
            path: path.display().to_string(),
            source,
        };
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(|e| failed(e.into()))?;
        let backend = FileBackend::new(file).map_err(|e| failed(e.into()))?;
        Self::prepared(Database::builder().create_with_backend(backend)).map_err(|e| failed(e.into()))
    }

    /// A store that is gone when it is dropped.
    pub fn in_memory() -> Result<Self, LedgerError> {
        Self::prepared(Database::builder().create_with_backend(InMemoryBackend::new()))
            .map_err(|e| LedgerError::Open { path: "in memory".to_owned(), source: e.into() })
    }

    /// The table must exist before the first reader comes.
    fn prepared(database: Result<Database, redb::DatabaseError>) -> Result<Self, redb::Error> {
        let database = database?;
        let write = database.begin_write()?;
        write.open_table(RECORDS)?;
        write.commit()?;
        Ok(Self(database))
    }

    fn read(&self, key: &str) -> Result<Option<Versioned>, redb::Error> {
        let table = self.0.begin_read()?.open_table(RECORDS)?;
        Ok(table.get(key)?.map(|record| versioned(record.value())))
    }

    fn scan(&self, prefix: &str) -> Result<Vec<(String, Versioned)>, redb::Error> {
        let table = self.0.begin_read()?.open_table(RECORDS)?;
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
    fn replace(&self, key: &str, seen: Revision, value: &[u8]) -> Result<bool, redb::Error> {
        let write = self.0.begin_write()?;
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
        self.read(key).map_err(failed("read", key))
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, Versioned)>, LedgerError> {
        self.scan(prefix).map_err(failed("list", prefix))
    }

    fn put(&self, key: &str, seen: Revision, value: &[u8]) -> Result<(), LedgerError> {
        if self.replace(key, seen, value).map_err(failed("write", key))? {
            Ok(())
        } else {
            Err(LedgerError::Conflict { key: key.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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
}
