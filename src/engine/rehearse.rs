//! A rehearsal: a backup restored to a place of its own, compared with its manifest, and thrown away.
//!
//! Touches no state. Whatever happens, nothing is left of it but what a kill leaves, and that lies in the scratch
//! directory alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use uuid::Uuid;

use super::{blocking, tree::Tree};
use crate::{
    archive::{Archive, ExtractError},
    domain::words,
    job::{Checked, Meter},
    source::{Source, SourceError},
};

/// Why a rehearsal came to no result. Damage is a result, but it is told here: by then nothing more is restored.
#[derive(Debug, thiserror::Error)]
pub enum RehearseError {
    /// There is no place for it.
    #[error("the scratch directory '{path}' cannot be made")]
    Scratch {
        /// Which one.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The tree cannot be built or read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The backup cannot be restored.
    #[error(transparent)]
    Extract(#[from] ExtractError<SourceError>),
}

/// Restores the backup into a directory that is made for it and removed again, and compares it with its manifest.
pub async fn rehearse(
    archive: &Archive,
    scratch: &Path,
    job: Uuid,
    meter: Arc<Meter>,
) -> Result<Checked, RehearseError> {
    let scratch = scratch.to_owned();
    let tree = blocking(move || begin(scratch, job)).await?;
    let Tree { staging, guard } = archive.extract(tree, meter).await?;
    let archive = archive.clone();
    let compare = move || {
        let sealed = staging.seal()?;
        let checked = archive.compare(sealed.walk()?);
        drop(sealed);
        drop(guard);
        Ok(checked?)
    };
    blocking(compare).await
}

fn begin(path: PathBuf, job: Uuid) -> Result<Tree<Scratch>, RehearseError> {
    let shown = path.display().to_string();
    fs::create_dir(&path).map_err(|source| RehearseError::Scratch { path: shown, source })?;
    let guard = Scratch(path);
    let staging = Source::directory(guard.0.join("state")).stage(job)?;
    Ok(Tree { staging, guard })
}

/// A directory that goes when it is dropped, with all that is in it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), error = %words(&error), "a rehearsal is left over; delete it");
        }
    }
}

#[cfg(test)]
#[path = "rehearse_tests.rs"]
mod tests;
