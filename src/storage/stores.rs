use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use crate::{
    clock::Clock,
    domain::{AzureBlob, FileShare, StorageSpec, StoreId},
};

use super::{
    ConnectionStringError, ProbeError, Storage,
    azure::Azure,
    connection_string::Account,
    container_name,
    faulty::Observer,
    identity,
    local::Local,
    probe,
    share::{self, Located},
    smb::{Shares, Smb, SmbSettings},
};

/// What the operator allows.
#[derive(Debug, Clone, Default)]
pub struct StoreSettings {
    /// A file share's local path must lie under one of these directories.
    pub share_roots: Vec<PathBuf>,
    /// UNC prefix, as in `\\host\share`, to the local directory where it is mounted.
    pub mounts: BTreeMap<String, PathBuf>,
    /// Of shares that are not mounted.
    pub smb: SmbSettings,
}

/// Makes a [`Storage`] of what a request or the configuration describes. Cheap to clone.
#[derive(Clone)]
pub struct Stores {
    settings: Arc<StoreSettings>,
    clock: Clock,
    shares: Shares,
    observer: Option<Arc<dyn Observer>>,
}

/// Why a description cannot be a store here. Holds no secret; names the setting to change where one would help.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// A kind of the published contract that this version does not serve.
    #[error(
        "storage of kind {kind} is not built yet; AzureBlobStore with a connection string and FileShare with a local or mounted path are"
    )]
    NotBuilt {
        /// Its published name.
        kind: &'static str,
    },
    /// Neither a local nor a UNC path.
    #[error(
        "the file share path '{path}' is neither an absolute local path nor a UNC path such as \\\\host\\share\\folder"
    )]
    NotAbsolute {
        /// As given.
        path: String,
    },
    /// `C:\…` and the like.
    #[error(
        "the file share path '{path}' names a Windows drive or device, which this server does not have: give a UNC path that [file_share.mounts] maps, or a local path under [file_share] roots"
    )]
    Drive {
        /// As given.
        path: String,
    },
    /// A local path where the operator does not want backups.
    #[error(
        "the file share path '{path}' lies outside the directories that the setting [file_share] roots allows: {roots}"
    )]
    OutsideRoots {
        /// As given.
        path: String,
        /// What is allowed.
        roots: String,
    },
    /// A symbolic link below the root or mount leads out of it.
    #[error(
        "the file share path '{path}' leads through a symbolic link out of '{base}', which [file_share] roots or [file_share.mounts] allows"
    )]
    LinkedOut {
        /// As given.
        path: String,
        /// The root or mount it began in.
        base: String,
    },
    /// A UNC path of a share that is not mounted here, as far as the configuration says.
    #[error(
        "the UNC path '{path}' is not mapped to a local directory in the table [file_share.mounts], and its host may not be reached over SMB: mount the share and add its prefix there, or name the host in [file_share.smb.ports]"
    )]
    NotMapped {
        /// As given.
        path: String,
    },
    /// A share that is reached over SMB, and nobody to enter it as.
    #[error(
        "the UNC path '{path}' is not mapped to a local directory in the table [file_share.mounts], so that it is reached over SMB, which asks for a user: give PrimaryUserName and PrimaryPassword"
    )]
    NoUser {
        /// As given.
        path: String,
    },
    /// The directories on the way could not be looked at.
    #[error("the file share path '{path}' cannot be opened")]
    Unreadable {
        /// As given.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A name that Azure would refuse.
    #[error("'{name}' is no container name that Azure accepts: {why}{hint}")]
    Container {
        /// As given.
        name: String,
        /// Which rule it breaks.
        why: &'static str,
        /// A valid form in words, or nothing.
        hint: String,
    },
    /// No usable connection string.
    #[error(transparent)]
    ConnectionString(#[from] ConnectionStringError),
    /// The HTTP client could not be made, for example for want of root certificates.
    #[error("no client for Azure Blob Storage could be made")]
    Client {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl SpecError {
    /// Which property of the description is wrong, by its published name.
    pub fn property(&self) -> Option<&'static str> {
        match self {
            Self::NotBuilt { .. } => Some("StorageKind"),
            Self::NotAbsolute { .. }
            | Self::Drive { .. }
            | Self::OutsideRoots { .. }
            | Self::LinkedOut { .. }
            | Self::NotMapped { .. }
            | Self::NoUser { .. }
            | Self::Unreadable { .. } => Some("Path"),
            Self::Container { .. } => Some("ContainerName"),
            Self::ConnectionString(_) => Some("ConnectionString"),
            Self::Client { .. } => None,
        }
    }
}

impl Stores {
    /// For these settings.
    pub fn new(settings: StoreSettings, clock: Clock) -> Self {
        let shares = Shares::of(&settings.smb);
        Self { settings: settings.into(), clock, shares, observer: None }
    }

    /// The same, but every store that it opens asks `observer` around every call. For tests.
    #[must_use]
    pub fn observed(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Whether `spec` can be opened, as far as that can be told without contacting anything, disks included.
    pub fn check(&self, spec: &StorageSpec) -> Result<(), SpecError> {
        self.identity(spec).map(drop)
    }

    /// Which place `spec` is. Goes by its words and the settings alone: contacts nothing, disks included, so that it stays
    /// the same while a share is not mounted. Two symbolic links to one directory are two places.
    pub fn identity(&self, spec: &StorageSpec) -> Result<StoreId, SpecError> {
        match spec {
            StorageSpec::AzureBlob(blob) => {
                parts(blob).map(|(account, container)| identity::of_container(&account, container))
            }
            StorageSpec::FileShare(share) => Ok(match self.locate(share)? {
                Located::Directory(place) => identity::of_directory(&place),
                Located::Share(address) => address.id(),
            }),
            StorageSpec::DsmsAzureBlob { .. } => Err(SpecError::NotBuilt { kind: "DsmsAzureBlobStore" }),
            StorageSpec::ManagedIdentity(_) => Err(SpecError::NotBuilt { kind: "ManagedIdentityAzureBlobStore" }),
        }
    }

    /// The store that `spec` describes. Looks at local directories, contacts nothing else, creates nothing.
    pub fn open(&self, spec: &StorageSpec) -> Result<Storage, SpecError> {
        self.check(spec)?;
        let storage = match spec {
            StorageSpec::AzureBlob(blob) => {
                let (account, container) = parts(blob)?;
                Storage::over(Azure::new(&account, container, self.clock.clone())?)
            }
            StorageSpec::FileShare(share) => self.open_share(share)?,
            StorageSpec::DsmsAzureBlob { .. } | StorageSpec::ManagedIdentity(_) => unreachable!("refused by check"),
        };
        Ok(match &self.observer {
            Some(observer) => storage.observed(Arc::clone(observer)),
            None => storage,
        })
    }

    /// Writes, reads, lists and deletes a small object under a name that nobody else has. A store that is not there is
    /// made, as the first backup would make it. Only dropping the future can leave the object.
    pub async fn probe(&self, storage: &Storage) -> Result<(), ProbeError> {
        probe::probe(storage, self.clock.uuid()).await
    }

    fn open_share(&self, share: &FileShare) -> Result<Storage, SpecError> {
        Ok(match self.locate(share)? {
            Located::Directory(place) => Storage::over(Local::open(&share.path, &place, self.clock.clone())?),
            Located::Share(address) => {
                let (shares, settings) = (self.shares.clone(), &self.settings.smb);
                Storage::over(Smb::new(share, address, shares, settings, self.clock.clone()))
            }
        })
    }

    fn locate(&self, share: &FileShare) -> Result<Located, SpecError> {
        let located = share::locate(&share.path, &self.settings)?;
        let has_user = share.primary.is_some() || share.secondary.is_some();
        if matches!(located, Located::Share(_)) && !has_user {
            return Err(SpecError::NoUser { path: share.path.clone() });
        }
        Ok(located)
    }
}

fn parts(blob: &AzureBlob) -> Result<(Account, &str), SpecError> {
    let container = container_name::checked(&blob.container)?;
    Ok((Account::parse(&blob.connection_string)?, container))
}
