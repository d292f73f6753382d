//! One record an answered request that named itself, so that its repetition is recognised.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Change, Ledger, LedgerError,
    records::{delete, put},
};
use crate::domain::PartitionId;

/// How long a repetition is recognised.
const REMEMBERED: TimeDelta = TimeDelta::hours(24);

/// A request as its caller named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// What is asked for: the name of the operation.
    pub operation: &'static str,
    /// The caller's key.
    pub key: String,
    /// What the request says, in few bytes.
    pub digest: String,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<R> {
    /// It was done.
    Done(R),
    /// It was done before.
    Repeated,
    /// Another request had the same key.
    OtherRequest,
}

#[derive(Serialize, Deserialize)]
struct Answered {
    digest: String,
    at: DateTime<Utc>,
}

impl Ledger {
    /// What became of a request that was answered before.
    pub async fn recognise<R>(
        &self,
        id: PartitionId,
        now: DateTime<Utc>,
        once: &Once,
    ) -> Result<Option<Outcome<R>>, LedgerError> {
        Ok(self.recall(id, now, once).await?.err())
    }

    /// What a request with this key answered before, else the change that remembers it.
    pub(super) async fn recall<R>(
        &self,
        id: PartitionId,
        now: DateTime<Utc>,
        once: &Once,
    ) -> Result<Result<Change, Outcome<R>>, LedgerError> {
        let key = key(id, once);
        let found = self.read::<Answered>(&key).await?;
        let seen = found.as_ref().map_or(0, |record| record.revision);
        match found.map(|record| record.value).filter(|answered| now - answered.at < REMEMBERED) {
            Some(answered) if answered.digest == once.digest => Ok(Err(Outcome::Repeated)),
            Some(_) => Ok(Err(Outcome::OtherRequest)),
            None => Ok(Ok(put(&key, seen, &Answered { digest: once.digest.clone(), at: now })?)),
        }
    }

    /// Forgets requests that are too old to be recognised.
    pub async fn forget_requests(&self, now: DateTime<Utc>) -> Result<(), LedgerError> {
        for record in self.read_all::<Answered>(PREFIX).await? {
            if now - record.value.at >= REMEMBERED {
                match self.write(vec![delete(&record)]).await {
                    Err(LedgerError::Conflict { .. }) => {}
                    written => written?,
                }
            }
        }
        Ok(())
    }
}

const PREFIX: &str = "once/";

/// The caller's key may be long and may be any text: its hash stands for it.
fn key(id: PartitionId, once: &Once) -> String {
    format!("{PREFIX}{id}/{}/{}", once.operation, blake3::hash(once.key.as_bytes()).to_hex())
}

#[cfg(test)]
#[path = "once_tests.rs"]
mod tests;
