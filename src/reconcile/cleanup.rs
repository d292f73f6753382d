//! Deletes what disabled policies left, where their caller asked for it.
//!
//! A cleanup is tried at once, and while something needs its backups, once a minute. One that fails is tried ever less
//! often, as long after the latest failure as it has been failing: from a minute to an hour.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::drive::{IDLE, Task};
use crate::{
    clock::Clock,
    domain::{Failure, RunFailure, words},
    ledger::{Cleanup, Ledger, LedgerError, Topic},
    retention::{Cleaned, Keeper, RetentionError},
};

const SOONEST: TimeDelta = TimeDelta::minutes(1);
const LATEST: TimeDelta = TimeDelta::hours(1);

pub(super) struct Cleanups {
    keeper: Keeper,
    ledger: Ledger,
    clock: Clock,
    /// When those that had to wait were tried.
    waiting: HashMap<Uuid, DateTime<Utc>>,
}

impl Cleanups {
    pub(super) fn new(keeper: Keeper, ledger: Ledger, clock: Clock) -> Self {
        Self { keeper, ledger, clock, waiting: HashMap::new() }
    }

    fn due(&self, cleanup: &Cleanup) -> DateTime<Utc> {
        let now = self.clock.now();
        let waited = self.waiting.get(&cleanup.id).filter(|tried| **tried <= now).map(|tried| *tried + SOONEST);
        let failure = cleanup.failure.as_ref().filter(|failure| failure.at <= now);
        let failed = failure.map(|failure| failure.at + (failure.at - failure.since).clamp(SOONEST, LATEST));
        waited.max(failed).unwrap_or(now)
    }

    /// Tries it; tells whether it is over.
    async fn attempt(&mut self, cleanup: &Cleanup) -> Result<bool, LedgerError> {
        match self.keeper.clean(cleanup).await {
            Ok(Cleaned::Done) => {
                tracing::info!(policy = %cleanup.policy, cleanup = %cleanup.id, "cleaned up after a disabled policy");
                self.waiting.remove(&cleanup.id);
                self.ledger.finish_cleanup(cleanup.id).await.map(|()| true)
            }
            Ok(Cleaned::Waiting) => {
                self.waiting.insert(cleanup.id, self.clock.now());
                Ok(false)
            }
            Err(error) => self.failed(cleanup, &error).await.map(|()| false),
        }
    }

    async fn failed(&self, cleanup: &Cleanup, error: &RetentionError) -> Result<(), LedgerError> {
        tracing::warn!(policy = %cleanup.policy, cleanup = %cleanup.id, error = words(error), "cleaning up failed");
        let at = self.clock.now();
        let since = cleanup.failure.as_ref().map_or(at, |failure| failure.since);
        let failure = RunFailure { at, since, why: Failure::new(error.code(), words(error)) };
        self.ledger.fail_cleanup(cleanup.id, &failure).await
    }
}

impl Task for Cleanups {
    const NAME: &'static str = "cleanup";
    const HEARS: &'static [Topic] = &[Topic::Cleanups];

    async fn activate(&mut self) -> Result<DateTime<Utc>, LedgerError> {
        let mut next = self.clock.now() + IDLE;
        for cleanup in self.ledger.cleanups().await? {
            let due = self.due(&cleanup);
            if due > self.clock.now() {
                next = next.min(due);
            } else if !self.attempt(&cleanup).await? {
                next = next.min(self.clock.now() + SOONEST);
            }
        }
        Ok(next)
    }
}
