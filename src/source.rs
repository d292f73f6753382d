//! A partition's state as a tree on disk: read so that what is read was there, replaced so that it is never half there.
//!
//! Owns every system call on a state. Never follows a symbolic link: each step of a path is opened relative to the
//! directory before it with `O_NOFOLLOW`, so a part that turns into a link under our hands is an error, not a leak.
//!
//! **Reading** is a seqlock. [`Source::snapshot`] walks once, keeps the entries in a spool, and in memory 16 bytes of each: a
//! hash of its path and one of its *stamp* (device, inode, type and mode, size, mtime, ctime). Every opened file is held
//! against them, and [`Snapshot::verify`] looks at the whole tree once more after the last byte was read. If each stamp
//! is then what it was before the first byte, nothing moved in between, provided that a later change cannot repeat a
//! stamp. The kernel's stamps move in ticks of up to 10 ms, so a file written in the tick of its own walk could be
//! written again unseen. The first walk therefore accepts a stamp only once it is 20 ms old, and waits for younger
//! ones; what is never quiet for that long is [`SourceError::Changed`]. ctime cannot be set by programs, so a restored
//! mtime hides nothing. A store through a memory map moves a stamp only when its page was clean, so every page is made
//! clean between the first walk and the reading. Not seen: a single in-place `write` call that itself lasts over 20 ms,
//! stores through a memory map on tmpfs or on a file system mounted inside, and changes on a network file system whose
//! clock is not ours.
//!
//! The root itself must be a directory, not a link to one: a swap would replace the link. Other file systems mounted
//! inside are part of the state. Two hard links are two files. Owners, extended attributes and ACLs are not carried.
//!
//! **Replacing** happens beside the state, on its file system, in `<parent>/.<name>.fabric-backup/` (mode 0700):
//! `staging/` is the tree that grows, `undo/` the state before the last restore (exactly one, kept until the next
//! restore), `intent` and `restored` name a job, `trash-*` is what is being deleted, or could not be yet. How a kill at any moment is
//! survived is argued in `annex`. The file system must be able to exchange two directories (`renameat2`); the
//! state may not be a mount point itself. Both are errors that say what to do.

mod annex;
mod crash;
mod dirfd;
mod error;
mod inspect;
#[cfg(test)]
#[path = "source/landing_tests.rs"]
mod landing;
mod reader;
mod remove;
mod second;
mod seen;
mod snapshot;
mod staging;
mod stamp;
mod trail;
#[cfg(test)]
#[path = "source/trees_tests.rs"]
mod trees;
mod walk;

use std::path::PathBuf;

use uuid::Uuid;

use crate::spool::Spools;

pub use annex::Recovered;
#[cfg(test)]
pub(crate) use crash::tests::killed_after;
pub use error::SourceError;
pub use inspect::Found;
pub use reader::FileReader;
pub use snapshot::{Skipped, Snapshot, Walk};
pub use staging::{FileSink, Sealed, Staging};

use annex::Annex;

/// Where a partition's state is. Every call blocks.
#[derive(Debug, Clone)]
pub struct Source {
    root: PathBuf,
    always_read: bool,
    spools: Spools,
}

impl Source {
    /// A state that is this directory. Nothing is looked at yet.
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self { root: path.into(), always_read: false, spools: Spools::in_memory() }
    }

    /// Whether every backup is to read every file, also those that seem not to have changed: for states that change
    /// without moving a stamp.
    #[must_use]
    pub fn always_read(self, always_read: bool) -> Self {
        Self { always_read, ..self }
    }

    /// Where a snapshot keeps what it saw, if that is too much for memory.
    #[must_use]
    pub fn spooling(self, spools: Spools) -> Self {
        Self { spools, ..self }
    }

    /// Whether a later walk can tell, without reading, that a file is still the same.
    pub fn has_stamps(&self) -> bool {
        !self.always_read
    }

    /// Looks whether the state is there, without a walk.
    pub fn inspect(&self) -> Found {
        inspect::inspect(&self.root)
    }

    /// Walks the state once, without reading a file, and remembers what was there.
    pub fn snapshot(&self) -> Result<Snapshot, SourceError> {
        Snapshot::take(&self.root, self.always_read, &self.spools)
    }

    /// A place beside the state, on its file system, for what a job makes there that never becomes the state. Nobody else
    /// names it so.
    pub fn scratch(&self, job: Uuid) -> PathBuf {
        let name = self.root.file_name().unwrap_or_default().to_string_lossy();
        self.root.with_file_name(format!(".{name}.verify-{job}"))
    }

    /// Begins a fresh tree beside the state. What a killed process left there is cleared first.
    pub fn stage(&self, job: Uuid) -> Result<Staging, SourceError> {
        Staging::begin(&self.root, job)
    }

    /// Finishes or discards what a killed process left. Call it at start-up, and when [`Sealed::swap`] failed; then ask
    /// [`Self::restored_job`], which knows more: a swap that failed late may be finished before this is called.
    pub fn recover(&self) -> Result<Recovered, SourceError> {
        Annex::find(&self.root)?.map_or(Ok(Recovered::Nothing), |annex| annex.settle())
    }

    /// Removes what staging needed beside the state, if nothing is kept there. For a state that no service looks after.
    pub fn tidy(&self) -> Result<(), SourceError> {
        let Some(annex) = Annex::find(&self.root)? else { return Ok(()) };
        annex.settle()?;
        annex.remove()
    }

    /// The job of the last completed swap, on disk since before that swap was reported. Call [`Self::recover`] first.
    pub fn restored_job(&self) -> Result<Option<Uuid>, SourceError> {
        Annex::find(&self.root)?.map_or(Ok(None), |annex| annex.restored_job())
    }
}
