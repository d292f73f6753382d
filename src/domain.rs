//! The words of the house: ids, names, and the facts about partitions, their state and their backups.
//!
//! Owns values that cannot be wrong once built: constructors refuse what the rest of the program could not use.
//! Never does I/O, never reads a clock, and knows nothing of JSON or HTTP. (The `serde` derives are for the ledger.)

mod backup;
mod failure;
mod name;
mod partition;
mod secret;
mod storage;
mod tree;

pub use backup::{BackupPoint, Epoch, Location, Parent};
pub use failure::{Failure, FailureCode, words};
pub use name::{ApplicationName, NameError, ServiceName};
pub use partition::{KeyRange, Partition, PartitionId, PartitionKind};
pub use secret::Secret;
pub use storage::{AzureBlob, Credentials, FileShare, ManagedIdentity, ManagedIdentityKind, StorageSpec};
pub use tree::{Entry, EntryKind, PathError, TreePath};
