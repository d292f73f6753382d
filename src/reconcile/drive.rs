use std::panic::AssertUnwindSafe;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use tokio::sync::watch;

use crate::{
    clock::Clock,
    domain::words,
    ledger::{Ledger, LedgerError, Topic},
};

/// When a task that knows of nothing to come looks again.
pub(super) const IDLE: TimeDelta = TimeDelta::days(1);
/// So long at most does a task sleep: the clock may have been set meanwhile, and the time that it waits for have moved.
const LOOK: TimeDelta = TimeDelta::minutes(1);
/// When an activation that failed is made again.
const AGAIN: TimeDelta = TimeDelta::seconds(5);
/// The same for one that met a defect of ours.
const AFTER_A_DEFECT: TimeDelta = TimeDelta::minutes(1);

/// One kind of work. Dropped in the middle it leaves nothing that the next activation does not put right.
pub(super) trait Task {
    /// For the log.
    const NAME: &'static str;
    /// What it has to look at again when it is written.
    const HEARS: &'static [Topic];

    /// Does what is due, and tells when something may be due again if the ledger does not change.
    async fn activate(&mut self) -> Result<DateTime<Utc>, LedgerError>;
}

/// Wakes tasks.
pub(super) struct Driver {
    ledger: Ledger,
    clock: Clock,
}

impl Driver {
    pub(super) fn new(ledger: Ledger, clock: Clock) -> Self {
        Self { ledger, clock }
    }

    /// Activates `task` now, when something was written that concerns it, when it said, and every minute, until told to stop.
    pub(super) async fn run<T: Task>(&self, mut task: T, mut stop: watch::Receiver<bool>) {
        let mut feed = self.ledger.feed(T::HEARS);
        let work = async {
            loop {
                // Before the look, lest a change during it be missed.
                feed.take();
                let next = self.activate(&mut task).await;
                tokio::select! {
                    () = feed.changed() => {}
                    () = self.clock.sleep_until_or(next, LOOK) => {}
                }
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            () = work => {}
        }
    }

    async fn activate<T: Task>(&self, task: &mut T) -> DateTime<Utc> {
        match AssertUnwindSafe(task.activate()).catch_unwind().await {
            Ok(Ok(next)) => next,
            Ok(Err(error)) => {
                tracing::error!(task = T::NAME, error = words(&error), "the ledger cannot be used; trying again");
                self.clock.now() + AGAIN
            }
            Err(_panic) => {
                tracing::error!(task = T::NAME, "background work ended in a panic; trying again");
                self.clock.now() + AFTER_A_DEFECT
            }
        }
    }
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;
