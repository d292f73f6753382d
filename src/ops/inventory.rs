use std::collections::{BTreeMap, BTreeSet};

use super::Error;
use crate::domain::{ApplicationName, Partition, PartitionId, Service, ServiceName};

/// What this node serves, as its configuration says, each kind in the order of its names or ids. What left the
/// configuration is not in it, though the ledger may remember it.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    applications: BTreeSet<ApplicationName>,
    services: BTreeMap<ServiceName, Service>,
    partitions: BTreeMap<PartitionId, Partition>,
}

impl Inventory {
    /// An inventory of these. An application may be without services, and a service without partitions.
    pub fn new(
        applications: impl IntoIterator<Item = ApplicationName>,
        services: impl IntoIterator<Item = Service>,
        partitions: impl IntoIterator<Item = Partition>,
    ) -> Self {
        Self {
            applications: applications.into_iter().collect(),
            services: services.into_iter().map(|service| (service.name.clone(), service)).collect(),
            partitions: partitions.into_iter().map(|partition| (partition.id, partition)).collect(),
        }
    }

    /// Every application.
    pub fn applications(&self) -> impl Iterator<Item = &ApplicationName> {
        self.applications.iter()
    }

    /// Every service, stateless ones too.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// Every partition, those without persisted state too.
    pub fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.values()
    }

    /// Fails unless the application is there.
    pub fn application(&self, name: &ApplicationName) -> Result<(), Error> {
        let known = self.applications.contains(name);
        known.then_some(()).ok_or_else(|| Error::ApplicationNotFound(name.clone()))
    }

    /// The service of this name.
    pub fn service(&self, name: &ServiceName) -> Result<&Service, Error> {
        self.services.get(name).ok_or_else(|| Error::ServiceNotFound(name.clone()))
    }

    /// The partition of this id.
    pub fn partition(&self, id: PartitionId) -> Result<&Partition, Error> {
        self.partitions.get(&id).ok_or(Error::PartitionNotFound(id))
    }
}
