//! Deletes a tree that is ours: by directory descriptors, following nothing, whatever modes its directories have.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::{
    fs::{AtFlags, Mode, OFlags, chmod, fstat, openat, unlinkat},
    io::Errno,
    path::Arg,
};

use super::{crash::step, dirfd};

/// Deletes one name of a directory with all that it holds. Missing is fine.
pub(super) fn remove(dir: impl AsFd, name: impl Arg + Copy) -> Result<(), Errno> {
    step()?;
    let gone = match unlinkat(&dir, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => empty(&dir, name).and_then(|()| unlinkat(&dir, name, AtFlags::REMOVEDIR)),
        gone => gone,
    };
    if gone == Err(Errno::NOENT) { Ok(()) } else { gone }
}

fn empty(dir: impl AsFd, name: impl Arg + Copy) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = openat(&dir, name, flags, Mode::empty())?;
    open_up(&place)?;
    let inside = dirfd::open_dir(&place, ".")?;
    dirfd::names(&inside)?.iter().try_for_each(|name| remove(&inside, name.as_c_str()))
}

/// Gives ourselves the right to look into a directory and change it. Through `/proc`, as a descriptor that was opened
/// without the right to read takes no other way, and a name could be a link by now.
fn open_up(place: &OwnedFd) -> Result<(), Errno> {
    if Mode::from_raw_mode(fstat(place)?.st_mode).contains(Mode::RWXU) {
        return Ok(());
    }
    chmod(format!("/proc/self/fd/{}", place.as_raw_fd()), Mode::RWXU)
}
