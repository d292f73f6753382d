//! The places where backups live, behind one facade.
//!
//! Owns [`Storage`]: named objects of bytes that appear whole or not at all, and [`Stores`], which makes one from a
//! [`StorageSpec`](crate::domain::StorageSpec). Every adapter keeps the same promises, and `tests/store.rs` holds each of them to them:
//!
//! * An object is invisible until it is complete, and durable once the call that wrote it has returned.
//! * Nothing is ever overwritten: of several writers of one key exactly one wins and the others are told.
//! * A writer that is given up leaves nothing that can be listed or read, and nothing at all where a later process does not
//!   need it to go on.
//! * `list` answers in the order of the keys' bytes; deleting what is not there succeeds.
//!
//! It must never show a secret, never follow a key out of its store, and knows nothing of what the objects mean.

mod accounts;
mod allow;
mod azure;
mod backend;
mod connection_string;
mod container_name;
mod error;
pub mod faulty;
mod identity;
mod key;
mod limit;
mod local;
mod memory;
mod outbound;
mod pace;
mod probe;
mod share;
mod smb;
mod stores;
mod throttle;
mod writer;

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, Utc};

pub use accounts::{AzureSettings, IdentityHost, IdentitySettings, SecretsSettings};
pub use allow::{AllowList, HostPattern, HostPatternError};
use backend::Backend;
pub use backend::Secured;
pub use connection_string::ConnectionStringError;
pub use error::{ErrorKind, StorageError};
use key::checked;
pub use limit::Limits;
pub use outbound::{Certificates, CertificatesError, ClientCertificate};
pub use pace::Rates;
pub use probe::{ProbeError, ProbeStep};
pub use smb::SmbSettings;
pub use stores::{SpecError, StoreSettings, Stores};
pub use throttle::throttled;
pub use writer::ObjectWriter;

/// One store: a container or a directory. Cheap to clone.
///
/// A key is a relative path with `/` between its parts, as in `App/Svc/guid/2018-01-01 09.00.55.zip`.
#[derive(Clone)]
pub struct Storage {
    backend: Arc<dyn Backend>,
}

/// No key starts so.
const NOTHING: &str = ".fabric-backup-nothing-";

/// What `list` says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// Another one once its bytes are others, as far as the store tells. Nothing should change an object; a disk or a person can.
    pub tag: String,
}

impl Storage {
    /// An empty store in memory, for tests. Its clones share their objects.
    pub fn memory() -> Self {
        Self::over(memory::Memory::default())
    }

    fn over(backend: impl Backend + 'static) -> Self {
        Self { backend: Arc::new(backend) }
    }

    /// The same store with `observer` asked before and told after every call. For tests.
    #[must_use]
    pub fn observed(&self, observer: Arc<dyn faulty::Observer>) -> Self {
        Self::over(faulty::Observed::new(Arc::clone(&self.backend), observer))
    }

    /// What a person calls this store, such as `container c of account a`.
    pub fn description(&self) -> &str {
        self.backend.description()
    }

    /// Why a call is tried again at the moment, if one is: ask before dropping it, to say what was waited for. Only Azure
    /// says so.
    pub fn waits(&self) -> Option<StorageError> {
        self.backend.waits()
    }

    /// Writes a small object whole; `AlreadyExists` if somebody else's object has that key.
    pub async fn put_new(&self, key: &str, data: Bytes) -> Result<(), StorageError> {
        self.backend.put_new(self.check("write", key)?, data).await
    }

    /// Reads a small object whole.
    pub async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        self.backend.get(self.check("read", key)?).await
    }

    /// Reads what there is of `range`: fewer bytes, or none, where the object ends sooner.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.backend.get_range(self.check("read", key)?, range).await
    }

    /// The length of an object in bytes.
    pub async fn size(&self, key: &str) -> Result<u64, StorageError> {
        self.backend.size(self.check("read", key)?).await
    }

    /// The objects whose keys start with `prefix` (text, not a folder: end it with `/` to mean one), in the order of their keys' bytes.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Object>, StorageError> {
        if let Some((folder, _)) = prefix.rsplit_once('/') {
            self.check("list", folder)?;
        }
        let mut objects = self.backend.list(prefix).await?;
        objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    /// Whether the container or directory itself is there.
    pub async fn is_there(&self) -> Result<bool, StorageError> {
        match self.backend.list(NOTHING).await {
            Err(error) if error.is_store_missing() => Ok(false),
            listed => listed.map(|_| true),
        }
    }

    /// Removes an object, durably. One that is not there is no error.
    pub async fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.backend.delete(self.check("delete", key)?).await
    }

    /// What time it is where the store is; none if it goes by this machine's clock or does not say.
    pub async fn time(&self) -> Result<Option<DateTime<Utc>>, StorageError> {
        self.backend.time().await
    }

    /// Starts an object of any length.
    pub async fn create(&self, key: &str) -> Result<ObjectWriter, StorageError> {
        self.create_of(key, 0).await
    }

    /// Starts an object that will be about so long, or shorter: what becomes larger than a store takes in its usual parts
    /// is known in time.
    pub async fn create_of(&self, key: &str, about: u64) -> Result<ObjectWriter, StorageError> {
        let upload = self.backend.create(self.check("write", key)?, about).await?;
        Ok(ObjectWriter::new(upload))
    }

    /// Goes on with an object of which `len` bytes were [secured](ObjectWriter::secure) under that sign. None: it is not
    /// there as it was.
    pub async fn resume(&self, key: &str, sign: &str, len: u64) -> Result<Option<ObjectWriter>, StorageError> {
        let upload = self.backend.resume(self.check("write", key)?, sign, len).await?;
        Ok(upload.map(ObjectWriter::new))
    }

    fn check<'a>(&self, operation: &'static str, key: &'a str) -> Result<&'a str, StorageError> {
        checked(key).map_err(|why| {
            StorageError::new(ErrorKind::Invalid, self.description(), operation, key).because(why.to_string())
        })
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Storage({})", self.description())
    }
}
