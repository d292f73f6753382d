//! Tries a store out: whether it does the four things that backups need.

use std::fmt;

use bytes::Bytes;
use uuid::Uuid;

use super::{ErrorKind, Storage, StorageError};

/// Ends like no backup's data or record, and lies in no partition's folder: no listing takes it for one.
const NAME: &str = ".fabric-backup-probe-";
const CONTENT: Bytes = Bytes::from_static(b"This object shows that the store can be used. It may be deleted.\n");

/// What backups need of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeStep {
    /// Writing an object, and making the store if need be.
    Write,
    /// Reading it.
    Read,
    /// Listing it.
    List,
    /// Deleting it.
    Delete,
}

/// What a store that was tried out did not do.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// One of the four failed.
    #[error("the storage was tried out and a small object could not be {step}")]
    Failed {
        /// Which.
        step: ProbeStep,
        /// Why.
        source: StorageError,
    },
    /// It was read, but not as it was written.
    #[error("the storage was tried out and a small object was read back with other content than it was written with")]
    Changed,
    /// Its name is not in the listing.
    #[error("the storage was tried out and a small object that was written is not listed")]
    Unlisted,
}

impl ProbeError {
    /// Which of the four failed.
    pub fn step(&self) -> ProbeStep {
        match self {
            Self::Failed { step, .. } => *step,
            Self::Changed => ProbeStep::Read,
            Self::Unlisted => ProbeStep::List,
        }
    }
}

impl ProbeError {
    /// Whether the store did not even take the object in.
    fn is_silence(&self) -> bool {
        matches!(self, Self::Failed { step: ProbeStep::Write, source } if source.kind() == ErrorKind::Unreachable)
    }
}

impl fmt::Display for ProbeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write => "written",
            Self::Read => "read",
            Self::List => "listed",
            Self::Delete => "deleted",
        })
    }
}

/// `id` is nobody else's. Deletes also what a failed write may have left, unless the store could not be reached: then it
/// would only be waited for once more.
pub(super) async fn probe(storage: &Storage, id: Uuid) -> Result<(), ProbeError> {
    let key = format!("{NAME}{id}");
    let tried = write_read_list(storage, &key).await;
    if tried.as_ref().is_err_and(ProbeError::is_silence) {
        return tried;
    }
    let deleted = storage.delete(&key).await.map_err(failed(ProbeStep::Delete));
    tried.and(deleted)
}

async fn write_read_list(storage: &Storage, key: &str) -> Result<(), ProbeError> {
    storage.put_new(key, CONTENT).await.map_err(failed(ProbeStep::Write))?;
    if storage.get(key).await.map_err(failed(ProbeStep::Read))? != CONTENT {
        return Err(ProbeError::Changed);
    }
    let listed = storage.list(key).await.map_err(failed(ProbeStep::List))?;
    if listed.iter().any(|object| object.key == key) { Ok(()) } else { Err(ProbeError::Unlisted) }
}

fn failed(step: ProbeStep) -> impl FnOnce(StorageError) -> ProbeError {
    move |source| ProbeError::Failed { step, source }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
