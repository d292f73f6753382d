use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time;

use super::{Keeper, LISTING, RetentionError, Verdict, sight::Sight};
use crate::{
    archive::{Filter, Found, Place, Scope},
    domain::{BackupPoint, Entity, PartitionId, Policy, PolicyName, Retention, StorageSpec, words},
    policy::{self, Action, Held, Hold},
};

/// How many folders are listed at the same time.
const LISTINGS: usize = 4;

/// What lies in the folder of one partition, as far as it concerns a policy.
pub(super) struct Folder {
    pub(super) entity: Entity,
    place: Place,
    /// The backups that were made for the policy, each with the location where it was found.
    points: Vec<BackupPoint>,
    /// Those of which nobody can tell, and why.
    unreadable: Vec<(Found, String)>,
    held: Held,
}

impl Folder {
    /// What the retention does with it at `now`.
    pub(super) fn plan(&self, retention: Option<&Retention>, now: DateTime<Utc>) -> policy::Plan<'_> {
        policy::retention(&self.points, retention, &self.held, now)
    }

    /// The same, a verdict on everything that was found.
    pub(super) fn verdicts(&self, retention: Option<&Retention>, now: DateTime<Utc>) -> Vec<Verdict> {
        let plan = self.plan(retention, now);
        let judged = plan.verdicts.iter().map(|verdict| self.verdict(verdict));
        let mut verdicts: Vec<Verdict> = judged.chain(self.unreadable.iter().map(unreadable)).collect();
        verdicts.sort_by(|a, b| (a.time, &a.location).cmp(&(b.time, &b.location)));
        verdicts
    }

    fn verdict(&self, verdict: &policy::Verdict<'_>) -> Verdict {
        Verdict {
            place: self.place.clone(),
            location: verdict.point.location.clone(),
            time: verdict.point.created,
            point: Some(verdict.point.clone()),
            action: verdict.action,
            holds: verdict.holds.clone(),
            deletable_from: verdict.deletable_from,
            reason: verdict.reason(),
        }
    }
}

fn unreadable((found, why): &(Found, String)) -> Verdict {
    Verdict {
        place: found.place.clone(),
        location: found.location.clone(),
        time: found.time,
        point: None,
        action: Action::Keep,
        holds: vec![Hold::Unreadable],
        deletable_from: None,
        reason: format!("its commit record cannot be read, so nobody can tell whose it is: {why}"),
    }
}

impl Keeper {
    /// What lies in the folders that the policy's retention covers, in their order.
    pub(super) async fn gather(&self, policy: &Policy, sight: &Sight) -> Result<Vec<Folder>, RetentionError> {
        let folders = sight.scope.keys().filter_map(|entity| Some((entity, place(entity)?)));
        let folders: Vec<_> = folders.map(|(entity, place)| self.folder(policy, sight, entity, place)).collect();
        stream::iter(folders).buffered(LISTINGS).try_collect().await
    }

    async fn folder(
        &self,
        policy: &Policy,
        sight: &Sight,
        entity: &Entity,
        place: Place,
    ) -> Result<Folder, RetentionError> {
        let found = self.list(&policy.storage, &place).await?;
        let (points, unreadable) = sorted(found, &policy.name);
        let held = Held {
            restoring: sight.restores.chains(&sight.store, &points),
            data_loss: sight.scope.get(entity).is_some_and(|it| it.data_loss),
            unreadable: !unreadable.is_empty(),
        };
        Ok(Folder { entity: entity.clone(), place, points, unreadable, held })
    }

    /// All backups in one folder. A storage that was never written to has none.
    pub(super) async fn list(&self, spec: &StorageSpec, place: &Place) -> Result<Vec<Found>, RetentionError> {
        let scope = scope(place);
        match time::timeout(LISTING, self.catalog.list(spec, &scope, &Filter::default())).await? {
            Ok(listing) => Ok(listing.items.into_iter().filter(|found| found.place == *place).collect()),
            Err(error) if error.is_store_missing() => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The backups of the policy, and what may be some. A backup is where it was found, whatever its record says: a store can
/// be moved.
fn sorted(found: Vec<Found>, policy: &PolicyName) -> (Vec<BackupPoint>, Vec<(Found, String)>) {
    let (mut points, mut unreadable) = (Vec::new(), Vec::new());
    for found in found {
        match &found.point {
            Ok(point) if found.policy.as_ref() == Some(policy) => {
                points.push(BackupPoint { location: found.location.clone(), ..point.clone() });
            }
            Ok(_other) => {}
            Err(error) => {
                let why = words(error);
                unreadable.push((found, why));
            }
        }
    }
    (points, unreadable)
}

/// Where the backups of a partition lie.
pub(super) fn place(entity: &Entity) -> Option<Place> {
    match entity {
        Entity::Partition(application, service, partition) => {
            Some(Place { application: application.clone(), service: service.clone(), partition: *partition })
        }
        Entity::Application(_) | Entity::Service(..) => None,
    }
}

pub(super) fn scope(place: &Place) -> Scope {
    Scope::Partition(place.service.clone(), place.partition)
}

pub(super) fn partition(entity: &Entity) -> Option<PartitionId> {
    place(entity).map(|place| place.partition)
}
