use uuid::Uuid;

use super::{Target, policies::Masked};
use crate::{
    archive::{CatalogError, LocationError},
    domain::{
        ApplicationName, Entity, FailureCode, Location, NameError, PartitionId, PartitionKind, PolicyName, ServiceName,
    },
    job::Illegal,
    ledger::LedgerError,
    retention::RetentionError,
};

/// Why a use case was refused or could not be done. The texts are for the caller and say what would be right.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such application here.
    #[error("no application {0} is configured on this node")]
    ApplicationNotFound(ApplicationName),
    /// No such service here.
    #[error("no service {0} is configured on this node")]
    ServiceNotFound(ServiceName),
    /// No such partition here.
    #[error("no partition {0} is configured on this node")]
    PartitionNotFound(PartitionId),
    /// The partition has no state on disk.
    #[error("the service {0} keeps no persisted state, so it can be neither backed up nor restored")]
    NotPersisted(ServiceName),
    /// No storage was named, no policy is in force and none is mapped.
    #[error(
        "the request names no storage, no policy is enabled for partition {0} and it has none by default: \
         name one in the body, enable a policy, or set backup_storage in the configuration"
    )]
    BackupNotEnabled(PartitionId),
    /// There is no storage that could be listed.
    #[error(
        "no policy is enabled on {0} or on anything in it, and nothing of it has a storage by default: \
         enable a policy, set backup_storage in the configuration, or name a storage to GetBackupsFromBackupLocation"
    )]
    NoStorage(Target),
    /// A requested backup is not finished.
    #[error("a backup of partition {0} is running; GetPartitionBackupProgress tells when it is done")]
    BackupInProgress(PartitionId),
    /// A requested restore is not finished.
    #[error("a restore of partition {0} is running; GetPartitionRestoreProgress tells when it is done")]
    RestoreInProgress(PartitionId),
    /// A requested verification is not finished.
    #[error("a verification is running on partition {0}; GetPartitionVerifyProgress tells when it is done")]
    VerifyInProgress(PartitionId),
    /// The location is none.
    #[error("BackupLocation: {0}")]
    Location(#[from] LocationError),
    /// A name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Another backup lies there.
    #[error("the backup at '{location}' is {found}, not {asked}")]
    OtherBackup {
        /// What the caller named.
        asked: Uuid,
        /// What lies there.
        found: Uuid,
        /// Where.
        location: Location,
    },
    /// The backup is of other keys.
    #[error("the backup holds {}, the partition is {}", keys(found), keys(wanted))]
    OtherKeys {
        /// The backup's.
        found: PartitionKind,
        /// The partition's.
        wanted: PartitionKind,
    },
    /// A backup whose content is not in our format.
    #[error(
        "the backup at '{0}' was not written by fabric-backup: it can be listed, \
         but only the program that wrote it can bring it back"
    )]
    Foreign(Location),
    /// The backup's own description, or its data, cannot be used.
    #[error(transparent)]
    Unreadable(CatalogError),
    /// The storage's description is too long to be kept with the job.
    #[error("the texts that describe the storage have more than {0} bytes together")]
    StorageTooLong(usize),
    /// The storage cannot be used as described, or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A continuation token that we did not give out.
    #[error("ContinuationToken: not one that this service gave out; leave it out to start from the beginning")]
    Token,
    /// The name of a new policy is taken.
    #[error("there is a policy '{0}' already; UpdateBackupPolicy replaces it")]
    PolicyExists(PolicyName),
    /// No such policy.
    #[error("there is no policy '{0}'; GetBackupPolicyList shows all there are")]
    PolicyNotFound(PolicyName),
    /// A policy that cannot be deleted yet.
    #[error(
        "the policy '{policy}' is still enabled on {on}: disable it there first; GetAllEntitiesBackedUpByPolicy shows \
         all such places"
    )]
    PolicyEnabled {
        /// Which.
        policy: PolicyName,
        /// One of the places.
        on: Entity,
    },
    /// A secret that was sent back as it was shown.
    #[error(transparent)]
    Masked(#[from] Masked),
    /// The description of a policy's storage is too long to be kept.
    #[error("Storage: the texts that describe it have more than {0} bytes together")]
    PolicyStorageTooLong(usize),
    /// A policy's storage cannot be used as described.
    #[error(transparent)]
    PolicyStorage(CatalogError),
    /// A storage that a request names cannot be used as described.
    #[error("the storage in {field} cannot be used as described")]
    GivenStorage {
        /// Where it was named.
        field: &'static str,
        /// What is wrong with it.
        source: CatalogError,
    },
    /// A policy's storage was tried out and did not do what backups need.
    #[error("Storage: it did not pass the trial that ValidateConnection asks for, and nothing was stored")]
    Connection(#[source] CatalogError),
    /// No policy was put in force on this very target.
    #[error("no policy is enabled on {0} itself: only what was enabled there can be disabled there")]
    NotEnabledOn(Target),
    /// No policy has to do with the target.
    #[error("no policy is enabled on {0}, on anything in it or on what it lies in: enable one first")]
    NothingEnabled(Target),
    /// No such job runs.
    #[error("no {what} of partition {id} is running, so there is nothing to cancel")]
    NothingToCancel {
        /// Which kind of job.
        what: &'static str,
        /// The partition.
        id: PartitionId,
    },
    /// A restore that cannot be cancelled any more.
    #[error("the restored state of partition {0} is being put in place at this moment, so it is too late to cancel")]
    RestoreCommitting(PartitionId),
    /// The caller gave one name to two requests.
    #[error(
        "Idempotency-Key: it named another request to this partition within the last 24 hours: give every request a new key, \
         and the same one only to the same request sent again"
    )]
    KeyTaken,
    /// A job moved as it may not.
    #[error("a job cannot be ended")]
    Job(#[from] Illegal),
    /// A policy's retention could not be planned.
    #[error(transparent)]
    Retention(#[from] RetentionError),
    /// The ledger failed.
    #[error("the ledger could not be read or written")]
    Ledger(#[from] LedgerError),
}

impl Error {
    /// Keeps a store that cannot be used apart from a backup that is missing or broken in it.
    pub(super) fn of_backup(error: CatalogError) -> Self {
        match error.code() {
            FailureCode::NotFound | FailureCode::Damaged => Self::Unreadable(error),
            _ => Self::Catalog(error),
        }
    }
}

fn keys(kind: &PartitionKind) -> String {
    match kind {
        PartitionKind::Singleton => "a Singleton partition".to_owned(),
        PartitionKind::Int64Range(range) => format!("the Int64Range {} to {}", range.low, range.high),
        PartitionKind::Named(name) => format!("the Named partition '{name}'"),
    }
}
