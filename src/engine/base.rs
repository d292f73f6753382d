//! What an incremental backup goes on from: the backup that was wanted for it, if it can be used.
//!
//! Where there is nothing to go on from, a full backup is made, and the log says why. Only a machine on which the backup
//! before cannot be kept while it is read fails the job: a full one would come to the same after much more work.

use uuid::Uuid;

use super::end::End;
use crate::{
    archive::{self, Archive, BlockSize, Packing, ReadError, Storage},
    domain::{Parent, Wanted, words},
    job::BackupJob,
    spool::Spools,
};

/// The backup before.
#[derive(Debug, Clone)]
pub(super) struct Base {
    pub(super) parent: Parent,
    pub(super) chain_id: Uuid,
    archive: archive::Base,
}

impl Base {
    /// Opens what the job is to go on from. None: it is to be full, or has to be.
    pub(super) async fn open(job: &BackupJob, storage: &Storage, spools: &Spools) -> Result<Option<Self>, End> {
        let Wanted::Incremental(parent) = &job.task.wanted else { return Ok(None) };
        let why = match Archive::open(storage, &parent.location, spools).await {
            Ok(archive) if archive.point().id == parent.id => {
                let (parent, chain_id) = (parent.clone(), archive.point().chain_id);
                return Ok(Some(Self { parent, chain_id, archive: archive::Base::of(&archive) }));
            }
            Ok(_) => "another backup lies in its place".to_owned(),
            Err(error @ ReadError::Spool { .. }) => return Err(End::failed(error.code(), &error)),
            Err(error) => words(&error),
        };
        full_instead(job, &why);
        Ok(None)
    }

    /// How to pack a state of so many bytes. A chain whose blocks have become too small for it does not go on.
    pub(super) fn packing(base: &mut Option<Self>, bytes: u64, job: &BackupJob) -> Packing {
        let block_size = BlockSize::for_state(bytes);
        if base.take_if(|base| base.archive.block_size().bytes() < block_size.bytes()).is_some() {
            full_instead(job, "the state has outgrown the blocks of the chain");
        }
        base.as_ref().map_or(Packing::full(block_size), |base| Packing::after(base.archive.clone()))
    }
}

/// Says why a full backup is made where an incremental one was wanted.
pub(super) fn full_instead(job: &BackupJob, why: &str) {
    let Wanted::Incremental(parent) = &job.task.wanted else { return };
    let message = "the backup before cannot be continued, so this one is full";
    tracing::warn!(job = %job.id, parent = %parent.location, why, "{message}");
}
