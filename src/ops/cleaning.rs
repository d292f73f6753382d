//! What goes with a policy that is disabled: its running backups, and if that was asked for, those it made.

use std::collections::BTreeSet;

use super::{Error, Ops, cancel::stop_scheduled};
use crate::{
    domain::{Controls, Entity, PolicyName, StoreId},
    ledger::{Basis, Cleanup, InForce, PartitionRecord, PolicyRecord},
    policy,
};

impl Ops {
    /// What has to be cleaned up once the policy that is in force on `entity` is not any more, and what that rests on; `before`
    /// is what is in force now.
    pub(super) async fn cleanup(
        &self,
        before: &InForce,
        entity: &Entity,
        removed: &PolicyName,
    ) -> Result<Option<(Cleanup, Basis)>, Error> {
        // One that cannot be read fails here.
        let Some(record) = self.ledger.policy(removed).await? else { return Ok(None) };
        let storage = record.policy.storage;
        let store = self.catalog.identity(&storage).map_err(Error::PolicyStorage)?;
        let known = self.known_partitions().await?;
        // Where in doubt, backups are kept.
        let is_here = |_: &PolicyName, other: &PolicyName| !self.is_elsewhere(before.policies.get(other), &store);
        let partitions = policy::cleaned(&before.controls, entity, known.values(), is_here);
        let basis = before.basis(known.values().filter(|it| entity.covers(it)));
        let cleanup = Cleanup {
            id: self.clock.uuid(),
            policy: removed.clone(),
            storage,
            store,
            partitions,
            requested: self.clock.now(),
            failure: None,
            jobs: None,
        };
        Ok(Some((cleanup, basis)).filter(|(cleanup, _)| !cleanup.partitions.is_empty()))
    }

    /// Whether the storage of a policy is certainly another one.
    fn is_elsewhere(&self, policy: Option<&PolicyRecord>, store: &StoreId) -> bool {
        policy.is_some_and(|it| self.catalog.identity(&it.policy.storage).is_ok_and(|other| other != *store))
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
