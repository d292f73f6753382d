//! The use cases, free of HTTP: check what is asked, write the intent to the ledger, read for questions.
//!
//! A trigger never does the work itself. It returns once the job is durable; the reconciler finds it there. The order of
//! the checks is the published service's ("The order of checks" in docs/API.md), since callers see it in the error they get.

mod backup;
mod browse;
mod cancel;
mod cleaning;
mod configuration;
mod enablement;
mod error;
mod health;
mod inventory;
mod list;
mod once;
mod page;
mod policies;
mod restore;
mod retention_plan;
mod storage;
mod suspension;
mod target;
mod verify;
mod watch;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

pub use backup::BackupRequest;
pub use browse::{Listed, PartitionFacts};
pub use error::Error;
pub use health::{Trouble, TroubleKind};
pub use inventory::Inventory;
pub use list::{Item, Query};
pub use page::{Page, Paged};
pub use policies::Masked;
pub use restore::{RestoreProgress, RestoreRequest};
pub use retention_plan::RetentionPlan;
pub use target::Target;
pub use verify::VerifyRequest;
pub use watch::Stream;
// What answers are made of.
pub use crate::{
    archive::{Found, Scope},
    job::{Checked, Depth, Finding, Measured, Progress, RestoreJob, Stage, State, ToldBackup, VerifyJob},
    policy::{Action, Configuration, Hold},
    retention::{RetentionError, Verdict},
};

use crate::{
    archive::Catalog,
    clock::Clock,
    domain::{Partition, PartitionId},
    job::{Job, Meters},
    ledger::Ledger,
    retention::Keeper,
};

/// The use cases over what this node serves. Cheap to clone.
#[derive(Clone)]
pub struct Ops {
    inventory: Arc<Inventory>,
    catalog: Catalog,
    ledger: Ledger,
    keeper: Keeper,
    meters: Meters,
    clock: Clock,
}

impl Ops {
    /// The use cases for what is in the inventory. The `meters` are those of the jobs that run here.
    pub fn new(
        inventory: Inventory,
        catalog: Catalog,
        ledger: Ledger,
        keeper: Keeper,
        meters: Meters,
        clock: Clock,
    ) -> Self {
        Self { inventory: Arc::new(inventory), catalog, ledger, keeper, meters, clock }
    }

    /// The time, by which progress is told.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The partition, if this node hosts it and its state can be backed up.
    fn persisted(&self, id: PartitionId) -> Result<&Partition, Error> {
        let partition = self.hosted(id)?;
        if partition.persisted { Ok(partition) } else { Err(Error::NotPersisted(partition.service.clone())) }
    }

    fn hosted(&self, id: PartitionId) -> Result<&Partition, Error> {
        self.inventory.partition(id)
    }

    /// The job with what its meter says at this moment, while it runs.
    fn metered<T, O>(&self, mut job: Job<T, O>) -> Job<T, O> {
        if job.state.has_begun() {
            job.measured = self.meters.read(job.id).or(job.measured);
        }
        job
    }

    /// When a job that is accepted now and may take `minutes` times out.
    fn deadline(&self, minutes: u32) -> (DateTime<Utc>, DateTime<Utc>) {
        let now = self.clock.now();
        (now, now + TimeDelta::minutes(i64::from(minutes)))
    }
}
