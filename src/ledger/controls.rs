//! One record an entity: the policy of its own, and what was last said about its schedule.
//!
//! Both are in one record so that all of it is seen at one moment, and so that nothing is left when nothing is said.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Basis, Change, Ledger, LedgerError, Revision,
    cleanup::{self, Cleanup},
    records::{Record, delete, put, settled},
};
use crate::domain::{Controls, Enabled, Entity, Level, PolicyName, Suspension};

/// What is said of an entity.
#[derive(Serialize, Deserialize)]
struct Control {
    entity: Entity,
    enabled: Option<Enabled>,
    suspension: Option<Suspension>,
}

impl Ledger {
    /// All that is enabled and suspended.
    pub async fn controls(&self) -> Result<Controls, LedgerError> {
        Ok(self.controls_seen().await?.0)
    }

    /// The same, and the revision of each record.
    pub(super) async fn controls_seen(&self) -> Result<(Controls, BTreeMap<String, Revision>), LedgerError> {
        let (mut all, mut seen) = (Controls::default(), BTreeMap::new());
        for Record { key, revision, value: Control { entity, enabled, suspension } } in self.read_all(PREFIX).await? {
            all.suspended.extend(suspension.map(|suspension| (entity.clone(), suspension)));
            all.enabled.extend(enabled.map(|enabled| (entity, enabled)));
            seen.insert(key, revision);
        }
        Ok((all, seen))
    }

    /// Puts a policy in force on an entity, instead of one that may be there. False: there is no such policy.
    pub async fn enable(&self, entity: &Entity, policy: &PolicyName, now: DateTime<Utc>) -> Result<bool, LedgerError> {
        let enabled = Enabled { policy: policy.clone(), since: now };
        loop {
            if let Some(done) = settled(self.try_enable(entity, &enabled).await) {
                return done;
            }
        }
    }

    async fn try_enable(&self, entity: &Entity, enabled: &Enabled) -> Result<bool, LedgerError> {
        let Some(policy) = self.read_policy(&enabled.policy).await? else { return Ok(false) };
        let mut control = self.read_control(entity).await?;
        control.value.enabled = Some(enabled.clone());
        // Whoever is about to delete the policy must notice.
        self.write(vec![put(&policy.key, policy.revision, &policy.value)?, changed(&control)?]).await?;
        Ok(true)
    }

    /// Takes away from an entity what is `seen` to be in force on it, and remembers what has to be cleaned up, with what that
    /// was decided on. False: something of it is not any more what it was, and nothing is written.
    pub async fn disable(
        &self,
        entity: &Entity,
        seen: &Enabled,
        cleanup: Option<(&Cleanup, &Basis)>,
    ) -> Result<bool, LedgerError> {
        loop {
            match self.try_disable(entity, seen, cleanup).await {
                Err(LedgerError::Conflict { key: changed }) if changed == key(entity) => {}
                done => return settled(done).unwrap_or(Ok(false)),
            }
        }
    }

    async fn try_disable(
        &self,
        entity: &Entity,
        seen: &Enabled,
        cleanup: Option<(&Cleanup, &Basis)>,
    ) -> Result<bool, LedgerError> {
        let mut control = self.read_control(entity).await?;
        if control.value.enabled.as_ref() != Some(seen) {
            return Ok(false);
        }
        control.value.enabled = None;
        let mut changes = vec![changed(&control)?];
        if let Some((cleanup, basis)) = cleanup {
            changes.extend(basis.checks().filter(|check| check.key != control.key));
            changes.push(put(&cleanup::key(cleanup.id), 0, cleanup)?);
        }
        self.write(changes).await?;
        Ok(true)
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
        loop {
            let mut control = self.read_control(entity).await?;
            if control.value.suspension.is_some_and(|it| it.suspended) == suspended {
                return Ok(());
            }
            control.value.suspension = Some(Suspension { suspended, since: now });
            if let Some(done) = settled(self.write(vec![changed(&control)?]).await) {
                return done;
            }
        }
    }

    /// Whatever was said at a time later than `now`, of an entity or of a policy, was said now. The clock was ahead then.
    pub async fn correct_times(&self, now: DateTime<Utc>) -> Result<(), LedgerError> {
        for mut control in self.read_all::<Control>(PREFIX).await? {
            let enabled = control.value.enabled.as_mut().map(|it| &mut it.since);
            let suspended = control.value.suspension.as_mut().map(|it| &mut it.since);
            let ahead = enabled.into_iter().chain(suspended).filter(|since| **since > now);
            if ahead.map(|since| *since = now).count() > 0 {
                unless_changed(self.write(vec![changed(&control)?]).await)?;
            }
        }
        self.correct_policies(now).await
    }

    async fn read_control(&self, entity: &Entity) -> Result<Record<Control>, LedgerError> {
        let key = key(entity);
        let nothing = Control { entity: entity.clone(), enabled: None, suspension: None };
        Ok(self.read(&key).await?.unwrap_or(Record { key, revision: 0, value: nothing }))
    }
}

/// Who wrote in between had a clock that is right.
fn unless_changed(written: Result<(), LedgerError>) -> Result<(), LedgerError> {
    settled(written).unwrap_or(Ok(()))
}

/// The change that writes a record, or deletes it when it says nothing any more.
fn changed(control: &Record<Control>) -> Result<Change, LedgerError> {
    match control.value {
        Control { enabled: None, suspension: None, .. } => Ok(delete(control)),
        _ => put(&control.key, control.revision, &control.value),
    }
}

const PREFIX: &str = "control/";

/// No name has a tab, so that the level can never be taken for a part of one.
pub(super) fn key(entity: &Entity) -> String {
    let level = match entity.level() {
        Level::Application => 'a',
        Level::Service => 's',
        Level::Partition => 'p',
    };
    format!("{PREFIX}{entity}\t{level}")
}

#[cfg(test)]
#[path = "controls_tests.rs"]
mod tests;
