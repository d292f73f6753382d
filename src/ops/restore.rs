use serde::Serialize;
use uuid::Uuid;

use super::{Error, Ops, backup::refuse_if_busy, cancel::stop_scheduled, once};
use crate::{
    archive::{Metadata, parse_location},
    domain::{BackupPoint, DataLoss, Location, Partition, PartitionId, StorageSpec},
    job::{RestoreJob, RestoreTask},
    ledger::{Once, PartitionRecord},
};

/// Which backup a restore is asked to bring back.
#[derive(Debug, Clone, Serialize)]
pub struct RestoreRequest {
    /// The backup's identity; must be the one that lies at `location`.
    pub backup: Uuid,
    /// Where it lies, as a list or a progress told.
    pub location: String,
    /// The storage it lies in; the partition's own if none is named.
    pub storage: Option<StorageSpec>,
}

/// How the latest restore goes, and whether one is needed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RestoreProgress {
    /// The latest restore; none if there never was one.
    pub job: Option<RestoreJob>,
    /// The state is lost, and what becomes of the partition has to be decided.
    pub data_loss: Option<DataLoss>,
}

impl Ops {
    /// Accepts a restore of the partition; `minutes` is how long it may take. The backup may be of another partition, of
    /// another service or cluster, as long as it holds the same keys. `key` is how the caller names the request.
    pub async fn restore_partition(
        &self,
        id: PartitionId,
        request: RestoreRequest,
        minutes: u32,
        key: Option<String>,
    ) -> Result<(), Error> {
        let partition = self.persisted(id)?;
        let once = once::named("restore", key, &request);
        if self.is_repeated(id, once.as_ref()).await? {
            return Ok(());
        }
        let storage = self.storage(partition, request.storage).await?;
        let location = parse_location(&request.location)?;
        let metadata = self.catalog.restorable(&storage, &location).await.map_err(Error::of_backup)?;
        let point = restorable(partition, request.backup, &location, metadata)?;
        self.accept_restore(id, RestoreTask { storage, point, automatic: false }, minutes, once.as_ref()).await
    }

    /// The latest restore that was asked for, and whether the partition waits for one.
    pub async fn restore_progress(&self, id: PartitionId) -> Result<RestoreProgress, Error> {
        self.hosted(id)?;
        let record = self.ledger.partition(id).await?;
        Ok(record
            .map(|record| RestoreProgress {
                job: record.restore.map(|job| self.metered(job)),
                data_loss: record.data_loss,
            })
            .unwrap_or_default())
    }

    async fn accept_restore(
        &self,
        id: PartitionId,
        task: RestoreTask,
        minutes: u32,
        once: Option<&Once>,
    ) -> Result<(), Error> {
        let (now, deadline) = self.deadline(minutes);
        let job = RestoreJob::new(self.clock.uuid(), now, deadline, task);
        let accept = |record: &mut PartitionRecord| {
            refuse_if_busy(id, record)?;
            record.restore = Some(job.clone());
            // Whoever wants another state does not want a backup of this one first.
            stop_scheduled(record);
            Ok(())
        };
        self.accept(id, now, once, accept).await
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
