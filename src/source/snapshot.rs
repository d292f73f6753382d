//! The seqlock over a tree: what was there when the snapshot was taken, and the later looks that are held against it.

use std::{
    fmt, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    slice,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::fs::syncfs;

use crate::{
    domain::{Entry, EntryKind, TreePath},
    spool::Spools,
};

use super::{
    SourceError, dirfd,
    reader::FileReader,
    second::SecondLook,
    seen::{Again, Seeing, Seen},
    stamp::hash,
    trail::Trail,
    walk::{Found, Look, Walker},
};

/// How many skipped things are named.
const EXAMPLES: usize = 10;

/// What a state was at one moment. [`Self::verify`] tells whether it still is.
pub struct Snapshot {
    place: PathBuf,
    /// Where the last file was opened.
    trail: Mutex<Trail>,
    /// The root's mark, then one an entry in the order of the walk.
    marks: Vec<Mark>,
    seen: Seen,
    /// Where the last opened file's mark was: files are opened about in the order of the walk.
    near: AtomicUsize,
    files: u64,
    bytes: u64,
    skipped: Skipped,
    /// Nobody may rely on the stamps beyond this snapshot.
    always_read: bool,
}

/// What of an entry is held against later looks.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    /// A hash.
    pub(super) path: u64,
    pub(super) stamp: u64,
}

/// The sockets, fifos and devices of a state, which no backup carries.
#[derive(Debug, Default)]
pub struct Skipped {
    /// How many there were.
    pub count: u64,
    /// The first few of them, with their kind.
    pub examples: Vec<String>,
}

impl Snapshot {
    pub(super) fn take(place: &Path, always_read: bool, spools: &Spools) -> Result<Self, SourceError> {
        let root = dirfd::open_root(place)?;
        let (walker, stamp) = Walker::start(&root, Look::AtRest)?;
        let trail = Trail::start(&root).map_err(|errno| SourceError::io("reading", ".", errno))?.into();
        let look = FirstLook::through(walker, stamp, spools)?;
        clean_pages(&root)?;
        Ok(Self {
            place: place.to_owned(),
            trail,
            marks: look.marks,
            seen: look.seeing.done().map_err(SourceError::List)?,
            near: AtomicUsize::new(0),
            files: look.files,
            bytes: look.bytes,
            skipped: look.skipped,
            always_read,
        })
    }

    /// How many entries the state has.
    pub fn entries(&self) -> u64 {
        self.marks.len() as u64 - 1
    }

    /// How many of them are regular files.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// How long its files are together, holes included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the backup leaves out.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// The entries as they were, depth first: a directory before what it holds, names in the order of their bytes. Looks
    /// at nothing. Nothing follows an error.
    pub fn walk(&self) -> Walk<'_> {
        let (mark, left) = (self.marks[0], self.marks[1..].iter());
        Walk { entries: self.seen.again(), mark, left, always_read: self.always_read }
    }

    /// Opens a file of the walk, if it is still the one.
    pub fn open(&self, entry: &Entry) -> Result<FileReader, SourceError> {
        let mark = self.mark_of(&entry.path).ok_or_else(|| SourceError::changed(entry.path.as_str()))?;
        let mut trail = self.trail.lock().unwrap_or_else(PoisonError::into_inner);
        FileReader::open(&mut trail, entry, mark.stamp)
    }

    /// The same, but reads on after so many bytes.
    pub fn open_after(&self, entry: &Entry, offset: u64) -> Result<FileReader, SourceError> {
        self.open(entry)?.after(offset)
    }

    /// Searches outward from where the last one was.
    fn mark_of(&self, path: &TreePath) -> Option<Mark> {
        let (wanted, count, near) = (hash(path.as_str()), self.marks.len(), self.near.load(Ordering::Relaxed));
        let around = (0..count).flat_map(|far| [(near + far) % count, (near + count - far) % count]);
        let found = around.into_iter().find(|at| self.marks[*at].path == wanted)?;
        self.near.store(found, Ordering::Relaxed);
        Some(self.marks[found])
    }

    /// Looks at everything again, without reading, and names what is no longer as it was. The root is looked up anew,
    /// so a state that was replaced as a whole is noticed too.
    pub fn verify(&self) -> Result<(), SourceError> {
        let root = dirfd::open_root(&self.place).map_err(|error| match error {
            SourceError::Root { .. } => SourceError::changed("."),
            error => error,
        })?;
        SecondLook::start(&root, &self.marks)?.finish()
    }
}

/// Writes through a mapping move a file's times only when they dirty a clean page. So between the look and the reading
/// every page is made clean: who writes from now on is seen by the second look. Not on tmpfs, which has no clean
/// pages, nor on another file system that is mounted inside the state.
fn clean_pages(root: &OwnedFd) -> Result<(), SourceError> {
    syncfs(root).map_err(|errno| SourceError::io("flushing the file system of", ".", errno))
}

/// What the first walk gathers.
struct FirstLook {
    marks: Vec<Mark>,
    seeing: Seeing,
    files: u64,
    bytes: u64,
    skipped: Skipped,
}

impl FirstLook {
    fn through(walker: Walker, root: u64, spools: &Spools) -> Result<Self, SourceError> {
        let marks = vec![Mark { path: hash("."), stamp: root }];
        let mut look = Self { marks, seeing: Seeing::start(spools), files: 0, bytes: 0, skipped: Skipped::default() };
        for found in walker {
            match found? {
                Found::Other(what) => look.skipped.note(what),
                Found::Entry(entry, stamp) => look.note(&entry, stamp).map_err(SourceError::List)?,
            }
        }
        Ok(look)
    }

    fn note(&mut self, entry: &Entry, stamp: u64) -> io::Result<()> {
        self.marks.push(Mark { path: hash(entry.path.as_str()), stamp });
        if let EntryKind::File { len } = entry.kind {
            self.files += 1;
            self.bytes += len;
        }
        self.seeing.add(entry)
    }
}

/// The entries of a snapshot once more.
pub struct Walk<'s> {
    entries: Again,
    /// That of the entry that came last.
    mark: Mark,
    /// Those of the entries still to come.
    left: slice::Iter<'s, Mark>,
    always_read: bool,
}

impl Walk<'_> {
    /// The stamp of the entry that came last, to know it again by in a later backup: it is another one if anything about
    /// the entry moved. 0 if every file is always to be read.
    pub fn stamp(&self) -> u64 {
        if self.always_read { 0 } else { self.mark.stamp }
    }

    fn step(&mut self) -> io::Result<Entry> {
        let entry = self.entries.entry()?;
        if hash(entry.path.as_str()) == self.mark.path { Ok(entry) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Entry, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.mark = *self.left.next()?;
        let step = self.step();
        if step.is_err() {
            self.left = [].iter();
        }
        Some(step.map_err(SourceError::List))
    }
}

impl Skipped {
    fn note(&mut self, what: String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(what);
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.count > self.examples.len() as u64 { ", ..." } else { "" };
        write!(f, "{} left out, as no backup carries them: {}{more}", self.count, self.examples.join(", "))
    }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
