//! What ends work from outside: the deadline of its job, and whoever cancels it.
//!
//! A job is cancelled in the ledger and nowhere else; here it is looked for after every write, while work goes on.

use std::{future::pending, pin::pin, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{sync::watch, time};
use uuid::Uuid;

use super::{Engine, HUNG, end::End, record};
use crate::{domain::PartitionId, job::Job};

/// A wake-up of the ledger is mostly about others: so often at most is the record read again.
const PACE: Duration = Duration::from_millis(100);

/// So long may a store take to answer, for a cancelled job, whether its backup was committed.
const SETTLE: Duration = Duration::from_secs(1);

/// So long may clearing up take that a cancelled job waits for.
pub(super) const CLEAR: Duration = Duration::from_secs(3);

/// A job that is worked on, and when its time is up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) partition: PartitionId,
    pub(super) job: Uuid,
    pub(super) deadline: DateTime<Utc>,
}

impl Run {
    pub(super) fn of<T, O>(partition: PartitionId, job: &Job<T, O>) -> Self {
        Self { partition, job: job.id, deadline: job.deadline }
    }
}

impl Engine {
    /// Waits for `work`, but not past the deadline, nor once nobody wants it: then it is dropped, which ends it at its
    /// next step.
    pub(super) async fn within<R>(&self, run: Run, work: impl Future<Output = Result<R, End>>) -> Result<R, End> {
        self.within_or_tell(run, || None, work).await
    }

    /// The same; at the deadline it tells what the work `waits` for, who is asked while the work still waits.
    pub(super) async fn within_or_tell<R>(
        &self,
        run: Run,
        waits: impl Fn() -> Option<String>,
        work: impl Future<Output = Result<R, End>>,
    ) -> Result<R, End> {
        let mut work = pin!(self.unless_withdrawn(run, work));
        tokio::select! {
            biased;
            () = self.clock.sleep_until(run.deadline) => Err(End::Expired(waits())),
            result = &mut work => result,
        }
    }

    /// Waits for `work`, however long it takes, but not once nobody wants it.
    pub(super) async fn unless_withdrawn<R>(
        &self,
        run: Run,
        work: impl Future<Output = Result<R, End>>,
    ) -> Result<R, End> {
        tokio::select! {
            biased;
            () = self.withdrawn(run) => Err(End::Withdrawn),
            result = work => result,
        }
    }

    /// The same for work that should rather come to its end than be dropped: it has a little time left.
    pub(super) async fn settled<R>(&self, run: Run, work: impl Future<Output = Result<R, End>>) -> Result<R, End> {
        let out_of_time = async {
            self.withdrawn(run).await;
            time::sleep(SETTLE).await;
        };
        tokio::select! {
            biased;
            result = work => result,
            () = out_of_time => Err(End::Withdrawn),
        }
    }

    /// Waits for `clearing`, as long as for anything that hangs, but only a moment once the job is cancelled. None: it
    /// is not done.
    pub(super) async fn patiently<R>(&self, run: Run, clearing: impl Future<Output = R>) -> Option<R> {
        let hurried = async {
            self.withdrawn(run).await;
            time::sleep(CLEAR).await;
        };
        tokio::select! {
            biased;
            result = clearing => Some(result),
            () = hurried => None,
            () = time::sleep(HUNG) => None,
        }
    }

    /// Returns once the job is not to be worked on any more: somebody cancelled or ended it.
    async fn withdrawn(&self, run: Run) {
        let mut changes = self.ledger.watch();
        loop {
            changes.mark_unchanged();
            match self.ledger.partition(run.partition).await {
                Ok(Some(record)) if record::is_wanted(&record, run.job) => next(&mut changes).await,
                Ok(_) => return,
                Err(error) => tracing::debug!(job = %run.job, %error, "it cannot be seen whether a job is cancelled"),
            }
            time::sleep(PACE).await;
        }
    }
}

/// Returns at the next write; never once nobody can write any more.
async fn next(changes: &mut watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        pending::<()>().await;
    }
}
