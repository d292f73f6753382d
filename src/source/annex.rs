//! The directory beside a state where restores happen, and the swap that a kill cannot split.
//!
//! The exchange of state and `staging` is one step of the file system. What surrounds it is told apart by `intent`,
//! which names the job and the inode of the restored tree and is durable before the exchange:
//!
//! | on disk | what happened | what [`Annex::settle`] does |
//! |---|---|---|
//! | no `intent` | a restore did not get as far as its swap | throws `staging` away |
//! | `intent`, `staging` is the inode it names | not exchanged | forgets `intent`, throws `staging` away |
//! | `intent`, `staging` is another | exchanged; `staging` is the previous state | keeps that as `undo`, completes |
//! | `intent`, no `staging`, it names the state | exchanged; the previous state, if any, is kept | completes |
//! | `intent`, no `staging`, it does not | somebody deleted `staging` by hand | forgets `intent` |
//!
//! To complete is to rename `intent` to `restored`. Each step is durable before the next, so power loss cannot reorder
//! them. `undo` is only ever renamed into place, never filled. What is thrown away, the older one too, becomes a
//! `trash-` of its own name, which is deleted last and whenever it is found. What cannot be deleted (an immutable file,
//! a mount) is named in the log and stands in nobody's way. Nothing is deleted but what is proved ours: a `staging`
//! without an `intent` can only have been made by a restore. Where there was no state before, an older `undo` stays as
//! it is. A lock on the directory keeps two restores of one state apart.

use std::{
    ffi::{CStr, OsStr, OsString},
    fs::File,
    io::Write,
    os::fd::OwnedFd,
    path::Path,
    str::FromStr,
};

use rustix::{
    fs::{
        Access, AtFlags, FlockOperation, Mode, OFlags, RenameFlags, Stat, StatxAttributes, StatxFlags, accessat, flock,
        fsync, mkdirat, openat, renameat, renameat_with, statat, statx, unlinkat,
    },
    io::Errno,
};
use uuid::Uuid;

use crate::clock::Clock;

use super::{SourceError, crash::step, dirfd, remove::remove};

const STAGING: &str = "staging";
const UNDO: &str = "undo";
/// How the names of what is to be deleted begin.
const TRASH: &str = "trash";
const INTENT: &str = "intent";
const DRAFT: &str = "intent.draft";
const RESTORED: &str = "restored";

/// What [`super::Source::recover`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// Nothing was left behind.
    Nothing,
    /// A restore that had not swapped; the state is as it was before.
    Discarded,
    /// This job's swap had happened; the state is the restored one, and its undo point is in place now.
    Restored(Uuid),
}

/// The opened and locked directory of one state.
#[derive(Debug)]
pub(super) struct Annex {
    above: OwnedFd,
    name: OsString,
    dir: OwnedFd,
    /// The state's path, for people.
    shown: String,
}

/// Which job swaps, and which tree.
struct Intent {
    job: Uuid,
    inode: u64,
}

impl Annex {
    /// Opens the directory if it is there.
    pub(super) fn find(root: &Path) -> Result<Option<Self>, SourceError> {
        let (above, name) = dirfd::open_above(root)?;
        Self::open(above, name, root)
    }

    /// Opens the directory, made if need be, where the state can be swapped.
    pub(super) fn make(root: &Path) -> Result<Self, SourceError> {
        let (above, name) = dirfd::open_above(root)?;
        refuse_mount_point(&above, name, root)?;
        match mkdirat(&above, beside(name), Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(SourceError::io("making a place for restores beside", shown(root), errno)),
        }
        let annex = Self::open(above, name, root)?;
        annex.ok_or_else(|| SourceError::io("opening the place for restores beside", shown(root), Errno::NOENT))
    }

    fn open(above: OwnedFd, name: &OsStr, root: &Path) -> Result<Option<Self>, SourceError> {
        let trouble = |errno| SourceError::io("opening the place for restores beside", shown(root), errno);
        let dir = match dirfd::open_dir(&above, beside(name)) {
            Ok(dir) => dir,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(trouble(errno)),
        };
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { above, name: name.to_owned(), dir, shown: shown(root) })),
            Err(Errno::WOULDBLOCK) => Err(SourceError::Busy { path: shown(root) }),
            Err(errno) => Err(trouble(errno)),
        }
    }

    /// The state's root as it is now, if there is one.
    pub(super) fn state(&self) -> Result<Option<Stat>, SourceError> {
        self.stat(&self.above, &self.name)
    }

    /// An empty tree to restore into, proved to lie where a swap can work.
    pub(super) fn begin(&self) -> Result<OwnedFd, SourceError> {
        self.may_swap()?;
        let (probe, make) = (trash(), |name| mkdirat(&self.dir, name, Mode::RWXU).and_then(|()| step()));
        let trouble = |errno| self.trouble("making a staging tree beside", errno);
        make(STAGING).and_then(|()| make(&probe)).map_err(trouble)?;
        self.exchange(&self.dir, OsStr::new(&probe))?;
        step().and_then(|()| unlinkat(&self.dir, &probe, AtFlags::REMOVEDIR)).map_err(trouble)?;
        self.staged()
    }

    /// The staged tree.
    pub(super) fn staged(&self) -> Result<OwnedFd, SourceError> {
        dirfd::open_dir(&self.dir, STAGING).map_err(|errno| self.trouble("opening the staging tree of", errno))
    }

    /// A swap writes into the directory above, and into the state's root, whose parent it changes.
    fn may_swap(&self) -> Result<(), SourceError> {
        let may = |name: &OsStr, access, path: String, need| match accessat(&self.above, name, access, AtFlags::EACCESS)
        {
            Err(errno @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => {
                Err(SourceError::Denied { path, need, source: errno.into() })
            }
            _ => Ok(()),
        };
        let above = format!("{}/..", self.shown);
        let need = "write and search permission on it, to put the restored tree there";
        may(OsStr::new("."), Access::WRITE_OK | Access::EXEC_OK, above, need)?;
        may(&self.name, Access::WRITE_OK, self.shown.clone(), "write permission on it, to move it out of the way")
    }

    /// Puts the staged tree in the state's place. It must be durable already.
    pub(super) fn swap(&self, job: Uuid) -> Result<(), SourceError> {
        let staged =
            self.stat(&self.dir, STAGING)?.ok_or_else(|| self.trouble("finding the staging tree of", Errno::NOENT))?;
        self.declare(&Intent { job, inode: staged.st_ino })?;
        match self.state()? {
            Some(_) => self.exchange(&self.above, &self.name)?,
            None => self.place()?,
        }
        self.decide().map(drop)
    }

    /// Puts the staged tree where nothing is, or an empty directory: nobody's state, so that there is nothing to undo and
    /// no job to name. It must be durable already.
    pub(super) fn land(&self) -> Result<(), SourceError> {
        let land = step().and_then(|()| renameat(&self.dir, STAGING, &self.above, &self.name));
        land.map_err(|errno| match errno {
            Errno::NOTEMPTY | Errno::EXIST => SourceError::Root { path: self.shown.clone(), why: "is not empty" },
            Errno::NOTDIR => SourceError::Root { path: self.shown.clone(), why: "is not a directory" },
            errno => self.trouble("putting in place the restored tree of", errno),
        })?;
        self.sync()
    }

    /// Takes the directory away, unless it keeps something.
    pub(super) fn remove(self) -> Result<(), SourceError> {
        match unlinkat(&self.above, beside(&self.name), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.trouble("removing the place for restores beside", errno)),
        }
    }

    /// Finishes or discards, whichever the table of this module says, and deletes what it can of what is left over.
    pub(super) fn settle(&self) -> Result<Recovered, SourceError> {
        let recovered = self.decide()?;
        self.clear();
        Ok(recovered)
    }

    fn clear(&self) {
        let names = dirfd::names(&self.dir).unwrap_or_else(|errno| {
            self.warn(".", errno);
            Vec::new()
        });
        for name in names.iter().filter(|name| is_left_over(name)) {
            if let Err(stuck) = remove(&self.dir, name) {
                self.warn(&stuck.path, stuck.errno);
            }
        }
    }

    /// What stays is the administrator's to see to.
    fn warn(&self, path: &str, errno: Errno) {
        let annex = Path::new(&self.shown).with_file_name(beside(&self.name));
        let error = SourceError::io("deleting", annex.join(path).display().to_string(), errno);
        tracing::warn!(%error, %errno, "something replaced is left over; the next restore or start tries again");
    }

    fn decide(&self) -> Result<Recovered, SourceError> {
        let staging = self.stat(&self.dir, STAGING)?.map(|stat| stat.st_ino);
        match self.read(INTENT)? {
            Some(intent) if self.has_swapped(&intent, staging)? => self.complete(staging.is_some(), intent.job),
            Some(_) => self.forget().and_then(|()| self.discard(staging.is_some())),
            None if staging.is_some() => self.discard(true),
            None => Ok(Recovered::Nothing),
        }
    }

    fn has_swapped(&self, intent: &Intent, staging: Option<u64>) -> Result<bool, SourceError> {
        match staging {
            Some(inode) => Ok(inode != intent.inode),
            None => Ok(self.state()?.is_some_and(|state| state.st_ino == intent.inode)),
        }
    }

    fn complete(&self, displaced: bool, job: Uuid) -> Result<Recovered, SourceError> {
        self.sync()?;
        if displaced {
            self.keep_undo()?;
        }
        self.rename(INTENT, RESTORED)?;
        Ok(Recovered::Restored(job))
    }

    fn keep_undo(&self) -> Result<(), SourceError> {
        if self.stat(&self.dir, UNDO)?.is_some() {
            self.rename(UNDO, &trash())?;
        }
        self.rename(STAGING, UNDO)
    }

    fn forget(&self) -> Result<(), SourceError> {
        let unlink = || step().and_then(|()| unlinkat(&self.dir, INTENT, AtFlags::empty()));
        unlink().map_err(|errno| self.trouble("forgetting an unfinished restore of", errno))?;
        self.sync()
    }

    fn discard(&self, staged: bool) -> Result<Recovered, SourceError> {
        if staged {
            self.rename(STAGING, &trash())?;
        }
        Ok(Recovered::Discarded)
    }

    /// The job whose swap happened last, whether or not what came after it could be done.
    pub(super) fn restored_job(&self) -> Result<Option<Uuid>, SourceError> {
        let staging = self.stat(&self.dir, STAGING)?.map(|stat| stat.st_ino);
        match self.read(INTENT)? {
            Some(intent) if self.has_swapped(&intent, staging)? => Ok(Some(intent.job)),
            _ => Ok(self.read(RESTORED)?.map(|intent| intent.job)),
        }
    }

    fn declare(&self, intent: &Intent) -> Result<(), SourceError> {
        let write = || {
            step()?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut draft = File::from(openat(&self.dir, DRAFT, flags, Mode::RUSR | Mode::WUSR)?);
            writeln!(draft, "{} {}", intent.job, intent.inode)?;
            draft.sync_all()
        };
        write().map_err(|error| SourceError::io("noting the swap of", &self.shown, error))?;
        self.rename(DRAFT, INTENT)
    }

    fn read(&self, name: &str) -> Result<Option<Intent>, SourceError> {
        let open = openat(&self.dir, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        let read = match open {
            Ok(file) => std::io::read_to_string(File::from(file)).and_then(|text| text.parse().map(Some)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        };
        read.map_err(|error| SourceError::io("reading what was restored last of", &self.shown, error))
    }

    /// Changes places with the staged tree, in one step.
    fn exchange(&self, dir: &OwnedFd, name: &OsStr) -> Result<(), SourceError> {
        self.put(dir, name, RenameFlags::EXCHANGE)
    }

    /// The same where there is no state yet.
    fn place(&self) -> Result<(), SourceError> {
        self.put(&self.above, &self.name, RenameFlags::NOREPLACE)
    }

    fn put(&self, dir: &OwnedFd, name: &OsStr, how: RenameFlags) -> Result<(), SourceError> {
        let put = step().and_then(|()| renameat_with(&self.dir, STAGING, dir, name, how));
        put.map_err(|errno| match errno {
            Errno::BUSY => self.unswappable(MOUNT_POINT),
            Errno::XDEV => self.unswappable(ELSEWHERE),
            Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => self.unswappable(NO_EXCHANGE),
            errno => self.trouble("swapping in the restored tree of", errno),
        })
    }

    /// Renames within the directory, durably.
    fn rename(&self, from: &str, to: &str) -> Result<(), SourceError> {
        let rename = step().and_then(|()| renameat(&self.dir, from, &self.dir, to));
        rename.map_err(|errno| self.trouble("renaming what lies beside", errno))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), SourceError> {
        let sync = step().and_then(|()| fsync(&self.above)).and_then(|()| fsync(&self.dir));
        sync.map_err(|errno| self.trouble("making the swap durable of", errno))
    }

    fn stat(&self, dir: &OwnedFd, name: impl rustix::path::Arg) -> Result<Option<Stat>, SourceError> {
        match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.trouble("looking at", errno)),
        }
    }

    fn trouble(&self, doing: &'static str, errno: Errno) -> SourceError {
        SourceError::io(doing, &self.shown, errno)
    }

    fn unswappable(&self, why: &'static str) -> SourceError {
        SourceError::Unswappable { path: self.shown.clone(), why }
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }
}

impl FromStr for Intent {
    type Err = std::io::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (job, inode) = text.trim_end().split_once(' ')?;
            Some(Self { job: job.parse().ok()?, inode: inode.parse().ok()? })
        };
        parse().ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "not a job and an inode"))
    }
}

const MOUNT_POINT: &str = "it is a mount point; move the state into a directory inside it and configure that";
const ELSEWHERE: &str =
    "its files lie elsewhere than its parent directory, as in a container's image; keep it on a volume";
const NO_EXCHANGE: &str = "its file system cannot exchange two directories in one step; ext4, XFS, Btrfs and tmpfs can";

fn refuse_mount_point(above: &OwnedFd, name: &OsStr, root: &Path) -> Result<(), SourceError> {
    match statx(above, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
        Ok(stat) if stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) => {
            Err(SourceError::Unswappable { path: shown(root), why: MOUNT_POINT })
        }
        // Where this cannot be told beforehand, the exchange itself will.
        _ => Ok(()),
    }
}

/// A new name for what is to be deleted: what an older one still holds must not matter.
fn trash() -> String {
    format!("{TRASH}-{}", Clock::system().uuid())
}

fn is_left_over(name: &CStr) -> bool {
    name.to_bytes().starts_with(TRASH.as_bytes()) || name.to_bytes() == DRAFT.as_bytes()
}

fn beside(name: &OsStr) -> OsString {
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(".fabric-backup");
    beside
}

fn shown(root: &Path) -> String {
    root.display().to_string()
}

#[cfg(test)]
#[path = "annex_tests.rs"]
mod tests;
