//! Finds the jobs that the ledger says are unfinished and has the engine do them.
//!
//! Woken by every write to the ledger, by a job that ends, and by a timer in case a wake-up was missed. A ledger that
//! fails stops nothing for good: the next activation is the retry.

use std::{
    collections::{HashMap, HashSet},
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
    ledger::{Ledger, LedgerError},
};

/// How long a missed wake-up can delay a job.
const POLL: Duration = Duration::from_secs(5);

/// Runs the jobs of this node.
pub(super) struct Jobs {
    engine: Engine,
    ledger: Ledger,
    tasks: JoinSet<()>,
    running: HashMap<Id, PartitionId>,
}

impl Jobs {
    pub(super) fn new(engine: Engine, ledger: Ledger) -> Self {
        Self { engine, ledger, tasks: JoinSet::new(), running: HashMap::new() }
    }

    /// Puts every partition in order after a process that is gone.
    pub(super) async fn recover(&self) -> Result<(), LedgerError> {
        let mut partitions: HashSet<PartitionId> = self.engine.partitions().into_iter().collect();
        partitions.extend(self.ledger.busy_partitions().await?);
        for id in partitions {
            match self.put_in_order(id).await {
                // Whoever asks for the partition is told so.
                Err(error @ (LedgerError::Decode { .. } | LedgerError::Sealed { .. })) => log_ledger(id, &error),
                recovered => recovered?,
            }
        }
        Ok(())
    }

    async fn put_in_order(&self, id: PartitionId) -> Result<(), LedgerError> {
        self.engine.recover(id).await?;
        self.engine.survey(id).await
    }

    /// Works until told to stop, then gives running jobs `grace` to end. What is still running after that is dropped; the
    /// ledger has it as unfinished and the next process takes it up.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>, grace: Duration) {
        let mut changes = self.ledger.watch();
        while !*stop.borrow() {
            changes.mark_unchanged();
            if let Err(error) = self.start_due().await {
                tracing::error!(error = words(&error), "the ledger cannot be read; trying again");
            }
            tokio::select! {
                _ = stop.changed() => break,
                _ = changes.changed() => {}
                Some(done) = self.tasks.join_next_with_id() => self.ended(done).await,
                () = time::sleep(POLL) => {}
            }
        }
        self.drain(grace).await;
    }

    /// Starts what is unfinished and not yet being worked on: one task a partition.
    async fn start_due(&mut self) -> Result<(), LedgerError> {
        let started: HashSet<PartitionId> = self.running.values().copied().collect();
        for id in self.ledger.busy_partitions().await? {
            if !started.contains(&id) {
                let task = self.tasks.spawn(work(self.engine.clone(), id));
                self.running.insert(task.id(), id);
            }
        }
        Ok(())
    }

    async fn ended(&mut self, done: Result<(Id, ()), JoinError>) {
        let task = match &done {
            Ok((task, ())) => *task,
            Err(error) => error.id(),
        };
        let Some(id) = self.running.remove(&task) else { return };
        if let Err(error) = done {
            self.give_up(id, &error).await;
        }
    }

    /// A job must not stay open, even if the store or the state cannot be looked after.
    async fn give_up(&self, id: PartitionId, panic: &JoinError) {
        tracing::error!(partition = %id, %panic, "clearing up after a panic ended in a panic");
        if let Err(error) = self.engine.fail(id, internal_error()).await {
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
async fn work(engine: Engine, id: PartitionId) {
    let done = AssertUnwindSafe(engine.work(id)).catch_unwind().await;
    let done = match done {
        Ok(done) => done,
        Err(_panic) => {
            tracing::error!(partition = %id, "a job ended in a panic");
            engine.give_up(id, internal_error()).await
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
