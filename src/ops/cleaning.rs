//! What goes with a policy that is disabled: its running backups, and if that was asked for, those it made.

use std::collections::BTreeSet;

use super::{Error, Ops, cancel::stop_scheduled};
use crate::{
    domain::{Controls, Entity, PolicyName, StorageSpec, StoreId},
    ledger::{Cleanup, PartitionRecord},
    policy,
};

impl Ops {
    /// What has to be cleaned up once the policy that is in force on `entity` is not any more; `before` is what is in force now.
    pub(super) async fn cleanup(
        &self,
        before: &Controls,
        entity: &Entity,
        removed: &PolicyName,
    ) -> Result<Option<Cleanup>, Error> {
        let Some(record) = self.ledger.policy(removed).await? else { return Ok(None) };
        let storage = record.policy.storage;
        let store = self.catalog.identity(&storage).map_err(Error::PolicyStorage)?;
        let elsewhere = self.policies_elsewhere(&store).await?;
        let known = self.known_partitions().await?;
        let partitions = policy::cleaned(before, entity, known.values(), |_, other| !elsewhere.contains(other));
        let cleanup = Cleanup {
            id: self.clock.uuid(),
            policy: removed.clone(),
            storage,
            store,
            partitions,
            requested: self.clock.now(),
            failure: None,
        };
        Ok(Some(cleanup).filter(|cleanup| !cleanup.partitions.is_empty()))
    }

    /// The policies whose storage is certainly another one. Where in doubt, backups are kept.
    async fn policies_elsewhere(&self, store: &StoreId) -> Result<BTreeSet<PolicyName>, Error> {
        let policies = self.ledger.policies(None, None).await?.into_iter().map(|record| record.policy);
        let elsewhere = |storage: &StorageSpec| self.catalog.identity(storage).is_ok_and(|other| other != *store);
        Ok(policies.filter(|policy| elsewhere(&policy.storage)).map(|policy| policy.name).collect())
    }

    /// Tells the running scheduled backups to end that were begun for the policy which was in force on `entity` and does not
    /// cover their partitions any more.
    pub(super) async fn cancel_scheduled(
        &self,
        before: &Controls,
        entity: &Entity,
        removed: &PolicyName,
    ) -> Result<(), Error> {
        let is_due = |record: &PartitionRecord| {
            let job = record.scheduled.as_ref();
            job.is_some_and(|job| job.state.is_active() && job.task.policy.as_ref() == Some(removed))
        };
        let known = self.known_partitions().await?;
        let uncovered: BTreeSet<_> =
            policy::cleaned(before, entity, known.values(), |_, _| false).into_iter().collect();
        for (id, record) in self.ledger.partitions().await? {
            if is_due(&record) && known.get(&id).is_some_and(|it| uncovered.contains(it)) {
                let cancel = |record: &mut PartitionRecord| if is_due(record) { stop_scheduled(record) } else { false };
                self.ledger.change_partition(id, self.clock.now(), cancel).await?;
            }
        }
        Ok(())
    }
}
