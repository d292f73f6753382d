//! Which policy is in force where.

use super::{Error, Ops, Target};
use crate::domain::{Entity, PolicyName};

impl Ops {
    /// Puts a policy in force, instead of one that may be in force there. One that already is stays so since it was: whoever
    /// repeats himself does not put off the next backup.
    pub async fn enable(&self, target: Target, name: PolicyName) -> Result<(), Error> {
        let found = self.configured(&target);
        // Whether an application is there comes after its policy.
        let found = if matches!(target, Target::Application(_)) { found } else { Ok(found?) };
        if self.ledger.policy(&name).await?.is_none() {
            return Err(Error::PolicyNotFound(name));
        }
        let entity = found?;
        self.must_keep_state(&entity)?;
        if self.ledger.controls().await?.enabled.get(&entity).is_some_and(|enabled| enabled.policy == name) {
            return Ok(());
        }
        let enabled = self.ledger.enable(&entity, &name, self.clock.now()).await?;
        if enabled { Ok(()) } else { Err(Error::PolicyNotFound(name)) }
    }

    /// An application may have services of all kinds. What left the configuration was known for its state.
    pub(super) fn must_keep_state(&self, entity: &Entity) -> Result<(), Error> {
        let service = entity.service().and_then(|name| self.inventory.service(name).ok());
        let stateless = service.filter(|service| !service.persisted);
        stateless.map_or(Ok(()), |service| Err(Error::NotPersisted(service.name.clone())))
    }

    /// Takes away the policy that was put in force on this very target; with `clean`, the backups too that were made for it and
    /// that no other policy takes over.
    pub async fn disable(&self, target: Target, clean: bool) -> Result<(), Error> {
        let entity = self.find(&target).await?.ok_or_else(|| match target {
            Target::Partition(id) => Error::PartitionNotFound(id),
            _ => Error::NotEnabledOn(target.clone()),
        })?;
        loop {
            let before = self.ledger.in_force().await?;
            let seen = before.controls.enabled.get(&entity).ok_or_else(|| Error::NotEnabledOn(target.clone()))?;
            let cleanup = if clean { self.cleanup(&before, &entity, &seen.policy).await? } else { None };
            let cleanup = cleanup.as_ref().map(|(cleanup, basis)| (cleanup, basis));
            if self.ledger.disable(&entity, seen, cleanup).await? {
                return self.cancel_scheduled(&before.controls, &entity, &seen.policy).await;
            }
        }
    }
}
