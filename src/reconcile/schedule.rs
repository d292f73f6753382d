//! Accepts the backups that are due by schedule.
//!
//! Owns the moment at which a due backup becomes a job: one commit that holds the job, the note in the log of the
//! schedule that it began, and where the policy is about to write. What is due is the policies' rule; running it is the
//! engine's. A partition that is not hosted here, not covered, suspended, or waits for a decision after a loss of data
//! gets none. One with a job that is not over waits for its end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Rules,
    correct::correct,
    drive::{IDLE, Task},
};
use crate::{
    archive::Catalog,
    chain::{self, Conditions},
    clock::Clock,
    domain::{Entity, Failure, PartitionId, PolicyName, StoreId, Wanted, words},
    engine::Engine,
    job::{BackupJob, BackupTask},
    ledger::{self, Feed, Ledger, LedgerError, PartitionRecord, PolicyRecord, Topic, Wrote},
    policy::{self, Due},
};

/// By more than this a clock does not drift between two looks.
const SET: TimeDelta = TimeDelta::seconds(1);

pub(super) struct Scheduler {
    hosted: BTreeMap<PartitionId, Entity>,
    catalog: Catalog,
    ledger: Ledger,
    clock: Clock,
    rules: Rules,
    /// The policies whose records cannot be read, each told once.
    unreadable: BTreeSet<PolicyName>,
    feed: Feed,
    agenda: Option<Agenda>,
}

/// What is known since the latest look at everything.
struct Agenda {
    in_force: InForce,
    /// When a partition is to be looked at if nothing is written about it.
    next: BTreeMap<PartitionId, DateTime<Utc>>,
    /// Between what it was then by the wall clock and by the time that passes. Another: the clock was set.
    offset: DateTime<Utc>,
}

/// What is in force at one moment.
struct InForce {
    said: ledger::InForce,
    /// Where each policy writes.
    stores: BTreeMap<PolicyName, Result<StoreId, Failure>>,
}

/// A policy as it is in force on a partition.
#[derive(Clone, Copy)]
struct Covered<'a> {
    by: &'a PolicyRecord,
    /// Where it writes.
    store: &'a Result<StoreId, Failure>,
    /// Since when its schedule runs as it does.
    since: DateTime<Utc>,
}

/// What is to be done about a partition now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// Nothing, until the ledger says otherwise.
    Nothing(&'static str),
    /// Nothing yet.
    Wait(Due),
    /// Its backup is due.
    Start(Due),
    /// A backup runs that is none of the policy in force.
    Cancel,
    /// Its record tells of times that have not come.
    Correct,
}

impl Scheduler {
    pub(super) fn new(engine: &Engine, catalog: Catalog, ledger: Ledger, clock: Clock, rules: Rules) -> Self {
        let partitions = engine.entities().filter_map(|entity| Some((entity.partition()?, entity)));
        let feed = ledger.feed(Self::HEARS);
        Self {
            hosted: partitions.collect(),
            catalog,
            ledger,
            clock,
            rules,
            unreadable: BTreeSet::new(),
            feed,
            agenda: None,
        }
    }

    async fn in_force(&mut self) -> Result<InForce, LedgerError> {
        let now = self.clock.now();
        let mut in_force = self.read_in_force().await?;
        if in_force.is_ahead_of(now) {
            tracing::warn!("the clock was set back; what was said of the schedules later than now counts from now");
            self.ledger.correct_times(now).await?;
            in_force = self.read_in_force().await?;
        }
        Ok(in_force)
    }

    async fn read_in_force(&mut self) -> Result<InForce, LedgerError> {
        let said = self.ledger.in_force().await?;
        for (policy, error) in &said.unreadable {
            // A policy that cannot be read stops only its own backups.
            if self.unreadable.insert(policy.clone()) {
                tracing::error!(%policy, error = words(error), "no backups are taken for this policy");
            }
        }
        let store = |record: &PolicyRecord| {
            let store = self.catalog.identity(&record.policy.storage);
            store.map_err(|error| Failure::new(error.code(), words(&error)))
        };
        let stores = said.policies.iter().map(|(name, record)| (name.clone(), store(record))).collect();
        Ok(InForce { said, stores })
    }

    /// What is to be done about a partition; `record` is none before anything happened to it.
    fn decide(&self, in_force: &InForce, entity: &Entity, record: Option<&PartitionRecord>) -> Decision {
        if record.is_some_and(|record| correct(&mut record.clone(), self.clock.now(), self.rules.jitter)) {
            return Decision::Correct;
        }
        let covered = in_force.covered(entity);
        let running = record.and_then(|record| record.scheduled.as_ref()).filter(|job| job.state.is_active());
        if let Some(job) = running {
            let is_stray = job.task.policy.as_ref() != covered.map(|it| &it.by.policy.name);
            let is_stray = is_stray && !job.cancelled;
            return if is_stray { Decision::Cancel } else { Decision::Nothing("its backup runs") };
        }
        let Some(covered) = covered else { return Decision::Nothing("no policy is in force") };
        if policy::suspension(&in_force.said.controls, entity).is_some() {
            return Decision::Nothing("it is suspended");
        }
        if record.is_some_and(|record| record.data_loss.is_some()) {
            return Decision::Nothing("it lost its state and waits for a decision");
        }
        if record.is_some_and(PartitionRecord::is_busy) {
            return Decision::Nothing("another job is not over");
        }
        self.when(covered, entity, record)
    }

    fn when(&self, covered: Covered<'_>, entity: &Entity, record: Option<&PartitionRecord>) -> Decision {
        let log = record.map(|record| record.runs.clone()).unwrap_or_default();
        let Some(id) = entity.partition() else { return Decision::Nothing("it is no partition") };
        let due = policy::due(&covered.by.policy.schedule, covered.since, &log, id, self.rules.jitter);
        if due.at <= self.clock.now() { Decision::Start(due) } else { Decision::Wait(due) }
    }

    /// Does what is to be done about a partition, and tells when to look at it again.
    async fn attend(
        &self,
        in_force: &InForce,
        entity: &Entity,
        id: PartitionId,
        record: Option<&PartitionRecord>,
    ) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let decision = self.decide(in_force, entity, record);
        tracing::debug!(partition = %id, ?decision, "schedule");
        match decision {
            Decision::Nothing(_) => Ok(None),
            Decision::Wait(due) => Ok(Some(due.at)),
            Decision::Start(_) | Decision::Cancel | Decision::Correct => {
                self.change(in_force, entity, id).await.map(|()| None)
            }
        }
    }

    /// Decides again on the record as it is when it is written, and on what is in force if it still is. Whatever changed
    /// that wakes the task again.
    async fn change(&self, in_force: &InForce, entity: &Entity, id: PartitionId) -> Result<(), LedgerError> {
        let (now, job) = (self.clock.now(), self.clock.uuid());
        let change = |record: &mut PartitionRecord| match self.decide(in_force, entity, Some(record)) {
            Decision::Start(due) => {
                let covered = in_force.covered(entity).ok_or(())?;
                self.start(record, entity, covered, &due, job);
                Ok(Decision::Start(due))
            }
            Decision::Cancel => {
                record.scheduled.as_mut().ok_or(())?.cancelled = true;
                Ok(Decision::Cancel)
            }
            Decision::Correct => {
                correct(record, now, self.rules.jitter);
                Ok(Decision::Correct)
            }
            Decision::Nothing(_) | Decision::Wait(_) => Err(()),
        };
        let basis = in_force.said.basis([entity]);
        let Some(changed) = self.ledger.update_partition_on(&basis, id, now, change).await? else { return Ok(()) };
        match changed {
            Ok(Decision::Start(due)) => {
                tracing::info!(partition = %id, %job, why = ?due.why, nominal = %due.nominal, "a backup is due");
            }
            Ok(Decision::Correct) => {
                tracing::warn!(partition = %id, "the clock was set back; what was remembered as later is taken for now");
            }
            Ok(_) => tracing::info!(partition = %id, "a backup by schedule is cancelled: its policy is not in force"),
            Err(()) => {}
        }
        Ok(())
    }

    /// Puts the job in the record. A storage that cannot even be named fails the run without one.
    fn start(&self, record: &mut PartitionRecord, entity: &Entity, covered: Covered<'_>, due: &Due, job: uuid::Uuid) {
        let (now, policy) = (self.clock.now(), &covered.by.policy);
        policy::started(&mut record.runs, due);
        let store = match covered.store {
            Ok(store) => store,
            Err(why) => return policy::failed(&mut record.runs, now, why.clone()),
        };
        let wanted = wanted(record, covered, store);
        let task = BackupTask { policy: Some(policy.name.clone()), wanted, ..BackupTask::new(policy.storage.clone()) };
        record.scheduled = Some(BackupJob::new(job, now, self.rules.deadline.after(now), task));
        record.entity = Some(entity.clone());
        record.wrote.insert(Wrote { policy: policy.name.clone(), store: store.clone() });
    }
}

fn wanted(record: &PartitionRecord, covered: Covered<'_>, store: &StoreId) -> Wanted {
    let policy = &covered.by.policy;
    let conditions = Conditions {
        max_incrementals: policy.max_incrementals,
        store,
        policy: &policy.name,
        since: covered.since,
        epoch: record.epoch,
    };
    chain::next(record.tip.as_ref(), &conditions)
}

impl Agenda {
    fn note(&mut self, id: PartitionId, at: Option<DateTime<Utc>>) {
        self.next.remove(&id);
        self.next.extend(at.map(|at| (id, at)));
    }

    /// A partition whose record cannot be read stops no other.
    fn without(&mut self, id: PartitionId, error: LedgerError) -> Result<(), LedgerError> {
        match error {
            LedgerError::Decode { .. } | LedgerError::Sealed { .. } => {
                tracing::error!(partition = %id, error = words(&error), "no backups are taken of this partition");
                self.next.remove(&id);
                Ok(())
            }
            error => Err(error),
        }
    }
}

impl InForce {
    /// Whether anything of it was said at a time that has not come: the clock was ahead then.
    fn is_ahead_of(&self, now: DateTime<Utc>) -> bool {
        let enabled = self.said.controls.enabled.values().map(|it| it.since);
        let suspended = self.said.controls.suspended.values().map(|it| it.since);
        let changed = self.said.policies.values().map(|it| it.changed);
        enabled.chain(suspended).chain(changed).any(|since| since > now)
    }

    fn covered(&self, entity: &Entity) -> Option<Covered<'_>> {
        let policy = policy::effective(&self.said.controls, entity)?.policy;
        let (by, store) = (self.said.policies.get(&policy)?, self.stores.get(&policy)?);
        let since = policy::since(&self.said.controls, entity, by.changed)?;
        Some(Covered { by, store, since })
    }
}

impl Task for Scheduler {
    const NAME: &'static str = "schedule";
    const HEARS: &'static [Topic] = &[Topic::Partitions, Topic::InForce];

    /// Looks only at the partitions that something was written about and at those that are due, unless what is in force
    /// or the clock has changed.
    async fn activate(&mut self) -> Result<DateTime<Utc>, LedgerError> {
        let news = self.feed.take();
        // Dropped with an error, so that everything is looked at the next time.
        let known = self.agenda.take().filter(|known| !news.others && !self.was_set(known.offset));
        let agenda = match known {
            Some(known) => self.go_on(known, news.partitions).await?,
            None => self.look_at_all().await?,
        };
        let idle = self.clock.now() + IDLE;
        let next = agenda.next.values().min().map_or(idle, |next| idle.min(*next));
        self.agenda = Some(agenda);
        Ok(next)
    }
}

impl Scheduler {
    async fn look_at_all(&mut self) -> Result<Agenda, LedgerError> {
        let in_force = self.in_force().await?;
        let mut agenda = Agenda { in_force, next: BTreeMap::new(), offset: self.offset() };
        let records: HashMap<PartitionId, PartitionRecord> = self.ledger.partitions().await?.into_iter().collect();
        for id in self.hosted.keys() {
            self.look_at(&mut agenda, *id, records.get(id)).await?;
        }
        Ok(agenda)
    }

    async fn go_on(&self, mut agenda: Agenda, written: BTreeSet<PartitionId>) -> Result<Agenda, LedgerError> {
        let now = self.clock.now();
        let due = agenda.next.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id);
        let due: BTreeSet<PartitionId> = due.chain(written).collect();
        for id in due {
            match self.ledger.partition(id).await {
                Ok(record) => self.look_at(&mut agenda, id, record.as_ref()).await?,
                Err(error) => agenda.without(id, error)?,
            }
        }
        Ok(agenda)
    }

    async fn look_at(
        &self,
        agenda: &mut Agenda,
        id: PartitionId,
        record: Option<&PartitionRecord>,
    ) -> Result<(), LedgerError> {
        let Some(entity) = self.hosted.get(&id) else { return Ok(()) };
        match self.attend(&agenda.in_force, entity, id, record).await {
            Ok(at) => agenda.note(id, at),
            Err(error) => agenda.without(id, error)?,
        }
        Ok(())
    }

    fn offset(&self) -> DateTime<Utc> {
        self.clock.now() - self.clock.elapsed()
    }

    fn was_set(&self, offset: DateTime<Utc>) -> bool {
        (self.offset() - offset).abs() > SET
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
