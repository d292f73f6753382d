use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{Keeper, RetentionError};
use crate::{
    archive::Catalog,
    domain::{BackupPoint, Controls, Entity, Location, PartitionId, Policy, PolicyName, StoreId},
    ledger::{LedgerError, PartitionRecord, Wrote},
};

/// What the ledger says at one moment about the partitions that a policy's retention covers.
pub(super) struct Sight {
    pub(super) store: StoreId,
    pub(super) scope: BTreeMap<Entity, Standing>,
    pub(super) restores: Restores,
    /// Where backups are being written, by whatever job.
    pub(super) attempts: BTreeSet<Location>,
}

/// How a partition stands.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    /// It lost its state, and nobody has decided yet what becomes of it.
    pub(super) data_loss: bool,
}

/// The backups that restores and verifications read which are not over yet.
pub(super) struct Restores(Vec<Needed>);

/// A backup that is read. A storage that cannot be told is taken for any.
struct Needed {
    store: Option<StoreId>,
    id: Uuid,
    location: Location,
    /// None if its own description cannot be read.
    chain: Option<Uuid>,
}

impl Restores {
    /// Those of all partitions.
    pub(super) fn of(catalog: &Catalog, partitions: &[(PartitionId, PartitionRecord)]) -> Self {
        let restores = partitions.iter().filter_map(|(_, record)| record.restore.as_ref());
        let restores = restores.filter(|job| job.state.is_active()).map(|job| {
            let (store, point) = (catalog.identity(&job.task.storage).ok(), &job.task.point);
            Needed { store, id: point.id, location: point.location.clone(), chain: Some(point.chain_id) }
        });
        let verifications = partitions.iter().filter_map(|(_, record)| record.verify.as_ref());
        let verifications = verifications.filter(|job| job.state.is_active()).map(|job| {
            let (store, task) = (catalog.identity(&job.task.storage).ok(), &job.task);
            Needed { store, id: task.backup, location: task.location.clone(), chain: task.chain }
        });
        Self(restores.chain(verifications).collect())
    }

    /// Whether one of them needs this backup, or may. A copy of a store has the same chains, so their identities count
    /// wherever they lie.
    pub(super) fn need(&self, store: &StoreId, point: &BackupPoint) -> bool {
        self.0.iter().any(|needed| {
            let here = needed.store.as_ref().is_none_or(|it| it == store);
            needed.chain == Some(point.chain_id) || needed.id == point.id || here && needed.location == point.location
        })
    }

    /// The chains of `points` that they need.
    pub(super) fn chains(&self, store: &StoreId, points: &[BackupPoint]) -> BTreeSet<Uuid> {
        points.iter().filter(|point| self.need(store, point)).map(|point| point.chain_id).collect()
    }
}

impl Keeper {
    pub(super) async fn sight(&self, policy: &Policy) -> Result<Sight, RetentionError> {
        let store = self.catalog.identity(&policy.storage)?;
        // First what is enabled: a partition's record is newer than that, never older.
        let controls = self.ledger.controls().await?;
        let partitions = self.ledger.partitions().await?;
        let wrote = Wrote { policy: policy.name.clone(), store: store.clone() };
        let covered = partitions.iter().filter(|(_, record)| record.wrote.contains(&wrote));
        let covered = covered.filter_map(|(_, record)| Some((record.entity.clone()?, record)));
        let covered = covered.filter(|(entity, _)| is_enabled_on(&controls, &policy.name, entity));
        let scope = covered.map(|(entity, record)| (entity, Standing { data_loss: record.data_loss.is_some() }));
        Ok(Sight {
            scope: scope.collect(),
            restores: Restores::of(&self.catalog, &partitions),
            attempts: attempts(&partitions),
            store,
        })
    }

    /// The restores and verifications that are not over.
    pub(super) async fn restores(&self) -> Result<Restores, LedgerError> {
        Ok(Restores::of(&self.catalog, &self.ledger.partitions().await?))
    }
}

/// On any level: one that is overridden below keeps what it wrote there before.
fn is_enabled_on(controls: &Controls, policy: &PolicyName, entity: &Entity) -> bool {
    entity.lineage().any(|it| controls.enabled.get(&it).is_some_and(|enabled| enabled.policy == *policy))
}

fn attempts(partitions: &[(PartitionId, PartitionRecord)]) -> BTreeSet<Location> {
    let jobs = partitions.iter().flat_map(|(_, record)| record.backups());
    jobs.filter(|job| job.state.is_active()).filter_map(|job| job.task.attempt.clone()).collect()
}

#[cfg(test)]
#[path = "sight_tests.rs"]
mod tests;
