//! Going on with a backup that was cut off by a crash, or by a process that was told to stop.
//!
//! Each job has its journal in a directory of this node, under its id, from when enough was written to be worth it until the
//! job ends, however it ends. What cannot be gone on with is taken away, and the backup starts over.

use std::{fs, path::PathBuf, sync::Arc};

use uuid::Uuid;

use super::{Engine, Hosted, blocking, copy::CopyError, end::End};
use crate::{
    archive::{self, Journal, Left, PackError, Packing, Resumption, Storage, Use},
    domain::words,
    job::BackupJob,
    source::Snapshot,
};

/// After so many bytes of a backup a crash costs no more than the time since: rare enough that nothing is slower for it.
pub const SAFE_DISTANCE: u64 = 256 << 20;

/// Where the journals are.
#[derive(Debug, Clone)]
pub(super) struct Journals {
    pub(super) directory: PathBuf,
    pub(super) distance: u64,
}

impl Engine {
    /// The journal of a backup, if any are kept.
    pub(super) fn journal(&self, job: Uuid) -> Option<Journal> {
        let Journals { directory, distance } = self.journals.as_ref()?;
        Some(Journal::new(directory.join(job.to_string()), *distance))
    }

    /// Removes the journals of jobs that are over. For the start, when nobody is at work.
    pub async fn sweep_journals(&self) {
        let Some(Journals { directory, .. }) = self.journals.clone() else { return };
        let mut active = Vec::new();
        for id in self.partitions() {
            // Whoever asks for the partition is told so.
            let Ok(record) = self.ledger.partition(id).await else { return };
            let jobs = record.iter().flat_map(|record| record.backups().filter(|job| job.state.is_active()));
            active.extend(jobs.map(|job| job.id.to_string()));
        }
        blocking(move || {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                if !active.iter().any(|job| entry.file_name() == job.as_str()) {
                    // What is in the way of that is in the way of nothing else.
                    let _ = fs::remove_file(entry.path());
                }
            }
        })
        .await;
    }

    /// What the job's last attempt left that it can go on with. What it cannot is taken away.
    pub(super) async fn take_up(
        &self,
        hosted: &Hosted,
        job: &BackupJob,
        storage: &Storage,
    ) -> Result<Option<Resumption>, End> {
        let Some(location) = &job.task.attempt else { return Ok(None) };
        let journal = self.journal(job.id).filter(|_| hosted.source.has_stamps());
        if let Some(journal) = journal {
            let again = archive::take_up(storage, &journal, location, job.id, &self.spools).await;
            if let Some(again) = again.map_err(|e| End::failed(e.code(), &e))? {
                return Ok(Some(again));
            }
        }
        archive::discard(storage, location).await.map_err(|e| End::failed(e.code(), &e))?;
        Ok(None)
    }
}

/// What was left, if the packing of today can go on with it. If not, nothing is left of it.
pub(super) async fn usable(
    again: Option<Resumption>,
    snapshot: &Arc<Snapshot>,
    packing: &Packing,
    job: &BackupJob,
) -> Option<Resumption> {
    let again = again?;
    let Some(why) = objection(again.left().clone(), snapshot, packing).await else {
        tracing::info!(job = %job.id, from = again.length(), "the backup goes on where it was cut off");
        return Some(again);
    };
    tracing::warn!(job = %job.id, why, "a backup that was interrupted starts over");
    again.abort().await;
    None
}

async fn objection(left: Left, snapshot: &Arc<Snapshot>, packing: &Packing) -> Option<String> {
    if !packing.fits(&left) {
        return Some("it goes on from another backup than before, or its blocks have another size".to_owned());
    }
    let snapshot = Arc::clone(snapshot);
    match blocking(move || is_worth_it(&snapshot, &left)).await {
        Ok(true) => None,
        Ok(false) => Some("most of what was packed has changed since".to_owned()),
        Err(error) => Some(words(&error)),
    }
}

/// Holds what was seen of the state against what was packed.
fn is_worth_it(snapshot: &Snapshot, left: &Left) -> Result<bool, CopyError> {
    let mut used = Use::of(left).map_err(PackError::Left)?;
    let mut walk = snapshot.walk();
    while let Some(entry) = walk.next() {
        used.add(&entry?, walk.stamp()).map_err(PackError::Left)?;
    }
    Ok(used.is_worth_it())
}
