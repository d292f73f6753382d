//! Data loss: looks whether the state of a partition is there, and sees to it when it is not.
//!
//! A state is lost if it was seen with content before and is not there now, cannot be read, or is empty. What becomes of
//! it is decided by the policy of the partition beforehand, or by a person: nothing is rolled back that nobody agreed
//! to. Whatever happens, the loss stays noted until the partition has a state again that somebody vouches for.

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time;

use super::{Engine, HUNG, Hosted, backup::waits, blocking, bounds::Run, end::End, named, record};
use crate::{
    archive::Scope,
    domain::{DataLoss, Failure, FailureCode, Location, PartitionId, Policy, words},
    job::{RestoreJob, RestoreTask, State},
    ledger::{LedgerError, PartitionRecord},
    policy,
    source::Found,
};

/// How long a restore may take that nobody waits for.
const PATIENCE: TimeDelta = TimeDelta::hours(24);

/// So many backups are tried before somebody has to choose one.
const MOST_TRIED: usize = 5;

/// What is to become of a lost state, and what there is to say of it.
enum Decision {
    /// The policy brings it back.
    Restore(Box<RestoreTask>),
    /// Somebody has to see to it.
    Wait(String),
}

impl Engine {
    /// Looks whether the partition's state is there, and notes it. If it is lost and its policy says so, accepts a restore
    /// of its latest backup. Comes at the start, after [`Engine::recover`].
    pub async fn survey(&self, id: PartitionId) -> Result<(), LedgerError> {
        let Some(hosted) = self.hosted.get(&id) else { return Ok(()) };
        let source = hosted.source.clone();
        match time::timeout(HUNG, blocking(move || source.inspect())).await {
            Ok(Found::Content) => self.note_content(hosted).await,
            Ok(found) => self.note_absence(hosted, &found).await,
            // A disk that hangs has lost nothing yet.
            Err(_late) => {
                tracing::error!(partition = %id, "the state does not answer; whether it is there is not known");
                Ok(())
            }
        }
    }

    /// Looks again at what was lost and not seen to: a storage may answer by now, and after a backup that turned out
    /// damaged the one before it is tried. To be called now and then. A restore that failed for good otherwise, or was
    /// cancelled, is not begun again: that is for a person.
    pub async fn retry_data_loss(&self) -> Result<(), LedgerError> {
        for id in self.partitions() {
            if self.ledger.partition(id).await?.is_some_and(|record| may_be_tried_again(&record)) {
                self.survey(id).await?;
            }
        }
        Ok(())
    }

    /// Refuses to back up, by schedule, what is there instead of a state that was seen before: such backups would sooner
    /// or later be all that is left. Notes the loss in the same write.
    pub(super) async fn refuse_lost(&self, run: Run, found: &str) -> Result<(), End> {
        let now = self.clock.now();
        let lost = self.advance(run, |record| {
            record::wanted(record::backup(record, run.job))?;
            let is_lost = record.had_state && record::is_scheduled(record, run.job);
            if is_lost {
                lose(record, found, now);
            }
            Ok(record.data_loss.clone().filter(|_| is_lost))
        });
        lost.await?.map_or(Ok(()), |lost| Err(End::Lost(waits(&lost))))
    }

    async fn note_content(&self, hosted: &Hosted) -> Result<(), LedgerError> {
        let (id, entity) = (hosted.partition.id, hosted.partition.entity());
        let known = self.ledger.partition(id).await?;
        let is_news = |record: PartitionRecord| {
            !record.had_state || record.data_loss.is_some() || record.entity.as_ref() != Some(&entity)
        };
        if known.is_none_or(is_news) {
            let note = |record: &mut PartitionRecord| {
                record.had_state = true;
                record.data_loss = None;
                record.entity = Some(entity.clone());
            };
            self.change(id, note).await?;
        }
        Ok(())
    }

    async fn note_absence(&self, hosted: &Hosted, found: &Found) -> Result<(), LedgerError> {
        let id = hosted.partition.id;
        let words = said(found);
        let record = self.ledger.partition(id).await?;
        let Some(record) = record.filter(|record| record.had_state || record.data_loss.is_some()) else {
            if *found != Found::Empty {
                tracing::warn!(partition = %id, found = words, "there is no state yet; backups of it fail until there is");
            }
            return Ok(());
        };
        // Whoever asked for a restore has decided already.
        if record.restore.as_ref().is_some_and(|job| job.state.is_active()) {
            return Ok(());
        }
        match self.decide(hosted, &record).await? {
            Decision::Restore(task) => self.accept_automatic(id, &words, *task).await,
            Decision::Wait(why) => self.note_loss(id, format!("{words}; {why}")).await,
        }
    }

    async fn decide(&self, hosted: &Hosted, record: &PartitionRecord) -> Result<Decision, LedgerError> {
        let wait = |why: String| Ok(Decision::Wait(why));
        let Some(policy) = self.policy_of(hosted).await? else {
            return wait(
                "no backup policy covers the partition; restore a backup, or back up what is there now".into(),
            );
        };
        if !policy.auto_restore_on_data_loss {
            let name = policy.name;
            return wait(format!(
                "the policy '{name}' does not restore by itself; restore a backup, or back up what is there now"
            ));
        }
        if record.data_loss.is_some() && record.tried.len() >= MOST_TRIED {
            return wait(format!("its {MOST_TRIED} latest backups were tried in vain; choose the one to restore"));
        }
        Ok(match self.latest(hosted, &policy, record).await {
            Ok(task) => Decision::Restore(Box::new(task)),
            Err(failure) => Decision::Wait(failure.message),
        })
    }

    async fn policy_of(&self, hosted: &Hosted) -> Result<Option<Policy>, LedgerError> {
        let controls = self.ledger.controls().await?;
        let Some(effective) = policy::effective(&controls, &hosted.partition.entity()) else { return Ok(None) };
        Ok(self.ledger.policy(&effective.policy).await?.map(|record| record.policy))
    }

    /// The latest backup of the partition that can be restored, in its policy's storage; none that turned out damaged when
    /// it was `tried`.
    async fn latest(&self, hosted: &Hosted, policy: &Policy, record: &PartitionRecord) -> Result<RestoreTask, Failure> {
        let storage = policy.storage.clone();
        let partition = &hosted.partition;
        let scope = Scope::Partition(partition.service.clone(), partition.id);
        let name = named(&storage);
        let tried = record.tried.iter().filter(|_| record.data_loss.is_some());
        let tried: Vec<Location> = tried.map(|tried| tried.location.clone()).collect();
        let is_filled = self.catalog.identity(&storage).is_ok_and(|store| record.filled.contains(&store));
        let latest = self.catalog.latest_restorable(&storage, &scope, &tried, is_filled, &self.spools);
        let latest = time::timeout(HUNG, latest).await;
        let latest =
            latest.map_err(|_late| Failure::new(FailureCode::Unreachable, format!("{name} does not answer")))?;
        let latest = latest.map_err(|e| Failure::new(e.code(), words(&e)))?;
        let point = latest.map(|metadata| metadata.point).filter(|point| point.partition == partition.kind);
        let point = point.ok_or_else(|| {
            Failure::new(FailureCode::NotFound, format!("{name} holds no backup of it that could be restored"))
        })?;
        Ok(RestoreTask { storage, point, automatic: true })
    }

    /// The loss stays noted beside the job: it ends with the restore's success only.
    async fn accept_automatic(&self, id: PartitionId, found: &str, task: RestoreTask) -> Result<(), LedgerError> {
        let now = self.clock.now();
        let location = task.point.location.clone();
        let job = RestoreJob::new(self.clock.uuid(), now, now + PATIENCE, task);
        tracing::warn!(partition = %id, found, job = %job.id, %location, "data loss; the latest backup is restored");
        let accept = |record: &mut PartitionRecord| {
            if record.data_loss.is_none() {
                record.tried.clear();
            }
            let lost = lost(record, found, now);
            record::accept_automatic(record, &job, lost);
        };
        self.change(id, accept).await
    }

    async fn note_loss(&self, id: PartitionId, found: String) -> Result<(), LedgerError> {
        let now = self.clock.now();
        let known = self.ledger.partition(id).await?.and_then(|record| record.data_loss);
        if known.is_some_and(|lost| lost.found == found) {
            return Ok(());
        }
        tracing::warn!(partition = %id, found, "data loss; somebody has to decide what becomes of the partition");
        self.change(id, |record| lose(record, &found, now)).await
    }
}

/// Notes the loss; what was tried after an earlier one says nothing of this one.
fn lose(record: &mut PartitionRecord, found: &str, now: DateTime<Utc>) {
    if record.data_loss.is_none() {
        record.tried.clear();
    }
    record.data_loss = Some(lost(record, found, now));
}

fn lost(record: &PartitionRecord, found: &str, now: DateTime<Utc>) -> DataLoss {
    let since = record.data_loss.as_ref().map_or(now, |lost| lost.since);
    DataLoss { since, found: found.to_owned() }
}

/// What was found, in words.
pub(super) fn said(found: &Found) -> String {
    match found {
        Found::Content => "the state is there".to_owned(),
        Found::Empty => "the state is empty".to_owned(),
        Found::Missing => "the state is gone".to_owned(),
        Found::Unusable(why) => why.clone(),
    }
}

/// Whether nobody is at it, and the last that was tried since the loss may fare better now, or the one before it.
fn may_be_tried_again(record: &PartitionRecord) -> bool {
    let Some(lost) = &record.data_loss else { return false };
    let tried = record.restore.as_ref().filter(|job| job.requested >= lost.since);
    tried.is_none_or(|job| match &job.state {
        State::Failed(why) if why.code == FailureCode::Damaged => job.task.automatic && record.tried.len() < MOST_TRIED,
        State::Failed(why) => matches!(why.code, FailureCode::Unreachable | FailureCode::Timeout),
        State::TimedOut(_) => true,
        State::Accepted | State::Running | State::Committing | State::Succeeded(_) => false,
    })
}
