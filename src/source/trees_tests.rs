//! Trees that tests make, deeper than a path can name, and who looks at them.

use std::{
    ffi::CString,
    fs::File,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, mkdirat},
    process::{Resource, Rlimit, Uid, geteuid, getrlimit, setrlimit},
    thread::set_thread_res_uid,
};
use tempfile::TempDir;

use super::{dirfd, remove::remove};

/// Memory where there is some, for what takes thousands of steps or a `syncfs` each time.
pub(super) fn fast() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// Nests directories of one name. Answers the last.
pub(super) fn chain(root: &Path, name: &str, levels: usize) -> OwnedFd {
    (0..levels).fold(File::open(root).unwrap().into(), |dir, _| {
        mkdirat(&dir, name, Mode::RWXU).unwrap();
        dirfd::open_dir(&dir, name).unwrap()
    })
}

/// The usual limit: fewer than the levels of a deep tree.
pub(super) fn few_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(1024), ..limit }).unwrap();
}

/// What `TempDir` is too shallow for.
pub(super) fn delete(temp: TempDir) {
    let path = temp.keep();
    let name = CString::new(path.file_name().unwrap().as_bytes()).unwrap();
    remove(File::open(path.parent().unwrap()).unwrap(), &name).unwrap();
}

/// Runs on a thread that has no more rights than anybody: root may read and write everything.
pub(super) fn as_nobody(work: fn()) {
    let nobody = Uid::from_raw(65_534);
    let thread = std::thread::spawn(move || {
        if geteuid().is_root() {
            set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        work();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}
