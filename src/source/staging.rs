//! The tree that a restore builds, entry by entry, until it can take the state's place.
//!
//! Trusts no entry: a parent is a directory that this staging made, opened without following anything, and a name is
//! made only once. So nothing lands outside, whatever the archive says. Entries come depth first; a directory gets its
//! attributes as soon as they have left it, so what is remembered is one path and not the whole tree.
//!
//! Everything is made durable by one `syncfs` when the tree is sealed: a flush per file would cost a journal commit
//! per file, which adds up in a state of many small ones. It goes through the descriptor opened before the first write,
//! and on Linux 5.8 and later it reports every write-back error since then.
//!
//! The root keeps the mode of the present state's root, or gets 0700. Run as root, everything is given to the owner of
//! the present state's root; otherwise it belongs to this process.

use std::{
    fs::File,
    mem,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::Path,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chownat, fchmod, fchown,
        ftruncate, futimens, mkdirat, openat, symlinkat, syncfs, utimensat,
    },
    io::Errno,
    process::geteuid,
};
use uuid::Uuid;

use crate::domain::{Entry, EntryKind};

use super::{SourceError, annex::Annex, crash::step, dirfd, trail::Trail};

/// A tree under construction beside the state. Dropping it deletes it, which takes as long as that takes.
#[derive(Debug)]
pub struct Staging {
    scratch: Scratch,
    root: OwnedFd,
    root_mode: Mode,
    owner: Option<Owner>,
    trail: Trail,
    made: Made,
    unfinished: Arc<AtomicUsize>,
}

/// The directories from the root to where the entries are, made and still without their attributes.
#[derive(Debug, Default)]
struct Made {
    /// The deepest of them.
    path: String,
    attributes: Vec<Attributes>,
}

#[derive(Debug, Clone, Copy)]
struct Attributes {
    mode: Mode,
    mtime: Timespec,
}

/// A complete and durable tree, ready to take the state's place. Dropping it deletes it.
#[derive(Debug)]
pub struct Sealed(Scratch);

#[derive(Debug)]
struct Scratch {
    annex: Annex,
    job: Uuid,
}

type Owner = (Uid, Gid);

impl Staging {
    pub(super) fn begin(place: &Path, job: Uuid) -> Result<Self, SourceError> {
        let annex = Annex::make(place)?;
        annex.settle()?;
        let state = annex.state()?;
        if let Some(stat) = &state {
            refuse_no_directory(place, FileType::from_raw_mode(stat.st_mode))?;
        }
        let scratch = Scratch { annex, job };
        let root = scratch.annex.begin()?;
        let root_mode = state.as_ref().map_or(Mode::RWXU, |stat| Mode::from_raw_mode(stat.st_mode));
        let owner = state.filter(|_| geteuid().is_root());
        let owner = owner.map(|stat| (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid)));
        let trail = Trail::start(&root).map_err(|errno| SourceError::io("opening", scratch.annex.shown(), errno))?;
        Ok(Self { scratch, root, root_mode, owner, trail, made: Made::default(), unfinished: Arc::default() })
    }

    /// Makes a directory. Its mode and time come when the entries have left it.
    pub fn directory(&mut self, entry: &Entry) -> Result<(), SourceError> {
        let EntryKind::Directory = entry.kind else { return Err(wrong_kind(entry)) };
        self.within(entry, |parent, name| mkdirat(parent, name, Mode::RWXU))?;
        self.made.add(entry);
        Ok(())
    }

    /// Makes a symbolic link, wherever it points to.
    pub fn symlink(&mut self, entry: &Entry) -> Result<(), SourceError> {
        let EntryKind::Symlink { target } = &entry.kind else { return Err(wrong_kind(entry)) };
        let (owner, attributes) = (self.owner, Attributes::of(entry));
        self.within(entry, |parent, name| {
            symlinkat(target, parent, name)?;
            if let Some((uid, gid)) = owner {
                chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            utimensat(parent, name, &attributes.times(), AtFlags::SYMLINK_NOFOLLOW)
        })
    }

    /// Makes a file, to be filled.
    pub fn file(&mut self, entry: &Entry) -> Result<FileSink, SourceError> {
        let EntryKind::File { len } = entry.kind else { return Err(wrong_kind(entry)) };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.within(entry, |parent, name| openat(parent, name, flags, Mode::RUSR | Mode::WUSR))?;
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        let (entry, unfinished) = (entry.clone(), Arc::clone(&self.unfinished));
        Ok(FileSink { file: file.into(), entry, len, owner: self.owner, unfinished })
    }

    /// Does something in the directory that is to hold an entry.
    fn within<T>(
        &mut self,
        entry: &Entry,
        act: impl FnOnce(&OwnedFd, &str) -> Result<T, Errno>,
    ) -> Result<T, SourceError> {
        let (parent, name) = dirfd::split(entry.path.as_str());
        self.go(parent, entry)?;
        step().and_then(|()| act(self.trail.dir(), name)).map_err(|errno| match errno {
            Errno::EXIST => SourceError::refused(entry.path.as_str(), "the backup holds it twice"),
            errno => SourceError::io("restoring", entry.path.as_str(), errno),
        })
    }

    fn go(&mut self, parent: &str, entry: &Entry) -> Result<(), SourceError> {
        let is_made = self.made.holds(parent);
        if is_made {
            self.dress_below(parent)?;
        }
        self.trail.go(parent).map_err(|errno| match errno {
            Errno::NOENT => SourceError::refused(entry.path.as_str(), "its directory does not come before it"),
            Errno::NOTDIR | Errno::LOOP => SourceError::refused(entry.path.as_str(), "what holds it is no directory"),
            errno => SourceError::io("restoring", entry.path.as_str(), errno),
        })?;
        let late = || SourceError::refused(entry.path.as_str(), "it comes after its directory was complete");
        if is_made { Ok(()) } else { Err(late()) }
    }

    /// Gives the last directories and the root their attributes, and makes the whole tree durable.
    pub fn seal(mut self) -> Result<Sealed, SourceError> {
        if self.unfinished.load(Ordering::Relaxed) > 0 {
            return Err(SourceError::refused(self.scratch.annex.shown(), "a file was not restored to its end"));
        }
        self.dress_below("")?;
        let root = own(&self.root, self.owner).and_then(|()| fchmod(&self.root, self.root_mode));
        let durable = root.and_then(|()| step()).and_then(|()| syncfs(&self.root));
        durable.map_err(|errno| SourceError::io("making durable", self.scratch.annex.shown(), errno))?;
        Ok(Sealed(self.scratch))
    }

    /// Gives what the entries have left its attributes, the deepest first.
    fn dress_below(&mut self, path: &str) -> Result<(), SourceError> {
        while self.made.path.len() > path.len() {
            self.dress_deepest()
                .map_err(|errno| SourceError::io("restoring the attributes of", self.made.path.as_str(), errno))?;
        }
        Ok(())
    }

    fn dress_deepest(&mut self) -> Result<(), Errno> {
        let (parent, name) = dirfd::split(&self.made.path);
        self.trail.go(parent)?;
        let dir = dirfd::open_dir(self.trail.dir(), name)?;
        self.made.attributes.pop().map_or(Ok(()), |attributes| attributes.give(&dir, self.owner))?;
        let above = parent.len();
        self.made.path.truncate(above);
        Ok(())
    }
}

impl Made {
    /// Whether a path is the root or one of these directories.
    fn holds(&self, path: &str) -> bool {
        let below = self.path.strip_prefix(path);
        path.is_empty() || below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }

    fn add(&mut self, entry: &Entry) {
        entry.path.as_str().clone_into(&mut self.path);
        self.attributes.push(Attributes::of(entry));
    }
}

impl Attributes {
    fn of(entry: &Entry) -> Self {
        let mtime = Timespec { tv_sec: entry.mtime_s, tv_nsec: entry.mtime_ns.into() };
        Self { mode: Mode::from_raw_mode(entry.mode & 0o7777), mtime }
    }

    /// The owner first: giving a file away clears its set-id bits.
    fn give(self, fd: impl AsFd, owner: Option<Owner>) -> Result<(), Errno> {
        own(&fd, owner)?;
        fchmod(&fd, self.mode)?;
        futimens(&fd, &self.times())
    }

    fn times(self) -> Timestamps {
        Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: self.mtime }
    }
}

impl Sealed {
    /// Puts the tree in the state's place in one step, and keeps the previous state as the undo point. An error can
    /// come after the step: then call [`super::Source::recover`], and [`super::Source::restored_job`] tells.
    pub fn swap(self) -> Result<(), SourceError> {
        self.0.annex.swap(self.0.job)
    }

    /// Puts the tree where nothing is yet, or an empty directory, in one step. There is no undo point.
    pub fn land(self) -> Result<(), SourceError> {
        self.0.annex.land()
    }
}

impl Drop for Scratch {
    /// Whatever stage this came to, settling it is right; what fails now is settled by the next restore or start.
    fn drop(&mut self) {
        mem::drop(self.annex.settle());
    }
}

/// A file being filled. It must be finished.
#[derive(Debug)]
pub struct FileSink {
    file: File,
    entry: Entry,
    len: u64,
    owner: Option<Owner>,
    unfinished: Arc<AtomicUsize>,
}

impl FileSink {
    /// Writes where it belongs. In any order, each byte at most once: what is zero, or never written, becomes a hole.
    pub fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<(), SourceError> {
        if offset.checked_add(data.len() as u64).is_none_or(|end| end > self.len) {
            return Err(SourceError::refused(self.entry.path.as_str(), "the backup holds more bytes than its length"));
        }
        if is_zero(data) {
            return Ok(());
        }
        self.file
            .write_all_at(data, offset)
            .map_err(|error| SourceError::io("writing", self.entry.path.as_str(), error))
    }

    /// Gives the file its length and its attributes.
    pub fn finish(self) -> Result<(), SourceError> {
        let finish = || {
            ftruncate(&self.file, self.len)?;
            Attributes::of(&self.entry).give(&self.file, self.owner)
        };
        finish().map_err(|errno: Errno| SourceError::io("finishing", self.entry.path.as_str(), errno))?;
        self.unfinished.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }
}

fn is_zero(data: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    data.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

fn own(fd: impl AsFd, owner: Option<Owner>) -> Result<(), Errno> {
    owner.map_or(Ok(()), |(uid, gid)| fchown(fd, Some(uid), Some(gid)))
}

fn wrong_kind(entry: &Entry) -> SourceError {
    SourceError::refused(entry.path.as_str(), "it is of another kind")
}

fn refuse_no_directory(place: &Path, kind: FileType) -> Result<(), SourceError> {
    match kind {
        FileType::Directory => Ok(()),
        FileType::Symlink => Err(dirfd::no_root(place, dirfd::ROOT_IS_A_LINK)),
        _ => Err(dirfd::no_root(place, "is not a directory")),
    }
}

#[cfg(test)]
#[path = "staging_tests.rs"]
mod tests;
