use serde::Serialize;
use uuid::Uuid;

use super::{Error, Ops, once};
use crate::{
    archive::parse_location,
    domain::{Failure, FailureCode, Location, PartitionId, StorageSpec},
    job::{Depth, Event, State, VerifyJob, VerifyTask},
    ledger::PartitionRecord,
};

/// Which backup is to be verified, and how.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyRequest {
    /// The backup's identity; must be the one that lies at `location`.
    pub backup: Uuid,
    /// Where it lies, as a list or a progress told.
    pub location: String,
    /// The storage it lies in; the partition's own if none is named.
    pub storage: Option<StorageSpec>,
    /// How thoroughly.
    pub depth: Depth,
}

impl Ops {
    /// Accepts a verification of a backup, of whatever partition; `minutes` is how long it may take, `key` how the caller
    /// names the request. A backup that is there and cannot be read is accepted: to say so is what a verification is for.
    pub async fn verify_backup(
        &self,
        id: PartitionId,
        request: VerifyRequest,
        minutes: u32,
        key: Option<String>,
    ) -> Result<(), Error> {
        let partition = self.persisted(id)?;
        let once = once::named("verify", key, &request);
        if self.is_repeated(id, once.as_ref()).await? {
            return Ok(());
        }
        let VerifyRequest { backup, location, storage, depth } = request;
        let storage = self.storage(partition, storage).await?;
        let location = parse_location(&location)?;
        let chain = self.chain(&storage, backup, &location).await?;
        let (now, deadline) = self.deadline(minutes);
        let task = VerifyTask { storage, backup, location, chain, depth, checked: None };
        let job = VerifyJob::new(self.clock.uuid(), now, deadline, task);
        let accept = |record: &mut PartitionRecord| {
            if record.is_verifying() {
                return Err(Error::VerifyInProgress(id));
            }
            record.verify = Some(job.clone());
            Ok(())
        };
        self.accept(id, now, once.as_ref(), accept).await
    }

    /// The latest verification that was asked for; none if there never was one.
    pub async fn verify_progress(&self, id: PartitionId) -> Result<Option<VerifyJob>, Error> {
        self.hosted(id)?;
        let job = self.ledger.peek(id).await?.and_then(|record| record.verify.clone());
        Ok(job.map(|job| self.metered(job)))
    }

    /// Cancels the verification that was asked for on the partition.
    pub async fn cancel_verify(&self, id: PartitionId) -> Result<(), Error> {
        self.hosted(id)?;
        let cancel = |record: &mut PartitionRecord| {
            let job = record.verify.as_mut().filter(|job| job.state.is_active());
            let job = job.ok_or(Error::NothingToCancel { what: "verification", id })?;
            job.cancelled = true;
            if matches!(job.state, State::Accepted) {
                let why = Failure::new(FailureCode::Aborted, "the verification was cancelled before it began");
                job.apply(Event::Fail(why))?;
            }
            Ok(())
        };
        self.ledger.update_partition(id, self.clock.now(), cancel).await?
    }

    /// The chain of the backup, if its description can be read and is that of the one asked for.
    async fn chain(&self, storage: &StorageSpec, asked: Uuid, at: &Location) -> Result<Option<Uuid>, Error> {
        let metadata = match self.catalog.described(storage, at).await {
            Ok(metadata) => metadata,
            Err(error) if error.code() == FailureCode::Damaged => return Ok(None),
            Err(error) => return Err(Error::of_backup(error)),
        };
        if metadata.point.id != asked {
            return Err(Error::OtherBackup { asked, found: metadata.point.id, location: at.clone() });
        }
        if metadata.content.is_none() {
            return Err(Error::Foreign(at.clone()));
        }
        Ok(Some(metadata.point.chain_id))
    }
}
