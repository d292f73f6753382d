//! What becomes of what a backup wrote that ends without a result.
//!
//! Data without metadata is no backup, only garbage: that it cannot be deleted now changes nothing of the job's end.
//! Only a job that was cancelled also takes back a backup that was visible already.

use super::{Engine, bounds::Run, named, record};
use crate::{
    archive,
    domain::{Failure, Location, words},
    job::{BackupJob, State},
    ledger::LedgerError,
};

impl Engine {
    /// Takes away what the job left in its storage. Answers in words what may be left all the same.
    pub(super) async fn take_back(&self, run: Run) -> Result<Option<String>, LedgerError> {
        let Some(mut record) = self.ledger.partition(run.partition).await? else { return Ok(None) };
        let Some(job) = record::backup(&mut record, run.job) else { return Ok(None) };
        let Some(location) = job.task.attempt.clone() else { return Ok(None) };
        let why = match self.patiently(run, self.take_away(job, &location)).await {
            Some(Ok(())) => return Ok(None),
            Some(Err(failure)) => failure.message,
            None => format!("{} did not answer in time", named(&job.task.storage)),
        };
        let left = left(job, &location, &why);
        tracing::warn!(partition = %run.partition, job = %run.job, left, "not all of a backup could be taken away");
        Ok(Some(left))
    }

    async fn take_away(&self, job: &BackupJob, location: &Location) -> Result<(), Failure> {
        let storage = self.open(&job.task.storage).await?;
        if job.cancelled && self.is_there(&storage, job, location).await? {
            let removed = archive::remove(&storage, location).await;
            return removed.map_err(|e| Failure::new(e.code(), words(&e)));
        }
        archive::discard(&storage, location).await.map_err(|e| Failure::new(e.code(), words(&e)))
    }

    async fn is_there(&self, storage: &archive::Storage, job: &BackupJob, at: &Location) -> Result<bool, Failure> {
        let found = archive::committed(storage, at, job.id).await;
        found.map(|found| found.is_some()).map_err(|e| Failure::new(e.code(), words(&e)))
    }
}

fn left(job: &BackupJob, location: &Location, why: &str) -> String {
    let what = match job.state {
        State::Committing => "the whole backup may still be listed there as",
        _ => "data that is no backup may be left there as",
    };
    format!("{what} '{location}', since {why}")
}
