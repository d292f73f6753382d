//! Runs the retention of every policy that is in force somewhere, one at a time.
//!
//! At once after the policy or where it is enabled changed, and from then on every day, or every hour if backups are kept
//! for less than a day, counted from the end of the latest run. A run that failed is made again a few times, a minute
//! apart; one that the clock brake stopped asks the time again until it is right.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use super::drive::{IDLE, Task};
use crate::{
    clock::Clock,
    domain::{Controls, Failure, PolicyName, Retention, RunFailure, Span, words},
    ledger::{Blocked, Ledger, LedgerError, PolicyRecord, RetentionRecord, Topic},
    retention::{Keeper, RetentionError, Run},
};

const RETRIES: u32 = 5;
const RETRY_DELAY: TimeDelta = TimeDelta::minutes(1);
/// How often the time is asked for while it is wrong.
const BRAKED: TimeDelta = TimeDelta::minutes(10);
const DAY: Span = Span::days(1);

pub(super) struct Retentions {
    keeper: Keeper,
    ledger: Ledger,
    clock: Clock,
    orphan_grace: Span,
    /// When the brake was last found on.
    braked: HashMap<PolicyName, DateTime<Utc>>,
}

/// A policy with a retention, and what is remembered of it.
struct Case {
    record: PolicyRecord,
    retention: Retention,
    /// The newest change of the policy or of where it is enabled.
    change: DateTime<Utc>,
    remembered: RetentionRecord,
}

impl Retentions {
    pub(super) fn new(keeper: Keeper, ledger: Ledger, clock: Clock, orphan_grace: Span) -> Self {
        Self { keeper, ledger, clock, orphan_grace, braked: HashMap::new() }
    }

    /// What there is to say of a policy; none if it keeps everything, or if it cannot be read, which the scheduler tells.
    async fn case(&self, controls: &Controls, name: &PolicyName) -> Result<Option<Case>, LedgerError> {
        let record = match self.ledger.policy(name).await {
            Err(LedgerError::Decode { .. } | LedgerError::Sealed { .. }) => return Ok(None),
            found => found?,
        };
        let Some((record, retention)) = record.and_then(|it| it.policy.retention.map(|retention| (it, retention)))
        else {
            return Ok(None);
        };
        let enabled = controls.enabled.values().filter(|it| it.policy == *name).map(|it| it.since);
        let change = enabled.fold(record.changed, DateTime::max);
        Ok(Some(Case { record, retention, change, remembered: self.ledger.retention(name).await? }))
    }

    /// When the retention is due.
    fn due(&self, case: &Case) -> DateTime<Utc> {
        let (now, remembered) = (self.clock.now(), &case.remembered);
        if remembered.blocked.is_some() {
            let asked = self.braked.get(&case.record.policy.name).filter(|asked| **asked <= now);
            return asked.map_or(now, |asked| *asked + BRAKED);
        }
        if let Some(failure) = remembered.failure.as_ref().filter(|it| remembered.failures > 0 && it.at <= now) {
            return failure.at + RETRY_DELAY;
        }
        // A run that ended later than now is for the brake to judge.
        let ended = remembered.ended.filter(|ended| *ended <= now && remembered.covered == Some(case.change));
        ended.map_or(now, |ended| pace(case.retention).after(ended))
    }

    /// Runs it, and writes down how that went.
    async fn run(&mut self, case: &Case) -> Result<(), LedgerError> {
        let result = self.keeper.run(&case.record, self.orphan_grace).await;
        let (name, now) = (&case.record.policy.name, self.clock.now());
        if matches!(result, Ok(Run::Blocked(_))) {
            self.braked.insert(name.clone(), now);
        }
        let after = after(case, result, now);
        if after == case.remembered { Ok(()) } else { self.ledger.set_retention(name, &after).await }
    }
}

fn pace(retention: Retention) -> Span {
    if retention.duration() >= DAY { DAY } else { Span::hours(1) }
}

/// What is to be remembered after a run that ended `now`.
fn after(case: &Case, result: Result<Run, RetentionError>, now: DateTime<Utc>) -> RetentionRecord {
    let policy = &case.record.policy.name;
    let done = RetentionRecord { ended: Some(now), covered: Some(case.change), ..RetentionRecord::default() };
    match result {
        Ok(Run::Done { backups, orphans }) => {
            tracing::info!(%policy, backups, orphans, "retention ran");
            done
        }
        Ok(Run::Blocked(why)) => braked(case, why, now),
        Err(error) => {
            tracing::warn!(%policy, error = words(&error), "retention failed");
            failed(case, &error, now, done)
        }
    }
}

fn braked(case: &Case, why: String, now: DateTime<Utc>) -> RetentionRecord {
    if case.remembered.blocked.is_none() {
        tracing::warn!(policy = %case.record.policy.name, why, "retention deletes nothing");
    }
    let since = case.remembered.blocked.as_ref().map_or(now, |blocked| blocked.since);
    RetentionRecord { blocked: Some(Blocked { since, why }), ..case.remembered.clone() }
}

/// With all retries used up it goes on as if it had been `done`, but for the failure.
fn failed(case: &Case, error: &RetentionError, now: DateTime<Utc>, done: RetentionRecord) -> RetentionRecord {
    let before = &case.remembered;
    let since = before.failure.as_ref().map_or(now, |it| it.since);
    let failure = Some(RunFailure { at: now, since, why: Failure::new(error.code(), words(error)) });
    if before.failures >= RETRIES {
        return RetentionRecord { failure, ..done };
    }
    RetentionRecord { failure, failures: before.failures + 1, blocked: None, ..before.clone() }
}

impl Task for Retentions {
    const NAME: &'static str = "retention";
    const HEARS: &'static [Topic] = &[Topic::InForce, Topic::Retention];

    async fn activate(&mut self) -> Result<DateTime<Utc>, LedgerError> {
        let controls = self.ledger.controls().await?;
        let names: BTreeSet<&PolicyName> = controls.enabled.values().map(|enabled| &enabled.policy).collect();
        let mut next = self.clock.now() + IDLE;
        for name in names {
            let Some(case) = self.case(&controls, name).await? else { continue };
            let due = self.due(&case);
            if due <= self.clock.now() {
                // What it writes wakes this task again, which tells the next time.
                self.run(&case).await?;
            }
            let Some(case) = self.case(&controls, name).await? else { continue };
            next = next.min(self.due(&case));
        }
        Ok(next)
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
