//! Which policies cover what, and what is suspended.

use super::{Error, Ops, Page, Paged, Target};
use crate::policy::{self, Configuration};

impl Ops {
    /// What holds for an application or a service, and for what in it has a policy of its own or is suspended.
    pub async fn configurations(&self, target: Target, page: Page) -> Result<Paged<Configuration>, Error> {
        let after = page.after()?;
        let found = self.find(&target).await?;
        let entity = found.ok_or_else(|| match target {
            Target::Application(_) => Error::NothingEnabled(target.clone()),
            _ => target.unknown(),
        })?;
        let mut list = policy::configuration(&self.ledger.controls().await?, &entity);
        if list.is_empty() {
            return Err(Error::NothingEnabled(target));
        }
        list.retain(|it| after.as_ref().is_none_or(|after| it.position() > *after));
        Ok(page.cut(list, Configuration::position))
    }

    /// What holds for a partition; none if no policy covers it.
    pub async fn partition_configuration(&self, target: Target) -> Result<Option<Configuration>, Error> {
        let entity = self.find(&target).await?.ok_or_else(|| target.unknown())?;
        Ok(policy::configuration(&self.ledger.controls().await?, &entity).into_iter().next())
    }
}
