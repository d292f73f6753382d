use chrono::{DateTime, Utc};

use super::{Error, Ops};
use crate::{
    archive::{Filter, Found, Position, Scope},
    domain::{ApplicationName, Failure, PartitionId, ServiceName, StorageSpec, words},
};

/// Whose backups are asked for. The names need not be known to this node.
#[derive(Debug, Clone)]
pub enum Entity {
    /// All partitions of an application.
    Application(ApplicationName),
    /// All partitions of a service.
    Service(ServiceName),
    /// One partition of a service.
    Partition(ServiceName, PartitionId),
}

/// Which of the backups, and which page of them.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Not taken before.
    pub start: Option<DateTime<Utc>>,
    /// Not taken after.
    pub end: Option<DateTime<Utc>>,
    /// Only the newest of each partition, within the times.
    pub latest: bool,
    /// The page.
    pub page: Page,
}

/// A page of a list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Continues after an earlier page.
    pub token: Option<String>,
    /// How many at most; 0 is all.
    pub limit: u64,
}

/// One page of backups, oldest first inside a partition.
#[derive(Debug)]
pub struct Listing {
    /// The backups.
    pub items: Vec<Item>,
    /// What continues after them; none at the end.
    pub next: Option<String>,
}

/// One line of a list.
#[derive(Debug)]
pub enum Item {
    /// A backup, or a name that should be one and says why it is not.
    Backup(Found),
    /// The store could not be listed.
    Unlisted(Failure),
}

impl Ops {
    /// The backups of a partition in its own storage. One that does not exist yet, since the first backup makes it, has
    /// none.
    pub async fn partition_backups(&self, id: PartitionId, query: Query) -> Result<Listing, Error> {
        let partition = self.persisted(id)?;
        let storage = self.storage(partition, None)?;
        match self.list(&storage, &Scope::Partition(partition.service.clone(), id), query).await {
            Err(Error::Catalog(error)) if error.is_store_missing() => Ok(Listing { items: Vec::new(), next: None }),
            listing => listing,
        }
    }

    /// The backups of an entity in a storage that the caller names. As in the published service a store that cannot be
    /// listed is an item that says so, not an error.
    pub async fn backups_in(&self, storage: StorageSpec, entity: Entity, query: Query) -> Result<Listing, Error> {
        self.catalog.check(&storage)?;
        match self.list(&storage, &entity.into(), query).await {
            Err(Error::Catalog(error)) => {
                let failure = Failure::new(error.code(), words(&error));
                Ok(Listing { items: vec![Item::Unlisted(failure)], next: None })
            }
            listing => listing,
        }
    }

    async fn list(&self, storage: &StorageSpec, scope: &Scope, query: Query) -> Result<Listing, Error> {
        let after = query.page.token.as_deref().map(Position::decode).transpose().map_err(|_| Error::Token)?;
        let limit = usize::try_from(query.page.limit).ok().filter(|limit| *limit > 0);
        let filter = Filter { start: query.start, end: query.end, latest: query.latest, after, limit };
        let found = self.catalog.list(storage, scope, &filter).await?;
        let next = found.next.as_ref().map(Position::encode);
        Ok(Listing { items: found.items.into_iter().map(Item::Backup).collect(), next })
    }
}

impl From<Entity> for Scope {
    fn from(entity: Entity) -> Self {
        match entity {
            Entity::Application(name) => Self::Application(name),
            Entity::Service(name) => Self::Service(name),
            Entity::Partition(service, id) => Self::Partition(service, id),
        }
    }
}
