use std::collections::BTreeSet;

use tokio::time;

use super::{
    HUNG, Keeper, RetentionError,
    gather::{partition, place},
};
use crate::{
    archive,
    domain::{BackupPoint, Entity},
    ledger::{Cleanup, LedgerError, PartitionRecord},
};

/// How far a cleanup has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleaned {
    /// Nothing of it is left.
    Done,
    /// Some of it is needed by a job or held by a loss of data.
    Waiting,
}

impl Keeper {
    /// Deletes what the policy of a cleanup made of its partitions up to when it was asked for, and what jobs that were
    /// accepted before make after it; newest first, as far as nothing holds it.
    pub async fn clean(&self, cleanup: &Cleanup) -> Result<Cleaned, RetentionError> {
        let cleanup = &self.with_jobs(cleanup).await?;
        let mut all = Cleaned::Done;
        for entity in &cleanup.partitions {
            if self.clean_partition(cleanup, entity).await? == Cleaned::Waiting {
                all = Cleaned::Waiting;
            }
        }
        Ok(all)
    }

    /// Notes the jobs before the first look at the storage: what is over by then is still the latest of its partition.
    async fn with_jobs(&self, cleanup: &Cleanup) -> Result<Cleanup, LedgerError> {
        let mut noted = cleanup.clone();
        if noted.jobs.is_none() {
            let mut jobs = BTreeSet::new();
            for id in cleanup.partitions.iter().filter_map(partition) {
                let record = self.ledger.partition(id).await?;
                let theirs = record.iter().flat_map(PartitionRecord::backups);
                let theirs = theirs.filter(|job| job.task.policy.as_ref() == Some(&cleanup.policy));
                jobs.extend(theirs.filter(|job| job.requested <= cleanup.requested).map(|job| job.id));
            }
            self.ledger.note_cleanup_jobs(cleanup.id, &jobs).await?;
            noted.jobs = Some(jobs);
        }
        Ok(noted)
    }

    async fn clean_partition(&self, cleanup: &Cleanup, entity: &Entity) -> Result<Cleaned, RetentionError> {
        if self.is_held(cleanup, entity).await? {
            return Ok(Cleaned::Waiting);
        }
        let storage = self.open(&cleanup.storage).await?;
        for point in self.condemned(cleanup, entity).await? {
            if self.is_held(cleanup, entity).await? || self.restores().await?.need(&cleanup.store, &point) {
                return Ok(Cleaned::Waiting);
            }
            time::timeout(HUNG, archive::remove(&storage, &point.location)).await??;
            tracing::info!(policy = %cleanup.policy, location = %point.location, "a disabled policy's backup was deleted");
        }
        Ok(Cleaned::Done)
    }

    /// Whether the partition waits for a decision, or a job is still making a backup for the policy.
    async fn is_held(&self, cleanup: &Cleanup, entity: &Entity) -> Result<bool, LedgerError> {
        let Some(id) = partition(entity) else { return Ok(false) };
        let Some(record) = self.ledger.partition(id).await? else { return Ok(false) };
        let mut jobs = record.backups();
        let is_made = jobs.any(|job| job.state.is_active() && job.task.policy.as_ref() == Some(&cleanup.policy));
        Ok(is_made || record.data_loss.is_some())
    }

    /// What is to go, newest first. What cannot be read is nobody's to delete.
    async fn condemned(&self, cleanup: &Cleanup, entity: &Entity) -> Result<Vec<BackupPoint>, RetentionError> {
        let Some(place) = place(entity) else { return Ok(Vec::new()) };
        let found = self.list(&cleanup.storage, &place).await?;
        let theirs = found.into_iter().filter(|found| found.policy.as_ref() == Some(&cleanup.policy));
        let points = theirs.filter_map(|found| Some(BackupPoint { location: found.location, ..found.point.ok()? }));
        let is_late = |point: &BackupPoint| cleanup.jobs.as_ref().is_some_and(|jobs| jobs.contains(&point.id));
        let mut points: Vec<_> = points.filter(|it| it.created <= cleanup.requested || is_late(it)).collect();
        points.reverse();
        Ok(points)
    }
}
