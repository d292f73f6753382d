//! What this node serves, checked and complete: every default filled in, every path absolute.
//!
//! Made by the configuration or by the quickstart, read by the wiring. No setting has a second meaning further down.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use crate::{
    domain::{ApplicationName, Partition, Service},
    ledger::KeyFile,
    reconcile::Rules,
    storage::StoreSettings,
};

/// Where the service listens when nothing else is said: Service Fabric's own port.
pub(super) const DEFAULT_LISTEN: &str = "127.0.0.1:19080";
/// The data directory when nothing else is said.
pub(super) const DEFAULT_DATA_DIR: &str = "fabric-backup-data";
/// [`Settings::max_jobs`] when nothing else is said.
pub(super) const DEFAULT_MAX_JOBS: NonZeroUsize = NonZeroUsize::new(4).expect("4 is not 0");

/// What this node serves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where this node keeps what is its own.
    pub data_dir: PathBuf,
    /// Where the key of the ledger lies.
    pub ledger_key: KeyFile,
    /// Every application, also one without services.
    pub applications: Vec<ApplicationName>,
    /// Every service, stateless ones too.
    pub services: Vec<Service>,
    /// Every partition, those without persisted state too.
    pub partitions: Vec<HostedPartition>,
    /// Which directories may be used as file shares.
    pub file_share: StoreSettings,
    /// How many backups run at once, and beside them as many restores.
    pub max_jobs: NonZeroUsize,
    /// How hard zstd tries.
    pub compression_level: i32,
    /// When scheduled backups begin and what is taken for lost.
    pub rules: Rules,
}

/// A partition and where its state is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedPartition {
    /// Its facts.
    pub partition: Partition,
    /// Its state; none exactly when the service has no persisted state.
    pub source: Option<SourceSettings>,
}

/// Where the state of a partition is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSettings {
    /// A directory tree.
    Directory {
        /// Where it is.
        path: PathBuf,
        /// Whether every backup reads files that seem unchanged too.
        always_read: bool,
    },
}

/// The key of the ledger when nothing else is said.
pub(super) fn own_key(data_dir: &Path) -> KeyFile {
    KeyFile::Own(data_dir.join("ledger.key"))
}

impl Settings {
    /// The file of the embedded ledger.
    pub fn ledger_file(&self) -> PathBuf {
        self.data_dir.join("ledger.redb")
    }

    /// The directory for what a backup that is cut off is gone on with.
    pub fn journals(&self) -> PathBuf {
        self.data_dir.join("resume")
    }

    /// The directory for what of a running job is too much for memory.
    pub fn spools(&self) -> PathBuf {
        self.data_dir.join("spool")
    }

    /// The directory of this node's own file shares.
    pub fn shares(&self) -> PathBuf {
        self.data_dir.join("shares")
    }

    /// The only place inside the data directory where the state of partitions may lie.
    pub fn state(&self) -> PathBuf {
        self.data_dir.join("state")
    }
}
