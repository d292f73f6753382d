//! One restore: plan, fetch and verify into a staging tree beside the state, swap.

use std::{convert::Infallible, time::Duration};

use chrono::TimeDelta;
use tokio::{sync::mpsc, time};
use uuid::Uuid;

use super::{
    Engine, Hosted, Turn, blocking,
    bounds::{CLEAR, Run},
    end::{End, source_failed},
    record,
    tree::Tree,
};
use crate::{
    archive::{Archive, ExtractError},
    domain::{Failure, FailureCode, words},
    job::{Event, RestoreJob, Restored, State},
    ledger::LedgerError,
    source::{Found, Sealed, Source, SourceError},
};

/// How often it is looked whether somebody is still at work beside the state.
const PAUSE: Duration = Duration::from_millis(200);

/// Held by every thread that is at work beside the state. Once all are gone, nothing of theirs is left.
type Busy = mpsc::Sender<Infallible>;

/// A tree that is ready, and the sign that it is not cleared away.
struct Prepared {
    sealed: Sealed,
    _busy: Busy,
}

impl Engine {
    pub(super) async fn run_restore(&self, hosted: &Hosted, job: &RestoreJob, turn: &Turn) -> Result<(), LedgerError> {
        let run = Run::of(hosted.partition.id, job);
        let (busy, mut idle) = mpsc::channel(1);
        let Err(end) = self.restore(run, hosted, job, turn, busy).await else { return Ok(()) };
        // Also before the ledger's error goes up: who tries again at once must not meet what is left of this attempt.
        if time::timeout(CLEAR, idle.recv()).await.is_err() {
            tracing::warn!(partition = %run.partition, job = %run.job, "the staging tree is still being deleted");
        }
        let event = match end {
            End::Ledger(error) => return Err(error),
            End::Failed(failure) | End::Changed(failure) | End::Lost(failure) => Some(Event::Fail(failure)),
            End::Expired(_) => Some(Event::Expire(expired(job))),
            End::Withdrawn => None,
        };
        self.end_restore(run, event).await
    }

    async fn restore(&self, run: Run, hosted: &Hosted, job: &RestoreJob, turn: &Turn, busy: Busy) -> Result<(), End> {
        let _turn = self.turn(run, false, turn).await?;
        let _slot = self.slot(run, &self.restores).await?;
        tracing::info!(partition = %run.partition, job = %job.id, location = %job.task.point.location, "restore begins");
        self.step_restore(run, Event::Start).await?;
        let prepared = self.within(run, self.stage(hosted, job, busy)).await?;
        if let Err(end) = self.step_restore(run, Event::Commit).await {
            drop(tokio::task::spawn_blocking(move || drop(prepared)));
            return Err(end);
        }
        self.swap(hosted, job, prepared.sealed).await
    }

    /// Builds the restored tree beside the state. Whatever fails here leaves the state untouched.
    async fn stage(&self, hosted: &Hosted, job: &RestoreJob, busy: Busy) -> Result<Prepared, End> {
        let tree = tree(&hosted.source, job.id, busy).await?;
        let storage = self.open(&job.task.storage).await?;
        let archive = Archive::open(&storage, &job.task.point.location, &self.spools).await;
        let archive = archive.map_err(|e| End::failed(e.code(), &e))?;
        if archive.point().id != job.task.point.id {
            let message =
                format!("another backup lies at '{}' than when the restore was accepted", archive.point().location);
            return Err(End::Failed(Failure::new(FailureCode::Damaged, message)));
        }
        let Tree { staging, guard: busy } =
            archive.extract(tree, self.meters.of(job.id)).await.map_err(|e| extract_failed(&e))?;
        let (sealed, busy) = blocking(move || (staging.seal(), busy)).await;
        Ok(Prepared { sealed: sealed?, _busy: busy })
    }

    /// The point of no return. A swap that answers an error may still have happened: the disk tells.
    async fn swap(&self, hosted: &Hosted, job: &RestoreJob, sealed: Sealed) -> Result<(), End> {
        let (source, job_id) = (hosted.source.clone(), job.id);
        let swapped = blocking(move || match sealed.swap() {
            Err(error) if !matches!(restored_job(&source), Ok(Some(done)) if done == job_id) => Err(error),
            _ => Ok(()),
        });
        swapped.await?;
        Ok(self.complete_restore(hosted, job).await?)
    }

    async fn complete_restore(&self, hosted: &Hosted, job: &RestoreJob) -> Result<(), LedgerError> {
        let (id, finished) = (hosted.partition.id, self.clock.now());
        tracing::info!(partition = %id, job = %job.id, "restored");
        let source = hosted.source.clone();
        let content = blocking(move || source.inspect()).await == Found::Content;
        self.change(id, |record| record::complete_restore(record, job, finished, content)).await
    }

    /// Finishes or undoes a swap that a crash cut short, and tells the job that was at it.
    pub(super) async fn recover_restore(&self, hosted: &Hosted) -> Result<(), LedgerError> {
        let (id, source) = (hosted.partition.id, hosted.source.clone());
        let restored = blocking(move || restored_job(&source)).await;
        let job = self.ledger.partition(id).await?.and_then(|record| record.restore);
        let Some(job) = job.filter(|job| job.state.is_active()) else { return Ok(()) };
        match restored {
            Ok(restored) if restored == Some(job.id) => self.complete_restore(hosted, &job).await,
            // Begun again it could swap again, and the undo point would be lost.
            Err(error) if job.state == State::Committing => {
                let message = format!("it cannot be told whether the state was replaced: {}", words(&error));
                let failed = Event::Fail(Failure::new(FailureCode::Other, message));
                self.end_restore(Run::of(id, &job), Some(failed)).await
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    pub(super) async fn step_restore(&self, run: Run, event: Event<Restored>) -> Result<(), End> {
        self.advance(run, |record| {
            record::wanted(record::restore(record, run.job)).map(|mine| record::apply(mine, event.clone()))
        })
        .await
    }

    /// Ends the job with `event`, or as cancelled. Nothing happens if somebody ended it already.
    async fn end_restore(&self, run: Run, event: Option<Event<Restored>>) -> Result<(), LedgerError> {
        tracing::warn!(partition = %run.partition, job = %run.job, ?event, "restore ends without a result");
        self.change(run.partition, |record| {
            let cancelled = record::restore(record, run.job).is_some_and(|mine| mine.cancelled);
            let event = event.clone().filter(|_| !cancelled);
            let event = event.unwrap_or_else(|| Event::Fail(record::cancelled(record, run.job)));
            record::end_restore(record, run.job, event);
        })
        .await
    }
}

/// Puts a state in order after a swap that did not return, and tells which restore it now holds. What cannot be cleared
/// up is only left over: whether the swap happened does not depend on it.
fn restored_job(source: &Source) -> Result<Option<Uuid>, SourceError> {
    if let Err(error) = source.recover() {
        tracing::error!(error = %words(&error), "what an interrupted restore left cannot be cleared up");
    }
    source.restored_job()
}

/// An empty tree. Whoever ended a restore may be gone before its threads are, so one that is at work beside the state is
/// waited for.
async fn tree(source: &Source, job: Uuid, busy: Busy) -> Result<Tree<Busy>, SourceError> {
    loop {
        let (source, busy) = (source.clone(), busy.clone());
        // What nobody waits for any more is dropped over there: the tree before the sign.
        match blocking(move || (source.stage(job), busy)).await {
            (Err(SourceError::Busy { .. }), _) => time::sleep(PAUSE).await,
            (staging, busy) => return Ok(Tree { staging: staging?, guard: busy }),
        }
    }
}

pub(super) fn extract_failed(error: &ExtractError<SourceError>) -> End {
    match error {
        ExtractError::Sink(source) => source_failed(source, source),
        _ => End::failed(error.code(|_| FailureCode::Other), error),
    }
}

fn expired(job: &RestoreJob) -> Failure {
    let minutes = (job.deadline - job.requested).max(TimeDelta::zero()).num_minutes();
    let message = format!(
        "not restored within {minutes} minutes, the partition is as it was; ask again with a greater RestoreTimeout"
    );
    Failure::new(FailureCode::Timeout, message)
}
