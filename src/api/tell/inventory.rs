//! The inventory in the shapes of Service Fabric's own operations.

use super::{super::wire, epoch, partition_information};
use crate::{
    domain::{ApplicationName, Service, ServiceKind},
    ops::{Listed, Paged, PartitionFacts},
};

/// A page of applications.
pub(in crate::api) fn applications(page: Paged<Listed<ApplicationName>>) -> wire::PagedApplicationInfoList {
    wire::PagedApplicationInfoList {
        continuation_token: page.next.unwrap_or_default(),
        items: page.items.into_iter().map(application).collect(),
    }
}

fn application(Listed { item: name, troubled }: Listed<ApplicationName>) -> wire::ApplicationInfo {
    wire::ApplicationInfo {
        id: id(name.path()),
        name: name.to_string(),
        type_name: None,
        type_version: None,
        status: wire::ApplicationStatus::Ready,
        health_state: health(troubled),
    }
}

/// A page of services.
pub(in crate::api) fn services(page: Paged<Listed<Service>>) -> wire::PagedServiceInfoList {
    wire::PagedServiceInfoList {
        continuation_token: page.next.unwrap_or_default(),
        items: page.items.into_iter().map(service).collect(),
    }
}

fn service(Listed { item: service, troubled }: Listed<Service>) -> wire::ServiceInfo {
    let name = service.name.to_string();
    let (id, manifest_version) = (id(service.name.path()), Some(service.manifest_version));
    let (health_state, service_status) = (health(troubled), wire::ServiceStatus::Active);
    match service.kind {
        ServiceKind::Stateful => wire::ServiceInfo::Stateful(wire::StatefulServiceInfo {
            id,
            name,
            type_name: None,
            manifest_version,
            health_state,
            service_status,
            is_service_group: false,
            has_persisted_state: service.persisted,
        }),
        ServiceKind::Stateless => wire::ServiceInfo::Stateless(wire::StatelessServiceInfo {
            id,
            name,
            type_name: None,
            manifest_version,
            health_state,
            service_status,
            is_service_group: false,
        }),
    }
}

/// A page of partitions.
pub(in crate::api) fn partitions(page: Paged<Listed<PartitionFacts>>) -> wire::PagedServicePartitionInfoList {
    wire::PagedServicePartitionInfoList {
        continuation_token: page.next.unwrap_or_default(),
        items: page.items.into_iter().map(partition).collect(),
    }
}

/// A partition.
pub(in crate::api) fn partition(listed: Listed<PartitionFacts>) -> wire::ServicePartitionInfo {
    let PartitionFacts { partition, kind, epoch: life, lost } = listed.item;
    let health_state = health(listed.troubled);
    let partition_status =
        if lost { wire::ServicePartitionStatus::NotReady } else { wire::ServicePartitionStatus::Ready };
    let partition_information = partition_information(partition.id, partition.kind);
    match kind {
        ServiceKind::Stateful => wire::ServicePartitionInfo::Stateful(wire::StatefulServicePartitionInfo {
            health_state,
            partition_status,
            partition_information,
            target_replica_set_size: Some(1),
            min_replica_set_size: Some(1),
            primary_epoch: life.filter(|_| partition.persisted).map(epoch),
        }),
        ServiceKind::Stateless => wire::ServicePartitionInfo::Stateless(wire::StatelessServicePartitionInfo {
            health_state,
            partition_status,
            partition_information,
        }),
    }
}

/// How an id in a path is written: the levels of the name joined by `~`.
fn id(path: &str) -> String {
    path.replace('/', "~")
}

fn health(troubled: bool) -> wire::HealthState {
    if troubled { wire::HealthState::Warning } else { wire::HealthState::Ok }
}
