//! What a policy's retention would delete, and deleting it.
//!
//! Owns the way from what lies in a storage to a plan with a reason for every backup, and the execution of such a plan.
//! Only backups whose commit record names the policy are ever touched, only of partitions on which it is enabled and
//! which are known to have backups of it in its present storage. What cannot be read is kept, and so is everything of a
//! partition that waits for a decision after a loss of data.
//!
//! A backup that is being restored is held with its whole chain: the ledger is asked again before every deletion. A
//! restore that is accepted between that question and the deletion finds its backup gone before it has touched the
//! state, and fails with words that say so; this is all that can happen, since a restore reads the backup to its end
//! before it replaces anything.
//!
//! Knows no pace: the reconciler decides when.

mod brake;
mod clean;
mod gather;
mod run;
mod sight;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::{self, error::Elapsed};

use crate::{
    archive::{Catalog, CatalogError, Place, RemoveError, Storage},
    clock::Clock,
    domain::{BackupPoint, FailureCode, Location, StorageSpec},
    ledger::{Ledger, LedgerError, PolicyRecord},
    policy::{Action, Hold},
};
use brake::Brake;
pub use clean::Cleaned;
pub use run::Run;

/// After so long a storage that does not answer is taken for hung.
const HUNG: Duration = Duration::from_mins(1);
/// A listing may have to read many records.
const LISTING: Duration = Duration::from_mins(10);

/// Keeps what policies say to keep, and deletes the rest. Cheap to clone; make one at the start of the process, since it
/// remembers what time it was then.
#[derive(Clone)]
pub struct Keeper {
    catalog: Catalog,
    ledger: Ledger,
    clock: Clock,
    brake: Arc<Brake>,
}

/// What a policy's retention would do now.
#[derive(Debug, Clone)]
pub struct Plan {
    /// When it was made.
    pub planned_at: DateTime<Utc>,
    /// Why nothing of it is done at present.
    pub blocked: Option<String>,
    /// One for every backup that was made for the policy and every one that cannot be read, by application, service,
    /// partition and then time.
    pub verdicts: Vec<Verdict>,
}

/// What becomes of one backup.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Whose it is.
    pub place: Place,
    /// Where it lies.
    pub location: Location,
    /// The time in its name.
    pub time: DateTime<Utc>,
    /// The backup; none if its commit record cannot be read.
    pub point: Option<BackupPoint>,
    /// Whether it goes.
    pub action: Action,
    /// What holds it; empty if it goes.
    pub holds: Vec<Hold>,
    /// After this moment neither its age nor the chains that are known today hold it. None if a newer full backup must
    /// come first, or if it is held in any case.
    pub deletable_from: Option<DateTime<Utc>>,
    /// Why, for people.
    pub reason: String,
}

/// Why retention could not be planned or done.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The storage cannot be used or listed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A backup could not be deleted.
    #[error(transparent)]
    Remove(#[from] RemoveError),
    /// The storage does not answer at all.
    #[error("the storage did not answer in time")]
    Hung(#[from] Elapsed),
}

impl RetentionError {
    /// For programs.
    pub fn code(&self) -> FailureCode {
        match self {
            Self::Ledger(_) => FailureCode::Other,
            Self::Catalog(error) => error.code(),
            Self::Remove(error) => error.code(),
            Self::Hung(_) => FailureCode::Unreachable,
        }
    }
}

impl Keeper {
    /// One that begins now: it trusts the clock as it stands.
    pub fn new(catalog: Catalog, ledger: Ledger, clock: Clock) -> Self {
        let brake = Arc::new(Brake::new(&clock));
        Self { catalog, ledger, clock, brake }
    }

    /// What the retention of a policy would do now. Changes nothing.
    pub async fn plan(&self, record: &PolicyRecord) -> Result<Plan, RetentionError> {
        let planned_at = self.clock.now();
        let blocked = self.blocked(&record.policy).await?;
        let sight = self.sight(&record.policy).await?;
        let folders = self.gather(&record.policy, &sight).await?;
        let retention = record.policy.retention.as_ref();
        let verdicts = folders.iter().flat_map(|folder| folder.verdicts(retention, planned_at)).collect();
        Ok(Plan { planned_at, blocked, verdicts })
    }

    async fn open(&self, spec: &StorageSpec) -> Result<Storage, RetentionError> {
        Ok(time::timeout(HUNG, self.catalog.open(spec)).await??)
    }
}
