//! One record a partition: its epoch, its log position and its latest jobs.
//!
//! Both jobs are in one record so that "no backup while a restore runs" is one compare-and-swap.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Basis, Change, KeyValue, Ledger, LedgerError, Once, Outcome, Versioned,
    records::{Record, decode, put, settled},
    remembered::Recalled,
};
use crate::{
    domain::{ChainTip, DataLoss, Entity, Epoch, Location, PartitionId, PolicyName, RunLog, StoreId, words},
    job::{BackupJob, RestoreJob, VerifyJob},
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
    /// The latest verification that was asked for. It runs beside the other jobs.
    #[serde(default)]
    pub verify: Option<VerifyJob>,
    /// The latest backup that was due by schedule.
    #[serde(default)]
    pub scheduled: Option<BackupJob>,
    /// How the backups by schedule went.
    #[serde(default)]
    pub runs: RunLog,
    /// What the next incremental backup may go on from.
    #[serde(default)]
    pub tip: Option<ChainTip>,
    /// The partition with the names that it lies under, once it was seen; outlives its place in the configuration.
    #[serde(default)]
    pub entity: Option<Entity>,
    /// Which policies made backups of it, and where.
    #[serde(default)]
    pub wrote: BTreeSet<Wrote>,
    /// Whether its state was ever seen with anything in it.
    #[serde(default)]
    pub had_state: bool,
    /// Its state is gone and somebody has to decide what becomes of it.
    #[serde(default)]
    pub data_loss: Option<DataLoss>,
    /// The backups that were restored by themselves since that loss and turned out damaged.
    #[serde(default)]
    pub tried: Vec<Tried>,
    /// The storages in which a backup of it was completed.
    #[serde(default)]
    pub filled: BTreeSet<StoreId>,
}

/// A backup that could not be restored since it is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Where it lies.
    pub location: Location,
    /// What is wrong with it.
    pub why: String,
}

/// A policy that made backups in a storage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Wrote {
    /// The policy.
    pub policy: PolicyName,
    /// The storage.
    pub store: StoreId,
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
            verify: None,
            scheduled: None,
            runs: RunLog::default(),
            tip: None,
            entity: None,
            wrote: BTreeSet::new(),
            had_state: false,
            data_loss: None,
            tried: Vec::new(),
            filled: BTreeSet::new(),
        }
    }

    /// The epoch after a restore at `now`.
    pub fn next_data_loss(&self, now: DateTime<Utc>) -> Epoch {
        Epoch { data_loss: now.timestamp_micros().max(self.epoch.data_loss + 1), ..self.epoch }
    }

    /// Whether a job is not finished, verifications aside.
    pub fn is_busy(&self) -> bool {
        self.backups().any(|job| job.state.is_active())
            || self.restore.as_ref().is_some_and(|job| job.state.is_active())
    }

    /// Whether a verification is not finished.
    pub fn is_verifying(&self) -> bool {
        self.verify.as_ref().is_some_and(|job| job.state.is_active())
    }

    /// Whether someone took such a job and has not ended it.
    pub fn has_begun(&self) -> bool {
        self.backups().any(|job| job.state.has_begun())
            || self.restore.as_ref().is_some_and(|job| job.state.has_begun())
    }

    /// The latest backups, requested and by schedule.
    pub fn backups(&self) -> impl Iterator<Item = &BackupJob> {
        self.backup.iter().chain(&self.scheduled)
    }
}

impl Ledger {
    /// The record of a partition; none before its first job.
    pub async fn partition(&self, id: PartitionId) -> Result<Option<PartitionRecord>, LedgerError> {
        Ok(self.peek(id).await?.map(Arc::unwrap_or_clone))
    }

    /// The same, for who wants a look at it only.
    pub async fn peek(&self, id: PartitionId) -> Result<Option<Arc<PartitionRecord>>, LedgerError> {
        let writes = match self.remembered.recall(id) {
            Recalled::Record(record) => return Ok(Some(record)),
            Recalled::Not { writes } => writes,
        };
        let record = self.read(&key(id)).await?.map(|record| Arc::new(record.value));
        if let Some(record) = &record {
            self.remembered.keep(id, writes, record);
        }
        Ok(record)
    }

    /// Every partition that is remembered. One whose record cannot be read is left out and logged: the others must not wait for
    /// it, and whoever asks for it is told.
    pub async fn partitions(&self) -> Result<Vec<(PartitionId, PartitionRecord)>, LedgerError> {
        // There may be many, so not on an async thread.
        self.run(|store| readable(store).map(|records| records.into_iter().filter_map(decoded).collect())).await
    }

    /// The partitions that have an unfinished verification.
    pub async fn verifying_partitions(&self) -> Result<Vec<PartitionId>, LedgerError> {
        let all = self.partitions().await?;
        Ok(all.into_iter().filter(|(_, record)| record.is_verifying()).map(|(id, _)| id).collect())
    }

    /// The partitions that have unfinished jobs, verifications aside.
    pub async fn busy_partitions(&self) -> Result<Vec<PartitionId>, LedgerError> {
        let all = self.partitions().await?;
        Ok(all.into_iter().filter(|(_, record)| record.is_busy()).map(|(id, _)| id).collect())
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
            if let Some(done) = self.try_update(id, now, &mut change, Vec::new()).await? {
                return Ok(done);
            }
        }
    }

    /// [`Ledger::update_partition`] for a decision that rests on other records. None: one of them is not any more what it
    /// was, and nothing is written.
    pub async fn update_partition_on<R, E>(
        &self,
        basis: &Basis,
        id: PartitionId,
        now: DateTime<Utc>,
        mut change: impl FnMut(&mut PartitionRecord) -> Result<R, E>,
    ) -> Result<Option<Result<R, E>>, LedgerError> {
        loop {
            match self.write_update(id, now, &mut change, basis.checks().collect()).await {
                Err(LedgerError::Conflict { key: changed }) if changed == key(id) => {}
                done => return settled(done).transpose(),
            }
        }
    }

    /// None: somebody else wrote in between. `more` is written with the record.
    async fn try_update<R, E>(
        &self,
        id: PartitionId,
        now: DateTime<Utc>,
        change: &mut impl FnMut(&mut PartitionRecord) -> Result<R, E>,
        more: Vec<Change>,
    ) -> Result<Option<Result<R, E>>, LedgerError> {
        settled(self.write_update(id, now, change, more).await).transpose()
    }

    async fn write_update<R, E>(
        &self,
        id: PartitionId,
        now: DateTime<Utc>,
        change: &mut impl FnMut(&mut PartitionRecord) -> Result<R, E>,
        mut more: Vec<Change>,
    ) -> Result<Result<R, E>, LedgerError> {
        let Record { key, revision, value: mut record } = self.read_or_first_seen(id, now).await?;
        let result = match change(&mut record) {
            Ok(result) => result,
            Err(refusal) => return Ok(Err(refusal)),
        };
        more.push(put(&key, revision, &record)?);
        self.write(more).await.map(|()| Ok(result))
    }

    /// [`Ledger::update_partition`], but a request that was done before is recognised and not done again. What was refused is
    /// not remembered.
    pub async fn accept<R, E>(
        &self,
        id: PartitionId,
        now: DateTime<Utc>,
        once: Option<&Once>,
        mut change: impl FnMut(&mut PartitionRecord) -> Result<R, E>,
    ) -> Result<Result<Outcome<R>, E>, LedgerError> {
        loop {
            let remember = match once {
                None => None,
                Some(once) => match self.recall(id, now, once).await? {
                    Ok(remember) => Some(remember),
                    Err(known) => return Ok(Ok(known)),
                },
            };
            if let Some(done) = self.try_update(id, now, &mut change, remember.into_iter().collect()).await? {
                return Ok(done.map(Outcome::Done));
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

    async fn read_or_first_seen(
        &self,
        id: PartitionId,
        now: DateTime<Utc>,
    ) -> Result<Record<PartitionRecord>, LedgerError> {
        let key = key(id);
        let found = self.read(&key).await?;
        Ok(found.unwrap_or_else(|| Record { key, revision: 0, value: PartitionRecord::first_seen(now) }))
    }
}

fn decoded((key, found): (String, Versioned)) -> Option<(PartitionId, PartitionRecord)> {
    match decode::<PartitionRecord>(key, &found) {
        Ok(record) => partition_of(&record.key).map(|id| (id, record.value)),
        Err(error) => {
            tracing::error!(error = words(&error), "a partition's record cannot be read");
            None
        }
    }
}

/// The records that are whole: all in one look, or one by one if there is a damaged one among them.
fn readable(store: &dyn KeyValue) -> Result<Vec<(String, Versioned)>, LedgerError> {
    match store.list(PREFIX, None, usize::MAX) {
        Err(LedgerError::Sealed { .. }) => {}
        listed => return listed,
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        match store.list(PREFIX, after.as_deref(), 1).map(|mut page| page.pop()) {
            Ok(None) => return Ok(found),
            Ok(Some(next)) => {
                after = Some(next.0.clone());
                found.push(next);
            }
            Err(LedgerError::Sealed { key }) => {
                tracing::error!(key, "a partition's record was damaged or changed by something else");
                after = Some(key);
            }
            Err(error) => return Err(error),
        }
    }
}

const PREFIX: &str = "partition/";

pub(super) fn key(id: PartitionId) -> String {
    format!("{PREFIX}{id}")
}

pub(super) fn partition_of(key: &str) -> Option<PartitionId> {
    key.strip_prefix(PREFIX)?.parse().ok().map(PartitionId)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use uuid::Uuid;

    use crate::{
        domain::{AzureBlob, PartitionId, Secret, StorageSpec},
        job::{BackupJob, BackupTask},
        ledger::{Becomes, Change, Embedded, Ledger, LedgerError},
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
        assert_eq!(ledger.partition(ID).await.unwrap().unwrap().backup.clone(), Some(job()));
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
        let odd = Change { key: super::key(other), seen: 0, becomes: Becomes::Value(b"{}".to_vec()) };
        ledger.run(move |store| store.commit(&[odd])).await.unwrap();
        assert_eq!(ledger.busy_partitions().await.unwrap(), [ID]);
        assert!(matches!(ledger.partition(other).await, Err(LedgerError::Decode { .. })));
    }
}
