//! One record an entity that has a policy of its own, and one that was suspended or resumed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Ledger, LedgerError,
    cleanup::{self, Cleanup},
    records::{Record, delete, put, settled},
};
use crate::domain::{Controls, Enabled, Entity, Level, PolicyName, Suspension};

/// What is said of an entity.
#[derive(Serialize, Deserialize)]
struct Of<T> {
    entity: Entity,
    value: T,
}

impl Ledger {
    /// All that is enabled and suspended.
    pub async fn controls(&self) -> Result<Controls, LedgerError> {
        let enabled: Vec<Record<Of<Enabled>>> = self.read_all(ENABLED).await?;
        let suspended: Vec<Record<Of<Suspension>>> = self.read_all(SUSPENDED).await?;
        Ok(Controls {
            enabled: enabled.into_iter().map(|it| (it.value.entity, it.value.value)).collect(),
            suspended: suspended.into_iter().map(|it| (it.value.entity, it.value.value)).collect(),
        })
    }

    /// Puts a policy in force on an entity, instead of one that may be there. False: there is no such policy.
    pub async fn enable(&self, entity: &Entity, policy: &PolicyName, now: DateTime<Utc>) -> Result<bool, LedgerError> {
        let enabled = Of { entity: entity.clone(), value: Enabled { policy: policy.clone(), since: now } };
        loop {
            if let Some(done) = settled(self.try_enable(&enabled).await) {
                return done;
            }
        }
    }

    async fn try_enable(&self, enabled: &Of<Enabled>) -> Result<bool, LedgerError> {
        let Some(policy) = self.read_policy(&enabled.value.policy).await? else { return Ok(false) };
        let key = key(ENABLED, &enabled.entity);
        let seen = self.read::<Of<Enabled>>(&key).await?.map_or(0, |it| it.revision);
        // Whoever is about to delete the policy must notice.
        self.write(vec![put(&policy.key, policy.revision, &policy.value)?, put(&key, seen, enabled)?]).await?;
        Ok(true)
    }

    /// Takes away from an entity what is `seen` to be in force on it, and remembers what has to be cleaned up. False: it is not in
    /// force any more.
    pub async fn disable(
        &self,
        entity: &Entity,
        seen: &Enabled,
        cleanup: Option<&Cleanup>,
    ) -> Result<bool, LedgerError> {
        let Some(record) = self.read::<Of<Enabled>>(&key(ENABLED, entity)).await? else { return Ok(false) };
        if record.value.value != *seen {
            return Ok(false);
        }
        let mut changes = vec![delete(&record)];
        if let Some(cleanup) = cleanup {
            changes.push(put(&cleanup::key(cleanup.id), 0, cleanup)?);
        }
        match self.write(changes).await {
            Err(LedgerError::Conflict { .. }) => Ok(false),
            written => written.map(|()| true),
        }
    }

    /// Suspends the schedule of an entity. One that is suspended stays so since it was.
    pub async fn suspend(&self, entity: &Entity, now: DateTime<Utc>) -> Result<(), LedgerError> {
        self.set_suspended(entity, true, now).await
    }

    /// Resumes the schedule of an entity, if it is suspended.
    pub async fn resume(&self, entity: &Entity, now: DateTime<Utc>) -> Result<(), LedgerError> {
        self.set_suspended(entity, false, now).await
    }

    async fn set_suspended(&self, entity: &Entity, suspended: bool, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let said = Of { entity: entity.clone(), value: Suspension { suspended, since: now } };
        loop {
            if let Some(done) = settled(self.try_set_suspended(&said).await) {
                return done;
            }
        }
    }

    async fn try_set_suspended(&self, said: &Of<Suspension>) -> Result<(), LedgerError> {
        let key = key(SUSPENDED, &said.entity);
        let found = self.read::<Of<Suspension>>(&key).await?;
        if found.as_ref().is_some_and(|it| it.value.value.suspended) == said.value.suspended {
            return Ok(());
        }
        self.write(vec![put(&key, found.map_or(0, |it| it.revision), said)?]).await
    }
}

const ENABLED: &str = "enabled/";
const SUSPENDED: &str = "suspended/";

/// No name has a tab, so that the level can never be taken for a part of one.
fn key(prefix: &str, entity: &Entity) -> String {
    let level = match entity.level() {
        Level::Application => 'a',
        Level::Service => 's',
        Level::Partition => 'p',
    };
    format!("{prefix}{entity}\t{level}")
}
