use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ApplicationName, PartitionId, ServiceName};

/// What a policy can be enabled on and a schedule suspended for. It says all that it lies in, nearest last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Entity {
    /// All partitions of an application.
    Application(ApplicationName),
    /// All partitions of one of its services.
    Service(ApplicationName, ServiceName),
    /// One partition of a service.
    Partition(ApplicationName, ServiceName, PartitionId),
}

/// The levels that entities are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// A whole application.
    Application,
    /// A service of it.
    Service,
    /// A partition of that.
    Partition,
}

impl Entity {
    /// The level it is on.
    pub fn level(&self) -> Level {
        match self {
            Self::Application(_) => Level::Application,
            Self::Service(..) => Level::Service,
            Self::Partition(..) => Level::Partition,
        }
    }

    /// The application that it is or lies in.
    pub fn application(&self) -> &ApplicationName {
        match self {
            Self::Application(name) | Self::Service(name, _) | Self::Partition(name, ..) => name,
        }
    }

    /// The service that it is or lies in.
    pub fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::Application(_) => None,
            Self::Service(_, name) | Self::Partition(_, name, _) => Some(name),
        }
    }

    /// The partition that it is.
    pub fn partition(&self) -> Option<PartitionId> {
        match self {
            Self::Application(_) | Self::Service(..) => None,
            Self::Partition(.., id) => Some(*id),
        }
    }

    /// What it lies in directly.
    pub fn parent(&self) -> Option<Self> {
        match self {
            Self::Application(_) => None,
            Self::Service(application, _) => Some(Self::Application(application.clone())),
            Self::Partition(application, service, _) => Some(Self::Service(application.clone(), service.clone())),
        }
    }

    /// Itself and all that it lies in, nearest first.
    pub fn lineage(&self) -> impl Iterator<Item = Self> + use<> {
        std::iter::successors(Some(self.clone()), Self::parent)
    }

    /// Whether `other` is this entity or lies in it.
    pub fn covers(&self, other: &Self) -> bool {
        other.lineage().any(|it| it == *self)
    }
}

/// As the published service orders and shows entities: `fabric:/App`, `fabric:/App/Svc`, `fabric:/App/Svc/<guid>`.
impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Application(name) => name.fmt(f),
            Self::Service(_, name) => name.fmt(f),
            Self::Partition(_, service, id) => write!(f, "{service}/{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::Entity;
    use crate::domain::{ApplicationName, PartitionId, ServiceName};

    fn application(name: &str) -> ApplicationName {
        ApplicationName::parse(name).unwrap()
    }

    fn partition() -> Entity {
        let service = ServiceName::parse("fabric:/App/Svc").unwrap();
        Entity::Partition(application("fabric:/App"), service, PartitionId(Uuid::nil()))
    }

    #[test]
    fn an_entity_is_covered_by_itself_and_all_that_it_lies_in() {
        let lineage: Vec<String> = partition().lineage().map(|it| it.to_string()).collect();
        let nil = Uuid::nil();
        assert_eq!(lineage, [&format!("fabric:/App/Svc/{nil}"), "fabric:/App/Svc", "fabric:/App"]);
        assert!(partition().lineage().all(|above| above.covers(&partition())));
        assert!(!partition().covers(&Entity::Application(application("fabric:/App"))));
    }

    #[test]
    fn an_application_does_not_cover_one_that_only_shares_its_first_letters() {
        let service = ServiceName::parse("fabric:/App2/Svc").unwrap();
        let other = Entity::Service(application("fabric:/App2"), service);
        assert!(!Entity::Application(application("fabric:/App")).covers(&other));
    }
}
