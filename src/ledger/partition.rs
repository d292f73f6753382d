//! One record a partition: its epoch, its log position and its latest jobs.
//!
//! Both jobs are in one record so that "no backup while a restore runs" is one compare-and-swap.

use std::convert::Infallible;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Ledger, LedgerError, Revision, Versioned};
use crate::{
    domain::{Epoch, PartitionId, words},
    job::{BackupJob, RestoreJob},
};

/// What is remembered of a partition. Only the latest job of each kind is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// The partition's present life.
    pub epoch: Epoch,
    /// How far its log has come: grows by the blocks that each backup holds.
    pub lsn: i64,
    /// The latest backup that was asked for.
    pub backup: Option<BackupJob>,
    /// The latest restore that was asked for.
    pub restore: Option<RestoreJob>,
}

impl PartitionRecord {
    /// A partition seen for the first time. The epoch starts from the clock, so that it is later than any that a lost
    /// ledger gave out.
    fn first_seen(now: DateTime<Utc>) -> Self {
        Self {
            epoch: Epoch { data_loss: now.timestamp_micros(), configuration: 1 },
            lsn: 0,
            backup: None,
            restore: None,
        }
    }

    /// The epoch after a restore at `now`.
    pub fn next_data_loss(&self, now: DateTime<Utc>) -> Epoch {
        Epoch { data_loss: now.timestamp_micros().max(self.epoch.data_loss + 1), ..self.epoch }
    }

    /// Whether a job of either kind is not finished.
    pub fn is_busy(&self) -> bool {
        self.backup.as_ref().is_some_and(|job| job.state.is_active())
            || self.restore.as_ref().is_some_and(|job| job.state.is_active())
    }

    /// Whether someone took such a job and has not ended it.
    pub fn has_begun(&self) -> bool {
        self.backup.as_ref().is_some_and(|job| job.state.has_begun())
            || self.restore.as_ref().is_some_and(|job| job.state.has_begun())
    }
}

impl Ledger {
    /// The record of a partition; none before its first job.
    pub async fn partition(&self, id: PartitionId) -> Result<Option<PartitionRecord>, LedgerError> {
        Ok(self.read_partition(id).await?.map(|(_, record)| record))
    }

    /// The partitions that have unfinished jobs.
    pub async fn busy_partitions(&self) -> Result<Vec<PartitionId>, LedgerError> {
        let records = self.run(|store| store.list(PREFIX)).await?;
        let mut busy = Vec::new();
        for (key, record) in records {
            match decode(&key, &record) {
                Ok(record) if record.is_busy() => busy.extend(partition_of(&key)),
                Ok(_) => {}
                // The other partitions must not wait for this one; whoever asks for it is told.
                Err(error) => tracing::error!(key, error = words(&error), "a partition's record cannot be read"),
            }
        }
        Ok(busy)
    }

    /// Reads a partition's record, lets `change` decide and change it, and writes it back; done over if somebody else
    /// wrote in between. What `change` refuses is returned and nothing is written.
    pub async fn update_partition<R, E>(
        &self,
        id: PartitionId,
        now: DateTime<Utc>,
        mut change: impl FnMut(&mut PartitionRecord) -> Result<R, E>,
    ) -> Result<Result<R, E>, LedgerError> {
        loop {
            let found = self.read_partition(id).await?;
            let (revision, mut record) = found.unwrap_or_else(|| (0, PartitionRecord::first_seen(now)));
            let result = match change(&mut record) {
                Ok(result) => result,
                Err(refusal) => return Ok(Err(refusal)),
            };
            match self.put_partition(id, revision, &record).await {
                Ok(()) => return Ok(Ok(result)),
                Err(LedgerError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// [`Ledger::update_partition`] for a change that cannot be refused.
    pub async fn change_partition<R>(
        &self,
        id: PartitionId,
        now: DateTime<Utc>,
        mut change: impl FnMut(&mut PartitionRecord) -> R,
    ) -> Result<R, LedgerError> {
        let result = self.update_partition(id, now, |record| Ok::<R, Infallible>(change(record))).await?;
        Ok(result.unwrap_or_else(|never| match never {}))
    }

    async fn read_partition(&self, id: PartitionId) -> Result<Option<(Revision, PartitionRecord)>, LedgerError> {
        let key = key(id);
        let found = self.run({
            let key = key.clone();
            move |store| store.get(&key)
        });
        found.await?.map(|found| Ok((found.revision, decode(&key, &found)?))).transpose()
    }

    async fn put_partition(
        &self,
        id: PartitionId,
        seen: Revision,
        record: &PartitionRecord,
    ) -> Result<(), LedgerError> {
        let key = key(id);
        let value = serde_json::to_vec(record).map_err(|source| LedgerError::Decode { key: key.clone(), source })?;
        self.run(move |store| store.put(&key, seen, &value)).await?;
        self.announce();
        Ok(())
    }
}

const PREFIX: &str = "partition/";

fn key(id: PartitionId) -> String {
    format!("{PREFIX}{id}")
}

fn partition_of(key: &str) -> Option<PartitionId> {
    key.strip_prefix(PREFIX)?.parse().ok().map(PartitionId)
}

fn decode(key: &str, record: &Versioned) -> Result<PartitionRecord, LedgerError> {
    serde_json::from_slice(&record.value).map_err(|source| LedgerError::Decode { key: key.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use uuid::Uuid;

    use crate::{
        domain::{AzureBlob, PartitionId, Secret, StorageSpec},
        job::{BackupJob, BackupTask},
        ledger::{Embedded, Ledger, LedgerError},
    };

    const ID: PartitionId = PartitionId(Uuid::from_u128(7));

    fn ledger() -> Ledger {
        Ledger::over(Embedded::in_memory().unwrap())
    }

    fn job() -> BackupJob {
        let start = DateTime::UNIX_EPOCH;
        let storage = AzureBlob { connection_string: Secret::new("k"), container: "c".into() };
        let task = BackupTask::new(StorageSpec::AzureBlob(storage));
        BackupJob::new(Uuid::from_u128(1), start, start + TimeDelta::minutes(10), task)
    }

    #[tokio::test]
    async fn a_record_is_read_back_as_it_was_written() {
        let ledger = ledger();
        let mut changes = ledger.watch();
        ledger.change_partition(ID, DateTime::UNIX_EPOCH, |record| record.backup = Some(job())).await.unwrap();
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert_eq!(ledger.partition(ID).await.unwrap().unwrap().backup, Some(job()));
        assert_eq!(ledger.busy_partitions().await.unwrap(), [ID]);
    }

    #[tokio::test]
    async fn a_refused_change_writes_nothing_and_wakes_nobody() {
        let ledger = ledger();
        let changes = ledger.watch();
        let refused = ledger.update_partition(ID, DateTime::UNIX_EPOCH, |record| {
            record.lsn = 9;
            Err::<(), _>("no")
        });
        assert_eq!(refused.await.unwrap(), Err("no"));
        assert_eq!(ledger.partition(ID).await.unwrap(), None);
        assert!(!changes.has_changed().unwrap());
    }

    #[tokio::test]
    async fn changes_that_meet_are_all_kept() {
        let ledger = ledger();
        let one = || ledger.change_partition(ID, DateTime::UNIX_EPOCH, |record| record.lsn += 1);
        for result in futures::future::join_all((0..20).map(|_| one())).await {
            result.unwrap();
        }
        assert_eq!(ledger.partition(ID).await.unwrap().unwrap().lsn, 20);
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_read_stops_nobody_else() {
        let ledger = ledger();
        ledger.change_partition(ID, DateTime::UNIX_EPOCH, |record| record.backup = Some(job())).await.unwrap();
        let other = PartitionId(Uuid::from_u128(8));
        ledger.run(move |store| store.put(&super::key(other), 0, b"{}")).await.unwrap();
        assert_eq!(ledger.busy_partitions().await.unwrap(), [ID]);
        assert!(matches!(ledger.partition(other).await, Err(LedgerError::Decode { .. })));
    }
}
