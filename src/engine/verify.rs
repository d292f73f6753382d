//! One verification: read the backup as a restore would, and note what is not as it was written.
//!
//! Touches no state and writes no storage, so that it needs no turn among the jobs of its partition.

use std::{fs, io, path::PathBuf, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Engine, Hosted, blocking,
    bounds::Run,
    end::End,
    not_configured,
    record::{self, Withdrawn},
    rehearse::{RehearseError, rehearse},
    restore::extract_failed,
};
use crate::{
    archive::{Archive, Inspected},
    domain::{Failure, FailureCode, Location, PartitionId},
    job::{Checked, Depth, Event, Finding, Verified, VerifyJob},
    ledger::{LedgerError, PartitionRecord},
};

impl Engine {
    /// Runs the partition's unfinished verification to its end. One that has begun already was given up by whoever was at
    /// it, since nobody else may be, and begins again.
    pub async fn verify(&self, id: PartitionId) -> Result<(), LedgerError> {
        self.recover_verify(id).await?;
        let job = self.ledger.partition(id).await?.and_then(|record| record.verify);
        let Some(job) = job.filter(|job| job.state.is_active()) else { return Ok(()) };
        let _metered = self.meters.begin(job.id);
        let run = Run::of(id, &job);
        match Box::pin(self.within(run, self.run_verify(run, &job))).await {
            Ok(()) => Ok(()),
            Err(End::Ledger(error)) => Err(error),
            Err(End::Failed(failure) | End::Changed(failure) | End::Lost(failure)) => {
                self.end_verify(run, Some(Event::Fail(failure))).await
            }
            Err(End::Expired(_)) => self.end_verify(run, Some(Event::Expire(expired(&job)))).await,
            Err(End::Withdrawn) => self.end_verify(run, None).await,
        }
    }

    /// Lets a verification that somebody began and left begin again. Nobody may be at it.
    pub async fn recover_verify(&self, id: PartitionId) -> Result<(), LedgerError> {
        let job = self.ledger.partition(id).await?.and_then(|record| record.verify);
        let Some(job) = job.filter(|job| job.state.has_begun()) else { return Ok(()) };
        if let Some(hosted) = self.hosted.get(&id) {
            clear(hosted.source.scratch(job.id)).await;
        }
        self.change(id, record::interrupt_verify).await
    }

    /// Ends the partition's unfinished verification after a defect of ours.
    pub async fn fail_verify(&self, id: PartitionId, why: Failure) -> Result<(), LedgerError> {
        let Some(job) = self.ledger.partition(id).await?.and_then(|record| record.verify) else { return Ok(()) };
        self.end_verify(Run::of(id, &job), Some(Event::Fail(why))).await
    }

    async fn run_verify(&self, run: Run, job: &VerifyJob) -> Result<(), End> {
        let _slot = self.slot(run, &self.verifications).await?;
        tracing::info!(partition = %run.partition, job = %job.id, location = %job.task.location, "verification begins");
        self.advance(run, |record| step(record, run, Event::Start)).await?;
        let checked = self.look(run, job).await?;
        let finished = self.clock.now();
        tracing::info!(partition = %run.partition, job = %job.id, damages = checked.damages, "verified");
        self.advance(run, |record| conclude(record, run, &checked, finished)).await
    }

    /// Reads the backup as a restore would, as thoroughly as was asked.
    async fn look(&self, run: Run, job: &VerifyJob) -> Result<Checked, End> {
        let Some(hosted) = self.hosted.get(&run.partition) else { return Err(not_configured(run.partition).into()) };
        let storage = self.open(&job.task.storage).await?;
        let inspected = Archive::inspect(&storage, &job.task.location, &self.spools).await;
        let Inspected { mut checked, archive } = inspected.map_err(|error| End::failed(error.code(), &error))?;
        let Some(archive) = archive else { return Ok(checked) };
        if archive.point().id != job.task.backup {
            let why = "another backup lies there than when the verification was accepted".to_owned();
            checked.add(found(&job.task.location, why));
            return Ok(checked);
        }
        if job.task.depth != Depth::Records {
            let blocks = archive.check_blocks(self.meters.of(job.id)).await;
            checked.add(blocks.map_err(|error| End::failed(error.code(|never| match *never {}), &error))?);
        }
        // What is known to be damaged cannot be restored.
        if job.task.depth == Depth::Rehearsal && checked.damages == 0 {
            checked.add(rehearsed(hosted, &archive, job).await?);
        }
        Ok(checked)
    }

    /// Ends the job with `event`, or as cancelled. Nothing happens if somebody ended it already.
    async fn end_verify(&self, run: Run, event: Option<Event<Verified>>) -> Result<(), LedgerError> {
        tracing::warn!(partition = %run.partition, job = %run.job, ?event, "verification ends without a result");
        self.change(run.partition, |record| {
            let mine = record::verify(record, run.job).filter(|mine| mine.state.is_active());
            let Some(mine) = mine else { return };
            let event = event.clone().filter(|_| !mine.cancelled);
            record::apply(mine, event.unwrap_or_else(|| Event::Fail(cancelled())));
        })
        .await
    }
}

/// The restore of a rehearsal. Its blocks were counted and measured before.
async fn rehearsed(hosted: &Hosted, archive: &Archive, job: &VerifyJob) -> Result<Checked, End> {
    match rehearse(archive, &hosted.source.scratch(job.id), job.id, Arc::default()).await {
        Ok(checked) => Ok(checked),
        Err(RehearseError::Source(error)) => Err(error.into()),
        Err(error @ RehearseError::Scratch { .. }) => Err(End::failed(FailureCode::Other, &error)),
        Err(RehearseError::Extract(error)) => match extract_failed(&error) {
            End::Failed(failure) if failure.code == FailureCode::Damaged => {
                Ok(found(&job.task.location, failure.message))
            }
            end => Err(end),
        },
    }
}

/// Deletes what a rehearsal left that was killed. If it cannot be, the next one says so.
async fn clear(scratch: PathBuf) {
    let cleared = blocking(move || fs::remove_dir_all(scratch)).await;
    if let Some(error) = cleared.err().filter(|error| error.kind() != io::ErrorKind::NotFound) {
        tracing::warn!(%error, "what a killed rehearsal left cannot be deleted");
    }
}

fn found(backup: &Location, why: String) -> Checked {
    let finding = Finding { backup: backup.clone(), file: None, offset: None, why };
    Checked { damages: 1, findings: vec![finding], ..Checked::default() }
}

fn step(record: &mut PartitionRecord, run: Run, event: Event<Verified>) -> Result<(), Withdrawn> {
    record::wanted(record::verify(record, run.job)).map(|mine| record::apply(mine, event))
}

/// A verification makes nothing visible but its result, so that its commit step is in the same write.
fn conclude(
    record: &mut PartitionRecord,
    run: Run,
    checked: &Checked,
    finished: DateTime<Utc>,
) -> Result<(), Withdrawn> {
    let mine = record::wanted(record::verify(record, run.job))?;
    mine.task.checked = Some(checked.clone());
    if checked.damages > 0 {
        record::apply(mine, Event::Fail(damaged(checked)));
        return Ok(());
    }
    record::apply(mine, Event::Commit);
    record::apply(mine, Event::Complete(Verified { finished }));
    Ok(())
}

fn damaged(checked: &Checked) -> Failure {
    let places = if checked.damages == 1 { "place" } else { "places" };
    let message = format!("the backup is damaged in {} {places}; Findings says where", checked.damages);
    Failure::new(FailureCode::Damaged, message)
}

fn cancelled() -> Failure {
    Failure::new(FailureCode::Aborted, "cancelled on request")
}

fn expired(job: &VerifyJob) -> Failure {
    let minutes = (job.deadline - job.requested).max(TimeDelta::zero()).num_minutes();
    let message = format!("not verified within {minutes} minutes; ask again with a greater VerifyTimeout");
    Failure::new(FailureCode::Timeout, message)
}
