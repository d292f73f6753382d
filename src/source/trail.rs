//! Where we are in a tree, held by few descriptors however deep that is.
//!
//! The directories right above stay open. Further up the way leads by `..`, and only back to the very directory that
//! was entered before, told by device and inode: one that was moved meanwhile leads nowhere, and nothing leads above
//! the root. No link is ever followed.

use std::{
    collections::VecDeque,
    ffi::CStr,
    mem,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{fs::fstat, io::Errno};

use super::dirfd;

/// How many directories above the present one stay open. At least one: who may not search a directory may still list
/// it, and then it has no `..` to leave by.
const WINDOW: usize = 16;

/// A way from the root of a tree to one of its directories. A step that fails leaves it where it was.
#[derive(Debug)]
pub(super) struct Trail {
    dir: OwnedFd,
    /// The open directories above, the nearest last.
    near: VecDeque<OwnedFd>,
    /// What those above them are, the root first.
    far: Vec<Identity>,
    /// From the root to here, `/` between the parts.
    path: Vec<u8>,
}

type Identity = (u64, u64);

impl Trail {
    /// Starts at a root.
    pub(super) fn start(root: impl AsFd) -> Result<Self, Errno> {
        Ok(Self { dir: dirfd::open_dir(root, c".")?, near: VecDeque::new(), far: Vec::new(), path: Vec::new() })
    }

    /// The directory where we are.
    pub(super) fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// The path of a name here.
    pub(super) fn path_of(&self, name: &CStr) -> Vec<u8> {
        let mut path = self.path.clone();
        extend(&mut path, name.to_bytes());
        path
    }

    /// The same, for people.
    pub(super) fn shown(&self, name: &CStr) -> String {
        dirfd::escape(&self.path_of(name))
    }

    /// Where we are, for people.
    pub(super) fn here(&self) -> String {
        if self.path.is_empty() { ".".to_owned() } else { dirfd::escape(&self.path) }
    }

    /// Goes to a directory of the tree by the shortest way.
    pub(super) fn go(&mut self, path: &str) -> Result<(), Errno> {
        while !self.is_on_the_way_to(path.as_bytes()) {
            self.leave()?;
        }
        let below = path.get(self.path.len()..).unwrap_or_default();
        below.split('/').filter(|name| !name.is_empty()).try_for_each(|name| {
            let below = dirfd::open_dir(&self.dir, name)?;
            self.enter(below, name.as_bytes())
        })
    }

    fn is_on_the_way_to(&self, path: &[u8]) -> bool {
        let below = path.strip_prefix(self.path.as_slice());
        below.is_some_and(|below| self.path.is_empty() || matches!(below.first(), None | Some(b'/')))
    }

    /// Enters a directory that was opened here.
    pub(super) fn enter(&mut self, below: OwnedFd, name: &[u8]) -> Result<(), Errno> {
        if let Some(farthest) = self.near.front().filter(|_| self.near.len() == WINDOW) {
            self.far.push(identity(farthest)?);
            self.near.pop_front();
        }
        self.near.push_back(mem::replace(&mut self.dir, below));
        extend(&mut self.path, name);
        Ok(())
    }

    /// Goes up.
    pub(super) fn leave(&mut self) -> Result<(), Errno> {
        self.dir = match self.near.pop_back() {
            Some(above) => above,
            None => self.reopen()?,
        };
        self.path.truncate(self.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
        Ok(())
    }

    fn reopen(&mut self) -> Result<OwnedFd, Errno> {
        let above = dirfd::open_dir(&self.dir, c"..")?;
        if self.far.last() != Some(&identity(&above)?) {
            return Err(Errno::STALE);
        }
        self.far.pop();
        Ok(above)
    }
}

fn identity(dir: &OwnedFd) -> Result<Identity, Errno> {
    let stat = fstat(dir)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn extend(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

#[cfg(test)]
#[path = "trail_tests.rs"]
mod tests;
