//! How far a running job is: what it has to move, what it has moved, and where its time went.
//!
//! Counts only, in atomics, so that every thread of a job adds to it without waiting. Lives as long as the job runs; what
//! is to be kept of it is a [`Measured`]. No number here decides anything.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// What a job's time is spent on. Stages run beside each other, so together they may take longer than the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the state (backup) or the storage (restore).
    Read,
    /// Hashing blocks, to name or to verify them.
    Hash,
    /// Compressing (backup) or unpacking (restore).
    Compress,
    /// Writing to the storage (backup) or the new state (restore).
    Write,
    /// Waiting because a limit says so.
    Throttled,
}

const STAGES: usize = 5;

/// The counters of one job. All bytes are of the state's files, as they lie there, but for those that are stored.
#[derive(Debug, Default)]
pub struct Meter {
    bytes_total: AtomicU64,
    files_total: AtomicU64,
    bytes_processed: AtomicU64,
    files_processed: AtomicU64,
    bytes_stored: AtomicU64,
    /// Nanoseconds, by [`Stage`].
    spent: [AtomicU64; STAGES],
}

/// What a meter said at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// How long the files to be moved are together, holes and unchanged ones included.
    pub bytes_total: u64,
    /// How many regular files there are.
    pub files_total: u64,
    /// How many of the bytes are done: moved, or known not to need it.
    pub bytes_processed: u64,
    /// How many of the files are done.
    pub files_processed: u64,
    /// Bytes that went to the storage, or came from it.
    pub bytes_stored: u64,
    /// Nanoseconds, by [`Stage`] in its order.
    pub spent: [u64; STAGES],
}

impl Meter {
    /// A new attempt begins: nothing is done of what there is to do now. Time that was spent stays spent.
    pub fn begin(&self, files: u64, bytes: u64) {
        self.bytes_total.store(bytes, Relaxed);
        self.files_total.store(files, Relaxed);
        self.bytes_processed.store(0, Relaxed);
        self.files_processed.store(0, Relaxed);
        self.bytes_stored.store(0, Relaxed);
    }

    /// So many bytes of the state are done.
    pub fn processed(&self, bytes: u64) {
        self.bytes_processed.fetch_add(bytes, Relaxed);
    }

    /// One more file is done.
    pub fn file(&self) {
        self.files_processed.fetch_add(1, Relaxed);
    }

    /// So many bytes went to or came from the storage.
    pub fn stored(&self, bytes: u64) {
        self.bytes_stored.fetch_add(bytes, Relaxed);
    }

    /// So much time went into a stage, on one thread.
    pub fn spent(&self, stage: Stage, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.spent[stage as usize].fetch_add(nanos, Relaxed);
    }

    /// All counters as they are now, one after another: they may be a moment apart.
    pub fn read(&self) -> Measured {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        Measured {
            bytes_total: of(&self.bytes_total),
            files_total: of(&self.files_total),
            bytes_processed: of(&self.bytes_processed),
            files_processed: of(&self.files_processed),
            bytes_stored: of(&self.bytes_stored),
            spent: self.spent.each_ref().map(of),
        }
    }
}

impl Measured {
    /// What a stage took.
    pub fn spent(&self, stage: Stage) -> Duration {
        Duration::from_nanos(self.spent[stage as usize])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Meter, Stage};

    #[test]
    fn a_new_attempt_starts_its_counts_anew_and_keeps_the_time_that_was_spent() {
        let meter = Meter::default();
        meter.begin(2, 30);
        meter.processed(10);
        meter.stored(5);
        meter.file();
        meter.spent(Stage::Compress, Duration::from_millis(3));
        let first = meter.read();
        assert_eq!((first.bytes_processed, first.files_processed, first.bytes_stored), (10, 1, 5));
        meter.begin(1, 20);
        let second = meter.read();
        assert_eq!(
            (second.bytes_total, second.files_total, second.bytes_processed, second.bytes_stored),
            (20, 1, 0, 0)
        );
        assert_eq!(second.spent(Stage::Compress), Duration::from_millis(3));
        assert_eq!(second.spent(Stage::Read), Duration::ZERO);
    }
}
