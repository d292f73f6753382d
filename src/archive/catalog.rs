//! Finds the backups on a storage, by their commit records.
//!
//! Owns listing and its filters; reads, never writes. What the name tells is never fetched: filters apply before any
//! record is read. A record that cannot be read or used is shown with the reason, not hidden, and not fatal to the others,
//! unless the whole storage is out of reach.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    metadata::Metadata,
    names::{Place, Scope, location_of_metadata},
    read::{ReadError, check_length, read_metadata},
};
use crate::{
    domain::{BackupPoint, FailureCode, Location, PolicyName, StorageSpec, StoreId},
    storage::{ProbeError, SpecError, Storage, StorageError, Stores},
};

/// How many records are read at the same time.
const READS: usize = 16;

/// Which backups of a scope are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// None whose name has an earlier time.
    pub start: Option<DateTime<Utc>>,
    /// None whose name has a later time.
    pub end: Option<DateTime<Utc>>,
    /// Of what is left, only the newest of each partition.
    pub latest: bool,
    /// Of what is left, only what comes after this place in the order of a listing.
    pub after: Option<Location>,
    /// Of what is left, only so many.
    pub limit: Option<usize>,
}

/// What was found, by application, service, partition and then time.
#[derive(Debug)]
pub struct Listing {
    /// The backups.
    pub items: Vec<Found>,
    /// Where this page ended, if the limit kept some back: the `after` of the next one. It need not be among the items,
    /// since a backup can go between being named and being read.
    pub next: Option<Location>,
}

/// A backup that was found.
#[derive(Debug)]
pub struct Found {
    /// Whose it is, as its path says.
    pub place: Place,
    /// The time in its name.
    pub time: DateTime<Utc>,
    /// Where it lies.
    pub location: Location,
    /// What its commit record says, or why that cannot be used.
    pub point: Result<BackupPoint, ReadError>,
    /// The policy that it was made for, if its record can be used and names one.
    pub policy: Option<PolicyName>,
}

/// Why backups could not be listed or read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Not a storage we can use.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The backup cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The storage was tried out and does not do what backups need.
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

impl CatalogError {
    /// Which property of the storage's description is wrong, by its published name.
    pub fn property(&self) -> Option<&'static str> {
        match self {
            Self::Spec(error) => error.property(),
            Self::Storage(_) | Self::Read(_) | Self::Probe(_) => None,
        }
    }

    /// Whether the container or directory is not there at all: the first backup makes it.
    pub fn is_store_missing(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_store_missing())
    }
}

/// The backups on any storage. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    stores: Stores,
}

impl Catalog {
    /// Over the storages that this process may reach.
    pub fn new(stores: Stores) -> Self {
        Self { stores }
    }

    /// Whether the storage could be used at all; contacts nothing.
    pub fn check(&self, spec: &StorageSpec) -> Result<(), CatalogError> {
        Ok(self.stores.check(spec)?)
    }

    /// Which place the storage is, whoever enters it and however it is spelt; contacts nothing.
    pub fn identity(&self, spec: &StorageSpec) -> Result<StoreId, CatalogError> {
        Ok(self.stores.identity(spec)?)
    }

    /// Tries the storage out: writes, reads, lists and deletes a small object that no listing takes for a backup. Makes
    /// the container or directory as the first backup would, and leaves nothing else.
    pub async fn probe(&self, spec: &StorageSpec) -> Result<(), CatalogError> {
        Ok(self.stores.probe(&self.open(spec).await?).await?)
    }

    /// The storage itself. On a thread of its own, since a mount that hangs would hold whoever looks at it.
    pub async fn open(&self, spec: &StorageSpec) -> Result<Storage, CatalogError> {
        let (stores, spec) = (self.stores.clone(), spec.clone());
        let opened = tokio::task::spawn_blocking(move || stores.open(&spec)).await;
        Ok(opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?)
    }

    /// The commit record of one backup whose data lies beside it, as long as it should be. What only can be listed, since
    /// another program wrote it, is answered without looking at its data.
    pub async fn restorable(&self, spec: &StorageSpec, location: &Location) -> Result<Metadata, CatalogError> {
        let storage = self.open(spec).await?;
        let metadata = read_metadata(&storage, location).await?;
        if let Some(content) = &metadata.content {
            check_length(&storage, &metadata.point.location, content.zip_len).await?;
        }
        Ok(metadata)
    }

    /// The backups in a scope, by application, service, partition and then time.
    pub async fn list(&self, spec: &StorageSpec, scope: &Scope, filter: &Filter) -> Result<Listing, CatalogError> {
        list(&self.open(spec).await?, scope, filter).await
    }
}

type Named = BTreeMap<(Place, DateTime<Utc>), Location>;

/// What [`Catalog::list`] does, on an open storage.
pub(super) async fn list(storage: &Storage, scope: &Scope, filter: &Filter) -> Result<Listing, CatalogError> {
    let mut named = Named::new();
    for prefix in scope.prefixes() {
        for object in storage.list(&prefix).await? {
            named.extend(name(&object.key, filter));
        }
    }
    if filter.latest {
        keep_latest(&mut named);
    }
    let next = keep_page(&mut named, filter)?;
    let reads = named.into_iter().map(|((place, time), location)| read(storage, place, time, location));
    let found: Vec<_> = stream::iter(reads).buffered(READS).try_collect().await?;
    Ok(Listing { items: found.into_iter().flatten().collect(), next })
}

/// Keeps one page and tells where it ends, if more come after it.
fn keep_page(named: &mut Named, filter: &Filter) -> Result<Option<Location>, CatalogError> {
    if let Some(after) = &filter.after {
        let place = Place::of(after).map_err(ReadError::from)?;
        named.retain(|key, _| *key > place);
    }
    let all = named.len();
    let page = filter.limit.unwrap_or(all);
    *named = std::mem::take(named).into_iter().take(page).collect();
    Ok(named.values().next_back().filter(|_| all > page).cloned())
}

/// The backup whose record has this key, if it is one and the filter lets it through.
fn name(key: &str, filter: &Filter) -> Option<((Place, DateTime<Utc>), Location)> {
    let location = location_of_metadata(key)?;
    let (place, time) = Place::of(&location).ok()?;
    let wanted = filter.start.is_none_or(|start| start <= time) && filter.end.is_none_or(|end| time <= end);
    wanted.then_some(((place, time), location))
}

fn keep_latest(named: &mut Named) {
    let latest: BTreeMap<Place, DateTime<Utc>> = named.keys().cloned().collect();
    named.retain(|(place, time), _| latest.get(place) == Some(time));
}

/// Reads one record; none if it was deleted since it was listed.
async fn read(
    storage: &Storage,
    place: Place,
    time: DateTime<Utc>,
    location: Location,
) -> Result<Option<Found>, CatalogError> {
    let (point, policy) = match read_metadata(storage, &location).await {
        Ok(metadata) => (Ok(metadata.point), metadata.content.and_then(|content| content.policy)),
        Err(ReadError::NotFound { source, .. }) if !source.is_store_missing() => return Ok(None),
        Err(error) if error.code() == FailureCode::Unreachable => return Err(error.into()),
        Err(error) => (Err(error), None),
    };
    Ok(Some(Found { place, time, location, point, policy }))
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
