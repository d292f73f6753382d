//! The points where a test kills a restore. Each change on disk passes one; outside tests they are nothing.

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

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use rustix::io::Errno;

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
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
