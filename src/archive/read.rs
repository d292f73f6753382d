//! Opens a backup for reading: its commit record, the length of its zip, its manifest.
//!
//! Owns what is believed of a backup before its blocks are: the record's checksums, the length of the zip of every
//! member of its chain, the hash of the manifest. Writes nothing.

use std::io::{self, Write as _};

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::{
    manifest::{Manifest, ManifestError},
    metadata::{self, Content, LARGEST, Metadata, MetadataError},
    names::{Keys, LocationError, parse_location},
};
use crate::{
    domain::{BackupPoint, Location},
    spool::{Spool, Spooled, Spools},
    storage::{ErrorKind, Storage, StorageError},
};

/// How much of the manifest is fetched at once.
const PIECE: u64 = 8 << 20;
/// A manifest of a million blocks has about 40 MiB; the rest is paths.
const LARGEST_MANIFEST: u64 = 1 << 30;

/// A backup whose blocks can be read.
#[derive(Debug, Clone)]
pub struct Archive {
    pub(super) storage: Storage,
    pub(super) manifest: Manifest,
    point: BackupPoint,
    content: Content,
}

/// Why a backup cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not a place where a backup can lie.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// There is no commit record.
    #[error("there is no backup at '{location}'")]
    NotFound {
        /// Where it was looked for.
        location: Location,
        /// As the storage told it.
        #[source]
        source: Box<StorageError>,
    },
    /// The commit record cannot be used.
    #[error("the backup '{location}' cannot be used")]
    Metadata {
        /// Which backup.
        location: Location,
        /// What is wrong.
        #[source]
        source: MetadataError,
    },
    /// Another program wrote it.
    #[error("the backup '{0}' was written by another program, in a format that can be listed but not restored here")]
    Foreign(Location),
    /// The commit record is there but the data is not.
    #[error("the data of the backup '{0}' is missing")]
    Missing(Location),
    /// The data is not what the commit record says.
    #[error("the backup '{location}' is damaged: {what}")]
    Damaged {
        /// Which backup.
        location: Location,
        /// What was expected and what was found.
        what: String,
    },
    /// The manifest has the right hash and cannot be read all the same.
    #[error("the manifest of the backup '{location}' cannot be used")]
    Manifest {
        /// Which backup.
        location: Location,
        /// What is wrong.
        #[source]
        source: ManifestError,
    },
    /// The manifest cannot be kept on this machine while it is read.
    #[error("the manifest of the backup '{location}' cannot be read here")]
    Spool {
        /// Which backup.
        location: Location,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Archive {
    /// Opens the backup at `location`. Its manifest goes into the spools.
    pub async fn open(storage: &Storage, location: &Location, spools: &Spools) -> Result<Self, ReadError> {
        let (point, content) = read_record(storage, location).await?;
        check_length(storage, &point.location, content.zip_len).await?;
        let archive = Self::read(storage, point, content, spools).await?;
        for member in archive.manifest.members() {
            check_length(storage, &member.location, member.zip_len).await?;
        }
        Ok(archive)
    }

    /// Opens it without a look at how long its zip and those of its chain are.
    pub(super) async fn read(
        storage: &Storage,
        point: BackupPoint,
        content: Content,
        spools: &Spools,
    ) -> Result<Self, ReadError> {
        let compressed = read_manifest(storage, &point.location, &content, spools).await?;
        let unusable = |source| ReadError::Manifest { location: point.location.clone(), source };
        let manifest = Manifest::read(compressed).map_err(unusable)?;
        Ok(Self { storage: storage.clone(), manifest, point, content })
    }

    /// What its commit record says of it.
    pub fn point(&self) -> &BackupPoint {
        &self.point
    }

    /// What its commit record says of its zip.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Its commit record.
    pub(super) fn into_metadata(self) -> Metadata {
        Metadata { point: self.point, content: Some(self.content) }
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

/// The commit record of a backup that can be restored here.
pub(super) async fn read_record(storage: &Storage, location: &Location) -> Result<(BackupPoint, Content), ReadError> {
    let Metadata { point, content } = read_metadata(storage, location).await?;
    let content = content.ok_or_else(|| ReadError::Foreign(point.location.clone()))?;
    Ok((point, content))
}

/// Reads the commit record at `location`. Where a backup lies is decided by where it was found, not by what it says.
pub(super) async fn read_metadata(storage: &Storage, location: &Location) -> Result<Metadata, ReadError> {
    let location = parse_location(&location.0)?;
    let key = Keys::of(&location)?.metadata;
    let missing = |source: StorageError| match source.kind() {
        ErrorKind::NotFound => ReadError::NotFound { location: location.clone(), source: source.into() },
        _ => ReadError::Storage(source),
    };
    // One byte more than there may be, so that a larger object is noticed without being fetched.
    let bytes = storage.get_range(&key, 0..LARGEST + 1).await.map_err(missing)?;
    let read = if bytes.len() as u64 > LARGEST {
        Err(MetadataError::Damaged("it is too large"))
    } else {
        metadata::decode(&bytes)
    };
    match read {
        Ok(metadata) => Ok(Metadata { point: BackupPoint { location, ..metadata.point }, ..metadata }),
        Err(source) => Err(ReadError::Metadata { location, source }),
    }
}

pub(super) async fn check_length(storage: &Storage, location: &Location, expected: u64) -> Result<(), ReadError> {
    let found = storage.size(&Keys::of(location)?.zip).await.map_err(|error| of_zip(location, error))?;
    if found == expected {
        return Ok(());
    }
    let what = format!("its zip has {found} bytes where {expected} were written");
    Err(ReadError::Damaged { location: location.clone(), what })
}

/// What a failed read of a backup's zip means.
pub(super) fn of_zip(location: &Location, error: StorageError) -> ReadError {
    match error.kind() {
        ErrorKind::NotFound => ReadError::Missing(location.clone()),
        _ => ReadError::Storage(error),
    }
}

/// The compressed manifest, once its hash is right.
async fn read_manifest(
    storage: &Storage,
    location: &Location,
    content: &Content,
    spools: &Spools,
) -> Result<Spooled, ReadError> {
    let damaged = |what: &str| ReadError::Damaged { location: location.clone(), what: what.to_owned() };
    let end = content.manifest_offset.checked_add(content.manifest_len);
    let end = end.filter(|end| *end <= content.zip_len && content.manifest_len <= LARGEST_MANIFEST);
    let end = end.ok_or_else(|| damaged("its metadata places the manifest outside the zip"))?;
    let key = Keys::of(location)?.zip;
    let mut fetched = Box::new(Fetched { spool: spools.spool(), hash: blake3::Hasher::new() });
    let mut at = content.manifest_offset;
    while at < end {
        let piece = at..end.min(at + PIECE);
        at = piece.end;
        let piece = storage.get_range(&key, piece).await.map_err(|error| of_zip(location, error))?;
        let added = fetched.add(piece).await;
        fetched = added.map_err(|source| ReadError::Spool { location: location.clone(), source })?;
    }
    if *fetched.hash.finalize().as_bytes() != content.manifest_hash {
        return Err(damaged("its manifest does not have the hash that its metadata says"));
    }
    Ok(fetched.spool.done())
}

/// What came of a manifest, and its hash so far.
struct Fetched {
    spool: Spool,
    hash: blake3::Hasher,
}

impl Fetched {
    /// Off the async threads: it may go to a disk.
    async fn add(mut self: Box<Self>, piece: Bytes) -> io::Result<Box<Self>> {
        let adding = spawn_blocking(move || {
            self.hash.update(&piece);
            self.spool.write_all(&piece).map(|()| self)
        });
        adding.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}
