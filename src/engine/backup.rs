//! One backup: snapshot, pack, upload, look again, commit.

use std::{io, sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::time;
use uuid::Uuid;

use super::{
    Engine, HUNG, Hosted, blocking,
    end::{self, End, source_failed},
};
use crate::{
    archive::{self, BlockSize, Draft, PackError, Packer, Place, Staged, Storage, Upload, WriteError},
    domain::{BackupPoint, EntryKind, Failure, FailureCode, Location, PartitionId, words},
    job::{BackupJob, Event, State},
    ledger::{LedgerError, PartitionRecord},
    source::{Snapshot, SourceError},
};

/// How often a state that changes under the reader is read anew before the backup fails.
const ATTEMPTS: u32 = 3;

/// How long a store that does not answer is left alone. The network's business, so not the product's clock.
const PAUSE: Duration = Duration::from_secs(5);

/// The log of a directory has no positions of its own, so it is counted in blocks of this many bytes.
const LSN_BLOCK: u64 = 64 * 1024;

impl Engine {
    pub(super) async fn run_backup(&self, hosted: &Hosted, job: &BackupJob) -> Result<(), LedgerError> {
        let id = hosted.partition.id;
        tracing::info!(partition = %id, job = %job.id, "backup begins");
        let event = match self.backup(hosted, job).await {
            Ok(()) => return Ok(()),
            Err(End::Ledger(error)) => return Err(error),
            Err(End::Failed(failure) | End::Changed(failure)) => Event::Fail(failure),
            Err(End::Expired) => Event::Expire(expired(job)),
        };
        self.discard_attempt(id, job).await?;
        tracing::warn!(partition = %id, job = %job.id, ?event, "backup ends without a result");
        self.change(id, |record| move_on(record, job.id, event.clone())).await
    }

    async fn backup(&self, hosted: &Hosted, job: &BackupJob) -> Result<(), End> {
        let id = hosted.partition.id;
        let storage = self.open(&job.task.storage).await?;
        if job.state == State::Committing && self.is_settled(id, job, &storage).await? {
            return Ok(());
        }
        let _slot = self.slot(job.deadline).await?;
        self.within(job.deadline, clear(&storage, job)).await?;
        self.change(id, |record| move_on(record, job.id, Event::Start)).await?;
        let staged = self.within(job.deadline, self.attempts(hosted, job, &storage)).await?;
        self.change(id, |record| move_on(record, job.id, Event::Commit)).await?;
        let point = self.commit(job, &storage, staged).await?;
        tracing::info!(partition = %id, job = %job.id, location = %point.location, "backed up");
        Ok(self.complete_backup(id, job, point).await?)
    }

    /// Makes the backup visible. Where the answer is lost with the store, it is asked until it tells.
    async fn commit(&self, job: &BackupJob, storage: &Storage, staged: Staged) -> Result<BackupPoint, End> {
        let location = staged.location().clone();
        let error = match staged.commit().await {
            Ok(metadata) => return Ok(metadata.point),
            Err(error) => error,
        };
        let found = match error.code() {
            FailureCode::Unreachable => self.committed(job, storage, &location).await?,
            _ => None,
        };
        found.ok_or_else(|| End::failed(error.code(), &error))
    }

    /// Looks whether the backup that somebody was about to commit is there, and ends its job then, however late it is;
    /// otherwise the job begins again.
    async fn is_settled(&self, id: PartitionId, job: &BackupJob, storage: &Storage) -> Result<bool, End> {
        let Some(location) = &job.task.attempt else { return Ok(false) };
        let Some(point) = self.committed(job, storage, location).await? else {
            self.change(id, |record| move_on(record, job.id, Event::Interrupt)).await?;
            return Ok(false);
        };
        self.complete_backup(id, job, point).await?;
        Ok(true)
    }

    /// Asks the store until it answers or the deadline passes: nobody else can tell whether the backup exists.
    async fn committed(
        &self,
        job: &BackupJob,
        storage: &Storage,
        location: &Location,
    ) -> Result<Option<BackupPoint>, End> {
        loop {
            match archive::committed(storage, location, job.id).await {
                Err(error) if error.code() == FailureCode::Unreachable && self.clock.now() < job.deadline => {
                    time::sleep(PAUSE).await;
                }
                found => return found.map_err(|error| End::failed(error.code(), &error)),
            }
        }
    }

    async fn attempts(&self, hosted: &Hosted, job: &BackupJob, storage: &Storage) -> Result<Staged, End> {
        for attempt in 1..ATTEMPTS {
            match self.attempt(hosted, job, storage).await {
                Err(End::Changed(why)) => tracing::info!(job = %job.id, attempt, why = why.message, "reading anew"),
                end => return end,
            }
        }
        self.attempt(hosted, job, storage).await
    }

    /// Writes the data of one snapshot. Nothing is visible until the result is committed.
    async fn attempt(&self, hosted: &Hosted, job: &BackupJob, storage: &Storage) -> Result<Staged, End> {
        let source = hosted.source.clone();
        let at = self.clock.now().trunc_subsecs(0);
        let snapshot = Arc::new(blocking(move || source.snapshot()).await?);
        let place = place(hosted);
        let free = archive::free_second(storage, &place, at).await.map_err(|e| End::failed(e.code(), &e))?;
        let location = place.location(free);
        let left_out = notes(&snapshot);
        if let Some(note) = left_out.first() {
            tracing::warn!(partition = %hosted.partition.id, job = %job.id, note, "not all of the state can be backed up");
        }
        let record = self.note_attempt(hosted.partition.id, job.id, Some(&location), left_out).await?;
        let draft = Draft {
            point: point(hosted, job.id, &record, location, free, &snapshot),
            source_kind: "directory".to_owned(),
            block_size: BlockSize::for_state(snapshot.bytes()),
            policy: None,
        };
        let staged = archive::stage(storage, draft, move |packer| copy(&snapshot, packer)).await;
        if let Err(WriteError::Taken(_)) = &staged {
            // What lies there is not ours to discard.
            self.note_attempt(hosted.partition.id, job.id, None, Vec::new()).await?;
        }
        staged.map_err(|e| write_failed(&e))
    }

    /// Durable before the first byte, so that whoever finds the job knows where to look.
    async fn note_attempt(
        &self,
        id: PartitionId,
        job: Uuid,
        at: Option<&Location>,
        left_out: Vec<String>,
    ) -> Result<PartitionRecord, LedgerError> {
        self.change(id, |record| {
            if let Some(mine) = record.backup.as_mut().filter(|mine| mine.id == job) {
                mine.task.attempt = at.cloned();
                mine.task.notes.clone_from(&left_out);
            }
            record.clone()
        })
        .await
    }

    async fn complete_backup(&self, id: PartitionId, job: &BackupJob, point: BackupPoint) -> Result<(), LedgerError> {
        self.change(id, |record| {
            record.lsn = record.lsn.max(point.lsn);
            move_on(record, job.id, Event::Complete(point.clone()));
        })
        .await
    }

    /// Leaves the job unfinished only if there is no backup, and nothing of it in the store.
    pub(super) async fn give_up_backup(&self, id: PartitionId, job: &BackupJob) -> Result<(), LedgerError> {
        let Ok(storage) = self.open(&job.task.storage).await else { return Ok(()) };
        if job.state == State::Committing && matches!(self.is_settled(id, job, &storage).await, Ok(true)) {
            return Ok(());
        }
        self.discard_attempt(id, job).await
    }

    /// What a job that ends without a result may have left is data without metadata: no backup, only garbage. That it
    /// cannot be deleted now changes nothing of the job's end.
    async fn discard_attempt(&self, id: PartitionId, job: &BackupJob) -> Result<(), LedgerError> {
        let latest = self.ledger.partition(id).await?.and_then(|record| record.backup).filter(|mine| mine.id == job.id);
        let Some(location) = latest.and_then(|mine| mine.task.attempt) else { return Ok(()) };
        let Ok(storage) = self.open(&job.task.storage).await else { return Ok(()) };
        match time::timeout(HUNG, archive::discard(&storage, &location)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(partition = %id, %location, error = words(&error), "data without metadata is left");
            }
            Err(_late) => {
                tracing::warn!(partition = %id, %location, "the storage hangs; data without metadata may be left");
            }
        }
        Ok(())
    }
}

/// Takes away what an earlier attempt left, before the job begins again.
async fn clear(storage: &Storage, job: &BackupJob) -> Result<(), End> {
    let Some(location) = &job.task.attempt else { return Ok(()) };
    archive::discard(storage, location).await.map_err(|e| End::failed(e.code(), &e))
}

/// Why a snapshot did not become an archive.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Pack(#[from] PackError),
}

/// Reads the whole snapshot into the packer, then looks again whether it was one moment.
fn copy(snapshot: &Snapshot, packer: &mut Packer<Upload>) -> Result<(), CopyError> {
    for entry in snapshot.walk() {
        let entry = entry?;
        match entry.kind {
            EntryKind::File { .. } => packer.entry(&entry, &mut snapshot.open(&entry)?)?,
            EntryKind::Directory | EntryKind::Symlink { .. } => packer.entry(&entry, &mut io::empty())?,
        }
    }
    Ok(snapshot.verify()?)
}

fn move_on(record: &mut PartitionRecord, job: Uuid, event: Event<BackupPoint>) {
    if let Some(mine) = record.backup.as_mut().filter(|mine| mine.id == job) {
        end::apply(mine, event);
    }
}

fn write_failed(error: &WriteError<CopyError>) -> End {
    match error {
        WriteError::Source(CopyError::Source(source)) => source_failed(source, source),
        WriteError::Source(CopyError::Pack(pack)) => match SourceError::find(pack) {
            Some(source) => source_failed(source, source),
            None => End::failed(pack.code(), pack),
        },
        // The next attempt takes the next free name.
        WriteError::Taken(_) => End::Changed(Failure::new(FailureCode::Other, words(error))),
        _ => End::failed(error.code(|_| FailureCode::Other), error),
    }
}

fn place(hosted: &Hosted) -> Place {
    let partition = &hosted.partition;
    Place { application: partition.application.clone(), service: partition.service.clone(), partition: partition.id }
}

fn point(
    hosted: &Hosted,
    id: Uuid,
    record: &PartitionRecord,
    location: Location,
    created: DateTime<Utc>,
    snapshot: &Snapshot,
) -> BackupPoint {
    let blocks = snapshot.bytes().div_ceil(LSN_BLOCK).max(1);
    BackupPoint {
        id,
        chain_id: id,
        parent: None,
        location,
        created,
        epoch: record.epoch,
        lsn: record.lsn.saturating_add(i64::try_from(blocks).unwrap_or(i64::MAX)),
        partition: hosted.partition.kind.clone(),
        manifest_version: hosted.partition.manifest_version.clone(),
    }
}

fn notes(snapshot: &Snapshot) -> Vec<String> {
    let skipped = snapshot.skipped();
    if skipped.count == 0 { Vec::new() } else { vec![skipped.to_string()] }
}

fn expired(job: &BackupJob) -> Failure {
    let minutes = (job.deadline - job.requested).max(TimeDelta::zero()).num_minutes();
    let message = format!(
        "not backed up within {minutes} minutes, nothing is left in the store; ask again with a greater BackupTimeout"
    );
    Failure::new(FailureCode::Timeout, message)
}
