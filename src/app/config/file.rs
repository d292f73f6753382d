//! The configuration file as it is written: one struct a table, each value with its place in the text.
//!
//! Only the shape is held here; what the values must satisfy is checked in `check`. The doc comments are what
//! `fabric-backup config-schema` prints, so they speak to the person who writes the file.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize},
    ops::Range,
    path::PathBuf,
};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use toml::Spanned;

/// A value and the bytes of the file that it was read from.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct At<T>(Spanned<T>);

impl<T> At<T> {
    pub(super) fn get(&self) -> &T {
        self.0.get_ref()
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.0.span()
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// The configuration of one fabric-backup node. Relative paths are relative to this file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "fabric-backup configuration")]
pub(super) struct Root {
    /// Where this node keeps its ledger and its own file shares. Default: `fabric-backup-data` beside this file.
    pub(super) data_dir: Option<PathBuf>,
    /// The existing file with the key that seals the ledger, which nobody but its owner may read. Default: `ledger.key` of the data
    /// directory, made on the first start.
    pub(super) ledger_key_file: Option<At<PathBuf>>,
    /// Address and port to listen on. Default: `127.0.0.1:19080`.
    pub(super) listen: Option<At<String>>,
    /// How many backups run at once, and beside them as many restores, from 1 to 1000. Default: 4.
    pub(super) max_jobs: Option<At<NonZeroUsize>>,
    /// How hard backups are compressed with zstd, from 1, fast, to 19, small. Default: 1.
    pub(super) compression_level: Option<At<i32>>,
    /// When backups by schedule begin and how long they may take.
    #[serde(default)]
    pub(super) schedule: Schedule,
    /// What retention takes for lost.
    #[serde(default)]
    pub(super) retention: Retention,
    /// Which directories may be used as file shares.
    #[serde(default)]
    pub(super) file_share: FileShare,
    /// How the stores are reached.
    #[serde(default)]
    pub(super) storage: Stores,
    /// Where backups go when neither the request nor anything nearer to the partition names a storage.
    pub(super) backup_storage: Option<At<BackupStorage>>,
    /// The applications whose partitions this node hosts.
    #[serde(default)]
    pub(super) applications: Vec<Application>,
}

/// When backups by schedule begin and how long they may take.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Schedule {
    /// A backup begins up to so many seconds before or after its time, so that not all begin at once. Default: 10.
    pub(super) jitter_seconds: Option<u16>,
    /// How many minutes a backup may take, waiting included, at least 1. Default: 1440, a day.
    pub(super) deadline_minutes: Option<NonZeroU32>,
}

/// What retention takes for lost.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retention {
    /// Data without a commit record that is older than so many hours is deleted, at least 1. Default: 24.
    pub(super) orphan_grace_hours: Option<NonZeroU32>,
}

/// Which directories may be used as file shares.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileShare {
    /// A local path of a file share must lie under one of these existing directories. Default: `shares` of the data directory.
    pub(super) roots: Option<Vec<At<PathBuf>>>,
    /// From a UNC path (`\\host\share`, may go deeper) to the existing local directory where it is mounted.
    #[serde(default)]
    pub(super) mounts: BTreeMap<String, At<PathBuf>>,
    /// Shares that are not mounted.
    #[serde(default)]
    pub(super) smb: Smb,
}

/// Shares that are not mounted, which this node reaches over SMB.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Smb {
    /// Whether there are any; if not, a UNC path must be mapped by `mounts`. Default: true.
    pub(super) enabled: Option<bool>,
    /// The hosts that may be reached, besides this machine itself, each with its port, which is most often 445.
    #[serde(default)]
    pub(super) ports: BTreeMap<String, NonZeroU16>,
    /// How many seconds a server may take to answer before its connection is given up, at least 1. Default: 30.
    pub(super) answer_timeout_seconds: Option<NonZeroU32>,
    /// For how many seconds after its last success an operation whose connection was lost is tried again. Default: 300.
    pub(super) retry_seconds: Option<u32>,
    /// After how many seconds a connection that nobody uses is closed, at least 1. Default: 60.
    pub(super) idle_seconds: Option<NonZeroU32>,
}

/// How the stores are reached.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Stores {
    /// The hosts that requests may name in a storage: host names, `*.` and a host name, IP addresses, networks such as `10.1.0.0/16`.
    /// What this file names itself is added. Default: Azure's own and this machine.
    pub(super) allow: Option<Vec<At<String>>>,
    /// PEM files with certificates of authorities that are trusted beside those of the system.
    #[serde(default)]
    pub(super) ca_files: Vec<At<PathBuf>>,
    /// How many bytes a second may go to all stores together and come from them; read anew on SIGHUP. Default: as many as go.
    pub(super) max_bytes_per_second: Option<NonZeroU64>,
    /// The same for each store. Default: as many as go.
    pub(super) max_bytes_per_second_per_store: Option<NonZeroU64>,
    /// How many calls may be made to one store at a time. Default: as many as there are.
    pub(super) max_requests_per_store: Option<NonZeroU32>,
    /// How many bytes the calls to one store may carry at a time; one alone may carry more. Default: as many as there are.
    pub(super) max_bytes_in_flight_per_store: Option<NonZeroU64>,
    /// Whether capital letters in the name of a container, which Azure refuses, are lowered. Default: false, they are refused.
    #[serde(default)]
    pub(super) lowercase_containers: bool,
    /// Which servers hand out the credentials of a `DsmsAzureBlobStore`.
    #[serde(default)]
    pub(super) dsms: Dsms,
    /// Where tokens of managed identities come from.
    #[serde(default)]
    pub(super) managed_identity: ManagedIdentity,
}

/// Which servers hand out the credentials of a `DsmsAzureBlobStore`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dsms {
    /// Those that are asked, in the forms of `storage.allow`. Default: none.
    #[serde(default)]
    pub(super) allow: Vec<At<String>>,
    /// A PEM file with the certificate by which they know this node. Default: none is shown.
    pub(super) client_certificate_file: Option<At<PathBuf>>,
    /// A PEM file with the key of that certificate. Default: it is in the file of the certificate.
    pub(super) client_key_file: Option<At<PathBuf>>,
    /// PEM files with certificates of authorities that vouch for these servers, instead of all others. Default: those of all stores.
    #[serde(default)]
    pub(super) ca_files: Vec<At<PathBuf>>,
    /// A file with a token that is sent to them; it is read anew each time. Default: none is sent.
    pub(super) bearer_token_file: Option<At<PathBuf>>,
}

/// Where tokens of managed identities come from.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ManagedIdentity {
    /// The machine's endpoint. Default: `http://169.254.169.254/metadata/identity/oauth2/token`, Azure's own.
    pub(super) machine_endpoint: Option<At<String>>,
    /// The endpoint that the host of this process offers. Default: the environment's `IDENTITY_ENDPOINT`.
    pub(super) host_endpoint: Option<At<String>>,
    /// A file with what is sent to it to be known. Default: the environment's `IDENTITY_HEADER`.
    pub(super) host_header_file: Option<At<PathBuf>>,
}

/// An application.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Application {
    /// Its name, such as `fabric:/CalcApp`.
    pub(super) name: At<String>,
    /// Where backups of its partitions go by default.
    pub(super) backup_storage: Option<At<BackupStorage>>,
    /// Its services.
    #[serde(default)]
    pub(super) services: Vec<Service>,
}

/// A service of an application.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    /// Its name, below that of the application, such as `fabric:/CalcApp/CalcService`.
    pub(super) name: At<String>,
    /// Whether it holds state.
    pub(super) kind: ServiceKind,
    /// Whether its state is on disk; only then can it be backed up. Default: true for a stateful service.
    pub(super) persisted: Option<At<bool>>,
    /// The version in its service manifest, written into every backup. Default: `1.0.0`.
    pub(super) manifest_version: Option<At<String>>,
    /// Where backups of its partitions go by default.
    pub(super) backup_storage: Option<At<BackupStorage>>,
    /// The partitions of it that this node hosts.
    #[serde(default)]
    pub(super) partitions: Vec<At<Partition>>,
}

/// Whether a service holds state.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ServiceKind {
    /// It does.
    Stateful,
    /// It does not.
    Stateless,
}

/// A partition of a service.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Partition {
    /// Its GUID, in any case, with or without braces.
    pub(super) id: At<String>,
    /// How its service is partitioned; the same for all partitions of a service.
    pub(super) kind: At<PartitionKind>,
    /// Lowest key, for `Int64Range` only.
    pub(super) low: Option<At<i64>>,
    /// Highest key, for `Int64Range` only.
    pub(super) high: Option<At<i64>>,
    /// Name of the partition, for `Named` only.
    pub(super) name: Option<At<String>>,
    /// Where its state is; required exactly when the state of the service is persisted.
    pub(super) source: Option<At<Source>>,
    /// Where its backups go by default.
    pub(super) backup_storage: Option<At<BackupStorage>>,
}

/// How a service is partitioned.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(super) enum PartitionKind {
    /// The only partition of its service.
    Singleton,
    /// A range of 64-bit keys, both ends included.
    Int64Range,
    /// One named partition.
    Named,
}

/// Where the state of a partition is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    /// An existing directory; everything in it is the state.
    pub(super) directory: At<PathBuf>,
    /// Whether an incremental backup reads files too whose length, times and inode are those of the backup before.
    /// Default: false.
    #[serde(default)]
    pub(super) always_read: bool,
}

/// Where backups are kept: the published fields of a storage, in `snake_case`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupStorage {
    /// Which kind of storage; the other keys depend on it.
    pub(super) storage_kind: At<StorageKind>,
    /// `FileShare`: a UNC path, or a local path under one of `file_share.roots`.
    pub(super) path: Option<At<String>>,
    /// `FileShare`: the user tried first. Default: the process's own identity.
    pub(super) primary_user_name: Option<At<String>>,
    /// `FileShare`: the password of that user.
    pub(super) primary_password: Option<At<String>>,
    /// `FileShare`: the user tried when the first is refused.
    pub(super) secondary_user_name: Option<At<String>>,
    /// `FileShare`: the password of that user.
    pub(super) secondary_password: Option<At<String>>,
    /// An Azure kind: the container.
    pub(super) container_name: Option<At<String>>,
    /// `AzureBlobStore`: the connection string of the account, in the file itself.
    pub(super) connection_string: Option<At<String>>,
    /// `AzureBlobStore`: a file that holds the connection string.
    pub(super) connection_string_file: Option<At<PathBuf>>,
    /// `AzureBlobStore`: an environment variable that holds the connection string.
    pub(super) connection_string_env: Option<At<String>>,
    /// `ManagedIdentityAzureBlobStore`: whose identity.
    pub(super) managed_identity_type: Option<At<ManagedIdentityType>>,
    /// `ManagedIdentityAzureBlobStore`: the client id of a user-assigned identity. Default: the system-assigned one.
    pub(super) managed_identity_client_id: Option<At<String>>,
    /// `ManagedIdentityAzureBlobStore`: the account, such as `https://account.blob.core.windows.net`.
    pub(super) blob_service_uri: Option<At<String>>,
    /// `DsmsAzureBlobStore`: the URL of the secret, on one of the hosts of `storage.dsms.allow`.
    pub(super) storage_credentials_source_location: Option<At<String>>,
}

/// Whose managed identity is used.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
pub(super) enum ManagedIdentityType {
    /// The cluster's.
    Cluster,
    /// The scale set's.
    #[serde(rename = "VMSS")]
    Vmss,
}

/// Which kind of storage.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(super) enum StorageKind {
    /// A directory: a local path, or a UNC path that is mounted.
    FileShare,
    /// An Azure Blob container reached with a connection string.
    AzureBlobStore,
    /// An Azure Blob container reached with a managed identity.
    ManagedIdentityAzureBlobStore,
    /// An Azure Blob container whose credentials a server hands out.
    DsmsAzureBlobStore,
}
