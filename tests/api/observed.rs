//! A ledger store that a test can look into, hold up and cut off: the seam where a job's steps show.

use std::sync::{Arc, Mutex};

use fabric_backup::ledger::{Becomes, Change, Embedded, KeyValue, LedgerError, PartitionRecord, Versioned};

/// What the keys of partitions' records start with.
const PARTITIONS: &str = "partition/";

/// What happens at the store.
pub(crate) enum Seen<'a> {
    /// A record is about to be read.
    Reading,
    /// A record is about to be written.
    Writing(&'a PartitionRecord),
    /// A record was written; its writer does not know yet.
    Written(&'a PartitionRecord),
}

/// Whether it goes on.
#[derive(PartialEq, Eq)]
pub(crate) enum Verdict {
    Go,
    Fail,
}

type Observer = Arc<dyn Fn(Seen<'_>) -> Verdict + Send + Sync>;

/// The store. Its clones are the same store. An observer may block: each call comes on a thread of its own.
#[derive(Clone)]
pub(crate) struct Observed {
    store: Arc<Embedded>,
    observer: Arc<Mutex<Observer>>,
}

impl Observed {
    pub(crate) fn new() -> Self {
        let store = Arc::new(Embedded::in_memory().unwrap());
        Self { store, observer: Arc::new(Mutex::new(Arc::new(|_| Verdict::Go))) }
    }

    /// From now on `observer` sees and decides.
    pub(crate) fn observe(&self, observer: impl Fn(Seen<'_>) -> Verdict + Send + Sync + 'static) {
        *self.observer.lock().unwrap() = Arc::new(observer);
    }

    /// The records as they are, seen by nobody.
    pub(crate) fn records(&self) -> Vec<PartitionRecord> {
        self.store.list(PARTITIONS, None, usize::MAX).unwrap().iter().map(|(_, record)| read(&record.value)).collect()
    }

    fn ask(&self, seen: Seen<'_>) -> Result<(), LedgerError> {
        let observer = self.observer.lock().unwrap().clone();
        match observer(seen) {
            Verdict::Go => Ok(()),
            Verdict::Fail => Err(LedgerError::Store {
                operation: "reach",
                key: "secret-of-the-inside".to_owned(),
                source: "the test said so".into(),
            }),
        }
    }
}

fn read(value: &[u8]) -> PartitionRecord {
    serde_json::from_slice(value).unwrap()
}

impl KeyValue for Observed {
    fn get(&self, key: &str) -> Result<Option<Versioned>, LedgerError> {
        self.ask(Seen::Reading)?;
        self.store.get(key)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Versioned)>, LedgerError> {
        self.store.list(prefix, after, limit)
    }

    fn commit(&self, changes: &[Change]) -> Result<(), LedgerError> {
        let partition = changes.iter().filter(|change| change.key.starts_with(PARTITIONS));
        let values = partition.filter_map(|change| match &change.becomes {
            Becomes::Value(value) => Some(read(value)),
            Becomes::Gone | Becomes::Same => None,
        });
        let records: Vec<_> = values.collect();
        records.iter().try_for_each(|record| self.ask(Seen::Writing(record)))?;
        self.store.commit(changes)?;
        records.iter().try_for_each(|record| self.ask(Seen::Written(record)))
    }
}
