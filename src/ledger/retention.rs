//! One record a policy: how the latest run of its retention went.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Ledger, LedgerError,
    records::{put, same, settled},
};
use crate::domain::{PolicyName, RunFailure};

/// What is remembered of a policy's retention.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionRecord {
    /// When the latest run ended, well or with all its retries used up.
    pub ended: Option<DateTime<Utc>>,
    /// The newest change of the policy, or of where it is enabled, that the latest run knew of.
    #[serde(default)]
    pub covered: Option<DateTime<Utc>>,
    /// Failures in a row that were not given up yet.
    pub failures: u32,
    /// The latest failure, if no run went well since.
    pub failure: Option<RunFailure>,
    /// Why nothing is deleted at present.
    pub blocked: Option<Blocked>,
}

/// Why retention does nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// Since when.
    pub since: DateTime<Utc>,
    /// In words, with what to do.
    pub why: String,
}

impl Ledger {
    /// What is remembered of a policy's retention; nothing before its first run.
    pub async fn retention(&self, policy: &PolicyName) -> Result<RetentionRecord, LedgerError> {
        Ok(self.read(&key(policy)).await?.map(|record| record.value).unwrap_or_default())
    }

    /// Remembers how a run went, unless the policy is gone.
    pub async fn set_retention(&self, policy: &PolicyName, value: &RetentionRecord) -> Result<(), LedgerError> {
        loop {
            let Some(kept) = self.read_policy(policy).await? else { return Ok(()) };
            let seen = self.read::<RetentionRecord>(&key(policy)).await?.map_or(0, |record| record.revision);
            // The policy must still be there, lest this record outlive it.
            let changes = vec![same(kept.key, kept.revision), put(&key(policy), seen, value)?];
            if let Some(done) = settled(self.write(changes).await) {
                return done;
            }
        }
    }
}

pub(super) fn key(policy: &PolicyName) -> String {
    format!("retention/{policy}")
}
