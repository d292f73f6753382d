//! Chains: a full backup and the incremental ones that go on from it, each from the one before.
//!
//! Owns what makes a chain whole, which backups a restore needs, and whether the next backup is full or incremental. Pure:
//! it sees backups as their commit records tell them, and never deletes, reads or writes one. What does not fit into a
//! chain is told with its reason and never guessed into one.

mod gap;
mod next;

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::domain::BackupPoint;

pub use gap::Gap;
pub use next::{Conditions, next};

/// A full backup and its incremental ones, oldest first and without a gap. [`chains`] makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain<'a> {
    full: &'a BackupPoint,
    incrementals: Vec<&'a BackupPoint>,
}

/// A backup that is in no chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray<'a> {
    /// The backup.
    pub point: &'a BackupPoint,
    /// Why.
    pub why: Gap,
}

/// The backups of one partition, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chains<'a> {
    /// What hangs together, oldest full backup first.
    pub chains: Vec<Chain<'a>>,
    /// What does not, oldest first.
    pub strays: Vec<Stray<'a>>,
}

impl<'a> Chain<'a> {
    /// The identity of its full backup, which is its own.
    pub fn id(&self) -> Uuid {
        self.full.id
    }

    /// The backup that it starts with.
    pub fn full(&self) -> &'a BackupPoint {
        self.full
    }

    /// The backup that it ends with.
    pub fn newest(&self) -> &'a BackupPoint {
        self.incrementals.last().copied().unwrap_or(self.full)
    }

    /// All of it, oldest first.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = &'a BackupPoint> {
        std::iter::once(self.full).chain(self.incrementals.iter().copied())
    }

    /// What a restore of the backup `id` needs, oldest first; that one is the last.
    pub fn restore_path(&self, id: Uuid) -> Result<Vec<&'a BackupPoint>, Gap> {
        let points: Vec<_> = self.points().collect();
        let end = points.iter().position(|it| it.id == id).ok_or(Gap::Unknown(id))?;
        Ok(points[..=end].to_vec())
    }
}

/// Groups all backups of one partition, given in any order. Where two go on from the same one, the older of them is in
/// the chain.
pub fn chains(points: &[BackupPoint]) -> Chains<'_> {
    let (points, twins) = sorted(points);
    let mut children: HashMap<Uuid, Vec<&BackupPoint>> = HashMap::new();
    for (point, parent) in points.iter().filter_map(|it| Some((it, it.parent.as_ref()?))) {
        children.entry(parent.id).or_default().push(point);
    }
    let chains: Vec<Chain> = points.iter().filter(|it| it.is_full()).map(|it| grow(it, &children)).collect();
    let mut strays = strays(&points, &chains);
    strays.extend(twins);
    Chains { chains, strays }
}

/// Oldest first; of backups with the same identity the first, the others apart.
fn sorted(points: &[BackupPoint]) -> (Vec<&BackupPoint>, Vec<Stray<'_>>) {
    let mut points: Vec<&BackupPoint> = points.iter().collect();
    points.sort_by_key(|it| (it.created, &it.location));
    let mut seen = HashSet::new();
    let (points, twins): (Vec<_>, Vec<_>) = points.into_iter().partition(|it| seen.insert(it.id));
    (points, twins.into_iter().map(|point| Stray { point, why: Gap::Twice }).collect())
}

/// The chain that begins with `full`.
fn grow<'a>(full: &'a BackupPoint, children: &HashMap<Uuid, Vec<&'a BackupPoint>>) -> Chain<'a> {
    let mut chain = Chain { full, incrementals: Vec::new() };
    let next = |newest: Uuid| children.get(&newest)?.iter().copied().find(|it| it.chain_id == full.id);
    while let Some(point) = next(chain.newest().id) {
        chain.incrementals.push(point);
    }
    chain
}

/// What is in none of `chains`.
fn strays<'a>(points: &[&'a BackupPoint], chains: &[Chain<'a>]) -> Vec<Stray<'a>> {
    let known: HashSet<Uuid> = points.iter().map(|it| it.id).collect();
    let places: HashMap<Uuid, Place> = chains.iter().flat_map(places).collect();
    let why = |point: &BackupPoint, parent: Uuid| match places.get(&parent) {
        None if known.contains(&parent) => Gap::StrayParent(parent),
        None => Gap::NoParent(parent),
        Some(Place { next: Some(next), chain }) if *chain == point.chain_id => Gap::Fork(*next),
        Some(_) => Gap::OtherChain(point.chain_id),
    };
    let strays = points.iter().filter(|it| !places.contains_key(&it.id));
    strays.filter_map(|point| Some(Stray { point, why: why(point, point.parent.as_ref()?.id) })).collect()
}

/// Where a backup is in a chain.
struct Place {
    chain: Uuid,
    next: Option<Uuid>,
}

fn places(chain: &Chain<'_>) -> impl Iterator<Item = (Uuid, Place)> {
    let next = chain.points().skip(1).map(|it| Some(it.id)).chain([None]);
    let id = chain.id();
    chain.points().map(|it| it.id).zip(next.map(move |next| Place { chain: id, next })).collect::<Vec<_>>().into_iter()
}

/// What a restore of the backup `id` needs of all backups of its partition, oldest first. One that goes on from the same
/// backup as another is in no chain, and can be restored all the same.
pub fn restore_path(points: &[BackupPoint], id: Uuid) -> Result<Vec<&BackupPoint>, Gap> {
    let by_id: HashMap<Uuid, &BackupPoint> = sorted(points).0.into_iter().map(|it| (it.id, it)).collect();
    let wanted = *by_id.get(&id).ok_or(Gap::Unknown(id))?;
    let mut path = vec![wanted];
    let mut at = wanted;
    while let Some(parent) = &at.parent {
        at = *by_id.get(&parent.id).ok_or(Gap::NoParent(parent.id))?;
        path.push(at);
        if path.len() > by_id.len() {
            return Err(Gap::Circle);
        }
    }
    path.reverse();
    match path.iter().skip(1).find(|it| it.chain_id != at.id) {
        Some(other) => Err(Gap::OtherChain(other.chain_id)),
        None => Ok(path),
    }
}

#[cfg(test)]
#[path = "chain/chain_tests.rs"]
pub(crate) mod tests;
