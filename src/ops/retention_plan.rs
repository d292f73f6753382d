use chrono::{DateTime, Utc};

use super::{Error, Ops, Page, Paged};
use crate::{
    domain::PolicyName,
    retention::{Plan, Verdict},
};

/// What a policy's retention would do, a page of it.
#[derive(Debug)]
pub struct RetentionPlan {
    /// When it was made.
    pub planned_at: DateTime<Utc>,
    /// Why nothing of it is done at present.
    pub blocked: Option<String>,
    /// What becomes of each backup, by application, service, partition and then time.
    pub verdicts: Paged<Verdict>,
}

impl Ops {
    /// What the retention of a policy would do now, with a reason for every backup. Changes nothing.
    pub async fn retention_plan(&self, name: &PolicyName, page: Page) -> Result<RetentionPlan, Error> {
        let after = page.after()?;
        let record = self.ledger.policy(name).await?.ok_or_else(|| Error::PolicyNotFound(name.clone()))?;
        let Plan { planned_at, blocked, verdicts } = self.keeper.plan(&record).await?;
        let mut verdicts: Vec<_> = verdicts.into_iter().map(|verdict| (position(&verdict), verdict)).collect();
        verdicts.sort_by(|(one, _), (other, _)| one.cmp(other));
        let rest = verdicts.into_iter().filter(|(position, _)| after.as_ref().is_none_or(|after| position > after));
        let Paged { items, next } = page.cut(rest, |(position, _)| position.clone());
        let items = items.into_iter().map(|(_, verdict)| verdict).collect();
        Ok(RetentionPlan { planned_at, blocked, verdicts: Paged { items, next } })
    }
}

/// No name has a tab, so that positions are in the order of their parts.
fn position(Verdict { place, time, location, .. }: &Verdict) -> String {
    let time = time.format("%Y-%m-%dT%H:%M:%S");
    format!("{}\t{}\t{}\t{time}\t{location}", place.application, place.service, place.partition)
}
