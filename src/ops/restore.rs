use uuid::Uuid;

use super::{Error, Ops, backup::refuse_if_busy};
use crate::{
    archive::{Metadata, parse_location},
    domain::{BackupPoint, Location, Partition, PartitionId, StorageSpec},
    job::{RestoreJob, RestoreTask},
    ledger::PartitionRecord,
};

/// Which backup a restore is asked to bring back.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The backup's identity; must be the one that lies at `location`.
    pub backup: Uuid,
    /// Where it lies, as a list or a progress told.
    pub location: String,
    /// The storage it lies in; the partition's own if none is named.
    pub storage: Option<StorageSpec>,
}

impl Ops {
    /// Accepts a restore of the partition; `minutes` is how long it may take. The backup may be of another partition, of
    /// another service or cluster, as long as it holds the same keys.
    pub async fn restore_partition(&self, id: PartitionId, request: RestoreRequest, minutes: u32) -> Result<(), Error> {
        let partition = self.persisted(id)?;
        let storage = self.storage(partition, request.storage)?;
        let location = parse_location(&request.location)?;
        let metadata = self.catalog.restorable(&storage, &location).await.map_err(Error::of_backup)?;
        let point = restorable(partition, request.backup, &location, metadata)?;
        self.accept_restore(id, RestoreTask { storage, point, automatic: false }, minutes).await
    }

    /// The latest restore that was asked for; none if there never was one.
    pub async fn restore_progress(&self, id: PartitionId) -> Result<Option<RestoreJob>, Error> {
        self.hosted(id)?;
        Ok(self.ledger.partition(id).await?.and_then(|record| record.restore))
    }

    async fn accept_restore(&self, id: PartitionId, task: RestoreTask, minutes: u32) -> Result<(), Error> {
        let (now, deadline) = self.deadline(minutes);
        let job = RestoreJob::new(self.clock.uuid(), now, deadline, task);
        let accept = |record: &mut PartitionRecord| {
            refuse_if_busy(id, record)?;
            record.restore = Some(job.clone());
            Ok(())
        };
        self.ledger.update_partition(id, now, accept).await?
    }
}

/// The backup, if it is the one asked for, fits the partition and is one that this version can bring back.
fn restorable(partition: &Partition, id: Uuid, at: &Location, metadata: Metadata) -> Result<BackupPoint, Error> {
    let Metadata { mut point, content } = metadata;
    if point.id != id {
        return Err(Error::OtherBackup { asked: id, found: point.id, location: at.clone() });
    }
    if point.partition != partition.kind {
        return Err(Error::OtherKeys { found: point.partition, wanted: partition.kind.clone() });
    }
    if content.is_none() {
        return Err(Error::Foreign(at.clone()));
    }
    // A store may have been copied or renamed since: what was asked for is where it lies now.
    point.location = at.clone();
    Ok(point)
}
