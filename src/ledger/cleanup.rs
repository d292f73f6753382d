//! One record a set of backups that is to be deleted because their policy was disabled so.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    records::{delete, put, settled},
};
use crate::domain::{Entity, PolicyName, RunFailure, StorageSpec, StoreId};

/// Backups to be deleted: those that one policy made of some partitions in one storage. Has all it needs, since the policy
/// may be gone before it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleanup {
    /// Its identity.
    pub id: Uuid,
    /// Whose backups.
    pub policy: PolicyName,
    /// Where they lie.
    pub storage: StorageSpec,
    /// The same place without its credentials.
    pub store: StoreId,
    /// Of which partitions.
    pub partitions: Vec<Entity>,
    /// Backups made later are not meant, but for those of `jobs`.
    pub requested: DateTime<Utc>,
    /// Why it is not done yet, if it was tried.
    pub failure: Option<RunFailure>,
    /// The backups of the policy that had been accepted and were perhaps not over; none until they were looked for.
    #[serde(default)]
    pub jobs: Option<BTreeSet<Uuid>>,
}

impl Ledger {
    /// What is still to be cleaned up.
    pub async fn cleanups(&self) -> Result<Vec<Cleanup>, LedgerError> {
        Ok(self.read_all(PREFIX).await?.into_iter().map(|record| record.value).collect())
    }

    /// Remembers how a try went that did not do it.
    pub async fn fail_cleanup(&self, id: Uuid, failure: &RunFailure) -> Result<(), LedgerError> {
        self.change_cleanup(id, |cleanup| cleanup.failure = Some(failure.clone())).await
    }

    /// Remembers which jobs it has to wait for.
    pub async fn note_cleanup_jobs(&self, id: Uuid, jobs: &BTreeSet<Uuid>) -> Result<(), LedgerError> {
        self.change_cleanup(id, |cleanup| cleanup.jobs = Some(jobs.clone())).await
    }

    async fn change_cleanup(&self, id: Uuid, change: impl Fn(&mut Cleanup)) -> Result<(), LedgerError> {
        loop {
            let Some(mut record) = self.read::<Cleanup>(&key(id)).await? else { return Ok(()) };
            change(&mut record.value);
            let change = put(&record.key, record.revision, &record.value)?;
            if let Some(done) = settled(self.write(vec![change]).await) {
                return done;
            }
        }
    }

    /// Forgets a cleanup that is done.
    pub async fn finish_cleanup(&self, id: Uuid) -> Result<(), LedgerError> {
        loop {
            let Some(record) = self.read::<Cleanup>(&key(id)).await? else { return Ok(()) };
            if let Some(done) = settled(self.write(vec![delete(&record)]).await) {
                return done;
            }
        }
    }
}

const PREFIX: &str = "cleanup/";

pub(super) fn key(id: Uuid) -> String {
    format!("{PREFIX}{id}")
}
