//! One restore: plan, fetch and verify into a staging tree beside the state, swap.

use chrono::TimeDelta;
use uuid::Uuid;

use super::{
    Engine, Hosted, blocking,
    end::{self, End, source_failed},
};
use crate::{
    archive::{Archive, ExtractError, Sink, SinkFile},
    domain::{Entry, Failure, FailureCode, PartitionId, words},
    job::{Event, RestoreJob, Restored, State},
    ledger::{LedgerError, PartitionRecord},
    source::{FileSink, Sealed, Source, SourceError, Staging},
};

impl Engine {
    pub(super) async fn run_restore(&self, hosted: &Hosted, job: &RestoreJob) -> Result<(), LedgerError> {
        let id = hosted.partition.id;
        tracing::info!(partition = %id, job = %job.id, location = %job.task.point.location, "restore begins");
        match self.restore(hosted, job).await {
            Ok(()) => Ok(()),
            Err(End::Ledger(error)) => Err(error),
            Err(End::Failed(failure) | End::Changed(failure)) => {
                self.end_restore(id, job.id, Event::Fail(failure)).await
            }
            Err(End::Expired) => self.end_restore(id, job.id, Event::Expire(expired(job))).await,
        }
    }

    async fn restore(&self, hosted: &Hosted, job: &RestoreJob) -> Result<(), End> {
        let id = hosted.partition.id;
        let _slot = self.slot(job.deadline).await?;
        self.step(id, job.id, Event::Start).await?;
        let sealed = self.within(job.deadline, self.stage(hosted, job)).await?;
        self.step(id, job.id, Event::Commit).await?;
        self.swap(hosted, job, sealed).await
    }

    /// Builds the restored tree beside the state. Whatever fails here leaves the state untouched.
    async fn stage(&self, hosted: &Hosted, job: &RestoreJob) -> Result<Sealed, End> {
        let (source, job_id) = (hosted.source.clone(), job.id);
        let staging = blocking(move || source.stage(job_id)).await?;
        let storage = self.open(&job.task.storage).await?;
        let archive = Archive::open(&storage, &job.task.point.location).await.map_err(|e| End::failed(e.code(), &e))?;
        if archive.point().id != job.task.point.id {
            let message =
                format!("another backup lies at '{}' than when the restore was accepted", archive.point().location);
            return Err(End::Failed(Failure::new(FailureCode::Damaged, message)));
        }
        let Tree(staging) = archive.extract(Tree(staging)).await.map_err(|e| extract_failed(&e))?;
        Ok(blocking(move || staging.seal()).await?)
    }

    /// The point of no return. A swap that answers an error may still have happened: the disk tells.
    async fn swap(&self, hosted: &Hosted, job: &RestoreJob, sealed: Sealed) -> Result<(), End> {
        let (source, job_id) = (hosted.source.clone(), job.id);
        let swapped = blocking(move || match sealed.swap() {
            Err(error) if !matches!(restored_job(&source), Ok(Some(done)) if done == job_id) => Err(error),
            _ => Ok(()),
        });
        swapped.await?;
        Ok(self.complete_restore(hosted.partition.id, job).await?)
    }

    /// A restore begins a new life of the partition: its data-loss version grows and its log is where the backup's was.
    async fn complete_restore(&self, id: PartitionId, job: &RestoreJob) -> Result<(), LedgerError> {
        tracing::info!(partition = %id, job = %job.id, "restored");
        let finished = self.clock.now();
        self.change(id, |record| {
            record.epoch = record.next_data_loss(finished);
            record.lsn = job.task.point.lsn;
            move_on(record, job.id, Event::Complete(Restored { finished }));
        })
        .await
    }

    /// Finishes or undoes a swap that a crash cut short, and tells the job that was at it.
    pub(super) async fn recover_restore(&self, hosted: &Hosted) -> Result<(), LedgerError> {
        let (id, source) = (hosted.partition.id, hosted.source.clone());
        let restored = blocking(move || restored_job(&source)).await;
        let job = self.ledger.partition(id).await?.and_then(|record| record.restore);
        let Some(job) = job.filter(|job| job.state.is_active()) else { return Ok(()) };
        match restored {
            Ok(restored) if restored == Some(job.id) => self.complete_restore(id, &job).await,
            // Begun again it could swap again, and the undo point would be lost.
            Err(error) if job.state == State::Committing => {
                let message = format!("it cannot be told whether the state was replaced: {}", words(&error));
                self.end_restore(id, job.id, Event::Fail(Failure::new(FailureCode::Other, message))).await
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn step(&self, id: PartitionId, job: Uuid, event: Event<Restored>) -> Result<(), LedgerError> {
        self.change(id, |record| move_on(record, job, event.clone())).await
    }

    async fn end_restore(&self, id: PartitionId, job: Uuid, event: Event<Restored>) -> Result<(), LedgerError> {
        tracing::warn!(partition = %id, %job, ?event, "restore ends without a result");
        self.step(id, job, event).await
    }
}

fn move_on(record: &mut PartitionRecord, job: Uuid, event: Event<Restored>) {
    if let Some(mine) = record.restore.as_mut().filter(|mine| mine.id == job) {
        end::apply(mine, event);
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

/// A staging tree as the sink of an archive.
struct Tree(Staging);

impl Sink for Tree {
    type Error = SourceError;
    type File = FileSink;

    fn directory(&mut self, entry: &Entry) -> Result<(), SourceError> {
        self.0.directory(entry)
    }

    fn symlink(&mut self, entry: &Entry) -> Result<(), SourceError> {
        self.0.symlink(entry)
    }

    fn file(&mut self, entry: &Entry) -> Result<FileSink, SourceError> {
        self.0.file(entry)
    }
}

impl SinkFile for FileSink {
    type Error = SourceError;

    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<(), SourceError> {
        self.write_at(offset, data)
    }

    fn finish(self) -> Result<(), SourceError> {
        self.finish()
    }
}

fn extract_failed(error: &ExtractError<SourceError>) -> End {
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
