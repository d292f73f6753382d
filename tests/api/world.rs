//! The partitions of the test node: one of each kind, two that could be one another, one without a state.

use std::path::Path;

use fabric_backup::{
    domain::{
        ApplicationName, Entity, FileShare, KeyRange, Partition, PartitionId, PartitionKind, Service, ServiceKind,
        ServiceName, StorageSpec,
    },
    ops::Inventory,
};
use uuid::{Uuid, uuid};

/// `fabric:/CalcApp/CalcService`, all keys, with a storage of its own.
pub(crate) const CALC: Uuid = uuid!("1daae3f5-7fd6-42e9-b1ba-8c05f873994d");
/// `fabric:/Group/Mirror/Twin`, all keys too, with the same storage.
pub(crate) const TWIN: Uuid = uuid!("22222222-0000-4000-8000-00000000abcd");
/// `fabric:/CalcApp/Names`, the Named partition `north`, without a storage.
pub(crate) const NORTH: Uuid = uuid!("33333333-0000-4000-8000-000000000000");
/// `fabric:/CalcApp/Book`, a Singleton, with CALC's storage.
pub(crate) const BOOK: Uuid = uuid!("44444444-0000-4000-8000-000000000000");
/// `fabric:/CalcApp/Front`, which keeps no state.
pub(crate) const STATELESS: Uuid = uuid!("55555555-0000-4000-8000-000000000000");
/// Nobody's.
pub(crate) const UNKNOWN: Uuid = uuid!("66666666-0000-4000-8000-000000000000");

/// An application without services, whose name begins like that of another.
pub(crate) const EMPTY: &str = "fabric:/CalcAppTwo";

/// All that the node serves: what the partitions lie in, an application without services, a service that keeps its state
/// in memory only, and the partitions.
pub(crate) fn inventory(partitions: Vec<Partition>) -> Inventory {
    let applications = ["fabric:/CalcApp", "fabric:/Group/Mirror", EMPTY].map(application);
    let services = partitions.iter().map(|partition| Service {
        name: partition.service.clone(),
        application: partition.application.clone(),
        kind: if partition.id.0 == STATELESS { ServiceKind::Stateless } else { ServiceKind::Stateful },
        persisted: partition.persisted,
        manifest_version: partition.manifest_version.clone(),
    });
    let cache = Service {
        name: ServiceName::parse("fabric:/CalcApp/Cache").unwrap(),
        application: application("fabric:/CalcApp"),
        kind: ServiceKind::Stateful,
        persisted: false,
        manifest_version: "1.0.0".to_owned(),
    };
    Inventory::new(applications, services.chain([cache]).collect::<Vec<_>>(), partitions)
}

/// All partitions; `store` is the storage of those that have one.
pub(crate) fn partitions(store: &Path) -> Vec<Partition> {
    let all = || PartitionKind::Int64Range(KeyRange { low: i64::MIN, high: i64::MAX });
    let stored = |id, kind, service| Partition {
        default_storage: Some(storage(store)),
        ..partition(id, kind, "fabric:/CalcApp", service)
    };
    vec![
        stored(CALC, all(), "CalcService"),
        Partition { default_storage: Some(storage(store)), ..partition(TWIN, all(), "fabric:/Group/Mirror", "Twin") },
        partition(NORTH, PartitionKind::Named("north".to_owned()), "fabric:/CalcApp", "Names"),
        stored(BOOK, PartitionKind::Singleton, "Book"),
        Partition { persisted: false, ..stored(STATELESS, PartitionKind::Singleton, "Front") },
    ]
}

fn partition(id: Uuid, kind: PartitionKind, application: &str, service: &str) -> Partition {
    Partition {
        id: PartitionId(id),
        kind,
        application: self::application(application),
        service: ServiceName::parse(&format!("{application}/{service}")).unwrap(),
        manifest_version: "1.0.0".to_owned(),
        persisted: true,
        default_storage: None,
    }
}

fn application(name: &str) -> ApplicationName {
    ApplicationName::parse(name).unwrap()
}

/// A file share as a storage.
pub(crate) fn storage(path: &Path) -> StorageSpec {
    let path = path.to_str().unwrap().to_owned();
    StorageSpec::FileShare(FileShare { path, primary: None, secondary: None })
}

/// The partition as something that a policy can cover.
pub(crate) fn entity(id: Uuid) -> Entity {
    partitions(Path::new("/")).iter().find(|partition| partition.id.0 == id).unwrap().entity()
}
