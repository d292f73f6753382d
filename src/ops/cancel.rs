//! Jobs that are told to end. Whoever works on one ends it; one that nobody has begun ends here.

use super::{Error, Ops};
use crate::{
    domain::{Failure, FailureCode, PartitionId},
    job::{BackupJob, Event, State},
    ledger::PartitionRecord,
};

impl Ops {
    /// Cancels the backup of the partition that was asked for, else one that runs by schedule.
    pub async fn cancel_backup(&self, id: PartitionId) -> Result<(), Error> {
        self.hosted(id)?;
        let cancel = |record: &mut PartitionRecord| {
            if let Some(job) = record.backup.as_mut().filter(|job| job.state.is_active()) {
                return stop_requested(job);
            }
            if stop_scheduled(record) { Ok(()) } else { Err(Error::NothingToCancel { what: "backup", id }) }
        };
        self.ledger.update_partition(id, self.clock.now(), cancel).await?
    }

    /// Cancels the restore of the partition, also one that began by itself. Once the state is being swapped it is too late.
    pub async fn cancel_restore(&self, id: PartitionId) -> Result<(), Error> {
        self.hosted(id)?;
        let cancel = |record: &mut PartitionRecord| {
            let job = record.restore.as_mut().filter(|job| job.state.is_active());
            let job = job.ok_or(Error::NothingToCancel { what: "restore", id })?;
            if matches!(job.state, State::Committing) {
                return Err(Error::RestoreCommitting(id));
            }
            job.cancelled = true;
            Ok(())
        };
        self.ledger.update_partition(id, self.clock.now(), cancel).await?
    }
}

fn stop_requested(job: &mut BackupJob) -> Result<(), Error> {
    job.cancelled = true;
    if matches!(job.state, State::Accepted) && job.task.attempt.is_none() {
        let why = Failure::new(FailureCode::Aborted, "the backup was cancelled before it began");
        job.apply(Event::Fail(why))?;
    }
    Ok(())
}

/// Tells the backup that runs by schedule to end, if there is one. Only the engine ends it, since its end belongs in the log of
/// the schedule.
pub(super) fn stop_scheduled(record: &mut PartitionRecord) -> bool {
    let job = record.scheduled.as_mut().filter(|job| job.state.is_active());
    job.map(|job| job.cancelled = true).is_some()
}
