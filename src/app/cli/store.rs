//! A storage that is read without a server: a directory or an Azure container.
//!
//! Its secret comes from the environment or a file, never from the command line, which every user of the machine can read.

use std::{
    env, fs, io,
    path::{self, Path, PathBuf},
};

use clap::Args;

use crate::{
    archive::{Catalog, CatalogError, Filter, Found, Scope},
    clock::Clock,
    domain::{AzureBlob, FailureCode, FileShare, Secret, StorageSpec},
    storage::{Storage, StoreSettings, Stores},
};

const AZURE: &str = "azure:";
const VARIABLE: &str = "AZURE_STORAGE_CONNECTION_STRING";

/// How a storage is named.
#[derive(Args)]
pub(super) struct StoreArgs {
    /// Where the backups lie: a directory, or azure:CONTAINER with the connection string in the environment variable
    /// `AZURE_STORAGE_CONNECTION_STRING` or in a file.
    store: String,
    /// File that holds the connection string of the Azure account; it goes before the environment.
    #[arg(long, value_name = "FILE")]
    connection_string_file: Option<PathBuf>,
}

/// Why a storage could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// The directory is not there, or is none.
    #[error("'{}' is not a directory that can be read; STORE is the directory of the backups, or azure:CONTAINER", path.display())]
    Directory {
        /// As it was understood.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No connection string was given.
    #[error(
        "a container needs the connection string of its account: set the environment variable {VARIABLE}, or name a \
         file with --connection-string-file"
    )]
    NoConnectionString,
    /// The file with the connection string cannot be read.
    #[error("the file '{}' with the connection string cannot be read", path.display())]
    ConnectionStringFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The storage cannot be used as described, or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// A storage that can be read.
pub(super) struct Store {
    catalog: Catalog,
    spec: StorageSpec,
}

impl StoreArgs {
    /// The storage, as far as that can be told without asking it.
    pub(super) fn open(&self) -> Result<Store, StoreError> {
        let mut settings = StoreSettings::default();
        let spec = match self.store.strip_prefix(AZURE) {
            Some(container) => self.container(container)?,
            None => share(&directory(&self.store)?, &mut settings),
        };
        let catalog = Catalog::new(Stores::new(settings, Clock::system()));
        catalog.check(&spec)?;
        Ok(Store { catalog, spec })
    }

    fn container(&self, name: &str) -> Result<StorageSpec, StoreError> {
        let text = match &self.connection_string_file {
            Some(path) => Secret::new(read(path)?.expose().trim()),
            None => Secret::new(env::var(VARIABLE).unwrap_or_default()),
        };
        if text.expose().is_empty() {
            return Err(StoreError::NoConnectionString);
        }
        Ok(StorageSpec::AzureBlob(AzureBlob { connection_string: text, container: name.to_owned() }))
    }
}

/// A directory that whoever named it may read, too.
fn share(directory: &Path, settings: &mut StoreSettings) -> StorageSpec {
    settings.share_roots.push(directory.to_owned());
    StorageSpec::FileShare(FileShare { path: directory.display().to_string(), primary: None, secondary: None })
}

fn read(path: &Path) -> Result<Secret, StoreError> {
    let unreadable = |source| StoreError::ConnectionStringFile { path: path.to_owned(), source };
    fs::read_to_string(path).map(Secret::new).map_err(unreadable)
}

/// Never one that is not there: it would be taken for a share that is not mounted.
fn directory(given: &str) -> Result<PathBuf, StoreError> {
    let unusable = |source| StoreError::Directory { path: given.into(), source };
    let path = path::absolute(given).map_err(unusable)?;
    fs::read_dir(&path).map(|_| path).map_err(unusable)
}

impl Store {
    /// The backups in a scope, by place and then time.
    pub(super) async fn list(&self, scope: &Scope, filter: &Filter) -> Result<Vec<Found>, StoreError> {
        Ok(self.catalog.list(&self.spec, scope, filter).await?.items)
    }

    /// The storage itself.
    pub(super) async fn storage(&self) -> Result<Storage, StoreError> {
        Ok(self.catalog.open(&self.spec).await?)
    }
}

impl StoreError {
    /// What kind of failure it is.
    pub(super) fn code(&self) -> FailureCode {
        match self {
            Self::Directory { .. } | Self::NoConnectionString | Self::ConnectionStringFile { .. } => {
                FailureCode::InvalidArgument
            }
            Self::Catalog(error) => error.code(),
        }
    }
}

/// What the keys in a folder start with, however the folder is written.
pub(super) fn folder(given: &str) -> String {
    let path = given.replace('\\', "/");
    let path = path.trim_matches('/');
    if path.is_empty() { String::new() } else { format!("{path}/") }
}

#[cfg(test)]
mod tests {
    use super::folder;

    #[test]
    fn a_folder_may_be_written_as_a_location_is_shown() {
        for given in [r"App\Svc", "App/Svc", "/App/Svc/", r"App\Svc\"] {
            assert_eq!(folder(given), "App/Svc/", "{given}");
        }
        assert_eq!(folder(""), "");
    }
}
