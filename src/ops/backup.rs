use super::{Error, Ops, once, storage::Owner};
use crate::{
    chain::{self, Conditions},
    domain::{PartitionId, StorageSpec, Wanted, WhyFull},
    job::{BackupJob, BackupTask, ToldBackup},
    ledger::PartitionRecord,
};

/// What a caller says of the backup that it wants.
#[derive(Debug, Default)]
pub struct BackupRequest {
    /// Where it goes, if not to the partition's own storage.
    pub storage: Option<StorageSpec>,
    /// How long it may take.
    pub minutes: u32,
    /// Whether it shall go on with the chain, if it can.
    pub incremental: bool,
    /// How the caller names the request.
    pub key: Option<String>,
}

impl Ops {
    /// Accepts a backup of the partition.
    pub async fn backup_partition(&self, id: PartitionId, asked: BackupRequest) -> Result<(), Error> {
        let partition = self.persisted(id)?;
        let once = once::named("backup", asked.key, &asked.storage);
        if self.is_repeated(id, once.as_ref()).await? {
            return Ok(());
        }
        let storage = self.storage(partition, asked.storage).await?;
        let owner = self.made_for(partition, &storage).await?;
        let policy = owner.as_ref().map(|owner| owner.wrote.policy.clone());
        let (now, deadline) = self.deadline(asked.minutes);
        let task = BackupTask { policy, ..BackupTask::new(storage) };
        let job = BackupJob::new(self.clock.uuid(), now, deadline, task);
        let accept = |record: &mut PartitionRecord| {
            refuse_if_busy(id, record)?;
            let mut job = job.clone();
            if asked.incremental {
                job.task.wanted = next(record, owner.as_ref());
            }
            record.backup = Some(job);
            record.entity = Some(partition.entity());
            record.wrote.extend(owner.as_ref().map(|owner| owner.wrote.clone()));
            Ok(())
        };
        self.accept(id, now, once.as_ref(), accept).await
    }

    /// The latest backup that was asked for; none if there never was one.
    pub async fn backup_progress(&self, id: PartitionId) -> Result<Option<ToldBackup>, Error> {
        self.hosted(id)?;
        let record = self.ledger.peek(id).await?;
        let job = record.as_ref().and_then(|record| record.backup.as_ref());
        let job = job.map(|job| job.with(job.task.notes.clone()));
        Ok(job.map(|job| self.metered(job)))
    }
}

/// As the schedule of the policy would decide.
fn next(record: &PartitionRecord, owner: Option<&Owner>) -> Wanted {
    let Some(owner) = owner else { return Wanted::Full(WhyFull::NoPolicy) };
    let conditions = Conditions {
        max_incrementals: owner.max_incrementals,
        store: &owner.wrote.store,
        policy: &owner.wrote.policy,
        since: owner.since,
        epoch: record.epoch,
    };
    chain::next(record.tip.as_ref(), &conditions)
}

/// One job at a time; a running restore is named first, as the published service does.
pub(super) fn refuse_if_busy(id: PartitionId, record: &PartitionRecord) -> Result<(), Error> {
    if record.restore.as_ref().is_some_and(|job| job.state.is_active()) {
        return Err(Error::RestoreInProgress(id));
    }
    if record.backup.as_ref().is_some_and(|job| job.state.is_active()) {
        return Err(Error::BackupInProgress(id));
    }
    Ok(())
}
