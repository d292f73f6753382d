//! The second look at a tree: whether everything is as a snapshot saw it, without reading a file.

use std::os::fd::OwnedFd;

use crate::domain::{Entry, EntryKind};

use super::{
    SourceError,
    snapshot::Mark,
    stamp::hash,
    walk::{Found, Look, Walker},
};

/// A walk that is held against the marks of the first.
pub(super) struct SecondLook<'s> {
    walker: Walker,
    /// The root's, then one an entry in the order of the walk.
    marks: &'s [Mark],
    /// The next mark to meet.
    next: usize,
    /// The first directory with another stamp. What was added to it or changed in it makes the better name, if met.
    suspect: Option<String>,
}

impl<'s> SecondLook<'s> {
    pub(super) fn start(root: &OwnedFd, marks: &'s [Mark]) -> Result<Self, SourceError> {
        let (walker, stamp) = Walker::start(root, Look::AsIs)?;
        let suspect = (stamp != marks[0].stamp).then(|| ".".to_owned());
        Ok(Self { walker, marks, next: 1, suspect })
    }

    /// Walks to the end, or to the first that is not as it was; for a directory that may be as late as the end.
    pub(super) fn finish(mut self) -> Result<(), SourceError> {
        while let Some(found) = self.walker.next() {
            if let Found::Entry(entry, stamp) = found? {
                self.compare(&entry, stamp)?;
            }
        }
        if self.next == self.marks.len() && self.suspect.is_none() { Ok(()) } else { Err(self.removed(".")) }
    }

    fn compare(&mut self, entry: &Entry, stamp: u64) -> Result<(), SourceError> {
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
        Ok(())
    }

    /// Whether an entry comes later in the snapshot, so that what should be here is gone.
    fn is_ahead(&self, path: u64) -> bool {
        self.marks[self.next..].iter().any(|mark| mark.path == path)
    }

    fn removed(&mut self, met_instead: &str) -> SourceError {
        SourceError::changed(self.suspect.take().unwrap_or_else(|| met_instead.to_owned()))
    }
}
