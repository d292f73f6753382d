//! Backups on a real store, by its description: written, listed, read once, deleted in the right order.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use fabric_backup::{
    archive::{
        BlockSize, Catalog, Draft, Filter, Listing, PackError, Packer, Packing, Place, RemoveError, Scope, Upload,
        Wanted, discard, remove, stage,
    },
    domain::{
        ApplicationName, BackupPoint, Epoch, Location, PartitionId, PartitionKind, PolicyName, ServiceName, StorageSpec,
    },
    spool::Spools,
    storage::{
        ErrorKind, Stores,
        faulty::{Fault, Faults, Moment, Verb, Verdict},
    },
};
use uuid::Uuid;

fn place() -> Place {
    Place {
        application: ApplicationName::parse("fabric:/App").unwrap(),
        service: ServiceName::parse("fabric:/App/Svc").unwrap(),
        partition: PartitionId(Uuid::from_u128(1)),
    }
}

fn time(hour: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::hours(500_000 + hour)
}

fn scope() -> Scope {
    Scope::Partition(place().service, place().partition)
}

fn policy() -> PolicyName {
    PolicyName::parse("Daily").unwrap()
}

/// Writes an empty backup for a policy.
async fn back_up(catalog: &Catalog, spec: &StorageSpec, hour: i64) -> Location {
    let id = Uuid::from_u128(u128::from(hour.unsigned_abs()) + 1);
    let point = BackupPoint {
        id,
        chain_id: id,
        parent: None,
        location: place().location(time(hour)),
        created: time(hour),
        epoch: Epoch { data_loss: 1, configuration: 1 },
        lsn: 1,
        partition: PartitionKind::Singleton,
        manifest_version: "1.0".into(),
    };
    let packing = Packing::full(BlockSize::for_state(0));
    let draft = Draft {
        point,
        source_kind: "directory".into(),
        packing,
        policy: Some(policy()),
        state_bytes: 0,
        journal: None,
    };
    let nothing = |_: &mut Packer<Upload>| Ok::<(), PackError>(());
    let staged = stage(&catalog.open(spec).await.unwrap(), draft, Arc::default(), nothing).await.unwrap();
    staged.commit().await.unwrap().point.location
}

fn locations(listing: &Listing) -> Vec<&Location> {
    listing.items.iter().map(|found| &found.location).collect()
}

fn reads(calls: &Faults) -> usize {
    calls.calls().iter().filter(|call| call.verb == Verb::GetRange).count()
}

/// The first deletion of data fails.
fn stubborn() -> Arc<Faults> {
    let verdict = Verdict::Fail(ErrorKind::Unreachable);
    Faults::new(vec![Fault { verb: Verb::Delete, key_contains: ".zip", nth: 1, moment: Moment::Before, verdict }])
}

/// On a store that is not there yet.
pub(crate) async fn come_and_go(stores: Stores, spec: &StorageSpec) {
    let faults = stubborn();
    let catalog = Catalog::new(stores.observed(faults.clone()));
    let listed = async || {
        let wanted = Wanted { spec: spec.clone(), partitions: None, is_filled: false };
        catalog.list_in(&[wanted], &scope(), &Filter::default()).await.unwrap()
    };
    assert!(listed().await.items.is_empty());
    catalog.probe(spec).await.unwrap();
    let locations_written = [back_up(&catalog, spec, 0).await, back_up(&catalog, spec, 1).await];
    let [first, second] = &locations_written;
    for _ in 0..2 {
        let found = listed().await;
        assert_eq!(locations(&found), [first, second]);
        assert!(found.items.iter().all(|found| found.point.is_ok() && found.policy == Some(policy())));
        assert_eq!(reads(&faults), 2);
    }
    let storage = catalog.open(spec).await.unwrap();
    let error = remove(&storage, second).await.unwrap_err();
    assert!(matches!(error, RemoveError::Data { .. }), "{error}");
    assert_eq!(locations(&listed().await), [first]);
    let latest = catalog.latest_restorable(spec, &scope(), &[], false, &Spools::in_memory()).await.unwrap();
    assert_eq!(latest.unwrap().point.location, *first);
    assert!(catalog.orphans(spec, &scope(), time(1)).await.unwrap().is_empty(), "not old enough");
    let orphans = catalog.orphans(spec, &scope(), time(2)).await.unwrap();
    assert_eq!(orphans.as_slice(), std::slice::from_ref(second));
    for location in [first, second] {
        discard(&storage, location).await.unwrap();
    }
    assert!(catalog.orphans(spec, &scope(), time(2)).await.unwrap().is_empty());
    assert_eq!(locations(&listed().await), [first]);
    remove(&storage, first).await.unwrap();
    assert!(storage.list("").await.unwrap().is_empty());
    assert!(faults.unfired().is_empty());
}
