//! The tree that a restore builds, entry by entry, until it can take the state's place.
//!
//! Trusts no entry: a parent is a directory that this staging made, opened without following anything, and a name is
//! made only once. So nothing lands outside, whatever the archive says. Entries come depth first. Files are made when
//! they are first written to, from any thread; so directories get their attributes only after the last of them, in a
//! second round of the same order, and what is remembered is one path and not the whole tree.
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
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chownat, fchmod, fchown, fstat,
        ftruncate, futimens, mkdirat, openat, symlinkat, syncfs, utimensat,
    },
    io::Errno,
    process::geteuid,
};
use uuid::Uuid;

use crate::{
    disk::Output,
    domain::{Entry, EntryKind},
};

use super::{
    SourceError,
    annex::Annex,
    crash::step,
    dirfd,
    trail::Trail,
    walk::{Found, Look, Walker},
};

/// A tree under construction beside the state. Dropping it deletes it, which takes as long as that takes.
#[derive(Debug)]
pub struct Staging {
    scratch: Scratch,
    root: OwnedFd,
    root_mode: Mode,
    owner: Option<Owner>,
    trail: Trail,
    /// The directory of the last file, and its path.
    folder: Option<(String, Arc<OwnedFd>)>,
    left: Left,
    /// Files and directories that were made and are not complete.
    unfinished: Arc<AtomicUsize>,
}

/// The directories from the root to where the second round is, still without their attributes.
#[derive(Debug, Default)]
struct Left {
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
        let (folder, left, unfinished) = (None, Left::default(), Arc::default());
        Ok(Self { scratch, root, root_mode, owner, trail, folder, left, unfinished })
    }

    /// Makes a directory. Its mode and time come with [`Self::complete`].
    pub fn directory(&mut self, entry: &Entry) -> Result<(), SourceError> {
        let EntryKind::Directory = entry.kind else { return Err(wrong_kind(entry)) };
        self.within(entry, |parent, name| mkdirat(parent, name, Mode::RWXU))?;
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Gives a directory its mode and time, as soon as what is in it was completed. All directories come again, in the
    /// same order, after the last file was finished.
    pub fn complete(&mut self, entry: &Entry) -> Result<(), SourceError> {
        let EntryKind::Directory = entry.kind else { return Err(wrong_kind(entry)) };
        let (parent, _) = dirfd::split(entry.path.as_str());
        self.dress_below(parent)?;
        if self.left.path != parent {
            return Err(SourceError::refused(entry.path.as_str(), NO_DIRECTORY));
        }
        self.left.add(entry);
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

    /// A file to be filled. It is made when it is first written to or finished.
    pub fn file(&mut self, entry: &Entry) -> Result<FileSink, SourceError> {
        let EntryKind::File { len } = entry.kind else { return Err(wrong_kind(entry)) };
        let folder = self.folder(entry)?;
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        let (entry, owner, unfinished) = (entry.clone(), self.owner, Arc::clone(&self.unfinished));
        Ok(FileSink { folder, entry, len, owner, unfinished, reach: AtomicU64::new(0), made: Mutex::default() })
    }

    /// The directory that is to hold a file. Files of one directory that follow each other share its descriptor.
    fn folder(&mut self, entry: &Entry) -> Result<Arc<OwnedFd>, SourceError> {
        let (parent, _) = dirfd::split(entry.path.as_str());
        if let Some((_, folder)) = self.folder.as_ref().filter(|(path, _)| path == parent) {
            return Ok(Arc::clone(folder));
        }
        self.go(parent, entry)?;
        let folder = self.trail.dir().try_clone();
        let folder = folder.map_err(|error| SourceError::io("restoring", entry.path.as_str(), error))?;
        let (_, folder) = self.folder.insert((parent.to_owned(), Arc::new(folder)));
        Ok(Arc::clone(folder))
    }

    /// Does something in the directory that is to hold an entry.
    fn within<T>(
        &mut self,
        entry: &Entry,
        act: impl FnOnce(&OwnedFd, &str) -> Result<T, Errno>,
    ) -> Result<T, SourceError> {
        let (parent, name) = dirfd::split(entry.path.as_str());
        self.go(parent, entry)?;
        step().and_then(|()| act(self.trail.dir(), name)).map_err(|errno| not_made(entry, errno))
    }

    fn go(&mut self, parent: &str, entry: &Entry) -> Result<(), SourceError> {
        self.trail.go(parent).map_err(|errno| match errno {
            Errno::NOENT => SourceError::refused(entry.path.as_str(), NO_DIRECTORY),
            Errno::NOTDIR | Errno::LOOP => SourceError::refused(entry.path.as_str(), "what holds it is no directory"),
            errno => SourceError::io("restoring", entry.path.as_str(), errno),
        })
    }

    /// Gives the last directories and the root their attributes, and makes the whole tree durable.
    pub fn seal(mut self) -> Result<Sealed, SourceError> {
        self.dress_below("")?;
        if self.unfinished.load(Ordering::Relaxed) > 0 {
            return Err(SourceError::refused(self.scratch.annex.shown(), "it was not restored to its end"));
        }
        let root = own(&self.root, self.owner).and_then(|()| fchmod(&self.root, self.root_mode));
        let durable = root.and_then(|()| step()).and_then(|()| syncfs(&self.root));
        durable.map_err(|errno| SourceError::io("making durable", self.scratch.annex.shown(), errno))?;
        Ok(Sealed(self.scratch))
    }

    /// Gives what the second round has left its attributes, the deepest first, until nothing but what holds `path` is
    /// without.
    fn dress_below(&mut self, path: &str) -> Result<(), SourceError> {
        while !self.left.is_on_the_way_to(path) {
            self.dress_deepest()
                .map_err(|errno| SourceError::io("restoring the attributes of", self.left.path.as_str(), errno))?;
        }
        Ok(())
    }

    fn dress_deepest(&mut self) -> Result<(), Errno> {
        let (parent, name) = dirfd::split(&self.left.path);
        self.trail.go(parent)?;
        let dir = dirfd::open_dir(self.trail.dir(), name)?;
        self.left.attributes.pop().map_or(Ok(()), |attributes| attributes.give(&dir, self.owner))?;
        self.unfinished.fetch_sub(1, Ordering::Relaxed);
        let above = parent.len();
        self.left.path.truncate(above);
        Ok(())
    }
}

impl Left {
    fn is_on_the_way_to(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.path.as_str());
        self.path.is_empty() || below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
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

    /// What is right already is not given again: a look costs much less than a change. The owner first: giving a file
    /// away clears its set-id bits.
    fn give(self, fd: impl AsFd, owner: Option<Owner>) -> Result<(), Errno> {
        let now = fstat(&fd)?;
        let foreign = owner.filter(|owner| *owner != (Uid::from_raw(now.st_uid), Gid::from_raw(now.st_gid)));
        own(&fd, foreign)?;
        if foreign.is_some() || Mode::from_raw_mode(now.st_mode) != self.mode {
            fchmod(&fd, self.mode)?;
        }
        futimens(&fd, &self.times())
    }

    /// The mode that a file is made with. Until it is complete its owner must be able to write to it.
    fn at_first(self) -> Mode {
        let special = Mode::SUID | Mode::SGID | Mode::SVTX;
        let fits = self.mode.contains(Mode::WUSR) && !self.mode.intersects(special);
        if fits { self.mode } else { Mode::RUSR | Mode::WUSR }
    }

    fn times(self) -> Timestamps {
        Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: self.mtime }
    }
}

impl Sealed {
    /// What was restored, as it lies there: depth first, names in the order of their bytes.
    pub fn walk(&self) -> Result<impl Iterator<Item = Result<Entry, SourceError>> + use<>, SourceError> {
        let (walker, _) = Walker::start(&self.0.annex.staged()?, Look::AsIs)?;
        Ok(walker.filter_map(|found| match found {
            Ok(Found::Entry(entry, _)) => Some(Ok(entry)),
            Ok(Found::Other(_)) => None,
            Err(error) => Some(Err(error)),
        }))
    }

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

/// A file being filled, by any number of threads. It must be finished.
#[derive(Debug)]
pub struct FileSink {
    folder: Arc<OwnedFd>,
    entry: Entry,
    len: u64,
    owner: Option<Owner>,
    unfinished: Arc<AtomicUsize>,
    /// Where the last byte that was written ends.
    reach: AtomicU64,
    made: Mutex<Made>,
}

/// Whether a file is there, and its descriptor while it is written to.
#[derive(Debug, Default)]
struct Made {
    is_there: bool,
    file: Option<Arc<Output>>,
}

impl FileSink {
    /// Writes where it belongs. In any order, each byte at most once: what is zero, or never written, becomes a hole.
    pub fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), SourceError> {
        let end = offset.checked_add(data.len() as u64).filter(|end| *end <= self.len);
        let Some(end) = end else {
            return Err(SourceError::refused(self.entry.path.as_str(), "the backup holds more bytes than its length"));
        };
        if is_zero(data) {
            return Ok(());
        }
        let written = self.file()?.write_at(data, offset);
        written.map_err(|error| SourceError::io("writing", self.entry.path.as_str(), error))?;
        self.reach.fetch_max(end, Ordering::Relaxed);
        Ok(())
    }

    /// Gives its descriptor back until the file is written to again.
    pub fn rest(&self) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).file = None;
    }

    /// Gives the file its length and its attributes.
    pub fn finish(self) -> Result<(), SourceError> {
        let file = self.file()?;
        let finish = || {
            // Where the last byte was written this would change nothing, and cost a file system more than the write.
            if self.reach.load(Ordering::Relaxed) < self.len {
                ftruncate(file.file(), self.len)?;
            }
            Attributes::of(&self.entry).give(file.file(), self.owner)
        };
        finish().map_err(|errno: Errno| SourceError::io("finishing", self.entry.path.as_str(), errno))?;
        self.unfinished.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    /// The open file, made if it is not there yet.
    fn file(&self) -> Result<Arc<Output>, SourceError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &made.file {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(Output::new(if made.is_there { self.open() } else { self.make() }?));
        *made = Made { is_there: true, file: Some(Arc::clone(&file)) };
        Ok(file)
    }

    fn make(&self) -> Result<File, SourceError> {
        let (_, name) = dirfd::split(self.entry.path.as_str());
        let make = || {
            openat(&self.folder, name, TO_FILL | OFlags::CREATE | OFlags::EXCL, Attributes::of(&self.entry).at_first())
        };
        step().and_then(|()| make()).map(File::from).map_err(|errno| not_made(&self.entry, errno))
    }

    fn open(&self) -> Result<File, SourceError> {
        let (_, name) = dirfd::split(self.entry.path.as_str());
        let file = openat(&self.folder, name, TO_FILL, Mode::empty());
        file.map(File::from).map_err(|errno| SourceError::io("writing", self.entry.path.as_str(), errno))
    }
}

const TO_FILL: OFlags = OFlags::WRONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

const NO_DIRECTORY: &str = "its directory does not come before it";

fn not_made(entry: &Entry, errno: Errno) -> SourceError {
    match errno {
        Errno::EXIST => SourceError::refused(entry.path.as_str(), "the backup holds it twice"),
        errno => SourceError::io("restoring", entry.path.as_str(), errno),
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
