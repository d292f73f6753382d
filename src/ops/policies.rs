//! Policies: made, replaced, deleted and told.
//!
//! What a policy says is checked before anybody looks whether there is one of its name, as the published service does.

mod secrets;

use super::{Error, Ops, Page, Paged};
use crate::{
    domain::{Entity, Policy, PolicyName, StorageSpec},
    ledger::{Deletion, PolicyRecord},
};

pub use secrets::Masked;
use secrets::{is_masked, unmasked};

use super::storage::LONGEST_STORAGE;

impl Ops {
    /// Keeps a new policy; `try_out` is whether its storage has to prove first that it can be used.
    pub async fn create_policy(&self, policy: Policy, try_out: bool) -> Result<(), Error> {
        let policy = meant(policy, None)?;
        self.check_storage(&policy)?;
        if self.ledger.policy(&policy.name).await?.is_some() {
            return Err(Error::PolicyExists(policy.name));
        }
        if try_out {
            self.try_out(&policy.storage).await?;
        }
        let record = PolicyRecord { policy, changed: self.clock.now() };
        let created = self.ledger.create_policy(&record).await?;
        if created { Ok(()) } else { Err(Error::PolicyExists(record.policy.name)) }
    }

    /// Puts a policy in the place of the one of its name. One that says the same changes nothing, so that whoever repeats
    /// himself does not put off the next backup.
    pub async fn update_policy(&self, policy: Policy, try_out: bool) -> Result<(), Error> {
        if !is_masked(&policy.storage) {
            self.check_storage(&policy)?;
        }
        let stored = self.policy(&policy.name).await?;
        let wanted = meant(policy.clone(), Some(&stored.storage))?;
        self.check_storage(&wanted)?;
        if try_out {
            self.try_out(&wanted.storage).await?;
        }
        let now = self.clock.now();
        let replace = |record: &mut PolicyRecord| {
            let policy = meant(policy.clone(), Some(&record.policy.storage))?;
            if policy != record.policy {
                *record = PolicyRecord { policy, changed: now };
            }
            Ok(())
        };
        let replaced = self.ledger.update_policy(&policy.name, replace).await?;
        replaced.unwrap_or_else(|| Err(Error::PolicyNotFound(policy.name)))
    }

    /// Deletes a policy that is enabled nowhere.
    pub async fn delete_policy(&self, name: PolicyName) -> Result<(), Error> {
        match self.ledger.delete_policy(&name).await? {
            Deletion::Deleted => Ok(()),
            Deletion::Enabled(on) => Err(Error::PolicyEnabled { policy: name, on }),
            Deletion::Missing => Err(Error::PolicyNotFound(name)),
        }
    }

    /// The policy of this name.
    pub async fn policy(&self, name: &PolicyName) -> Result<Policy, Error> {
        let found = self.ledger.policy(name).await?;
        Ok(found.ok_or_else(|| Error::PolicyNotFound(name.clone()))?.policy)
    }

    /// The policies by name.
    pub async fn policies(&self, page: Page) -> Result<Paged<Policy>, Error> {
        let after = page.after()?.map(|name| PolicyName::parse(&name)).transpose().map_err(|_| Error::Token)?;
        let one_more = page.limit().map(|limit| limit.saturating_add(1));
        let found = self.ledger.policies(after.as_ref(), one_more).await?;
        Ok(page.cut(found.into_iter().map(|record| record.policy), |policy| policy.name.to_string()))
    }

    /// What the policy was enabled on, by name; not what inherits it.
    pub async fn enabled_entities(&self, name: &PolicyName, page: Page) -> Result<Paged<Entity>, Error> {
        self.policy(name).await?;
        let after = page.after()?;
        let enabled = self.ledger.controls().await?.enabled.into_iter();
        let mut entities: Vec<_> = enabled.filter(|(_, it)| it.policy == *name).map(|(entity, _)| entity).collect();
        entities.sort_by_cached_key(position);
        entities.retain(|entity| after.as_ref().is_none_or(|after| position(entity) > *after));
        Ok(page.cut(entities, position))
    }

    /// Whether the policy's storage could be used at all. Nothing is contacted.
    fn check_storage(&self, policy: &Policy) -> Result<(), Error> {
        let length = policy.storage.text_len() + policy.friendly_name.as_ref().map_or(0, String::len);
        if length > LONGEST_STORAGE {
            return Err(Error::PolicyStorageTooLong(LONGEST_STORAGE));
        }
        self.catalog.check(&policy.storage).map_err(Error::PolicyStorage)
    }

    async fn try_out(&self, storage: &StorageSpec) -> Result<(), Error> {
        self.catalog.probe(storage).await.map_err(Error::Connection)
    }
}

/// The policy with the secrets that it means.
fn meant(policy: Policy, stored: Option<&StorageSpec>) -> Result<Policy, Error> {
    Ok(Policy { storage: unmasked(policy.storage, stored)?, ..policy })
}

/// Where an entity stands in a list. A service and an application can have one name: the level tells them apart.
fn position(entity: &Entity) -> String {
    format!("{entity}\t{:?}", entity.level())
}
