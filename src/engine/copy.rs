//! Reads a snapshot into a packer, and says what its failures mean for the job.

use std::io;

use super::end::{End, source_failed};
use crate::{
    archive::{PackError, Packer, Upload, WriteError},
    domain::{Entry, EntryKind, Failure, FailureCode, words},
    source::{Snapshot, SourceError},
};

/// Why a snapshot did not become an archive.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Pack(#[from] PackError),
}

/// Reads the whole snapshot into the packer, as far as it does not know it, then looks again whether it was one moment.
pub(super) fn copy(snapshot: &Snapshot, packer: &mut Packer<Upload>) -> Result<(), CopyError> {
    let mut walk = snapshot.walk();
    while let Some(entry) = walk.next() {
        let (entry, stamp) = (entry?, walk.stamp());
        if packer.kept(&entry, stamp)? {
            continue;
        }
        match entry.kind {
            EntryKind::File { .. } => read(snapshot, &entry, stamp, packer)?,
            EntryKind::Directory | EntryKind::Symlink { .. } => packer.entry(&entry, &mut io::empty())?,
        }
    }
    Ok(snapshot.verify()?)
}

/// Reads a file, or what an earlier attempt had not packed of it.
fn read(snapshot: &Snapshot, entry: &Entry, stamp: u64, packer: &mut Packer<Upload>) -> Result<(), CopyError> {
    match packer.begun(entry, stamp)? {
        None => packer.stamped(entry, stamp, &mut snapshot.open(entry)?)?,
        Some(done) => packer.rest(entry, stamp, done, &mut snapshot.open_after(entry, done)?)?,
    }
    Ok(())
}

pub(super) fn write_failed(error: &WriteError<CopyError>) -> End {
    match error {
        WriteError::Source(CopyError::Source(source)) => source_failed(source, source),
        // The next attempt goes without the base, or without what was left.
        WriteError::Source(CopyError::Pack(PackError::Base(_) | PackError::Left(_))) => {
            End::Changed(Failure::new(FailureCode::Damaged, words(error)))
        }
        WriteError::Source(CopyError::Pack(pack)) => match SourceError::find(pack) {
            Some(source) => source_failed(source, source),
            None => End::failed(pack.code(), pack),
        },
        // The next attempt takes the next free name, or writes anew what the storage has lost.
        WriteError::Taken(_) | WriteError::Vanished(_) => End::Changed(Failure::new(FailureCode::Other, words(error))),
        _ => End::failed(error.code(|_| FailureCode::Other), error),
    }
}
