use chrono::{DateTime, Utc};

use super::{Error, Ops, Page, Paged};
use crate::{
    archive::{Filter, Found, Position, Scope},
    domain::{Failure, PartitionId, StorageSpec, words},
};

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
    pub async fn partition_backups(&self, id: PartitionId, query: Query) -> Result<Paged<Item>, Error> {
        let partition = self.persisted(id)?;
        let storage = self.storage(partition, None)?;
        match self.list(&storage, &Scope::Partition(partition.service.clone(), id), query).await {
            Err(Error::Catalog(error)) if error.is_store_missing() => Ok(Paged { items: Vec::new(), next: None }),
            listing => listing,
        }
    }

    /// The backups of an entity in a storage that the caller names. As in the published service a store that cannot be
    /// listed is an item that says so, not an error.
    pub async fn backups_in(&self, storage: StorageSpec, scope: &Scope, query: Query) -> Result<Paged<Item>, Error> {
        self.catalog.check(&storage)?;
        match self.list(&storage, scope, query).await {
            Err(Error::Catalog(error)) => {
                let failure = Failure::new(error.code(), words(&error));
                Ok(Paged { items: vec![Item::Unlisted(failure)], next: None })
            }
            listing => listing,
        }
    }

    async fn list(&self, storage: &StorageSpec, scope: &Scope, query: Query) -> Result<Paged<Item>, Error> {
        let after = query.page.token.as_deref().map(Position::decode).transpose().map_err(|_| Error::Token)?;
        let limit = usize::try_from(query.page.limit).ok().filter(|limit| *limit > 0);
        let filter = Filter { start: query.start, end: query.end, latest: query.latest, after, limit };
        let found = self.catalog.list(storage, scope, &filter).await?;
        let next = found.next.as_ref().map(Position::encode);
        Ok(Paged { items: found.items.into_iter().map(Item::Backup).collect(), next })
    }
}
