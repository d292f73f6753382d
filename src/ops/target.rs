//! What requests are about. What left the configuration is still found, as long as the ledger knows where it was.

use std::{collections::BTreeMap, fmt};

use super::{Error, Ops};
use crate::domain::{ApplicationName, Entity, Partition, PartitionId, ServiceName};

/// What a request is about, as it names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An application.
    Application(ApplicationName),
    /// A service.
    Service(ServiceName),
    /// A partition.
    Partition(PartitionId),
}

impl Target {
    /// What to answer if nobody knows it.
    pub(super) fn unknown(&self) -> Error {
        match self {
            Self::Application(name) => Error::ApplicationNotFound(name.clone()),
            Self::Service(name) => Error::ServiceNotFound(name.clone()),
            Self::Partition(id) => Error::PartitionNotFound(*id),
        }
    }

    /// `inside`, or that of what it lies in, which is meant.
    fn of(&self, inside: &Entity) -> Option<Entity> {
        inside.lineage().find(|it| match (self, it) {
            (Self::Application(name), Entity::Application(it)) => name == it,
            (Self::Service(name), Entity::Service(_, it)) => name == it,
            (Self::Partition(id), Entity::Partition(.., it)) => id == it,
            _ => false,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Application(name) => write!(f, "the application {name}"),
            Self::Service(name) => write!(f, "the service {name}"),
            Self::Partition(id) => write!(f, "partition {id}"),
        }
    }
}

impl Ops {
    /// What is meant, if it is in the configuration.
    pub(super) fn configured(&self, target: &Target) -> Result<Entity, Error> {
        match target {
            Target::Application(name) => self.inventory.application(name).map(|()| Entity::Application(name.clone())),
            Target::Service(name) => {
                let service = self.inventory.service(name)?;
                Ok(Entity::Service(service.application.clone(), name.clone()))
            }
            Target::Partition(id) => self.inventory.partition(*id).map(Partition::entity),
        }
    }

    /// What is meant, configured or remembered.
    pub(super) async fn find(&self, target: &Target) -> Result<Option<Entity>, Error> {
        if let Ok(entity) = self.configured(target) {
            return Ok(Some(entity));
        }
        let controls = self.ledger.controls().await?;
        let said = controls.enabled.into_keys().chain(controls.suspended.into_keys());
        let known = self.known_partitions().await?.into_values().chain(said);
        Ok(known.into_iter().find_map(|inside| target.of(&inside)))
    }

    /// Every partition with a state, configured or remembered. Where the configuration has it counts.
    pub(super) async fn known_partitions(&self) -> Result<BTreeMap<PartitionId, Entity>, Error> {
        let remembered = self.ledger.partitions().await?.into_iter();
        let mut known: BTreeMap<_, _> = remembered.filter_map(|(id, record)| Some((id, record.entity?))).collect();
        let configured = self.inventory.partitions().filter(|partition| partition.persisted);
        known.extend(configured.map(|partition| (partition.id, partition.entity())));
        Ok(known)
    }
}
