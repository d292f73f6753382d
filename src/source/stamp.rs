//! What tells whether a file is still the same: the stamp, and the wait until it can be trusted.

use std::{
    ffi::CStr,
    hash::{DefaultHasher, Hash, Hasher},
    os::fd::AsFd,
    thread,
    time::Duration,
};

use rustix::{
    fs::{AtFlags, Stat, statat},
    io::Errno,
};

use crate::clock::Clock;

/// Two ticks of the slowest kernel clock (100 Hz): a change this long after a stamp cannot repeat it.
const GRAIN: Duration = Duration::from_millis(20);

/// How often a busy file is looked at again, one grain apart.
const LOOKS: usize = 50;

/// A hash of all that moves when a file does; never 0. Backups keep it, so it is the same in every version: BLAKE3 of
/// these numbers, little-endian, of which one block holds them all. Changing it costs a reading of every file.
pub(super) fn stamp(stat: &Stat) -> u64 {
    digest([
        stat.st_dev,
        stat.st_ino,
        stat.st_mode.into(),
        stat.st_size.cast_unsigned(),
        stat.st_mtime.cast_unsigned(),
        stat.st_mtime_nsec,
        stat.st_ctime.cast_unsigned(),
        stat.st_ctime_nsec,
    ])
}

fn digest(numbers: [u64; 8]) -> u64 {
    let mut bytes = [0; 64];
    for (at, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        at.copy_from_slice(&number.to_le_bytes());
    }
    let hash = *blake3::hash(&bytes).as_bytes();
    u64::from_le_bytes(std::array::from_fn(|n| hash[n])).max(1)
}

/// Of a path, for as long as a snapshot lives. The same in every run, so that a test can be repeated.
pub(super) fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Looks at a name without following it.
pub(super) fn look(dir: impl AsFd, name: &CStr) -> Result<Stat, Errno> {
    statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// Looks at a name until its stamp is older than a tick. `None`: it never rested.
pub(super) fn look_at_rest(dir: impl AsFd, name: &CStr) -> Result<Option<Stat>, Errno> {
    look_until(|| look(&dir, name), is_young, || thread::sleep(GRAIN))
}

fn look_until(
    look: impl Fn() -> Result<Stat, Errno>,
    is_young: impl Fn(&Stat) -> bool,
    mut pause: impl FnMut(),
) -> Result<Option<Stat>, Errno> {
    let mut last = look()?;
    for _ in 0..LOOKS {
        if !is_young(&last) {
            return Ok(Some(last));
        }
        pause();
        let now = look()?;
        // A whole grain has passed over this stamp, whatever our clock says.
        if stamp(&now) == stamp(&last) {
            return Ok(Some(now));
        }
        last = now;
    }
    Ok(None)
}

/// Whether a change right now could leave the same ctime. One far ahead comes from a clock that was set back.
fn is_young(stat: &Stat) -> bool {
    let changed = i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec);
    let now = Clock::system().now();
    let now = i128::from(now.timestamp()) * 1_000_000_000 + i128::from(now.timestamp_subsec_nanos());
    now.abs_diff(changed) < GRAIN.as_nanos()
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, io::Write};

    use rustix::fs::fstat;

    use super::{LOOKS, digest, look_until, stamp};

    /// Looks at a file that always seems young and grows during the first so many pauses. How many were there?
    fn pauses(growing: usize) -> (Option<u64>, usize) {
        let (file, pauses) = (tempfile::tempfile().unwrap(), Cell::new(0));
        let pause = || {
            pauses.set(pauses.get() + 1);
            if pauses.get() <= growing {
                (&file).write_all(b"+").unwrap();
            }
        };
        let found = look_until(|| fstat(&file), |_| true, pause).unwrap();
        assert!(found.is_none_or(|found| stamp(&found) == stamp(&fstat(&file).unwrap())), "an old look was taken");
        (found.map(|found| u64::try_from(found.st_size).unwrap()), pauses.get())
    }

    #[test]
    fn a_stamp_is_the_same_in_every_version() {
        assert_eq!(digest([1, 2, 3, 4, 5, 6, 7, 8]), 0xe40d_937d_ff83_e71a);
        assert_ne!(digest([1, 2, 3, 4, 5, 6, 8, 7]), digest([1, 2, 3, 4, 5, 6, 7, 8]));
    }

    #[test]
    fn a_young_stamp_counts_once_it_has_outlived_a_pause() {
        assert_eq!(pauses(0), (Some(0), 1));
        assert_eq!(pauses(3), (Some(3), 4));
    }

    #[test]
    fn what_changes_in_every_pause_never_rests() {
        assert_eq!(pauses(usize::MAX), (None, LOOKS));
    }
}
