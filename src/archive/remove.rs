//! Deletes a backup: first the commit record, and with it the backup is gone, then the data.
//!
//! Owns that order, the reverse of writing. Whatever stops it half way leaves a backup that is whole, or data without a
//! record, which is no backup and which [`orphans`](super::Catalog::orphans) finds.

use super::names::{Keys, LocationError};
use crate::{
    domain::Location,
    storage::{Storage, StorageError},
};

/// Why a backup was not deleted, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Not a place where a backup can lie.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The commit record is still there, or may be: the backup was not deleted and its data not touched.
    #[error("the backup '{location}' could not be deleted")]
    Record {
        /// Which backup.
        location: Location,
        /// Why.
        source: StorageError,
    },
    /// The backup is gone and its data is left.
    #[error("the backup '{location}' was deleted, but its data could not be; it is no backup any more and takes room")]
    Data {
        /// Which backup.
        location: Location,
        /// Why.
        source: StorageError,
    },
}

/// Deletes the backup at `location`. What is not there is no error.
pub async fn remove(storage: &Storage, location: &Location) -> Result<(), RemoveError> {
    let keys = Keys::of(location)?;
    let of_record = |source| RemoveError::Record { location: location.clone(), source };
    storage.delete(&keys.metadata).await.map_err(of_record)?;
    let of_data = |source| RemoveError::Data { location: location.clone(), source };
    storage.delete(&keys.zip).await.map_err(of_data)
}

#[cfg(test)]
#[path = "remove_tests.rs"]
mod tests;
