//! Records of partitions as they were read last, so that who asks for the same one often costs neither disk nor thread.
//!
//! Never older than what a write has left: a record that is being written, or that was read while something was written,
//! is not kept.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{PartitionRecord, partition::partition_of};
use crate::domain::PartitionId;

/// What is remembered. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Remembered(Arc<Mutex<Records>>);

#[derive(Default)]
struct Records {
    /// Grows with every write.
    writes: u64,
    /// The partitions that are being written, each as often as that.
    writing: Vec<PartitionId>,
    kept: HashMap<PartitionId, Arc<PartitionRecord>>,
}

/// What was found of a record: itself, or how many writes there had been when it was looked for.
pub(super) enum Recalled {
    Record(Arc<PartitionRecord>),
    Not { writes: u64 },
}

/// A write under way. Over when it is dropped, whatever became of it.
pub(super) struct Write<'r> {
    remembered: &'r Remembered,
    partitions: Vec<PartitionId>,
}

impl Remembered {
    pub(super) fn recall(&self, id: PartitionId) -> Recalled {
        let records = self.lock();
        let found = records.kept.get(&id).cloned();
        found.map_or(Recalled::Not { writes: records.writes }, Recalled::Record)
    }

    /// Keeps what was read, unless something was written since or it is being written.
    pub(super) fn keep(&self, id: PartitionId, writes: u64, record: &Arc<PartitionRecord>) {
        let mut records = self.lock();
        if records.writes == writes && !records.writing.contains(&id) {
            records.kept.insert(id, record.clone());
        }
    }

    /// Begins a write of these keys.
    pub(super) fn write(&self, keys: &[String]) -> Write<'_> {
        let partitions: Vec<_> = keys.iter().filter_map(|key| partition_of(key)).collect();
        let mut records = self.lock();
        records.forget(&partitions);
        records.writing.extend(&partitions);
        Write { remembered: self, partitions }
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    fn forget(&mut self, partitions: &[PartitionId]) {
        self.writes += 1;
        for id in partitions {
            self.kept.remove(id);
        }
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        let mut records = self.remembered.lock();
        records.forget(&self.partitions);
        for id in &self.partitions {
            let one = records.writing.iter().position(|other| other == id);
            one.map(|at| records.writing.swap_remove(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use chrono::{DateTime, Utc};
    use uuid::Uuid;

    use super::{Recalled, Remembered};
    use crate::{
        domain::PartitionId,
        ledger::{Change, Embedded, KeyValue, Ledger, LedgerError, Versioned, partition::key},
    };

    const ID: PartitionId = PartitionId(Uuid::from_u128(1));
    const OTHER: PartitionId = PartitionId(Uuid::from_u128(2));
    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    /// Counts what is read.
    struct Counting(Embedded, Arc<AtomicU64>);

    impl KeyValue for Counting {
        fn get(&self, key: &str) -> Result<Option<Versioned>, LedgerError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.get(key)
        }
        fn list(
            &self,
            prefix: &str,
            after: Option<&str>,
            most: usize,
        ) -> Result<Vec<(String, Versioned)>, LedgerError> {
            self.0.list(prefix, after, most)
        }
        fn commit(&self, changes: &[Change]) -> Result<(), LedgerError> {
            self.0.commit(changes)
        }
    }

    async fn set(ledger: &Ledger, id: PartitionId, lsn: i64) {
        let change = |record: &mut crate::ledger::PartitionRecord| {
            record.lsn = lsn;
            Ok::<_, std::convert::Infallible>(())
        };
        ledger.update_partition(id, NOW, change).await.unwrap().unwrap();
    }

    async fn lsn(ledger: &Ledger, id: PartitionId) -> i64 {
        ledger.partition(id).await.unwrap().unwrap().lsn
    }

    #[tokio::test]
    async fn a_record_is_read_once_after_each_write_and_always_the_latest() {
        let gets = Arc::new(AtomicU64::new(0));
        let ledger = Ledger::over(Counting(Embedded::in_memory().unwrap(), gets.clone()));
        for value in 1..4 {
            set(&ledger, ID, value).await;
            set(&ledger, OTHER, -value).await;
            let before = gets.load(Ordering::Relaxed);
            for _ in 0..5 {
                assert_eq!((lsn(&ledger, ID).await, lsn(&ledger.clone(), OTHER).await), (value, -value));
            }
            assert_eq!(gets.load(Ordering::Relaxed), before + 2);
        }
    }

    #[tokio::test]
    async fn what_was_read_while_something_was_written_is_not_kept() {
        let ledger = Ledger::over(Embedded::in_memory().unwrap());
        set(&ledger, ID, 1).await;
        let old = ledger.peek(ID).await.unwrap().unwrap();
        let remembered = Remembered::default();
        let Recalled::Not { writes } = remembered.recall(ID) else { panic!("nothing was kept") };
        drop(remembered.write(&[key(OTHER)]));
        remembered.keep(ID, writes, &old);
        let mut under_way = vec![remembered.write(&[key(ID)]), remembered.write(&[key(ID), key(OTHER)])];
        loop {
            let Recalled::Not { writes } = remembered.recall(ID) else { panic!("it may be old") };
            remembered.keep(ID, writes, &old);
            if under_way.pop().is_none() {
                break;
            }
        }
        assert!(matches!(remembered.recall(ID), Recalled::Record(_)));
        drop(remembered.write(&[key(ID)]));
        assert!(matches!(remembered.recall(ID), Recalled::Not { .. }));
    }
}
