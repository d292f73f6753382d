//! Deletes a tree that is ours, however deep: by directory descriptors, following nothing, whatever modes its
//! directories have, and never into what is mounted in it.
//!
//! What cannot be deleted keeps nothing else from being deleted.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    vec,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, chmod, fstat, openat, unlinkat},
    io::Errno,
};

use super::{crash, dirfd, trail::Trail};

/// The first thing that could not be deleted, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stuck {
    /// Its path, for people.
    pub(super) path: String,
    /// What the kernel said.
    pub(super) errno: Errno,
}

/// Deletes one name of a directory with all that it holds. Missing is fine.
pub(super) fn remove(dir: impl AsFd, name: &CStr) -> Result<(), Stuck> {
    let trail = Trail::start(dir).map_err(|errno| Stuck { path: dirfd::escape(name.to_bytes()), errno })?;
    let mut remover = Remover { trail, levels: Vec::new(), stuck: None };
    remover.delete(name);
    while let Some(level) = remover.levels.last_mut() {
        match level.inside.next() {
            Some(name) => remover.delete(&name),
            None => remover.leave()?,
        }
    }
    remover.stuck.map_or(Ok(()), Err)
}

struct Remover {
    trail: Trail,
    levels: Vec<Level>,
    stuck: Option<Stuck>,
}

/// A directory being emptied, and what is still to go.
struct Level {
    name: CString,
    inside: vec::IntoIter<CString>,
}

impl Remover {
    fn delete(&mut self, name: &CStr) {
        let gone = match delete(self.trail.dir(), name) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => self.enter(name),
            gone => gone,
        };
        self.note(name, gone);
    }

    fn enter(&mut self, name: &CStr) -> Result<(), Errno> {
        let below = open_up(self.trail.dir(), name)?;
        let inside = dirfd::names(&below)?.into_iter();
        self.trail.enter(below, name.to_bytes())?;
        self.levels.push(Level { name: name.to_owned(), inside });
        Ok(())
    }

    /// Deletes the directory that was emptied. If we cannot get out of it, all ends.
    fn leave(&mut self) -> Result<(), Stuck> {
        let left = self.levels.pop();
        self.trail.leave().map_err(|errno| Stuck { path: self.trail.here(), errno })?;
        if let Some(Level { name, .. }) = left {
            self.note(&name, delete(self.trail.dir(), &name));
        }
        Ok(())
    }

    /// Only the first is a cause: what is above it cannot be empty.
    fn note(&mut self, name: &CStr, gone: Result<(), Errno>) {
        if let (Err(errno), None) = (gone, &self.stuck) {
            self.stuck = Some(Stuck { path: self.trail.shown(name), errno });
        }
    }
}

/// Deletes a file, or a directory that is empty. A directory where something is mounted is busy, empty or not.
fn delete(dir: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    crash::deleting(name)?;
    let gone = match unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => unlinkat(dir, name, AtFlags::REMOVEDIR),
        gone => gone,
    };
    if gone == Err(Errno::NOENT) { Ok(()) } else { gone }
}

/// Opens a directory, and takes the right to look into it and change it. Through `/proc`, as a descriptor that was
/// opened without the right to read takes no other way, and a name could be a link by now.
fn open_up(dir: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = openat(dir, name, flags, Mode::empty())?;
    if !Mode::from_raw_mode(fstat(&place)?.st_mode).contains(Mode::RWXU) {
        chmod(format!("/proc/self/fd/{}", place.as_raw_fd()), Mode::RWXU)?;
    }
    dirfd::open_dir(&place, c".")
}

#[cfg(test)]
#[path = "remove_tests.rs"]
mod tests;
