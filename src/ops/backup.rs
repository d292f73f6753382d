use super::{Error, Ops, once};
use crate::{
    domain::{PartitionId, StorageSpec},
    job::{BackupJob, BackupTask},
    ledger::PartitionRecord,
};

impl Ops {
    /// Accepts a backup of the partition; `minutes` is how long it may take, `key` how the caller names the request.
    pub async fn backup_partition(
        &self,
        id: PartitionId,
        named: Option<StorageSpec>,
        minutes: u32,
        key: Option<String>,
    ) -> Result<(), Error> {
        let partition = self.persisted(id)?;
        let once = once::named("backup", key, &named);
        if self.is_repeated(id, once.as_ref()).await? {
            return Ok(());
        }
        let storage = self.storage(partition, named).await?;
        let wrote = self.made_for(partition, &storage).await?;
        let policy = wrote.as_ref().map(|wrote| wrote.policy.clone());
        let (now, deadline) = self.deadline(minutes);
        let task = BackupTask { policy, ..BackupTask::new(storage) };
        let job = BackupJob::new(self.clock.uuid(), now, deadline, task);
        let accept = |record: &mut PartitionRecord| {
            refuse_if_busy(id, record)?;
            record.backup = Some(job.clone());
            record.entity = Some(partition.entity());
            record.wrote.extend(wrote.clone());
            Ok(())
        };
        self.accept(id, now, once.as_ref(), accept).await
    }

    /// The latest backup that was asked for; none if there never was one.
    pub async fn backup_progress(&self, id: PartitionId) -> Result<Option<BackupJob>, Error> {
        self.hosted(id)?;
        Ok(self.ledger.partition(id).await?.and_then(|record| record.backup))
    }
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
