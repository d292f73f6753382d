//! Does the work: runs the one job of a partition that the ledger says is unfinished, from its start to its end.
//!
//! Each step of a job is in the ledger before it has an effect that a crash would leave behind: where an attempt writes
//! before its first byte, `Committing` before the write that makes the result visible. So whoever finds the job later
//! can tell from the ledger, the storage and the state which steps happened. Whatever goes wrong, the job ends, and it
//! ends with words that name the path, the store or the status; only a ledger that cannot be written leaves it open.
//!
//! Never decides that work is due: the reconciler does.

mod backup;
mod base;
mod bounds;
mod copy;
mod end;
mod record;
mod rehearse;
mod restore;
mod resume;
mod slots;
mod survey;
mod take_back;
mod tree;
mod verify;

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore},
    time,
};

use crate::{
    archive::{COMPRESSION_LEVEL, Catalog, CatalogError, Storage},
    clock::Clock,
    domain::{Entity, Failure, FailureCode, Partition, PartitionId, StorageSpec, words},
    job::{BackupJob, Meters},
    ledger::{Ledger, LedgerError, PartitionRecord},
    source::Source,
    spool::Spools,
};
use bounds::Run;
use end::End;
use record::Withdrawn;
pub use rehearse::{RehearseError, rehearse};
use resume::Journals;
pub use resume::SAFE_DISTANCE;
use slots::Slots;

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
    meters: Meters,
    backups: Slots,
    restores: Arc<Semaphore>,
    verifications: Arc<Semaphore>,
    compression_level: i32,
    journals: Option<Journals>,
    spools: Spools,
}

/// A partition's jobs take turns, in the order in which they came.
type Turn = Mutex<()>;

impl Engine {
    /// An engine that runs at most `slots` backups at once, in the order in which they came, and beside them as many
    /// restores and as many verifications: whoever needs a state back does not wait until the night's backups are done.
    pub fn new(hosted: Vec<Hosted>, catalog: Catalog, ledger: Ledger, clock: Clock, slots: usize) -> Self {
        let hosted = hosted.into_iter().map(|hosted| (hosted.partition.id, hosted)).collect();
        let others = || Arc::new(Semaphore::new(slots));
        Self {
            hosted: Arc::new(hosted),
            catalog,
            ledger,
            clock,
            meters: Meters::default(),
            backups: Slots::new(slots),
            restores: others(),
            verifications: others(),
            compression_level: COMPRESSION_LEVEL,
            journals: None,
            spools: Spools::in_memory(),
        }
    }

    /// The same, but a backup that is cut off can be gone on with: every so many bytes of it, and now and then, a journal in
    /// that directory is written. The directory is there and nobody else's.
    #[must_use]
    pub fn resuming(self, directory: PathBuf, distance: u64) -> Self {
        Self { journals: Some(Journals { directory, distance }), ..self }
    }

    /// The same, but what grows with the files of a state goes into these spools while a job runs.
    #[must_use]
    pub fn spooling(self, spools: Spools) -> Self {
        Self { spools, ..self }
    }

    /// The same, with another level of compression.
    #[must_use]
    pub fn compressing(self, compression_level: i32) -> Self {
        Self { compression_level, ..self }
    }

    /// What the jobs that run now count on.
    pub fn meters(&self) -> Meters {
        self.meters.clone()
    }

    /// Runs the partition's unfinished jobs to their end, one after the other: a restore, a requested backup, one by
    /// schedule. Each is held to its deadline, and can be cancelled, also while it waits. A job that has begun already was
    /// given up by whoever was at it, since nobody else may be.
    pub async fn work(&self, id: PartitionId) -> Result<(), LedgerError> {
        let Some(hosted) = self.hosted.get(&id) else { return self.fail(id, not_configured(id)).await };
        if self.ledger.partition(id).await?.is_some_and(|record| record.has_begun()) {
            self.recover(id).await?;
        }
        let Some(record) = self.ledger.partition(id).await? else { return Ok(()) };
        self.take_turns(hosted, &record).await
    }

    /// Whoever comes first is first: a future that is asked first stands first in the queue.
    async fn take_turns(&self, hosted: &Hosted, record: &PartitionRecord) -> Result<(), LedgerError> {
        let turn = Turn::default();
        let restore = async {
            let job = record.restore.as_ref().filter(|job| job.state.is_active());
            let Some(job) = job else { return Ok(()) };
            let _metered = self.meters.begin(job.id);
            self.run_restore(hosted, job, &turn).await
        };
        let backup = async |job: &Option<BackupJob>| {
            let job = job.as_ref().filter(|job| job.state.is_active());
            let Some(job) = job else { return Ok(()) };
            let _metered = self.meters.begin(job.id);
            Box::pin(self.run_backup(hosted, job, &turn)).await
        };
        let ends = tokio::join!(biased; Box::pin(restore), backup(&record.backup), backup(&record.scheduled));
        ends.0.and(ends.1).and(ends.2)
    }

    /// Puts a partition in order after whoever worked on it is gone: finishes or undoes a half-done swap, and lets its
    /// unfinished jobs begin again. A backup about to commit stays so: its store must be asked first, which
    /// [`Engine::work`] does. Nobody may be at work on the partition.
    pub async fn recover(&self, id: PartitionId) -> Result<(), LedgerError> {
        if let Some(hosted) = self.hosted.get(&id) {
            self.recover_restore(hosted).await?;
        }
        if self.ledger.partition(id).await?.is_some_and(|record| record.has_begun()) {
            self.change(id, record::interrupt).await?;
        }
        Ok(())
    }

    /// The partitions that are hosted here, each with what it lies in.
    pub fn entities(&self) -> impl Iterator<Item = Entity> {
        self.hosted.values().map(|hosted| hosted.partition.entity())
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
        let record = self.ledger.partition(id).await?;
        for job in record.iter().flat_map(PartitionRecord::backups).filter(|job| job.state.is_active()) {
            self.give_up_backup(id, job).await?;
        }
        self.fail(id, why).await
    }

    /// Ends the partition's unfinished jobs without a result and without a look at anything.
    pub async fn fail(&self, id: PartitionId, why: Failure) -> Result<(), LedgerError> {
        let now = self.clock.now();
        self.change(id, |record| record::fail_active(record, &why, now)).await
    }

    /// Ends the partition's jobs that were cancelled before anybody began them: they need not wait for those that run.
    pub async fn end_unbegun(&self, seen: &PartitionRecord, id: PartitionId) -> Result<(), LedgerError> {
        if !record::has_cancelled_unbegun(seen) {
            return Ok(());
        }
        let now = self.clock.now();
        self.change(id, |record| record::end_cancelled_unbegun(record, now)).await
    }

    async fn change<R>(
        &self,
        id: PartitionId,
        mut change: impl FnMut(&mut PartitionRecord) -> R,
    ) -> Result<R, LedgerError> {
        let now = self.clock.now();
        let noted = |record: &mut PartitionRecord| {
            let result = change(record);
            record::note(record, &self.meters, now);
            result
        };
        self.ledger.change_partition(id, now, noted).await
    }

    /// Changes the record of a job that is worked on; refused once it is withdrawn.
    async fn advance<R>(
        &self,
        run: Run,
        mut change: impl FnMut(&mut PartitionRecord) -> Result<R, Withdrawn>,
    ) -> Result<R, End> {
        let now = self.clock.now();
        let noted = |record: &mut PartitionRecord| {
            let result = change(record)?;
            record::note(record, &self.meters, now);
            Ok::<R, Withdrawn>(result)
        };
        Ok(self.ledger.update_partition(run.partition, now, noted).await??)
    }

    /// The storage of a job. A mount that hangs answers never, and a job must end.
    async fn open(&self, spec: &StorageSpec) -> Result<Storage, Failure> {
        answered(spec, self.catalog.open(spec)).await
    }

    /// Waits until it is the job's turn in its partition. That counts against the deadline; but a backup that may be there already must be looked for, however late it is.
    async fn turn<'a>(&self, run: Run, committing: bool, turn: &'a Turn) -> Result<MutexGuard<'a, ()>, End> {
        let turn = async { Ok(turn.lock().await) };
        if committing { self.unless_withdrawn(run, turn).await } else { self.within(run, turn).await }
    }

    /// Holds one of the node's slots. Waiting for it counts against the deadline.
    async fn slot(&self, run: Run, slots: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, End> {
        let slot =
            async { slots.clone().acquire_owned().await.map_err(|closed| End::failed(FailureCode::Aborted, &closed)) };
        self.within(run, slot).await
    }
}

/// What opening a storage came to; the words name the storage.
async fn answered(
    spec: &StorageSpec,
    opening: impl Future<Output = Result<Storage, CatalogError>>,
) -> Result<Storage, Failure> {
    match time::timeout(HUNG, opening).await {
        Ok(opened) => opened.map_err(|e| Failure::new(e.code(), words(&e))),
        Err(_late) => Err(Failure::new(FailureCode::Unreachable, hangs(spec))),
    }
}

fn hangs(spec: &StorageSpec) -> String {
    let hint = "a mount whose server is gone does so";
    format!("{} did not answer for {} s when it was opened; {hint}", named(spec), HUNG.as_secs())
}

/// A storage for people.
fn named(spec: &StorageSpec) -> String {
    match spec {
        StorageSpec::FileShare(share) => format!("the file share '{}'", share.path),
        StorageSpec::AzureBlob(blob) => format!("the Azure container '{}'", blob.container),
        StorageSpec::DsmsAzureBlob { container, .. } => format!("the Azure container '{container}'"),
        StorageSpec::ManagedIdentity(identity) => format!("the Azure container '{}'", identity.container),
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
#[path = "engine/any_state_tests.rs"]
mod any_state_tests;
#[cfg(test)]
#[path = "engine/cancel_tests.rs"]
mod cancel_tests;
#[cfg(test)]
#[path = "engine/chain_tests.rs"]
mod chain_tests;
#[cfg(test)]
#[path = "engine/resume_tests.rs"]
mod resume_tests;
#[cfg(test)]
#[path = "engine/scheduled_tests.rs"]
mod scheduled_tests;
#[cfg(test)]
#[path = "engine/survey_tests.rs"]
mod survey_tests;
#[cfg(test)]
#[path = "engine/engine_tests.rs"]
pub(crate) mod tests;
#[cfg(test)]
#[path = "engine/verify_tests.rs"]
mod verify_tests;
