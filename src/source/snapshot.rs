//! The seqlock over a tree: what was there when the snapshot was taken, and every later look held against it.

use std::{
    fmt,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::fs::syncfs;

use crate::domain::{Entry, EntryKind, TreePath};

use super::{
    SourceError, dirfd,
    reader::FileReader,
    stamp::hash,
    trail::Trail,
    walk::{Found, Look, Walker},
};

/// How many skipped things are named.
const EXAMPLES: usize = 10;

/// What a state was at one moment. [`Self::verify`] tells whether it still is.
pub struct Snapshot {
    place: PathBuf,
    root: OwnedFd,
    /// Where the last file was opened.
    trail: Mutex<Trail>,
    /// The root's mark, then one an entry in the order of the walk.
    marks: Vec<Mark>,
    /// Where the last opened file's mark was: files are opened about in the order of the walk.
    near: AtomicUsize,
    files: u64,
    bytes: u64,
    skipped: Skipped,
    /// Nobody may rely on the stamps beyond this snapshot.
    always_read: bool,
}

#[derive(Clone, Copy)]
struct Mark {
    path: u64,
    stamp: u64,
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
    pub(super) fn take(place: &Path, always_read: bool) -> Result<Self, SourceError> {
        let root = dirfd::open_root(place)?;
        let (walker, stamp) = Walker::start(&root, Look::AtRest)?;
        let trail = Trail::start(&root).map_err(|errno| SourceError::io("reading", ".", errno))?.into();
        let marks = vec![Mark { path: hash("."), stamp }];
        let near = AtomicUsize::new(0);
        let (place, skipped) = (place.to_owned(), Skipped::default());
        let mut snapshot = Self { place, root, trail, marks, near, files: 0, bytes: 0, skipped, always_read };
        for found in walker {
            snapshot.note(found?);
        }
        snapshot.clean_pages()?;
        Ok(snapshot)
    }

    /// Writes through a mapping move a file's times only when they dirty a clean page. So between the look and the reading
    /// every page is made clean: who writes from now on is seen by the second look. Not on tmpfs, which has no clean
    /// pages, nor on another file system that is mounted inside the state.
    fn clean_pages(&self) -> Result<(), SourceError> {
        syncfs(&self.root).map_err(|errno| SourceError::io("flushing the file system of", ".", errno))
    }

    fn note(&mut self, found: Found) {
        match found {
            Found::Other(what) => self.skipped.note(what),
            Found::Entry(entry, stamp) => {
                self.marks.push(Mark { path: hash(entry.path.as_str()), stamp });
                if let EntryKind::File { len } = entry.kind {
                    self.files += 1;
                    self.bytes += len;
                }
            }
        }
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

    /// The entries, depth first: a directory before what it holds, names in the order of their bytes. The same each
    /// time, or [`SourceError::Changed`], which for a directory may come as late as the end. Nothing follows an error.
    pub fn walk(&self) -> Walk<'_> {
        Walk::start(self, &self.root)
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
        let root = dirfd::open_root(&self.place)?;
        Walk::start(self, &root).try_for_each(|entry| entry.map(drop))
    }
}

/// A walk that answers the entries of its snapshot and fails at the first that is not as it was.
pub struct Walk<'s> {
    walker: Result<Walker, Option<SourceError>>,
    marks: &'s [Mark],
    always_read: bool,
    /// The next mark to meet.
    next: usize,
    /// The first directory with another stamp. What was added to it or changed in it makes the better name, if met.
    suspect: Option<String>,
}

impl<'s> Walk<'s> {
    fn start(snapshot: &'s Snapshot, root: &OwnedFd) -> Self {
        let (marks, always_read) = (snapshot.marks.as_slice(), snapshot.always_read);
        let mut walk = Walk { walker: Err(None), marks, always_read, next: 1, suspect: None };
        walk.walker = match Walker::start(root, Look::AsIs) {
            Ok((walker, stamp)) => {
                walk.suspect = (stamp != snapshot.marks[0].stamp).then(|| ".".to_owned());
                Ok(walker)
            }
            Err(error) => Err(Some(error)),
        };
        walk
    }

    /// The stamp of the entry that came last, to know it again by in a later backup: it is another one if anything about
    /// the entry moved. 0 if every file is always to be read.
    pub fn stamp(&self) -> u64 {
        if self.always_read { 0 } else { self.marks[self.next - 1].stamp }
    }

    fn step(&mut self) -> Option<Result<Entry, SourceError>> {
        let walker = match &mut self.walker {
            Ok(walker) => walker,
            Err(error) => return error.take().map(Err),
        };
        loop {
            match walker.next() {
                Some(Ok(Found::Other(_))) => {}
                Some(Ok(Found::Entry(entry, stamp))) => return Some(self.compare(entry, stamp)),
                Some(Err(error)) => return Some(Err(error)),
                None => return self.end().map(Err),
            }
        }
    }

    fn compare(&mut self, entry: Entry, stamp: u64) -> Result<Entry, SourceError> {
        let path = hash(entry.path.as_str());
        match self.marks.get(self.next) {
            Some(mark) if mark.path == path && mark.stamp == stamp => {}
            Some(mark) if mark.path == path && entry.kind == EntryKind::Directory => {
                self.suspect.get_or_insert_with(|| entry.path.as_str().to_owned());
            }
            Some(mark) if mark.path != path && self.is_ahead(path) => return Err(self.removed(entry.path.as_str())),
            _ => return Err(SourceError::changed(entry.path.as_str())),
        }
        self.next += 1;
        Ok(entry)
    }

    /// Whether an entry comes later in the snapshot, so that what should be here is gone.
    fn is_ahead(&self, path: u64) -> bool {
        self.marks[self.next..].iter().any(|mark| mark.path == path)
    }

    fn removed(&mut self, met_instead: &str) -> SourceError {
        SourceError::changed(self.suspect.take().unwrap_or_else(|| met_instead.to_owned()))
    }

    fn end(&mut self) -> Option<SourceError> {
        let complete = self.next == self.marks.len() && self.suspect.is_none();
        (!complete).then(|| self.removed("."))
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Entry, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if !matches!(step, Some(Ok(_))) {
            self.walker = Err(None);
        }
        step
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
