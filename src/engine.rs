//! Does the work: runs the one job of a partition that the ledger says is unfinished, from its start to its end.
//!
//! Each step of a job is in the ledger before it has an effect that a crash would leave behind: where an attempt writes
//! before its first byte, `Committing` before the write that makes the result visible. So whoever finds the job later
//! can tell from the ledger, the storage and the state which steps happened. Whatever goes wrong, the job ends, and it
//! ends with words that name the path, the store or the status; only a ledger that cannot be written leaves it open.
//!
//! Never decides that work is due: the reconciler does.

mod backup;
mod end;
mod restore;

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{sync::Semaphore, time};

use crate::{
    archive::{Catalog, Storage},
    clock::Clock,
    domain::{Failure, FailureCode, Partition, PartitionId, StorageSpec},
    job::{Event, State},
    ledger::{Ledger, LedgerError, PartitionRecord},
    source::Source,
};
use end::End;

/// After so long a file system that does not answer is taken for hung.
const HUNG: Duration = Duration::from_mins(1);

/// A partition and where its state is.
#[derive(Clone)]
pub struct Hosted {
    /// The facts.
    pub partition: Partition,
    /// Its state.
    pub source: Source,
}

/// Runs jobs. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    hosted: Arc<HashMap<PartitionId, Hosted>>,
    catalog: Catalog,
    ledger: Ledger,
    clock: Clock,
    slots: Arc<Semaphore>,
}

impl Engine {
    /// An engine that runs at most `slots` jobs at once.
    pub fn new(hosted: Vec<Hosted>, catalog: Catalog, ledger: Ledger, clock: Clock, slots: usize) -> Self {
        let hosted = hosted.into_iter().map(|hosted| (hosted.partition.id, hosted)).collect();
        Self { hosted: Arc::new(hosted), catalog, ledger, clock, slots: Arc::new(Semaphore::new(slots)) }
    }

    /// Runs the partition's unfinished job to its end. Does nothing if there is none. A job that has begun already was
    /// given up by whoever was at it, since nobody else may be.
    pub async fn work(&self, id: PartitionId) -> Result<(), LedgerError> {
        let Some(hosted) = self.hosted.get(&id) else { return self.fail(id, not_configured(id)).await };
        if self.ledger.partition(id).await?.is_some_and(|record| record.has_begun()) {
            self.recover(id).await?;
        }
        let Some(record) = self.ledger.partition(id).await? else { return Ok(()) };
        if let Some(job) = record.restore.filter(|job| job.state.is_active()) {
            Box::pin(self.run_restore(hosted, &job)).await?;
        }
        if let Some(job) = record.backup.filter(|job| job.state.is_active()) {
            Box::pin(self.run_backup(hosted, &job)).await?;
        }
        Ok(())
    }

    /// Puts a partition in order after whoever worked on it is gone: finishes or undoes a half-done swap, and lets its
    /// unfinished jobs begin again. A backup about to commit stays so: its store must be asked first, which
    /// [`Engine::work`] does. Nobody may be at work on the partition.
    pub async fn recover(&self, id: PartitionId) -> Result<(), LedgerError> {
        if let Some(hosted) = self.hosted.get(&id) {
            self.recover_restore(hosted).await?;
        }
        if self.ledger.partition(id).await?.is_some_and(|record| record.has_begun()) {
            self.change(id, interrupt).await?;
        }
        Ok(())
    }

    /// The partitions that are hosted here.
    pub fn partitions(&self) -> Vec<PartitionId> {
        self.hosted.keys().copied().collect()
    }

    /// Ends the partition's unfinished jobs after a defect of ours: with what is visible of them already, otherwise with
    /// `why`, and then without leaving anything.
    pub async fn give_up(&self, id: PartitionId, why: Failure) -> Result<(), LedgerError> {
        if let Some(hosted) = self.hosted.get(&id) {
            self.recover_restore(hosted).await?;
        }
        let backup = self.ledger.partition(id).await?.and_then(|record| record.backup);
        if let Some(job) = backup.filter(|job| job.state.is_active()) {
            self.give_up_backup(id, &job).await?;
        }
        self.fail(id, why).await
    }

    /// Ends the partition's unfinished jobs without a result and without a look at anything.
    pub async fn fail(&self, id: PartitionId, why: Failure) -> Result<(), LedgerError> {
        self.change(id, |record| fail_active(record, &why)).await
    }

    async fn change<R>(
        &self,
        id: PartitionId,
        change: impl FnMut(&mut PartitionRecord) -> R,
    ) -> Result<R, LedgerError> {
        self.ledger.change_partition(id, self.clock.now(), change).await
    }

    /// Waits for `work`, but not past the deadline: then it is dropped, which ends it at its next step.
    async fn within<R>(&self, deadline: DateTime<Utc>, work: impl Future<Output = Result<R, End>>) -> Result<R, End> {
        tokio::select! {
            biased;
            () = self.clock.sleep_until(deadline) => Err(End::Expired),
            result = work => result,
        }
    }

    /// The storage of a job. A mount that hangs answers never, and a job must end.
    async fn open(&self, spec: &StorageSpec) -> Result<Storage, End> {
        match time::timeout(HUNG, self.catalog.open(spec)).await {
            Ok(opened) => opened.map_err(|e| End::failed(e.code(), &e)),
            Err(late) => Err(End::failed(FailureCode::Unreachable, &late)),
        }
    }

    /// Holds one of the node's slots. Waiting for it counts against the deadline.
    async fn slot(&self, deadline: DateTime<Utc>) -> Result<tokio::sync::OwnedSemaphorePermit, End> {
        let slot = async {
            self.slots.clone().acquire_owned().await.map_err(|closed| End::failed(FailureCode::Aborted, &closed))
        };
        self.within(deadline, slot).await
    }
}

fn interrupt(record: &mut PartitionRecord) {
    if let Some(job) = record.backup.as_mut().filter(|job| job.state == State::Running) {
        end::apply(job, Event::Interrupt);
    }
    if let Some(job) = record.restore.as_mut().filter(|job| job.state.has_begun()) {
        end::apply(job, Event::Interrupt);
    }
}

fn fail_active(record: &mut PartitionRecord, why: &Failure) {
    if let Some(job) = record.backup.as_mut().filter(|job| job.state.is_active()) {
        end::apply(job, Event::Fail(why.clone()));
    }
    if let Some(job) = record.restore.as_mut().filter(|job| job.state.is_active()) {
        end::apply(job, Event::Fail(why.clone()));
    }
}

fn not_configured(id: PartitionId) -> Failure {
    let message = format!("partition {id} is no longer configured on this node, so the job cannot go on");
    Failure::new(FailureCode::NotFound, message)
}

/// Runs blocking work off the async threads; a panic there goes on here.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

#[cfg(test)]
#[path = "engine/engine_tests.rs"]
pub(crate) mod tests;
