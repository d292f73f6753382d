//! One record a policy, under its name.
//!
//! Enabling a policy writes its record too, so that a policy can never be deleted while somebody enables it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Ledger, LedgerError,
    records::{Record, delete, put, same, settled},
    retention,
};
use crate::domain::{Entity, Policy, PolicyName};

/// A policy as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// The policy.
    pub policy: Policy,
    /// When it was made or last replaced.
    pub changed: DateTime<Utc>,
}

/// What became of a policy that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Deleted,
    /// It is still enabled, here at least.
    Enabled(Entity),
    /// There was none.
    Missing,
}

impl Ledger {
    /// The policies by name, after `after`, at most `limit` of them.
    pub async fn policies(
        &self,
        after: Option<&PolicyName>,
        limit: Option<usize>,
    ) -> Result<Vec<PolicyRecord>, LedgerError> {
        let records = self.read_page(PREFIX, after.map(key), limit.unwrap_or(usize::MAX)).await?;
        Ok(records.into_iter().map(|record| record.value).collect())
    }

    /// The policy of this name.
    pub async fn policy(&self, name: &PolicyName) -> Result<Option<PolicyRecord>, LedgerError> {
        Ok(self.read_policy(name).await?.map(|record| record.value))
    }

    /// Keeps a new policy. False: its name is taken.
    pub async fn create_policy(&self, record: &PolicyRecord) -> Result<bool, LedgerError> {
        match self.write(vec![put(&key(&record.policy.name), 0, record)?]).await {
            Err(LedgerError::Conflict { .. }) => Ok(false),
            written => written.map(|()| true),
        }
    }

    /// Reads a policy, lets `change` decide and change it, and writes it back; done over if somebody else wrote in between.
    /// None: there is no such policy. What `change` refuses is returned and nothing is written. The name must stay.
    pub async fn update_policy<E>(
        &self,
        name: &PolicyName,
        mut change: impl FnMut(&mut PolicyRecord) -> Result<(), E>,
    ) -> Result<Option<Result<(), E>>, LedgerError> {
        loop {
            let Some(mut record) = self.read_policy(name).await? else { return Ok(None) };
            if let Err(refusal) = change(&mut record.value) {
                return Ok(Some(Err(refusal)));
            }
            let changes = vec![put(&record.key, record.revision, &record.value)?];
            if let Some(done) = settled(self.write(changes).await) {
                return done.map(|()| Some(Ok(())));
            }
        }
    }

    /// Policies that were changed later than `now` were changed now. One that cannot be read stays as it is.
    pub(super) async fn correct_policies(&self, now: DateTime<Utc>) -> Result<(), LedgerError> {
        for name in self.controls().await?.enabled.into_values().map(|enabled| enabled.policy) {
            let change = |record: &mut PolicyRecord| {
                let is_ahead = record.changed > now;
                record.changed = record.changed.min(now);
                if is_ahead { Ok(()) } else { Err(()) }
            };
            match self.update_policy(&name, change).await {
                Err(LedgerError::Decode { .. } | LedgerError::Sealed { .. }) => {}
                done => drop(done?),
            }
        }
        Ok(())
    }

    /// Deletes a policy that is enabled nowhere, and what is remembered of its retention.
    pub async fn delete_policy(&self, name: &PolicyName) -> Result<Deletion, LedgerError> {
        loop {
            if let Some(done) = settled(self.try_delete_policy(name).await) {
                return done;
            }
        }
    }

    async fn try_delete_policy(&self, name: &PolicyName) -> Result<Deletion, LedgerError> {
        let Some(record) = self.read_policy(name).await? else { return Ok(Deletion::Missing) };
        let controls = self.controls().await?;
        if let Some((entity, _)) = controls.enabled.iter().find(|(_, enabled)| enabled.policy == *name) {
            return Ok(Deletion::Enabled(entity.clone()));
        }
        let remembered = self.read::<serde_json::Value>(&retention::key(name)).await?;
        let remembered = remembered.as_ref().map_or_else(|| same(retention::key(name), 0), delete);
        self.write(vec![delete(&record), remembered]).await?;
        Ok(Deletion::Deleted)
    }

    pub(super) async fn read_policy(&self, name: &PolicyName) -> Result<Option<Record<PolicyRecord>>, LedgerError> {
        self.read(&key(name)).await
    }
}

const PREFIX: &str = "policy/";

pub(super) fn key(name: &PolicyName) -> String {
    format!("{PREFIX}{name}")
}

#[cfg(test)]
#[path = "policies_tests.rs"]
mod tests;
