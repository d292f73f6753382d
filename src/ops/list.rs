use chrono::{DateTime, Utc};

use super::{Error, Ops, Page, Paged, Target};
use crate::{
    archive::{Filter, Found, Listing, Position, Scope},
    domain::{Entity, Failure, StorageSpec, words},
    policy,
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
    /// The backups of what is meant, each partition's in the storage that its backups go to at present. One that does not exist
    /// yet, since the first backup makes it, has none.
    pub async fn backups(&self, target: Target, query: Query) -> Result<Paged<Item>, Error> {
        let entity = self.find(&target).await?.ok_or_else(|| target.unknown())?;
        self.must_keep_state(&entity)?;
        let controls = self.ledger.controls().await?;
        let storages = self.storages(&controls, &entity).await?;
        if storages.is_empty() && !policy::is_enabled_within(&controls, &entity) {
            return Err(Error::NoStorage(target));
        }
        let found = self.catalog.list_in(&storages, &scope(&entity), &filter(query)?).await?;
        Ok(told(found))
    }

    /// The backups of an entity in a storage that the caller names. As in the published service a store that cannot be
    /// listed is an item that says so, not an error.
    pub async fn backups_in(&self, storage: StorageSpec, scope: &Scope, query: Query) -> Result<Paged<Item>, Error> {
        self.catalog.check(&storage).map_err(|source| Error::GivenStorage { field: "Storage", source })?;
        match self.list(&storage, scope, query).await {
            Err(Error::Catalog(error)) => {
                let failure = Failure::new(error.code(), words(&error));
                Ok(Paged { items: vec![Item::Unlisted(failure)], next: None })
            }
            listing => listing,
        }
    }

    async fn list(&self, storage: &StorageSpec, scope: &Scope, query: Query) -> Result<Paged<Item>, Error> {
        Ok(told(self.catalog.list(storage, scope, &filter(query)?).await?))
    }
}

fn filter(query: Query) -> Result<Filter, Error> {
    let Query { start, end, latest, page } = query;
    let after = page.token.as_deref().map(Position::decode).transpose().map_err(|_| Error::Token)?;
    Ok(Filter { start, end, latest, after, limit: page.limit() })
}

fn told(found: Listing) -> Paged<Item> {
    let next = found.next.as_ref().map(Position::encode);
    Paged { items: found.items.into_iter().map(Item::Backup).collect(), next }
}

fn scope(entity: &Entity) -> Scope {
    match entity {
        Entity::Application(name) => Scope::Application(name.clone()),
        Entity::Service(_, name) => Scope::Service(name.clone()),
        Entity::Partition(_, service, id) => Scope::Partition(service.clone(), *id),
    }
}
