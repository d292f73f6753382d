//! One pass over a tree: depth first, a directory before what it holds, names in the order of their bytes.
//!
//! Holds a descriptor and the names still to come for each level it is in, never the whole tree. Reads no file.

use std::{ffi::CStr, ffi::CString, os::fd::AsFd, os::fd::OwnedFd, vec};

use rustix::{
    fs::{FileType, Stat, readlinkat},
    io::Errno,
};

use crate::domain::{Entry, EntryKind, TreePath};

use super::{
    SourceError, dirfd,
    stamp::{look, look_at_rest, stamp},
};

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
    levels: Vec<Level>,
}

struct Level {
    dir: OwnedFd,
    path: Option<TreePath>,
    names: vec::IntoIter<CString>,
}

impl Walker {
    /// Starts at a root; answers its stamp too.
    pub(super) fn start(root: &OwnedFd, how: Look) -> Result<(Self, u64), SourceError> {
        let mut walker = Self { look: how, levels: Vec::new() };
        let stat = walker.stat(root, c".", ".")?;
        walker.levels.push(Level::open(root, c".", None)?);
        Ok((walker, stamp(&stat)))
    }

    fn visit(&mut self, name: &CStr) -> Result<Found, SourceError> {
        let Some(level) = self.levels.last() else { return Err(SourceError::changed(".")) };
        let shown = level.shown(name);
        let stat = self.stat(&level.dir, name, &shown)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => EntryKind::File { len: u64::try_from(stat.st_size).unwrap_or(0) },
            FileType::Symlink => EntryKind::Symlink { target: target(&level.dir, name, &shown)? },
            FileType::Directory => EntryKind::Directory,
            other => return Ok(Found::Other(format!("{shown} ({})", word(other)))),
        };
        let path = level.path_of(name, &shown)?;
        let below = (kind == EntryKind::Directory).then(|| Level::open(&level.dir, name, Some(&path))).transpose()?;
        self.levels.extend(below);
        Ok(Found::Entry(entry(path, kind, &stat), stamp(&stat)))
    }

    fn stat(&self, dir: impl AsFd, name: &CStr, shown: &str) -> Result<Stat, SourceError> {
        let stat = match self.look {
            Look::AsIs => look(dir, name).map(Some),
            Look::AtRest => look_at_rest(dir, name),
        };
        stat.map_err(|errno| SourceError::reading(shown, TO_SEARCH, errno))?.ok_or_else(|| SourceError::changed(shown))
    }
}

impl Iterator for Walker {
    type Item = Result<Found, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let name = loop {
            match self.levels.last_mut()?.names.next() {
                Some(name) => break name,
                None => self.levels.pop(),
            };
        };
        let found = self.visit(&name);
        if found.is_err() {
            self.levels.clear();
        }
        Some(found)
    }
}

impl Level {
    fn open(at: &OwnedFd, name: &CStr, path: Option<&TreePath>) -> Result<Self, SourceError> {
        let open = || {
            let dir = dirfd::open_dir(at, name)?;
            let names = dirfd::names(&dir)?.into_iter();
            Ok((dir, names))
        };
        let shown = path.map_or(".", TreePath::as_str);
        let (dir, names) = open().map_err(|errno| SourceError::reading(shown, TO_LIST, errno))?;
        Ok(Self { dir, path: path.cloned(), names })
    }

    /// The path of one of its names, for people.
    fn shown(&self, name: &CStr) -> String {
        let name = dirfd::escape(name.to_bytes());
        self.path
            .as_ref()
            .map_or_else(|| name.clone(), |path| format!("{}/{name}", dirfd::escape(path.as_str().as_bytes())))
    }

    fn path_of(&self, name: &CStr, shown: &str) -> Result<TreePath, SourceError> {
        let not_utf8 = || SourceError::NotUtf8 { path: shown.to_owned(), what: "the name" };
        let name = name.to_str().map_err(|_| not_utf8())?;
        let path = self.path.as_ref().map_or_else(|| TreePath::parse(name), |path| path.join(name));
        // The kernel hands out no name that a path refuses.
        path.map_err(|_| SourceError::changed(shown))
    }
}

fn target(dir: impl AsFd, name: &CStr, shown: &str) -> Result<String, SourceError> {
    let target = readlinkat(dir, name, Vec::new()).map_err(|errno| match errno {
        Errno::INVAL => SourceError::changed(shown), // no link any more
        errno => SourceError::reading(shown, TO_SEARCH, errno),
    })?;
    target.into_string().map_err(|_| SourceError::NotUtf8 { path: shown.to_owned(), what: "the link target" })
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
