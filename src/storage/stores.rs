use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use crate::{
    clock::Clock,
    domain::{FileShare, StorageSpec, StoreId},
};

use super::{
    AllowList, AzureSettings, ConnectionStringError, ProbeError, Storage,
    accounts::{Accounts, named_host},
    allow::Forbidden,
    faulty::Observer,
    identity,
    limit::{Gates, Limited, Limits},
    local::Local,
    pace::{Paced, Paces, Rates},
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
    /// How Azure is reached.
    pub azure: AzureSettings,
    /// Which hosts may be named.
    pub allow: AllowList,
    /// How many bytes a second may go and come.
    pub rates: Rates,
    /// How much is done in one store at a time.
    pub limits: Limits,
}

/// Makes a [`Storage`] of what a request or the configuration describes. Cheap to clone.
#[derive(Clone)]
pub struct Stores {
    settings: Arc<StoreSettings>,
    accounts: Arc<Accounts>,
    clock: Clock,
    shares: Shares,
    paces: Arc<Paces>,
    gates: Arc<Gates>,
    observer: Option<Arc<dyn Observer>>,
}

/// Why a description cannot be a store here. Holds no secret; names the setting to change where one would help.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// A host that the operator does not mean.
    #[error("the host '{host}' may not be named by requests: the setting [storage] allow lists those that may")]
    NotAllowed {
        /// Which property names it.
        property: &'static str,
        /// As it is written there.
        host: String,
    },
    /// A host that nobody means.
    #[error(
        "the host '{host}' lies in a link-local network or is a metadata service: no store is looked for there, whatever the setting [storage] allow lists"
    )]
    NeverAllowed {
        /// Which property names it.
        property: &'static str,
        /// As it is written there.
        host: String,
    },
    /// A server that the operator does not let this node ask for credentials.
    #[error("the host '{host}' is not asked for credentials: the setting [storage.dsms] allow lists those that are")]
    SecretsNotAllowed {
        /// As it is written.
        host: String,
    },
    /// No place of a secret.
    #[error("the StorageCredentialsSourceLocation must be an https URL without user and fragment")]
    SecretLocation,
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
        "the UNC path '{path}' is not mapped to a local directory: mount the share and add its prefix to the table [file_share.mounts], or give a path of the form \\\\host\\share and let [file_share.smb] be enabled"
    )]
    NotMapped {
        /// As given.
        path: String,
    },
    /// A share that would be reached over SMB, on a host that the operator does not mean.
    #[error(
        "the UNC path '{path}' is not mapped to a local directory in the table [file_share.mounts], and its host may not be named by requests: the settings [storage] allow and [file_share.smb.ports] list those that may"
    )]
    ShareNotAllowed {
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
    /// No account that a managed identity could enter.
    #[error("the BlobServiceUri {why}")]
    BlobService {
        /// In words that go on after its name.
        why: &'static str,
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
            Self::NotAllowed { property, .. } | Self::NeverAllowed { property, .. } => Some(property),
            Self::SecretsNotAllowed { .. } | Self::SecretLocation => Some("StorageCredentialsSourceLocation"),
            Self::NotAbsolute { .. }
            | Self::Drive { .. }
            | Self::OutsideRoots { .. }
            | Self::LinkedOut { .. }
            | Self::NotMapped { .. }
            | Self::ShareNotAllowed { .. }
            | Self::NoUser { .. }
            | Self::Unreadable { .. } => Some("Path"),
            Self::Container { .. } => Some("ContainerName"),
            Self::BlobService { .. } => Some("BlobServiceUri"),
            Self::ConnectionString(_) => Some("ConnectionString"),
            Self::Client { .. } => None,
        }
    }
}

impl Stores {
    /// For these settings.
    pub fn new(settings: StoreSettings, clock: Clock) -> Self {
        let settings = Arc::new(settings);
        let accounts = Accounts::new(Arc::clone(&settings), clock.clone()).into();
        let shares = Shares::of(&settings.smb);
        let paces = Paces::new(settings.rates).into();
        let gates = Gates::new(settings.limits).into();
        Self { settings, accounts, clock, shares, paces, gates, observer: None }
    }

    /// The same, but every store that it opens asks `observer` around every call. For tests.
    #[must_use]
    pub fn observed(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// From now on so many bytes a second may go and come, also for stores that are open.
    pub fn set_rates(&self, rates: Rates) {
        self.paces.set(rates);
    }

    /// Whether `spec` can be opened, as far as that can be told without contacting anything, disks included.
    pub fn check(&self, spec: &StorageSpec) -> Result<(), SpecError> {
        self.identity(spec)?;
        match spec {
            StorageSpec::AzureBlob(blob) => self.accounts.allow_blob(blob),
            StorageSpec::ManagedIdentity(spec) => self.accounts.allow_with_identity(spec),
            StorageSpec::FileShare(share) => self.allow_share(share),
            StorageSpec::DsmsAzureBlob { .. } => Ok(()),
        }
    }

    /// The host that `spec` names, if it names one that must be allowed.
    pub fn host(spec: &StorageSpec) -> Option<String> {
        match spec {
            StorageSpec::FileShare(share) => share::host(&share.path),
            others => named_host(others),
        }
    }

    /// Which place `spec` is. Goes by its words and the settings alone: contacts nothing, disks included, so that it stays
    /// the same while a share is not mounted. Two symbolic links to one directory are two places.
    pub fn identity(&self, spec: &StorageSpec) -> Result<StoreId, SpecError> {
        match spec {
            StorageSpec::AzureBlob(blob) => self.accounts.id_of_blob(blob),
            StorageSpec::FileShare(share) => Ok(match self.locate(share)? {
                Located::Directory(place) => identity::of_directory(&place),
                Located::Share(address) => address.id(),
            }),
            StorageSpec::DsmsAzureBlob { source_location, container } => {
                self.accounts.id_of_secret(source_location, container)
            }
            StorageSpec::ManagedIdentity(spec) => self.accounts.id_with_identity(spec),
        }
    }

    /// The store that `spec` describes. Looks at local directories, contacts nothing else, creates nothing.
    pub fn open(&self, spec: &StorageSpec) -> Result<Storage, SpecError> {
        self.check(spec)?;
        let storage = match spec {
            StorageSpec::AzureBlob(blob) => Storage::over(self.accounts.open_blob(blob)?),
            StorageSpec::ManagedIdentity(spec) => Storage::over(self.accounts.open_with_identity(spec)?),
            StorageSpec::FileShare(share) => self.open_share(share)?,
            StorageSpec::DsmsAzureBlob { source_location, container } => {
                Storage::over(self.accounts.open_secret(source_location, container)?)
            }
        };
        let id = self.identity(spec)?;
        let limited = Limited::new(storage.backend, self.gates.of(id.clone()));
        let storage = Storage::over(Paced::new(Arc::new(limited), self.paces.of(id)));
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

    fn allow_share(&self, share: &FileShare) -> Result<(), SpecError> {
        let Located::Share(address) = self.locate(share)? else { return Ok(()) };
        address.allowed(&self.settings).map_err(|why| match why {
            Forbidden::Unlisted => SpecError::ShareNotAllowed { path: share.path.clone() },
            Forbidden::Always => SpecError::NeverAllowed { property: "Path", host: address.host().to_owned() },
        })
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
