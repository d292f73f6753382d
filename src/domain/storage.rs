use serde::{Deserialize, Serialize};

use super::Secret;

/// Where backups are kept, as a caller or the configuration describes it. One variant a published `StorageKind`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StorageSpec {
    /// An Azure Blob container reached with a connection string.
    AzureBlob(AzureBlob),
    /// A directory: a local path, or a UNC path that is mounted.
    FileShare(FileShare),
    /// An Azure Blob container whose credentials a DSMS secret store hands out.
    DsmsAzureBlob {
        /// URL of the secret.
        source_location: String,
        /// Container name.
        container: String,
    },
    /// An Azure Blob container reached with a managed identity.
    ManagedIdentity(ManagedIdentity),
}

/// Which place a storage is, whoever may enter it: two descriptions of one container or directory have the same id, however
/// their credentials differ. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreId(pub String);

impl StorageSpec {
    /// How many bytes its texts have together.
    pub fn text_len(&self) -> usize {
        let of = |credentials: &Option<Credentials>| {
            credentials.as_ref().map_or(0, |it| it.user.len() + it.password.expose().len())
        };
        match self {
            Self::AzureBlob(blob) => blob.connection_string.expose().len() + blob.container.len(),
            Self::FileShare(share) => share.path.len() + of(&share.primary) + of(&share.secondary),
            Self::DsmsAzureBlob { source_location, container } => source_location.len() + container.len(),
            Self::ManagedIdentity(identity) => {
                identity.client_id.as_ref().map_or(0, String::len)
                    + identity.blob_service.len()
                    + identity.container.len()
            }
        }
    }
}

/// An Azure Blob container and the connection string of its account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AzureBlob {
    /// `DefaultEndpointsProtocol=…;AccountName=…;AccountKey=…` and its other documented forms.
    pub connection_string: Secret,
    /// Container name.
    pub container: String,
}

/// A file share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileShare {
    /// `\\host\share\folder` or a local absolute path.
    pub path: String,
    /// Tried first; none means the process's own identity.
    pub primary: Option<Credentials>,
    /// Tried when the primary is refused.
    pub secondary: Option<Credentials>,
}

/// A user of a file share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// `DOMAIN\user`, `user@domain` or `user`.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

/// An Azure Blob container reached with a managed identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedIdentity {
    /// Whose identity.
    pub kind: ManagedIdentityKind,
    /// Client id of a user-assigned identity.
    pub client_id: Option<String>,
    /// `https://account.blob.core.windows.net/`.
    pub blob_service: String,
    /// Container name.
    pub container: String,
}

/// Whose managed identity is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ManagedIdentityKind {
    /// The scale set's.
    Vmss,
    /// The cluster's.
    Cluster,
}
