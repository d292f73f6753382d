//! Background work: what must happen without a request.
//!
//! Owns when things happen, and nothing of what they are: jobs are the engine's, rules the policies', deletions the
//! retention's. Each kind of work is a task of its own that takes no input: it looks at the ledger and at the clock, does
//! what is due, and says when something may be due again. It is woken then and by every write to the ledger. After a
//! crash the same look finds the same work. No task retries inside an activation; how things went is in the ledger, where
//! everybody sees it.

mod cleanup;
mod correct;
mod drive;
mod jobs;
mod retention;
mod schedule;
mod upkeep;

use std::time::Duration;

use tokio::sync::watch;

use crate::{
    archive::Catalog,
    clock::Clock,
    domain::Span,
    engine::Engine,
    ledger::{Ledger, LedgerError},
    retention::Keeper,
};
use cleanup::Cleanups;
use drive::Driver;
use jobs::Jobs;
use retention::Retentions;
use schedule::Scheduler;
use upkeep::Upkeep;

/// What the operator says of background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How far a scheduled backup may be from its time, either way: so that not all begin at once.
    pub jitter: Span,
    /// How long a scheduled backup may take.
    pub deadline: Span,
    /// How old data without a commit record must be before it is taken for lost.
    pub orphan_grace: Span,
}

/// What is used when nothing else is said.
impl Default for Rules {
    fn default() -> Self {
        Self { jitter: JITTER, deadline: Span::days(1), orphan_grace: Span::days(1) }
    }
}

/// The published service's.
const JITTER: Span = Span::seconds(10).expect("10 s is short");

/// Does all background work of this node.
pub struct Reconciler {
    driver: Driver,
    jobs: Jobs,
    scheduler: Scheduler,
    retentions: Retentions,
    cleanups: Cleanups,
    upkeep: Upkeep,
}

impl Reconciler {
    /// One that has not begun.
    pub fn new(engine: Engine, catalog: Catalog, keeper: Keeper, ledger: Ledger, clock: Clock, rules: Rules) -> Self {
        Self {
            scheduler: Scheduler::new(&engine, catalog, ledger.clone(), clock.clone(), rules),
            retentions: Retentions::new(keeper.clone(), ledger.clone(), clock.clone(), rules.orphan_grace),
            cleanups: Cleanups::new(keeper, ledger.clone(), clock.clone()),
            upkeep: Upkeep::new(engine.clone(), ledger.clone(), clock.clone()),
            jobs: Jobs::new(engine, ledger.clone()),
            driver: Driver::new(ledger, clock),
        }
    }

    /// Puts every partition in order after a process that is gone. Comes before [`Reconciler::run`] and before requests
    /// are accepted.
    pub async fn recover(&self) -> Result<(), LedgerError> {
        self.jobs.recover().await
    }

    /// Works until told to stop, then gives running jobs `grace` to end. What is still running after that is dropped; the
    /// ledger has it as unfinished and the next process takes it up. Everything else is dropped at once.
    pub async fn run(self, stop: watch::Receiver<bool>, grace: Duration) {
        let Self { driver, jobs, scheduler, retentions, cleanups, upkeep } = self;
        tokio::join!(
            Box::pin(jobs.run(stop.clone(), grace)),
            Box::pin(driver.run(scheduler, stop.clone())),
            Box::pin(driver.run(retentions, stop.clone())),
            Box::pin(driver.run(cleanups, stop.clone())),
            Box::pin(driver.run(upkeep, stop)),
        );
    }
}

#[cfg(test)]
#[path = "reconcile/soak_tests.rs"]
mod soak;
#[cfg(test)]
#[path = "reconcile/world_tests.rs"]
mod world;
