//! Schedules that pause and go on. Backups and restores that are asked for do not care.

use super::{Error, Ops, Target};
use crate::{domain::Entity, policy};

impl Ops {
    /// Suspends the schedule, if there is one: of the target, of what it lies in or of anything in it.
    pub async fn suspend(&self, target: Target) -> Result<(), Error> {
        let entity = self.scheduled(target).await?;
        Ok(self.ledger.suspend(&entity, self.clock.now()).await?)
    }

    /// Resumes the schedule on the level of the target. One that is not suspended there stays as it is.
    pub async fn resume(&self, target: Target) -> Result<(), Error> {
        let entity = self.scheduled(target).await?;
        Ok(self.ledger.resume(&entity, self.clock.now()).await?)
    }

    async fn scheduled(&self, target: Target) -> Result<Entity, Error> {
        let controls = self.ledger.controls().await?;
        let entity = match (self.find(&target).await?, &target) {
            (None, Target::Application(_)) => None,
            (found, _) => Some(found.ok_or_else(|| target.unknown())?),
        };
        let entity = entity.filter(|entity| policy::is_enabled_within(&controls, entity));
        entity.ok_or(Error::NothingEnabled(target))
    }
}
