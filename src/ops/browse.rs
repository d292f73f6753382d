//! The inventory as it is asked for, page by page, with how well everything is.

use super::{Error, Ops, Page, Paged, Trouble};
use crate::domain::{ApplicationName, Entity, Epoch, Partition, PartitionId, Service, ServiceKind, ServiceName};

/// Something of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// What the configuration says of it.
    pub item: T,
    /// Whether something is wrong with it or with anything in it.
    pub troubled: bool,
}

/// A partition of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionFacts {
    /// What the configuration says of it.
    pub partition: Partition,
    /// That of its service.
    pub kind: ServiceKind,
    /// Its present life, if it was ever seen.
    pub epoch: Option<Epoch>,
    /// Whether it lost its state and waits for a decision.
    pub lost: bool,
}

impl Ops {
    /// The applications by name.
    pub async fn applications(&self, page: Page) -> Result<Paged<Listed<ApplicationName>>, Error> {
        let after = page.after()?;
        let rest = self.inventory.applications().filter(|name| is_after(after.as_deref(), name.as_str()));
        let paged = page.cut(rest, ToString::to_string);
        let troubles = self.health().await?;
        Ok(listed(paged, &troubles, |name| Entity::Application((*name).clone())))
    }

    /// The services of an application by name.
    pub async fn services(&self, of: &ApplicationName, page: Page) -> Result<Paged<Listed<Service>>, Error> {
        self.inventory.application(of)?;
        let after = page.after()?;
        let inside = self.inventory.services().filter(|service| service.application == *of);
        let rest = inside.filter(|service| is_after(after.as_deref(), service.name.as_str()));
        let paged = page.cut(rest, |service| service.name.to_string());
        let troubles = self.health().await?;
        Ok(listed(paged, &troubles, |service| Entity::Service(of.clone(), service.name.clone())))
    }

    /// The partitions of a service by id.
    pub async fn partitions(&self, of: &ServiceName, page: Page) -> Result<Paged<Listed<PartitionFacts>>, Error> {
        self.inventory.service(of)?;
        let after = page.after()?;
        let inside = self.inventory.partitions().filter(|partition| partition.service == *of);
        let rest = inside.filter(|partition| is_after(after.as_deref(), &partition.id.to_string()));
        let Paged { items, next } = page.cut(rest, |partition| partition.id.to_string());
        let mut facts = Vec::new();
        for partition in items {
            facts.push(self.facts(partition).await?);
        }
        let troubles = self.health().await?;
        Ok(listed(Paged { items: facts.iter().collect(), next }, &troubles, |facts| facts.partition.entity()))
    }

    /// One partition.
    pub async fn partition_facts(&self, id: PartitionId) -> Result<Listed<PartitionFacts>, Error> {
        let facts = self.facts(self.hosted(id)?).await?;
        let troubled = is_troubled(&self.health().await?, &facts.partition.entity());
        Ok(Listed { item: facts, troubled })
    }

    async fn facts(&self, partition: &Partition) -> Result<PartitionFacts, Error> {
        let record = self.ledger.partition(partition.id).await?;
        Ok(PartitionFacts {
            partition: partition.clone(),
            kind: self.inventory.service(&partition.service)?.kind,
            epoch: record.as_ref().map(|record| record.epoch),
            lost: record.is_some_and(|record| record.data_loss.is_some()),
        })
    }
}

fn is_after(position: Option<&str>, name: &str) -> bool {
    position.is_none_or(|position| name > position)
}

fn listed<T: Clone>(paged: Paged<&T>, troubles: &[Trouble], entity: impl Fn(&T) -> Entity) -> Paged<Listed<T>> {
    let items = paged.items.into_iter();
    let listed = items.map(|item| Listed { item: item.clone(), troubled: is_troubled(troubles, &entity(item)) });
    Paged { items: listed.collect(), next: paged.next }
}

fn is_troubled(troubles: &[Trouble], entity: &Entity) -> bool {
    troubles.iter().filter_map(|trouble| trouble.entity.as_ref()).any(|wrong| entity.covers(wrong))
}
