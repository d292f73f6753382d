//! Finds the jobs that the ledger says are unfinished and has the engine do them.
//!
//! Looks at every partition once, and then at those that something was written about and those whose task has ended. A
//! ledger that fails stops nothing for good: the look is made again.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    panic::AssertUnwindSafe,
    time::Duration,
};

use futures::FutureExt;
use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
    time,
};

use crate::{
    domain::{Failure, FailureCode, PartitionId, words},
    engine::Engine,
    ledger::{Ledger, LedgerError, Topic},
};

/// How long a look, or a job, that the ledger stopped is left alone.
const POLL: Duration = Duration::from_secs(5);

/// Runs the jobs of this node.
pub(super) struct Jobs {
    engine: Engine,
    ledger: Ledger,
    tasks: JoinSet<()>,
    running: HashMap<Id, (PartitionId, Work)>,
    /// The partitions to look at.
    due: BTreeSet<PartitionId>,
    /// Whether all of them were looked at once.
    knows_all: bool,
}

/// What a task does to its partition. A verification stands in the way of nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Jobs,
    Verification,
}

impl Jobs {
    pub(super) fn new(engine: Engine, ledger: Ledger) -> Self {
        Self { engine, ledger, tasks: JoinSet::new(), running: HashMap::new(), due: BTreeSet::new(), knows_all: false }
    }

    /// Puts every partition in order after a process that is gone.
    pub(super) async fn recover(&self) -> Result<(), LedgerError> {
        let mut partitions: HashSet<PartitionId> = self.engine.partitions().into_iter().collect();
        partitions.extend(self.ledger.busy_partitions().await?);
        partitions.extend(self.ledger.verifying_partitions().await?);
        for id in partitions {
            match self.put_in_order(id).await {
                // Whoever asks for the partition is told so.
                Err(error @ (LedgerError::Decode { .. } | LedgerError::Sealed { .. })) => log_ledger(id, &error),
                recovered => recovered?,
            }
        }
        self.engine.sweep_journals().await;
        Ok(())
    }

    async fn put_in_order(&self, id: PartitionId) -> Result<(), LedgerError> {
        self.engine.recover(id).await?;
        self.engine.recover_verify(id).await?;
        self.engine.survey(id).await
    }

    /// Works until told to stop, then gives running jobs `grace` to end. What is still running after that is dropped; the
    /// ledger has it as unfinished and the next process takes it up.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>, grace: Duration) {
        let mut feed = self.ledger.feed(&[Topic::Partitions]);
        while !*stop.borrow() {
            self.due.append(&mut feed.take().partitions);
            if let Err(error) = self.start_due().await {
                tracing::error!(error = words(&error), "the ledger cannot be read; trying again");
            }
            tokio::select! {
                _ = stop.changed() => break,
                () = feed.changed() => {}
                Some(done) = self.tasks.join_next_with_id() => self.ended(done).await,
                () = time::sleep(POLL), if self.is_behind() => {}
            }
        }
        self.drain(grace).await;
    }

    /// Starts what is unfinished and not yet being worked on: one task a partition, and one for its verification.
    async fn start_due(&mut self) -> Result<(), LedgerError> {
        if !self.knows_all {
            self.due.extend(self.ledger.busy_partitions().await?);
            self.due.extend(self.ledger.verifying_partitions().await?);
            self.knows_all = true;
        }
        while let Some(id) = self.due.first().copied() {
            match self.look_at(id).await {
                // Whoever asks for the partition is told so.
                Err(error @ (LedgerError::Decode { .. } | LedgerError::Sealed { .. })) => log_ledger(id, &error),
                looked => looked?,
            }
            self.due.remove(&id);
        }
        Ok(())
    }

    async fn look_at(&mut self, id: PartitionId) -> Result<(), LedgerError> {
        let Some(record) = self.ledger.partition(id).await? else { return Ok(()) };
        if record.is_verifying() {
            self.begin((id, Work::Verification));
        }
        // What came after the task began is not its to end.
        if record.is_busy() && !self.begin((id, Work::Jobs)) {
            return self.engine.end_unbegun(&record, id).await;
        }
        Ok(())
    }

    /// Begins, unless somebody is at it.
    fn begin(&mut self, due: (PartitionId, Work)) -> bool {
        if self.running.values().any(|running| *running == due) {
            return false;
        }
        let task = self.tasks.spawn(work(self.engine.clone(), due));
        self.running.insert(task.id(), due);
        true
    }

    /// Whether the latest look did not come to its end.
    fn is_behind(&self) -> bool {
        !self.knows_all || !self.due.is_empty()
    }

    async fn ended(&mut self, done: Result<(Id, ()), JoinError>) {
        let task = match &done {
            Ok((task, ())) => *task,
            Err(error) => error.id(),
        };
        let Some((id, work)) = self.running.remove(&task) else { return };
        if let Err(error) = done {
            self.give_up(id, work, &error).await;
        }
        // There may be more to do by now.
        self.due.insert(id);
    }

    /// A job must not stay open, even if the store or the state cannot be looked after.
    async fn give_up(&self, id: PartitionId, work: Work, panic: &JoinError) {
        tracing::error!(partition = %id, %panic, "clearing up after a panic ended in a panic");
        let failed = match work {
            Work::Jobs => self.engine.fail(id, internal_error()).await,
            Work::Verification => self.engine.fail_verify(id, internal_error()).await,
        };
        if let Err(error) = failed {
            log_ledger(id, &error);
        }
    }

    async fn drain(&mut self, grace: Duration) {
        let all = async {
            while let Some(done) = self.tasks.join_next_with_id().await {
                self.ended(done).await;
            }
        };
        if time::timeout(grace, all).await.is_err() {
            tracing::warn!("jobs are left unfinished; they go on at the next start");
        }
    }
}

/// A job that the ledger stopped is left alone for a while: begun again at once, it would be stopped again at once.
///
/// A job that met a defect of ours must not be tried for ever: it ends here, or if that meets the defect too, in
/// [`Jobs::give_up`].
async fn work(engine: Engine, (id, work): (PartitionId, Work)) {
    let doing = async {
        match work {
            Work::Jobs => engine.work(id).await,
            Work::Verification => engine.verify(id).await,
        }
    };
    let done = AssertUnwindSafe(doing).catch_unwind().await;
    let done = match done {
        Ok(done) => done,
        Err(_panic) => {
            tracing::error!(partition = %id, "a job ended in a panic");
            match work {
                Work::Jobs => engine.give_up(id, internal_error()).await,
                Work::Verification => engine.fail_verify(id, internal_error()).await,
            }
        }
    };
    if let Err(error) = done {
        log_ledger(id, &error);
        time::sleep(POLL).await;
    }
}

fn internal_error() -> Failure {
    Failure::new(FailureCode::Other, "the job met an internal error; the log of the service has it")
}

fn log_ledger(id: PartitionId, error: &LedgerError) {
    tracing::error!(partition = %id, error = words(error), "the job's state could not be written");
}

#[cfg(test)]
#[path = "jobs_tests.rs"]
mod tests;
