use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{PartitionKind, PolicyName, StoreId};

/// Counts the lives of a partition: greater is later, the data-loss version first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch {
    /// Grows with every restore.
    pub data_loss: i64,
    /// Grows when another node takes the partition over.
    pub configuration: i64,
}

/// Where a backup lies, relative to its store: `App\Service\guid\yyyy-MM-dd HH.mm.ss.zip`, with backslashes on every kind of store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Location(pub String);

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One backup, as its commit record tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupPoint {
    /// Its identity.
    pub id: Uuid,
    /// The identity of the full backup that its chain starts with; its own when it is full.
    pub chain_id: Uuid,
    /// The backup before it in the chain; none when it is full.
    pub parent: Option<Parent>,
    /// Where it lies.
    pub location: Location,
    /// When the snapshot was taken, UTC, whole seconds.
    pub created: DateTime<Utc>,
    /// The partition's life it was taken in.
    pub epoch: Epoch,
    /// How far the partition's log had come.
    pub lsn: i64,
    /// The key space of the partition it was taken of.
    pub partition: PartitionKind,
    /// The manifest version of the service then.
    pub manifest_version: String,
}

/// The backup that an incremental one continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its identity.
    pub id: Uuid,
    /// Where it lies.
    pub location: Location,
}

impl BackupPoint {
    /// Whether it stands alone.
    pub fn is_full(&self) -> bool {
        self.parent.is_none()
    }
}

/// The newest backup of the chain that the next incremental one of a partition would go on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainTip {
    /// The backup.
    pub backup: Parent,
    /// The identity of the full backup that the chain starts with.
    pub chain_id: Uuid,
    /// How many incremental backups it has.
    pub incrementals: u32,
    /// The storage it lies in.
    pub store: StoreId,
    /// The policy that the backup was made for.
    pub policy: PolicyName,
    /// The partition's life it was taken in.
    pub epoch: Epoch,
    /// When it was complete.
    pub completed: DateTime<Utc>,
}

/// Which kind of backup is due, as it was decided. A writer that cannot make an incremental one makes a full one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// One that stands alone.
    Full(WhyFull),
    /// What changed since this one.
    Incremental(Parent),
}

/// Why a full backup is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhyFull {
    /// It was asked for.
    Requested,
    /// No policy is in force whose storage it goes to, so there is no chain.
    NoPolicy,
    /// There is no backup to go on from.
    NoBase,
    /// The one before lies in another storage.
    OtherStore,
    /// The one before was made for another policy.
    OtherPolicy,
    /// The policy was changed, enabled or resumed since.
    NewStart,
    /// The partition was restored since.
    NewEpoch,
    /// The chain has as many incremental backups as the policy allows.
    ChainIsLong,
}
