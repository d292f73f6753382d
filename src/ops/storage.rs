//! In which storage the backups of a partition are: the policy in force says, else the configuration.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Error, Ops};
use chrono::{DateTime, Utc};

use crate::{
    archive::Wanted,
    domain::{Controls, Entity, Partition, PartitionId, Policy, PolicyName, StorageSpec},
    ledger::Wrote,
    policy,
};

/// A storage's description is written anew with every step of a job: its texts may have so many bytes together.
pub(super) const LONGEST_STORAGE: usize = 32 << 10;

/// The policy that a backup belongs to, and what it says of its chain.
pub(super) struct Owner {
    pub(super) wrote: Wrote,
    pub(super) max_incrementals: u8,
    /// No chain from before goes on.
    pub(super) since: DateTime<Utc>,
}

impl Ops {
    /// The storage that was named, else that of the policy in force, else the partition's own. Nothing is contacted.
    pub(super) async fn storage(
        &self,
        partition: &Partition,
        named: Option<StorageSpec>,
    ) -> Result<StorageSpec, Error> {
        let is_named = named.is_some();
        let storage = match named {
            Some(named) => Some(named),
            None => self.in_force(partition).await?.map(|(policy, _)| policy.storage),
        };
        let storage = storage.or_else(|| partition.default_storage.clone());
        let storage = storage.ok_or(Error::BackupNotEnabled(partition.id))?;
        if storage.text_len() > LONGEST_STORAGE {
            return Err(Error::StorageTooLong(LONGEST_STORAGE));
        }
        match self.catalog.check(&storage) {
            Err(source) if is_named => Err(Error::GivenStorage { field: "BackupStorage", source }),
            checked => Ok(checked.map(|()| storage)?),
        }
    }

    /// The policy whose backup it is if the partition is backed up to `storage` now: the one in force, if that is its
    /// own storage, whoever named it.
    pub(super) async fn made_for(&self, partition: &Partition, storage: &StorageSpec) -> Result<Option<Owner>, Error> {
        let Some((policy, since)) = self.in_force(partition).await? else { return Ok(None) };
        let store = self.catalog.identity(storage)?;
        // A policy whose storage cannot be told at present is not known to be of this one.
        let is_own = self.catalog.identity(&policy.storage).is_ok_and(|own| own == store);
        let wrote = Wrote { policy: policy.name, store };
        Ok(is_own.then_some(Owner { wrote, max_incrementals: policy.max_incrementals, since }))
    }

    /// The policy that covers the partition, and since when it does as it is.
    async fn in_force(&self, partition: &Partition) -> Result<Option<(Policy, DateTime<Utc>)>, Error> {
        let (controls, entity) = (self.ledger.controls().await?, partition.entity());
        let Some(effective) = policy::effective(&controls, &entity) else { return Ok(None) };
        let Some(record) = self.ledger.policy(&effective.policy).await? else { return Ok(None) };
        Ok(policy::since(&controls, &entity, record.changed).map(|since| (record.policy, since)))
    }

    /// The storages of all partitions in `entity`, configured or remembered, each with those whose storage it is. Only the
    /// configuration knows the own storage of a partition.
    pub(super) async fn storages(&self, controls: &Controls, entity: &Entity) -> Result<Vec<Wanted>, Error> {
        let (mut covered, mut storages) = (BTreeMap::<PolicyName, HashSet<PartitionId>>::new(), Vec::new());
        for (id, partition) in self.known_partitions().await? {
            if !entity.covers(&partition) {
                continue;
            }
            match policy::effective(controls, &partition) {
                Some(effective) => _ = covered.entry(effective.policy).or_default().insert(id),
                None => storages.extend(self.own_storage(id)),
            }
        }
        for (name, partitions) in covered {
            let policy = self.ledger.policy(&name).await?.map(|record| record.policy);
            storages.extend(policy.map(|it| Wanted {
                spec: it.storage,
                partitions: Some(partitions),
                is_filled: false,
            }));
        }
        self.note_filled(&mut storages).await?;
        Ok(storages)
    }

    /// Tells of each storage whether a backup of one of its partitions lies in it.
    async fn note_filled(&self, storages: &mut [Wanted]) -> Result<(), Error> {
        let records: HashMap<_, _> = self.ledger.partitions().await?.into_iter().collect();
        for wanted in storages {
            // One that cannot be told is refused when it is opened.
            let Ok(store) = self.catalog.identity(&wanted.spec) else { continue };
            let theirs = wanted.partitions.iter().flatten().filter_map(|id| records.get(id));
            wanted.is_filled = theirs.into_iter().any(|record| record.filled.contains(&store));
        }
        Ok(())
    }

    fn own_storage(&self, id: PartitionId) -> Option<Wanted> {
        let spec = self.inventory.partition(id).ok()?.default_storage.clone()?;
        Some(Wanted { spec, partitions: Some([id].into()), is_filled: false })
    }
}
