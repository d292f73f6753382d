//! One pass over a tree: depth first, a directory before what it holds, names in the order of their bytes.
//!
//! Holds the names still to come for each level it is in, and a few descriptors, never the whole tree. Reads no file.

use std::{ffi::CStr, ffi::CString, io, os::fd::OwnedFd, vec};

use rustix::{
    fs::{FileType, Stat, readlinkat},
    io::Errno,
};

use crate::domain::{Entry, EntryKind, TreePath};

use super::{
    SourceError, dirfd,
    stamp::{look, look_at_rest, stamp},
    trail::Trail,
};

/// What a path in a backup can have. Refused here, before the first byte is read.
const LONGEST_PATH: usize = 65_535;

const TO_SEARCH: &str = "search permission on its directory";
const TO_LIST: &str = "read and search permission on it";

/// What a step of the walk came to.
pub(super) enum Found {
    /// A part of the state, and its stamp.
    Entry(Entry, u64),
    /// A socket, a fifo or a device, in words.
    Other(String),
}

/// How the walk looks at a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Only at stamps that can be trusted later, waiting for them.
    AtRest,
    /// As it is, to compare.
    AsIs,
}

/// A walk under way. Ends after its first error.
pub(super) struct Walker {
    look: Look,
    trail: Trail,
    /// The names still to come, level by level.
    names: Vec<vec::IntoIter<CString>>,
}

impl Walker {
    /// Starts at a root; answers its stamp too.
    pub(super) fn start(root: &OwnedFd, how: Look) -> Result<(Self, u64), SourceError> {
        let trail = Trail::start(root).map_err(|errno| SourceError::reading(".", TO_LIST, errno))?;
        let mut walker = Self { look: how, trail, names: Vec::new() };
        let stat = walker.stat(c".")?;
        walker.list()?;
        Ok((walker, stamp(&stat)))
    }

    fn visit(&mut self, name: &CStr) -> Result<Found, SourceError> {
        let stat = self.stat(name)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => EntryKind::File { len: u64::try_from(stat.st_size).unwrap_or(0) },
            FileType::Symlink => EntryKind::Symlink { target: self.target(name)? },
            FileType::Directory => EntryKind::Directory,
            other => return Ok(Found::Other(format!("{} ({})", self.trail.shown(name), word(other)))),
        };
        let path = self.path_of(name)?;
        if kind == EntryKind::Directory {
            self.enter(name)?;
        }
        Ok(Found::Entry(entry(path, kind, &stat), stamp(&stat)))
    }

    fn stat(&self, name: &CStr) -> Result<Stat, SourceError> {
        let stat = match self.look {
            Look::AsIs => look(self.trail.dir(), name).map(Some),
            Look::AtRest => look_at_rest(self.trail.dir(), name),
        };
        stat.map_err(|errno| SourceError::reading(self.trail.shown(name), TO_SEARCH, errno))?
            .ok_or_else(|| SourceError::changed(self.trail.shown(name)))
    }

    fn target(&self, name: &CStr) -> Result<String, SourceError> {
        let shown = || self.trail.shown(name);
        let target = readlinkat(self.trail.dir(), name, Vec::new()).map_err(|errno| match errno {
            Errno::INVAL => SourceError::changed(shown()), // no link any more
            errno => SourceError::reading(shown(), TO_SEARCH, errno),
        })?;
        target.into_string().map_err(|_| SourceError::NotUtf8 { path: shown(), what: "the link target" })
    }

    fn path_of(&self, name: &CStr) -> Result<TreePath, SourceError> {
        let shown = || self.trail.shown(name);
        let path = self.trail.path_of(name);
        if path.len() > LONGEST_PATH {
            return Err(too_long(shown()));
        }
        let path = String::from_utf8(path).map_err(|_| SourceError::NotUtf8 { path: shown(), what: "the name" })?;
        // The kernel hands out no name that a path refuses.
        TreePath::parse(&path).map_err(|_| SourceError::changed(shown()))
    }

    fn enter(&mut self, name: &CStr) -> Result<(), SourceError> {
        let below = dirfd::open_dir(self.trail.dir(), name);
        let entered = below.and_then(|below| self.trail.enter(below, name.to_bytes()));
        entered.map_err(|errno| SourceError::reading(self.trail.shown(name), TO_LIST, errno))?;
        self.list()
    }

    fn list(&mut self) -> Result<(), SourceError> {
        let names = dirfd::names(self.trail.dir());
        let names = names.map_err(|errno| SourceError::reading(self.trail.here(), TO_LIST, errno))?;
        self.names.push(names.into_iter());
        Ok(())
    }

    /// The next name, in a directory further up if need be. `None` at the end.
    fn next_name(&mut self) -> Result<Option<CString>, SourceError> {
        while let Some(names) = self.names.last_mut() {
            if let Some(name) = names.next() {
                return Ok(Some(name));
            }
            self.names.pop();
            if !self.names.is_empty() {
                self.leave()?;
            }
        }
        Ok(None)
    }

    fn leave(&mut self) -> Result<(), SourceError> {
        self.trail.leave().map_err(|errno| SourceError::reading(self.trail.here(), TO_SEARCH, errno))
    }
}

impl Iterator for Walker {
    type Item = Result<Found, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.next_name().transpose()?.and_then(|name| self.visit(&name));
        if found.is_err() {
            self.names.clear();
        }
        Some(found)
    }
}

fn too_long(path: String) -> SourceError {
    let why = "its path is longer than the 65535 bytes that a backup can carry";
    SourceError::io("reading", path, io::Error::new(io::ErrorKind::InvalidFilename, why))
}

fn entry(path: TreePath, kind: EntryKind, stat: &Stat) -> Entry {
    let mtime_ns = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Entry { path, kind, mode: stat.st_mode & 0o7777, mtime_s: stat.st_mtime, mtime_ns }
}

fn word(kind: FileType) -> &'static str {
    match kind {
        FileType::Socket => "socket",
        FileType::Fifo => "fifo",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        _ => "of an unknown kind",
    }
}
