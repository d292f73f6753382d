//! Finds the backups on storages, by their commit records.
//!
//! Owns what can be asked of a storage by its description. Reads; writes nothing, but for the small object of a probe. A
//! record that cannot be read or used is shown with the reason, not hidden, and not fatal to the others, unless the whole
//! storage is out of reach.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use futures::future::try_join_all;

use super::{
    cache::Cache,
    listing::{self, Shelf},
    metadata::Metadata,
    names::{Place, Scope},
    position::Position,
    read::{ReadError, check_length, read_metadata},
};
use crate::{
    domain::{BackupPoint, Location, PartitionId, PolicyName, StorageSpec, StoreId},
    spool::Spools,
    storage::{ProbeError, SpecError, Storage, StorageError, Stores},
};

/// Which backups of a scope are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// None whose name and record have an earlier time.
    pub start: Option<DateTime<Utc>>,
    /// None whose name or record has a later time.
    pub end: Option<DateTime<Utc>>,
    /// Of what is left, only the newest of each partition.
    pub latest: bool,
    /// Of what is left, only what comes after this place in the order of a listing.
    pub after: Option<Position>,
    /// Of what is left, only so many.
    pub limit: Option<usize>,
}

/// A storage to list, and whose backups are wanted from it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which storage.
    pub spec: StorageSpec,
    /// Only those of these partitions; none means all.
    pub partitions: Option<HashSet<PartitionId>>,
    /// Whether backups are known to lie there. Then it is an error if it is not there at all.
    pub is_filled: bool,
}

/// What was found, by application, service, partition and then time.
#[derive(Debug)]
pub struct Listing {
    /// The backups.
    pub items: Vec<Found>,
    /// Where this page ended, if the limit kept some back: the `after` of the next one. It need not be among the items,
    /// since a backup can go between being named and being read. The next page can be empty, if only records put what is
    /// left outside the filter.
    pub next: Option<Position>,
}

/// A backup that was found.
#[derive(Debug)]
pub struct Found {
    /// Whose it is, as its path says.
    pub place: Place,
    /// When its state was so: as its record says, but not before the time in its name.
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
    /// The storage is not there, though backups lie in it: it is away.
    #[error("backups were made there, so it is away and not empty")]
    Gone(#[source] StorageError),
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
            Self::Storage(_) | Self::Gone(_) | Self::Read(_) | Self::Probe(_) => None,
        }
    }

    /// The same of a storage in which backups are known to lie.
    fn or_gone(self) -> Self {
        match self {
            Self::Storage(error) if error.is_store_missing() => Self::Gone(error),
            other => other,
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
    cache: Arc<Cache>,
}

impl Catalog {
    /// Over the storages that this process may reach.
    pub fn new(stores: Stores) -> Self {
        Self { stores, cache: Arc::default() }
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

    /// The commit record of one backup, whatever became of its data.
    pub async fn described(&self, spec: &StorageSpec, location: &Location) -> Result<Metadata, CatalogError> {
        Ok(read_metadata(&self.open(spec).await?, location).await?)
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

    /// The backups in a scope on one storage, by application, service, partition and then time.
    pub async fn list(&self, spec: &StorageSpec, scope: &Scope, filter: &Filter) -> Result<Listing, CatalogError> {
        let (id, storage) = (self.identity(spec)?, self.open(spec).await?);
        let it = Shelf { id, storage, partitions: None, may_be_missing: false };
        listing::list(&[it.into()], &self.cache, scope, filter).await
    }

    /// The same on several storages as one list, in which those of one partition and time are in the order of their
    /// storages. A storage that is named twice is asked once, as it is described first, for the partitions of both. One
    /// that is not there yet, since the first backup makes it, has none; one that is filled and not there is an error.
    pub async fn list_in(&self, stores: &[Wanted], scope: &Scope, filter: &Filter) -> Result<Listing, CatalogError> {
        let merged = self.merged(stores)?.into_iter();
        let shelves = merged.map(|(id, it)| async move { self.shelf(id, it.spec, it.partitions, it.is_filled).await });
        let listed = listing::list(&try_join_all(shelves).await?, &self.cache, scope, filter).await;
        listed.map_err(CatalogError::or_gone)
    }

    /// The backup of a scope with the latest state that can be restored: its data lies beside it as long as it should be,
    /// its manifest is whole. Those that another program wrote, those that are damaged and those that are `ruled_out` are
    /// passed over. `is_filled`: backups are known to lie there.
    pub async fn latest_restorable(
        &self,
        spec: &StorageSpec,
        scope: &Scope,
        ruled_out: &[Location],
        is_filled: bool,
        spools: &Spools,
    ) -> Result<Option<Metadata>, CatalogError> {
        let store = self.shelf(self.identity(spec)?, spec, None, is_filled).await?;
        listing::latest_restorable(&store, &self.cache, scope, ruled_out, spools).await.map_err(CatalogError::or_gone)
    }

    /// The data in a scope beside which no commit record lies and whose name has an earlier time than `before`: what a
    /// backup that failed or was deleted may have left. [`discard`](super::discard) takes it away.
    pub async fn orphans(
        &self,
        spec: &StorageSpec,
        scope: &Scope,
        before: DateTime<Utc>,
    ) -> Result<Vec<Location>, CatalogError> {
        let it = self.shelf(self.identity(spec)?, spec, None, false).await?;
        listing::orphans(&it, scope, before).await
    }

    fn merged<'a>(&self, stores: &'a [Wanted]) -> Result<BTreeMap<StoreId, Merged<'a>>, CatalogError> {
        let mut merged = BTreeMap::<StoreId, Merged<'a>>::new();
        for Wanted { spec, partitions, is_filled } in stores {
            let new = || Merged { spec, partitions: Some(HashSet::new()), is_filled: false };
            let entry = merged.entry(self.identity(spec)?).or_insert_with(new);
            entry.is_filled |= is_filled;
            let all = &mut entry.partitions;
            *all = all.take().zip(partitions.as_ref()).map(|(all, more)| &all | more);
        }
        Ok(merged)
    }

    async fn shelf(
        &self,
        id: StoreId,
        spec: &StorageSpec,
        partitions: Option<HashSet<PartitionId>>,
        is_filled: bool,
    ) -> Result<Arc<Shelf>, CatalogError> {
        Ok(Shelf { id, storage: self.open(spec).await?, partitions, may_be_missing: !is_filled }.into())
    }
}

/// One storage and all that is wanted of it.
struct Merged<'a> {
    spec: &'a StorageSpec,
    partitions: Option<HashSet<PartitionId>>,
    is_filled: bool,
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
