//! The commit record of a backup: `.bkmetadata`, Service Fabric's binary layout, version 1.
//!
//! Owns its encoding, so that Service Fabric's tools list our backups and we list theirs. What only we know travels in
//! properties named `FabricBackup.…`, which its readers skip. Decoding never panics, whatever the bytes, and what it
//! allocates is bounded by their number.

mod envelope;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::Uuid;

use envelope::{seal, unseal};

use super::wire::{Input, WireError, put_bytes};
use crate::domain::{BackupPoint, Epoch, KeyRange, Location, Parent, PartitionKind, PolicyName};

/// More than any real metadata file has; a larger one is not even fetched.
pub(super) const LARGEST: u64 = (64 << 10) - 1;

/// The version of the format that this program writes, of zip and manifest together. It reads the ones before it too.
pub const FORMAT_VERSION: i64 = 2;

const FIRST_FORMAT_VERSION: i64 = 1;
const UNIX_EPOCH_TICKS: i64 = 621_355_968_000_000_000;
const LAST_TICK: i64 = 3_155_378_975_999_999_999;

/// What a commit record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The backup, in the words that Service Fabric shares.
    pub point: BackupPoint,
    /// What we know of its data; none when another program wrote it, and then it can be listed but not restored.
    pub content: Option<Content>,
}

/// What our own properties say: of the zip beside the record, and why the backup was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What kind of source it was taken of: `directory`, …
    pub source_kind: String,
    /// Length of the zip in bytes.
    pub zip_len: u64,
    /// Where the compressed manifest starts in the zip.
    pub manifest_offset: u64,
    /// Its compressed length.
    pub manifest_len: u64,
    /// BLAKE3-256 of the compressed manifest.
    pub manifest_hash: [u8; 32],
    /// The length of all files together.
    pub plain_bytes: u64,
    /// What the frames of this backup take in the zip.
    pub stored_bytes: u64,
    /// How many regular files the state has.
    pub files: u64,
    /// The chain's block size in bytes.
    pub block_size: u32,
    /// The version of the program that wrote it.
    pub product_version: String,
    /// The policy that it was made for, if it was made for one.
    pub policy: Option<PolicyName>,
}

impl Metadata {
    /// The policy that the backup was made for; none also when another program wrote it.
    pub fn policy(&self) -> Option<&PolicyName> {
        self.content.as_ref()?.policy.as_ref()
    }
}

/// Why bytes are no metadata that this program can use.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// Not the layout at all, or changed after it was written.
    #[error("the backup's metadata is damaged: {0}")]
    Damaged(&'static str),
    /// A piece of it cannot be read.
    #[error("the backup's metadata is damaged: {property} cannot be read")]
    Property {
        /// Which one.
        property: &'static str,
        /// What is wrong with it.
        #[source]
        source: WireError,
    },
    /// A property holds what it cannot hold.
    #[error("the backup's metadata is damaged: its {0} has an impossible value")]
    Value(&'static str),
    /// A property that must be there is not.
    #[error("the backup's metadata lacks its {0}")]
    Missing(&'static str),
    /// A property is there twice.
    #[error("the backup's metadata names its {0} twice")]
    Twice(&'static str),
    /// Written by a program newer than this one.
    #[error("the backup has {what} version {version}, and this program reads up to {known}: a newer one is needed")]
    Newer {
        /// Which version it is.
        what: &'static str,
        /// The newest that can be read.
        known: i64,
        /// Its value.
        version: i64,
    },
}

/// The names of the properties, in the order they are written.
mod name {
    pub(super) const TIME: &str = "BackupTime";
    pub(super) const PARENT_LOCATION: &str = "ParentBackupLocation";
    pub(super) const LOCATION: &str = "BackupLocation";
    pub(super) const ID: &str = "BackupId";
    pub(super) const PARENT_ID: &str = "ParentBackupId";
    pub(super) const CHAIN_ID: &str = "BackupChainId";
    pub(super) const EPOCH: &str = "BackupEpoch";
    pub(super) const LSN: &str = "BackupLsn";
    pub(super) const KIND: &str = "PartitionKind";
    pub(super) const KEY: &str = "PartitionKey";
    pub(super) const MANIFEST_VERSION: &str = "ServiceManifestVersion";

    pub(super) const FORMAT: &str = "FabricBackup.FormatVersion";
    pub(super) const SOURCE: &str = "FabricBackup.SourceKind";
    pub(super) const ZIP_LEN: &str = "FabricBackup.ZipLength";
    pub(super) const MANIFEST_OFFSET: &str = "FabricBackup.ManifestOffset";
    pub(super) const MANIFEST_LEN: &str = "FabricBackup.ManifestLength";
    pub(super) const MANIFEST_HASH: &str = "FabricBackup.ManifestBlake3";
    pub(super) const PLAIN: &str = "FabricBackup.PlainBytes";
    pub(super) const STORED: &str = "FabricBackup.StoredBytes";
    pub(super) const FILES: &str = "FabricBackup.FileCount";
    pub(super) const BLOCK: &str = "FabricBackup.BlockSize";
    pub(super) const PRODUCT: &str = "FabricBackup.ProductVersion";
    pub(super) const POLICY: &str = "FabricBackup.Policy";

    pub(super) const ALL: [&str; 23] = [
        TIME,
        PARENT_LOCATION,
        LOCATION,
        ID,
        PARENT_ID,
        CHAIN_ID,
        EPOCH,
        LSN,
        KIND,
        KEY,
        MANIFEST_VERSION,
        FORMAT,
        SOURCE,
        ZIP_LEN,
        MANIFEST_OFFSET,
        MANIFEST_LEN,
        MANIFEST_HASH,
        PLAIN,
        STORED,
        FILES,
        BLOCK,
        PRODUCT,
        POLICY,
    ];
}

/// The file's bytes.
pub fn encode(metadata: &Metadata) -> Vec<u8> {
    let mut properties = Properties(Vec::new());
    put_point(&mut properties, &metadata.point);
    if let Some(content) = &metadata.content {
        put_content(&mut properties, content);
    }
    seal(properties.0)
}

fn put_point(out: &mut Properties, point: &BackupPoint) {
    let parent = point.parent.as_ref();
    out.put(name::TIME, &ticks(point.created).to_le_bytes());
    out.put(name::PARENT_LOCATION, parent.map_or("", |parent| &parent.location.0).as_bytes());
    out.put(name::LOCATION, point.location.0.as_bytes());
    out.put(name::ID, &point.id.to_bytes_le());
    out.put(name::PARENT_ID, &parent.map_or(Uuid::nil(), |parent| parent.id).to_bytes_le());
    out.put(name::CHAIN_ID, &point.chain_id.to_bytes_le());
    out.put(name::EPOCH, &pair(point.epoch.data_loss, point.epoch.configuration));
    out.put(name::LSN, &point.lsn.to_le_bytes());
    match &point.partition {
        PartitionKind::Singleton => out.put(name::KIND, &[1]),
        PartitionKind::Int64Range(range) => {
            out.put(name::KIND, &[2]);
            out.put(name::KEY, &pair(range.low, range.high));
        }
        PartitionKind::Named(key) => {
            out.put(name::KIND, &[3]);
            out.put(name::KEY, key.as_bytes());
        }
    }
    out.put(name::MANIFEST_VERSION, point.manifest_version.as_bytes());
}

fn put_content(out: &mut Properties, content: &Content) {
    out.put(name::FORMAT, &FORMAT_VERSION.to_le_bytes());
    out.put(name::SOURCE, content.source_kind.as_bytes());
    out.put(name::ZIP_LEN, &content.zip_len.to_le_bytes());
    out.put(name::MANIFEST_OFFSET, &content.manifest_offset.to_le_bytes());
    out.put(name::MANIFEST_LEN, &content.manifest_len.to_le_bytes());
    out.put(name::MANIFEST_HASH, &content.manifest_hash);
    out.put(name::PLAIN, &content.plain_bytes.to_le_bytes());
    out.put(name::STORED, &content.stored_bytes.to_le_bytes());
    out.put(name::FILES, &content.files.to_le_bytes());
    out.put(name::BLOCK, &u64::from(content.block_size).to_le_bytes());
    out.put(name::PRODUCT, content.product_version.as_bytes());
    if let Some(policy) = &content.policy {
        out.put(name::POLICY, policy.as_str().as_bytes());
    }
}

struct Properties(Vec<u8>);

impl Properties {
    fn put(&mut self, name: &str, value: &[u8]) {
        put_bytes(&mut self.0, name.as_bytes());
        put_bytes(&mut self.0, value);
    }
}

fn pair(first: i64, second: i64) -> [u8; 16] {
    let mut both = [0; 16];
    both[..8].copy_from_slice(&first.to_le_bytes());
    both[8..].copy_from_slice(&second.to_le_bytes());
    both
}

/// Reads a file's bytes.
pub fn decode(bytes: &[u8]) -> Result<Metadata, MetadataError> {
    let found = Found::read(unseal(bytes)?)?;
    Ok(Metadata { point: point(&found)?, content: content(&found)? })
}

/// The properties whose names we know, as they stand in the file.
struct Found([Option<Vec<u8>>; name::ALL.len()]);

impl Found {
    fn read(bytes: &[u8]) -> Result<Self, MetadataError> {
        let mut found = Self([const { None }; name::ALL.len()]);
        let limit = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let failed = |source| MetadataError::Property { property: "list of properties", source };
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut input = Input::new(&mut rest);
            let name = input.bytes(limit).map_err(failed)?;
            let value = input.bytes(limit).map_err(failed)?;
            let Some(known) = name::ALL.iter().position(|known| known.as_bytes() == name) else { continue };
            if found.0[known].replace(value).is_some() {
                return Err(MetadataError::Twice(name::ALL[known]));
            }
        }
        Ok(found)
    }

    fn optional(&self, name: &'static str) -> Option<&[u8]> {
        let at = name::ALL.iter().position(|known| *known == name)?;
        self.0[at].as_deref()
    }

    fn required(&self, name: &'static str) -> Result<&[u8], MetadataError> {
        self.optional(name).ok_or(MetadataError::Missing(name))
    }

    fn array<const N: usize>(&self, name: &'static str) -> Result<[u8; N], MetadataError> {
        self.required(name)?.try_into().map_err(|_| MetadataError::Value(name))
    }

    fn int(&self, name: &'static str) -> Result<i64, MetadataError> {
        self.array(name).map(i64::from_le_bytes)
    }

    fn size(&self, name: &'static str) -> Result<u64, MetadataError> {
        u64::try_from(self.int(name)?).map_err(|_| MetadataError::Value(name))
    }

    fn text(&self, name: &'static str) -> Result<String, MetadataError> {
        let bytes = self.required(name)?;
        String::from_utf8(bytes.to_vec())
            .map_err(|_| MetadataError::Property { property: name, source: WireError::NotText })
    }

    fn id(&self, name: &'static str) -> Result<Uuid, MetadataError> {
        self.array(name).map(Uuid::from_bytes_le)
    }

    fn two_ints(&self, name: &'static str) -> Result<(i64, i64), MetadataError> {
        let both = self.array::<16>(name)?;
        let int = |start: usize| i64::from_le_bytes(std::array::from_fn(|n| both[start + n]));
        Ok((int(0), int(8)))
    }
}

fn point(found: &Found) -> Result<BackupPoint, MetadataError> {
    let (data_loss, configuration) = found.two_ints(name::EPOCH)?;
    Ok(BackupPoint {
        id: found.id(name::ID)?,
        chain_id: found.id(name::CHAIN_ID)?,
        parent: parent(found)?,
        location: Location(found.text(name::LOCATION)?),
        created: time(found.int(name::TIME)?).ok_or(MetadataError::Value(name::TIME))?,
        epoch: Epoch { data_loss, configuration },
        lsn: found.int(name::LSN)?,
        partition: partition(found)?,
        manifest_version: found.text(name::MANIFEST_VERSION)?,
    })
}

/// As Service Fabric sees it: no parent id, no parent.
fn parent(found: &Found) -> Result<Option<Parent>, MetadataError> {
    let id = found.id(name::PARENT_ID)?;
    if id.is_nil() {
        return Ok(None);
    }
    match found.text(name::PARENT_LOCATION)? {
        location if location.is_empty() => Err(MetadataError::Value(name::PARENT_LOCATION)),
        location => Ok(Some(Parent { id, location: Location(location) })),
    }
}

fn partition(found: &Found) -> Result<PartitionKind, MetadataError> {
    match found.array(name::KIND)? {
        [1] => Ok(PartitionKind::Singleton),
        [2] => match found.two_ints(name::KEY)? {
            (low, high) if low <= high => Ok(PartitionKind::Int64Range(KeyRange { low, high })),
            _ => Err(MetadataError::Value(name::KEY)),
        },
        [3] => found.text(name::KEY).map(PartitionKind::Named),
        _ => Err(MetadataError::Value(name::KIND)),
    }
}

fn content(found: &Found) -> Result<Option<Content>, MetadataError> {
    if found.optional(name::FORMAT).is_none() {
        return Ok(None);
    }
    match found.int(name::FORMAT)? {
        FIRST_FORMAT_VERSION..=FORMAT_VERSION => {}
        version => return Err(MetadataError::Newer { what: "format", known: FORMAT_VERSION, version }),
    }
    Ok(Some(Content {
        source_kind: found.text(name::SOURCE)?,
        zip_len: found.size(name::ZIP_LEN)?,
        manifest_offset: found.size(name::MANIFEST_OFFSET)?,
        manifest_len: found.size(name::MANIFEST_LEN)?,
        manifest_hash: found.array(name::MANIFEST_HASH)?,
        plain_bytes: found.size(name::PLAIN)?,
        stored_bytes: found.size(name::STORED)?,
        files: found.size(name::FILES)?,
        block_size: u32::try_from(found.int(name::BLOCK)?).map_err(|_| MetadataError::Value(name::BLOCK))?,
        product_version: found.text(name::PRODUCT)?,
        policy: policy(found)?,
    }))
}

fn policy(found: &Found) -> Result<Option<PolicyName>, MetadataError> {
    if found.optional(name::POLICY).is_none() {
        return Ok(None);
    }
    let policy = PolicyName::parse(&found.text(name::POLICY)?);
    policy.map(Some).map_err(|_| MetadataError::Value(name::POLICY))
}

/// .NET ticks: 100 ns each, since the start of the year 1.
fn ticks(time: DateTime<Utc>) -> i64 {
    time.timestamp() * 10_000_000 + i64::from(time.timestamp_subsec_nanos() / 100) + UNIX_EPOCH_TICKS
}

fn time(ticks: i64) -> Option<DateTime<Utc>> {
    if !(0..=LAST_TICK).contains(&ticks) {
        return None;
    }
    let since_1970 = TimeDelta::microseconds((ticks - UNIX_EPOCH_TICKS).div_euclid(10));
    DateTime::UNIX_EPOCH.checked_add_signed(since_1970).map(|time| time.trunc_subsecs(0))
}

#[cfg(test)]
#[path = "metadata_tests.rs"]
mod tests;
