//! The points where a test kills a restore. Each change on disk passes one; outside tests they are nothing.

use std::ffi::CStr;

use rustix::io::Errno;

/// Stands before a change on disk.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests it can fail")]
pub(super) fn step() -> Result<(), Errno> {
    Ok(())
}

/// Fails at the chosen point, and at all that follow: the process is dead.
#[cfg(test)]
pub(super) fn step() -> Result<(), Errno> {
    tests::step()
}

/// Stands before a deletion.
#[cfg(not(test))]
pub(super) fn deleting(_: &CStr) -> Result<(), Errno> {
    step()
}

/// Fails at the chosen name too, which the file system does not give up.
#[cfg(test)]
pub(super) fn deleting(name: &CStr) -> Result<(), Errno> {
    step().and_then(|()| tests::deleting(name))
}

#[cfg(test)]
pub(super) mod tests {
    use std::{cell::Cell, ffi::CStr};

    use rustix::io::Errno;

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
        static KEPT: Cell<Option<(&'static CStr, Errno)>> = const { Cell::new(None) };
    }

    pub(super) fn deleting(name: &CStr) -> Result<(), Errno> {
        KEPT.get().filter(|(kept, _)| *kept == name).map_or(Ok(()), |(_, errno)| Err(errno))
    }

    /// From now on nothing of this name can be deleted, as if it were immutable or a mount point.
    pub(crate) fn keep(name: &'static CStr, errno: Errno) {
        KEPT.set(Some((name, errno)));
    }

    /// Everything can be deleted again.
    pub(crate) fn let_go() {
        KEPT.set(None);
    }

    pub(super) fn step() -> Result<(), Errno> {
        match LEFT.get() {
            Some(0) => Err(Errno::CANCELED),
            left => {
                LEFT.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }

    /// Runs as a process that is killed after so many changes on disk. Answers whether it came to that.
    pub(crate) fn killed_after(steps: usize, process: impl FnOnce()) -> bool {
        LEFT.set(Some(steps));
        process();
        LEFT.replace(None) == Some(0)
    }
}
