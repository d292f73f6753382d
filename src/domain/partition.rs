use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ApplicationName, Entity, ServiceName, StorageSpec};

/// A partition's GUID. Any case, with or without braces, is the same partition; it prints in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub Uuid);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The keys of an `Int64Range` partition, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    /// Lowest key.
    pub low: i64,
    /// Highest key; never below `low`.
    pub high: i64,
}

impl KeyRange {
    /// Whether the two ranges share a key.
    pub fn overlaps(self, other: Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

/// Which part of the service's keys a partition holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartitionKind {
    /// The only partition of its service.
    Singleton,
    /// A range of 64-bit keys.
    Int64Range(KeyRange),
    /// One named partition.
    Named(String),
}

/// What the configuration says of a partition that this node hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its identity.
    pub id: PartitionId,
    /// Its key space.
    pub kind: PartitionKind,
    /// The application it belongs to.
    pub application: ApplicationName,
    /// The service it belongs to.
    pub service: ServiceName,
    /// The manifest version of that service, written into every backup.
    pub manifest_version: String,
    /// Only the partitions of stateful services with persisted state can be backed up.
    pub persisted: bool,
    /// Where backups go when neither the request nor a policy names a storage.
    pub default_storage: Option<StorageSpec>,
}

impl Partition {
    /// The partition as something that a policy can cover.
    pub fn entity(&self) -> Entity {
        Entity::Partition(self.application.clone(), self.service.clone(), self.id)
    }
}
