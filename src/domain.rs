//! The words of the house: ids, names, and the facts about partitions, their state and their backups.
//!
//! Owns values that cannot be wrong once built: constructors refuse what the rest of the program could not use.
//! Never does I/O, never reads a clock, and knows nothing of JSON or HTTP. (The `serde` derives are for the ledger.)

mod backup;
mod control;
mod entity;
mod failure;
mod name;
mod partition;
mod policy;
mod secret;
mod service;
mod span;
mod storage;
mod tree;

pub use backup::{BackupPoint, ChainTip, Epoch, Location, Parent, Wanted, WhyFull};
pub use control::{Controls, DataLoss, Enabled, RunFailure, RunLog, Suspension};
pub use entity::{Entity, Level};
pub use failure::{Failure, FailureCode, words};
pub use name::{ApplicationName, NameError, ServiceName};
pub use partition::{KeyRange, Partition, PartitionId, PartitionKind};
pub use policy::{
    Compression, Days, Interval, Policy, PolicyError, PolicyName, QuickRecovery, Retention, RunTimes, Schedule,
};
pub use secret::Secret;
pub use service::{Service, ServiceKind};
pub use span::{Span, SpanError};
pub use storage::{AzureBlob, Credentials, FileShare, ManagedIdentity, ManagedIdentityKind, StorageSpec, StoreId};
pub use tree::{Entry, EntryKind, PathError, TreePath};
