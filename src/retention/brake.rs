//! The clock brake: whoever deletes by age must know what time it is.
//!
//! A storage with a clock of its own is believed: what agrees with it within an hour is right, whatever happened before.
//! Without one there is only what this process has seen. Time that passes can be told from time that is set, so a clock
//! that was set by more than a day since the process began stops retention until it is set back or the service is
//! started anew. Across processes a clock that went back can be told; it stops retention once, until the clock has
//! caught up, or until the next start of the service, which is taken as a word that the time is right. A clock that went
//! ahead cannot be told from a service that was down: either stops retention until somebody had a day to notice.

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time;

use super::{HUNG, Keeper, RetentionError};
use crate::{archive::CatalogError, clock::Clock, domain::Policy, ledger::RetentionRecord};

/// How far this machine and a storage may disagree.
const APART: TimeDelta = TimeDelta::hours(1);
/// How far a clock may be set.
const JUMP: TimeDelta = TimeDelta::days(1);
/// Retention runs every day at least: after so long it is more than a day late.
const LATE: TimeDelta = TimeDelta::days(2);
/// So long must time pass as it should before it is believed that so much has passed before.
const NOTICE: TimeDelta = TimeDelta::days(1);
/// Later than so long after the first refusal a new process begins to wait anew.
const FORGOTTEN: TimeDelta = TimeDelta::days(7);

/// What time it was when the process began.
pub(super) struct Brake {
    wall: DateTime<Utc>,
    elapsed: TimeDelta,
}

impl Brake {
    pub(super) fn new(clock: &Clock) -> Self {
        Self { wall: clock.now(), elapsed: clock.elapsed() }
    }

    /// Why nothing may be deleted by age, if so. `told` is the time as the storage has it.
    fn why(&self, clock: &Clock, told: Option<DateTime<Utc>>, remembered: &RetentionRecord) -> Option<String> {
        let now = clock.now();
        match told {
            Some(told) => disagree(told, now),
            None => self
                .set(now, clock.elapsed())
                .or_else(|| self.went_back(now, remembered))
                .or_else(|| self.is_late(now, clock.elapsed(), remembered)),
        }
    }

    fn set(&self, now: DateTime<Utc>, elapsed: TimeDelta) -> Option<String> {
        let expected = self.wall + (elapsed - self.elapsed);
        let words = || {
            format!(
                "the clock of this machine shows {}, but by the time that passed since the service started it should show {}; nothing is deleted until it is set right, or until the service is started again with the right time",
                shown(now),
                shown(expected)
            )
        };
        ((now - expected).abs() > JUMP).then(words)
    }

    fn went_back(&self, now: DateTime<Utc>, remembered: &RetentionRecord) -> Option<String> {
        let ended = remembered.ended.filter(|ended| *ended - now > JUMP)?;
        // What an earlier process was stopped by was seen by whoever started this one.
        let seen = remembered.blocked.as_ref().is_some_and(|blocked| blocked.since < self.wall);
        let words = || {
            format!(
                "the clock of this machine shows {}, but retention ran last at {}; nothing is deleted until that time has come, or until the service is started once more with the right time",
                shown(now),
                shown(ended)
            )
        };
        (!seen).then(words)
    }
}

impl Brake {
    fn is_late(&self, now: DateTime<Utc>, elapsed: TimeDelta, remembered: &RetentionRecord) -> Option<String> {
        let ended = remembered.ended.filter(|ended| now - *ended > LATE)?;
        let waited = remembered.blocked.as_ref().map(|blocked| now - blocked.since);
        let is_noticed = waited.is_some_and(|waited| (NOTICE..FORGOTTEN).contains(&waited));
        let words = || {
            format!(
                "the clock of this machine shows {}, but retention ran last at {}: either the service was down so long, or the clock is wrong; nothing is deleted until the service has run for a day, or is started again a day after this was first said; if the time is wrong, set it right before",
                shown(now),
                shown(ended)
            )
        };
        (elapsed - self.elapsed < NOTICE && !is_noticed).then(words)
    }
}

fn disagree(told: DateTime<Utc>, now: DateTime<Utc>) -> Option<String> {
    let words = || {
        format!(
            "the storage says it is {}, this machine {}; nothing is deleted until they agree within an hour: set the clock that is wrong",
            shown(told),
            shown(now)
        )
    };
    ((told - now).abs() > APART).then(words)
}

fn shown(time: DateTime<Utc>) -> impl std::fmt::Display {
    time.format("%Y-%m-%dT%H:%M:%SZ")
}

impl Keeper {
    /// Why the retention of a policy deletes nothing at present. A policy without retention never does.
    pub(super) async fn blocked(&self, policy: &Policy) -> Result<Option<String>, RetentionError> {
        if policy.retention.is_none() {
            return Ok(None);
        }
        let storage = self.open(&policy.storage).await?;
        let told = match time::timeout(HUNG, storage.time()).await? {
            Ok(told) => told,
            Err(error) if error.is_store_missing() => None,
            Err(error) => return Err(CatalogError::from(error).into()),
        };
        let remembered = self.ledger.retention(&policy.name).await?;
        Ok(self.brake.why(&self.clock, told, &remembered))
    }
}
