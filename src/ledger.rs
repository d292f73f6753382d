//! Durable control state: what was asked for and how far it has come.
//!
//! Owns records under text keys, each with a revision, in a [`KeyValue`] store. A put names the revision it saw, so two
//! writers can never overwrite each other unseen, and returns only once the record would survive a power cut. What
//! backups exist is not said here: the storage is the truth about that.
//!
//! Values hold the storage credentials of policies and jobs, so a ledger on disk is sealed: nothing but names and sizes
//! can be told from its file without the key.

mod cleanup;
mod controls;
mod embedded;
mod feed;
mod in_force;
mod key;
mod once;
mod partition;
mod policies;
mod records;
mod remembered;
mod retention;
#[cfg(test)]
#[path = "ledger/samples_tests.rs"]
mod samples;
mod sealed;
mod together;

use std::{path::Path, sync::Arc};

use tokio::sync::watch;

pub use cleanup::Cleanup;
pub use embedded::Embedded;
use feed::Feeds;
pub use feed::{Feed, News, Topic};
pub use in_force::{Basis, InForce};
pub use key::{KeyError, KeyFile, SealKey};
pub use once::{Once, Outcome};
pub use partition::{PartitionRecord, Tried, Wrote};
pub use policies::{Deletion, PolicyRecord};
use remembered::Remembered;
pub use retention::{Blocked, RetentionRecord};
pub use sealed::Sealed;

/// Why the ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Someone else wrote the record since it was read.
    #[error("the record '{key}' was changed by someone else")]
    Conflict {
        /// Its key.
        key: String,
    },
    /// The file cannot be opened, most often because another process has it open.
    #[error("the ledger {path} cannot be opened; is another fabric-backup using this data directory?")]
    Open {
        /// The file.
        path: String,
        /// The reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file is there, but not with this key.
    #[error("the ledger {ledger} cannot be opened with the key file {key_file}")]
    Key {
        /// The file of the ledger.
        ledger: String,
        /// That of its key.
        key_file: String,
        /// The reason, and what to do.
        #[source]
        source: KeyError,
    },
    /// A record that is not what was sealed under its key.
    #[error("the ledger's record '{key}' was damaged or changed by something else")]
    Sealed {
        /// Its key.
        key: String,
    },
    /// The store failed.
    #[error("the ledger cannot {operation} '{key}'")]
    Store {
        /// What was tried.
        operation: &'static str,
        /// The key or prefix.
        key: String,
        /// The reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A record that this version cannot read.
    #[error("the ledger's record '{key}' cannot be read")]
    Decode {
        /// Its key.
        key: String,
        /// The reason.
        #[source]
        source: serde_json::Error,
    },
}

/// Grows with every commit of the store, so that no two lives of a record are taken for one another; 0 is a record that
/// does not exist.
pub type Revision = u64;

/// A record and its revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// That of the commit which wrote it.
    pub revision: Revision,
    /// The bytes as they were written.
    pub value: Vec<u8>,
}

/// What becomes of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its key.
    pub key: String,
    /// The revision that it must still have.
    pub seen: Revision,
    /// What it shall be.
    pub becomes: Becomes,
}

/// What a record shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Becomes {
    /// This.
    Value(Vec<u8>),
    /// Gone.
    Gone,
    /// What it is, its revision too: it is only looked at.
    Same,
}

/// What a ledger store must do. Blocking.
///
/// A contract for every adapter: `commit` makes all of its changes or none, and they are durable when it returns; a `get`
/// sees every `commit` that returned before it; `list` is in key order and sees one moment.
pub trait KeyValue: Send + Sync + 'static {
    /// The record under `key`.
    fn get(&self, key: &str) -> Result<Option<Versioned>, LedgerError>;
    /// The records whose keys start with `prefix` and come after `after`, at most `limit` of them.
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Versioned)>, LedgerError>;
    /// Makes the changes, of different records, if each record still has the revision that was seen; otherwise
    /// [`LedgerError::Conflict`].
    fn commit(&self, changes: &[Change]) -> Result<(), LedgerError>;
}

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    store: Arc<dyn KeyValue>,
    changes: watch::Sender<u64>,
    feeds: Feeds,
    remembered: Remembered,
}

impl Ledger {
    /// Opens or creates the embedded ledger in `path`, a file that only its owner can read, sealed with the key in `key`.
    pub fn open(path: &Path, key: &KeyFile) -> Result<Self, LedgerError> {
        Ok(Self::over(Sealed::open(path, key)?))
    }

    /// A ledger over any store; tests put one that fails in between.
    pub fn over(store: impl KeyValue) -> Self {
        Self {
            store: Arc::new(store),
            changes: watch::Sender::new(0),
            feeds: Feeds::default(),
            remembered: Remembered::default(),
        }
    }

    /// Is marked changed after every write of this process. A wake-up, not a log: writes in a row show as one.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Hears of everything that this process writes about `topics` from now on.
    pub fn feed(&self, topics: &'static [Topic]) -> Feed {
        self.feeds.subscribe(topics)
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn KeyValue) -> Result<R, LedgerError> + Send + 'static,
    ) -> Result<R, LedgerError> {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || work(&*store)).await {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn announce(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}
