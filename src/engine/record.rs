//! What a partition's record becomes when a job of it moves on or ends.
//!
//! Owns every change that the engine makes to a record, so that both kinds of backups, requested and by schedule, are
//! treated alike: a job is found by its id, wherever it is. Pure: reads no clock, stores nothing.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    domain::{BackupPoint, ChainTip, DataLoss, Entity, Failure, FailureCode, Parent, StoreId},
    job::{BackupJob, Event, Job, Meters, RestoreJob, Restored, State, VerifyJob},
    ledger::{PartitionRecord, Tried, Wrote},
    policy,
};

/// The job is not to be worked on any more: it was cancelled, or it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Withdrawn;

/// The backup of that id, requested or by schedule.
pub(super) fn backup(record: &mut PartitionRecord, job: Uuid) -> Option<&mut BackupJob> {
    record.backup.iter_mut().chain(&mut record.scheduled).find(|mine| mine.id == job)
}

/// The restore of that id.
pub(super) fn restore(record: &mut PartitionRecord, job: Uuid) -> Option<&mut RestoreJob> {
    record.restore.as_mut().filter(|mine| mine.id == job)
}

/// The verification of that id.
pub(super) fn verify(record: &mut PartitionRecord, job: Uuid) -> Option<&mut VerifyJob> {
    record.verify.as_mut().filter(|mine| mine.id == job)
}

/// Whether the job is by schedule.
pub(super) fn is_scheduled(record: &PartitionRecord, job: Uuid) -> bool {
    record.scheduled.as_ref().is_some_and(|mine| mine.id == job)
}

/// Whether somebody is to work on the job, of whatever kind.
pub(super) fn is_wanted(record: &PartitionRecord, job: Uuid) -> bool {
    record.backups().any(|mine| mine.id == job && may_go_on(mine))
        || record.restore.as_ref().is_some_and(|mine| mine.id == job && may_go_on(mine))
        || record.verify.as_ref().is_some_and(|mine| mine.id == job && may_go_on(mine))
}

fn may_go_on<T, O>(job: &Job<T, O>) -> bool {
    job.state.is_active() && !job.cancelled
}

/// The job, if it is to be worked on.
pub(super) fn wanted<T, O>(job: Option<&mut Job<T, O>>) -> Result<&mut Job<T, O>, Withdrawn> {
    job.filter(|job| may_go_on(job)).ok_or(Withdrawn)
}

/// Moves a job on. An event that its state does not allow is a defect; it is logged and the job stays as it is, which is
/// the safe side: nothing final is ever taken back.
pub(super) fn apply<T, O>(job: &mut Job<T, O>, event: Event<O>) {
    if let Err(illegal) = job.apply(event) {
        tracing::error!(job = %job.id, %illegal, "a job was moved against its table");
    }
}

/// Ends a backup without a result, unless it is over already.
pub(super) fn end_backup(record: &mut PartitionRecord, job: Uuid, event: Event<BackupPoint>, at: DateTime<Utc>) {
    if let Some(mine) = backup(record, job).filter(|mine| mine.state.is_active()) {
        apply(mine, event);
        note_run(record, job, at);
    }
}

/// Ends a restore without a result, unless it is over already. One that began by itself and met damage is remembered, so
/// that the backup before it has its turn.
pub(super) fn end_restore(record: &mut PartitionRecord, job: Uuid, event: Event<Restored>) {
    let Some(mine) = restore(record, job).filter(|mine| mine.state.is_active()) else { return };
    apply(mine, event);
    let damage = match &mine.state {
        State::Failed(why) if mine.task.automatic && why.code == FailureCode::Damaged => Some(why.message.clone()),
        _ => None,
    };
    let location = mine.task.point.location.clone();
    record.tried.extend(damage.map(|why| Tried { location, why }));
}

/// Ends a backup whose result is there. A requested one is the consent to what the state has become since it was lost.
pub(super) fn complete_backup(
    record: &mut PartitionRecord,
    job: Uuid,
    point: &BackupPoint,
    made: Made,
) -> Result<(), Withdrawn> {
    let mine = wanted(backup(record, job))?;
    let (requested, empty) = (mine.requested, mine.task.empty);
    apply(mine, Event::Complete(point.clone()));
    record.lsn = record.lsn.max(point.lsn);
    record.entity = Some(made.entity);
    record.filled.insert(made.store);
    if let Some(wrote) = made.wrote {
        record.tip = tip(record.tip.as_ref(), point, &wrote, made.at);
        record.wrote.insert(wrote);
    }
    if !is_scheduled(record, job) {
        record.data_loss.take_if(|lost| lost.since <= requested);
        record.had_state &= !empty;
    }
    note_run(record, job, made.at);
    Ok(())
}

/// What else is known of a backup that is there.
pub(super) struct Made {
    /// Of what.
    pub(super) entity: Entity,
    /// In which storage.
    pub(super) store: StoreId,
    /// For which policy, and where; none if it was made for none.
    pub(super) wrote: Option<Wrote>,
    /// When it was complete.
    pub(super) at: DateTime<Utc>,
}

/// None, if it goes on from something else than the tip so far: nobody knows then how long the chain is.
fn tip(before: Option<&ChainTip>, point: &BackupPoint, wrote: &Wrote, completed: DateTime<Utc>) -> Option<ChainTip> {
    let incrementals = match &point.parent {
        None => 0,
        Some(parent) => before.filter(|tip| tip.backup.id == parent.id)?.incrementals.saturating_add(1),
    };
    Some(ChainTip {
        backup: Parent { id: point.id, location: point.location.clone() },
        chain_id: point.chain_id,
        incrementals,
        store: wrote.store.clone(),
        policy: wrote.policy.clone(),
        epoch: point.epoch,
        completed,
    })
}

/// Ends a restore whose state is in place. It begins a new life of the partition: its data-loss version grows, its log
/// is where the backup's was, and no chain goes on.
pub(super) fn complete_restore(record: &mut PartitionRecord, job: &RestoreJob, finished: DateTime<Utc>, content: bool) {
    record.epoch = record.next_data_loss(finished);
    record.lsn = job.task.point.lsn;
    record.tip = None;
    record.data_loss = None;
    record.had_state = content;
    if let Some(mine) = restore(record, job.id) {
        apply(mine, Event::Complete(Restored { finished }));
    }
}

/// Accepts the restore of a lost state, unless somebody asked for another. A backup by schedule has to stand back.
pub(super) fn accept_automatic(record: &mut PartitionRecord, job: &RestoreJob, lost: DataLoss) {
    if record.restore.as_ref().is_some_and(|mine| mine.state.is_active()) {
        return;
    }
    record.data_loss = Some(lost);
    record.restore = Some(job.clone());
    if let Some(scheduled) = record.scheduled.as_mut().filter(|mine| mine.state.is_active()) {
        scheduled.cancelled = true;
    }
}

/// Lets what somebody began and left begin again; but a backup about to commit stays so, until its store was asked.
pub(super) fn interrupt(record: &mut PartitionRecord) {
    let backups = record.backup.iter_mut().chain(&mut record.scheduled);
    for job in backups.filter(|job| job.state == State::Running) {
        apply(job, Event::Interrupt);
    }
    if let Some(job) = record.restore.as_mut().filter(|job| job.state.has_begun()) {
        apply(job, Event::Interrupt);
    }
}

/// Whether a job was cancelled that nobody has begun and that left nothing anywhere.
pub(super) fn has_cancelled_unbegun(record: &PartitionRecord) -> bool {
    record.backups().any(is_cancelled_unbegun) || record.restore.as_ref().is_some_and(may_end_unbegun)
}

fn is_cancelled_unbegun(job: &BackupJob) -> bool {
    may_end_unbegun(job) && job.task.attempt.is_none()
}

fn may_end_unbegun<T, O>(job: &Job<T, O>) -> bool {
    job.cancelled && matches!(job.state, State::Accepted)
}

/// Ends those jobs.
pub(super) fn end_cancelled_unbegun(record: &mut PartitionRecord, at: DateTime<Utc>) {
    let backups: Vec<Uuid> = record.backups().filter(|job| is_cancelled_unbegun(job)).map(|job| job.id).collect();
    for job in backups {
        let why = cancelled(record, job);
        end_backup(record, job, Event::Fail(why), at);
    }
    if let Some(job) = record.restore.as_ref().filter(|job| may_end_unbegun(job)).map(|job| job.id) {
        let why = cancelled(record, job);
        end_restore(record, job, Event::Fail(why));
    }
}

/// Lets a verification that somebody began and left begin again.
pub(super) fn interrupt_verify(record: &mut PartitionRecord) {
    if let Some(job) = record.verify.as_mut().filter(|job| job.state.has_begun()) {
        apply(job, Event::Interrupt);
    }
}

/// Ends every unfinished job without a result, verifications aside.
pub(super) fn fail_active(record: &mut PartitionRecord, why: &Failure, at: DateTime<Utc>) {
    let backups: Vec<Uuid> = record.backups().map(|job| job.id).collect();
    for job in backups {
        end_backup(record, job, Event::Fail(why.clone()), at);
    }
    if let Some(job) = record.restore.as_mut().filter(|job| job.state.is_active()) {
        apply(job, Event::Fail(why.clone()));
    }
}

/// Keeps with each job when it began and what it has moved, in the write that moves one of them on.
pub(super) fn note(record: &mut PartitionRecord, meters: &Meters, now: DateTime<Utc>) {
    for job in record.backup.iter_mut().chain(&mut record.scheduled) {
        job.note(now, meters.read(job.id));
    }
    if let Some(job) = &mut record.restore {
        job.note(now, meters.read(job.id));
    }
    if let Some(job) = &mut record.verify {
        job.note(now, meters.read(job.id));
    }
}

/// Keeps the log of the schedule, in the write that ends its backup.
fn note_run(record: &mut PartitionRecord, job: Uuid, at: DateTime<Utc>) {
    let Some(mine) = record.scheduled.as_ref().filter(|mine| mine.id == job) else { return };
    match &mine.state {
        State::Succeeded(_) => policy::succeeded(&mut record.runs, at),
        State::Failed(why) | State::TimedOut(why) => policy::failed(&mut record.runs, at, why.clone()),
        State::Accepted | State::Running | State::Committing => {}
    }
}

/// Why a cancelled job ends.
pub(super) fn cancelled(record: &PartitionRecord, job: Uuid) -> Failure {
    let restoring = record.restore.as_ref().is_some_and(|restore| restore.id != job && restore.state.is_active());
    let why =
        if restoring { "cancelled, since a restore of the partition was accepted" } else { "cancelled on request" };
    Failure::new(FailureCode::Aborted, why)
}
