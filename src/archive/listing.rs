//! Lists backups of one storage or of several as one list: by place, then time, then storage.
//!
//! Owns which names are listed and on which page. A page is chosen by names and only its records are read, none twice. What
//! a record puts outside the filter, since its backup was resumed, goes, and the page is chosen anew without it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, SubsecRound, Utc};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};

use super::{
    cache::{Cache, Record, record_id},
    catalog::{CatalogError, Filter, Found, Listing},
    metadata::Metadata,
    names::{Keys, Place, Scope, location_of_data, location_of_metadata},
    position::Position,
    read::{Archive, ReadError, read_metadata},
};
use crate::{
    domain::{FailureCode, Location, PartitionId, StoreId, words},
    spool::Spools,
    storage::{Object, Storage, StorageError},
};

/// How many records are read at the same time.
const READS: usize = 16;

/// One storage of a list, open.
pub(super) struct Shelf {
    pub(super) id: StoreId,
    pub(super) storage: Storage,
    /// Whose backups are taken from here; none takes all.
    pub(super) partitions: Option<HashSet<PartitionId>>,
    /// Whether it has no backups, rather than a fault, when it is not there at all.
    pub(super) may_be_missing: bool,
}

/// A backup that is there, as far as its name tells.
#[derive(Clone)]
struct Named {
    shelf: Arc<Shelf>,
    place: Place,
    time: DateTime<Utc>,
    location: Location,
    record: Object,
}

/// What no two of a list share.
type Key = (StoreId, Location);

/// The backups in a scope on these shelves, which are in the order of their ids.
pub(super) async fn list(
    shelves: &[Arc<Shelf>],
    cache: &Cache,
    scope: &Scope,
    filter: &Filter,
) -> Result<Listing, CatalogError> {
    let of_each = try_join_all(shelves.iter().map(|shelf| names(shelf, scope, filter))).await?;
    let mut named: Vec<_> = of_each.into_iter().flatten().collect();
    named.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
    named.dedup_by(|a, b| a.order() == b.order());
    if let Some(start) = filter.start {
        keep_resumable(&mut named, start);
    }
    let mut known = HashMap::new();
    loop {
        let (page, next) = page(&named, filter);
        let unread = page.iter().filter(|named| !known.contains_key(&named.key())).cloned();
        let found = read_all(unread.collect(), cache).await?;
        let outside: HashSet<_> =
            found.iter().filter(|(_, found)| is_outside(found.as_ref(), filter)).map(|(key, _)| key.clone()).collect();
        known.extend(found);
        if outside.is_empty() {
            let items = page.iter().filter_map(|named| known.remove(&named.key()).flatten()).collect();
            return Ok(Listing { items, next });
        }
        named.retain(|named| !outside.contains(&named.key()));
    }
}

/// The backup of a scope with the latest state that can be restored here, whole as far as can be told without reading
/// its blocks; none of those that are `ruled_out`. What is later is told by the partition's life and the position in its
/// log, not by times: a clock may have been wrong.
pub(super) async fn latest_restorable(
    shelf: &Arc<Shelf>,
    cache: &Cache,
    scope: &Scope,
    ruled_out: &[Location],
    spools: &Spools,
) -> Result<Option<Metadata>, CatalogError> {
    let named = names(shelf, scope, &Filter::default()).await?.into_iter();
    let reads = named.filter(|named| !ruled_out.contains(&named.location)).map(|named| read(named, cache));
    let found: Vec<Option<Found>> = stream::iter(reads).buffered(READS).try_collect().await?;
    let mut by_age = Vec::new();
    for Found { time, location, point, .. } in found.into_iter().flatten() {
        match point {
            // It may be the latest.
            Err(error @ ReadError::Storage(_)) => return Err(error.into()),
            point => by_age.push((point.ok().map(|point| (point.epoch, point.lsn)), time, location)),
        }
    }
    by_age.sort_unstable_by(|a, b| b.cmp(a));
    for (_, _, location) in by_age {
        match Archive::open(&shelf.storage, &location, spools).await {
            Ok(archive) => return Ok(Some(archive.into_metadata())),
            // Not a reason to go back to an older one.
            Err(error @ (ReadError::Storage(_) | ReadError::Spool { .. })) => return Err(error.into()),
            Err(error) => tracing::warn!(%location, error = words(&error), "this backup cannot be restored"),
        }
    }
    Ok(None)
}

/// The data in a scope whose names have an earlier time than `before` and beside which no commit record lies.
pub(super) async fn orphans(
    shelf: &Shelf,
    scope: &Scope,
    before: DateTime<Utc>,
) -> Result<Vec<Location>, CatalogError> {
    let keys: BTreeSet<String> = objects(shelf, scope).await?.into_iter().map(|object| object.key).collect();
    let old = keys.iter().filter_map(|key| location_of_data(key).filter(|location| is_older(location, before)));
    Ok(old.filter(|location| Keys::of(location).is_ok_and(|of| !keys.contains(&of.metadata))).collect())
}

/// Only what lies exactly where a backup would.
fn is_older(location: &Location, before: DateTime<Utc>) -> bool {
    Place::of(location).is_ok_and(|(place, time)| time < before && place.location(time) == *location)
}

impl Named {
    fn order(&self) -> (&Place, DateTime<Utc>, &StoreId) {
        (&self.place, self.time, &self.shelf.id)
    }

    fn position(&self) -> Position {
        Position { place: self.place.clone(), time: self.time, store: self.shelf.id.clone() }
    }

    fn key(&self) -> Key {
        (self.shelf.id.clone(), self.location.clone())
    }
}

/// One listing of the storage; none of its objects twice.
async fn objects(shelf: &Shelf, scope: &Scope) -> Result<Vec<Object>, StorageError> {
    let mut objects = Vec::new();
    for prefix in scope.prefixes() {
        match shelf.storage.list(&prefix).await {
            Err(error) if error.is_store_missing() && shelf.may_be_missing => return Ok(Vec::new()),
            listed => objects.extend(listed?),
        }
    }
    Ok(objects)
}

async fn names(shelf: &Arc<Shelf>, scope: &Scope, filter: &Filter) -> Result<Vec<Named>, StorageError> {
    let objects = objects(shelf, scope).await?;
    Ok(objects.into_iter().filter_map(|object| name(shelf, object, filter)).collect())
}

/// The backup whose record this is, if it is one and the filter lets it through, but for its start.
fn name(shelf: &Arc<Shelf>, record: Object, filter: &Filter) -> Option<Named> {
    let location = location_of_metadata(&record.key)?;
    let (place, time) = Place::of(&location).ok()?;
    let wanted = filter.end.is_none_or(|end| time <= end)
        && shelf.partitions.as_ref().is_none_or(|wanted| wanted.contains(&place.partition));
    wanted.then_some(Named { shelf: Arc::clone(shelf), place, time, location, record })
}

/// What the filter wants of what is named, and where that ends, if more come after it.
fn page(named: &[Named], filter: &Filter) -> (Vec<Named>, Option<Position>) {
    let mut page = named.iter().collect();
    if filter.latest {
        keep_latest(&mut page);
    }
    let next = keep_page(&mut page, filter);
    (page.into_iter().cloned().collect(), next)
}

/// A backup that was resumed has a state that is later than its name.
fn is_outside(found: Option<&Found>, filter: &Filter) -> bool {
    let is_early = |time| filter.start.is_some_and(|start| time < start);
    let is_late = |time| filter.end.is_some_and(|end| time > end);
    found.is_some_and(|found| is_early(found.time) || is_late(found.time))
}

/// Keeps those named from `start` on, and of each place the last name before: one job a partition runs at a time, so only
/// its record can tell a time after `start`.
fn keep_resumable(named: &mut Vec<Named>, start: DateTime<Utc>) {
    let mut after: Option<(Place, DateTime<Utc>)> = None;
    named.reverse();
    named.retain(|named| {
        let follows = after.replace((named.place.clone(), named.time)).filter(|(place, _)| *place == named.place);
        named.time >= start || follows.is_none_or(|(_, time)| time >= start || time == named.time)
    });
    named.reverse();
}

/// Of each place's, which follow each other, the last.
fn keep_latest(named: &mut Vec<&Named>) {
    named.reverse();
    named.dedup_by(|a, b| a.place == b.place);
    named.reverse();
}

/// Keeps one page and tells where it ends, if more come after it. A place whose latest backup was told is done with, also
/// if a later one has come since.
fn keep_page(named: &mut Vec<&Named>, filter: &Filter) -> Option<Position> {
    match &filter.after {
        Some(after) if filter.latest => named.retain(|named| named.place > after.place),
        Some(after) => named.retain(|named| named.order() > after.order()),
        None => {}
    }
    let page = filter.limit.filter(|limit| *limit < named.len())?;
    named.truncate(page);
    named.last().map(|named| named.position())
}

async fn read_all(named: Vec<Named>, cache: &Cache) -> Result<Vec<(Key, Option<Found>)>, CatalogError> {
    let reads = named.into_iter().map(|named| async { Ok((named.key(), read(named, cache).await?)) });
    stream::iter(reads).buffered(READS).try_collect().await
}

/// Reads one record, unless that was done before; none if it was deleted since it was listed.
async fn read(named: Named, cache: &Cache) -> Result<Option<Found>, CatalogError> {
    let Named { shelf, place, time, location, record } = named;
    let id = record_id(&shelf.id, &record);
    let read = match cache.get(&id, &location) {
        Some(known) => Ok(known),
        None => read_metadata(&shelf.storage, &location)
            .await
            .map(Record::from)
            .inspect(|whole| cache.put(id, record.size, whole)),
    };
    match read {
        Ok(Record { point, policy }) => {
            let time = time.max(point.created.trunc_subsecs(0));
            Ok(Some(Found { place, time, location, point: Ok(point), policy }))
        }
        Err(ReadError::NotFound { source, .. }) if !source.is_store_missing() => Ok(None),
        Err(error) if error.code() == FailureCode::Unreachable => Err(error.into()),
        Err(error) => Ok(Some(Found { place, time, location, point: Err(error), policy: None })),
    }
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
