use chrono::{DateTime, Utc};

use crate::domain::{ChainTip, Epoch, PolicyName, StoreId, Wanted, WhyFull};

/// What holds for the next backup of a partition.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    /// How many incremental backups may follow a full one.
    pub max_incrementals: u8,
    /// Where the backup goes.
    pub store: &'a StoreId,
    /// The policy that it is made for.
    pub policy: &'a PolicyName,
    /// Since when that policy holds as it is: the latest of enabling, change and resumption.
    pub since: DateTime<Utc>,
    /// The partition's life.
    pub epoch: Epoch,
}

/// Whether the next scheduled backup is full, and why, or goes on from `tip`.
///
/// A requested full backup that went to the policy's storage is a tip like any other.
pub fn next(tip: Option<&ChainTip>, conditions: &Conditions<'_>) -> Wanted {
    let Some(tip) = tip else { return Wanted::Full(WhyFull::NoBase) };
    match why_not(tip, conditions) {
        Some(why) => Wanted::Full(why),
        None => Wanted::Incremental(tip.backup.clone()),
    }
}

fn why_not(tip: &ChainTip, conditions: &Conditions<'_>) -> Option<WhyFull> {
    [
        (tip.store != *conditions.store, WhyFull::OtherStore),
        (tip.policy != *conditions.policy, WhyFull::OtherPolicy),
        (tip.completed < conditions.since, WhyFull::NewStart),
        (tip.epoch != conditions.epoch, WhyFull::NewEpoch),
        (tip.incrementals >= u32::from(conditions.max_incrementals), WhyFull::ChainIsLong),
    ]
    .into_iter()
    .find_map(|(applies, why)| applies.then_some(why))
}
