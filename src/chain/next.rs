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

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use uuid::Uuid;

    use super::{Conditions, next};
    use crate::domain::{ChainTip, Epoch, Location, Parent, PolicyName, StoreId, Wanted, WhyFull};

    const EPOCH: Epoch = Epoch { data_loss: 3, configuration: 5 };

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn policy(name: &str) -> PolicyName {
        PolicyName::parse(name).unwrap()
    }

    fn tip() -> ChainTip {
        ChainTip {
            backup: Parent { id: Uuid::from_u128(2), location: Location("two.zip".into()) },
            chain_id: Uuid::from_u128(1),
            incrementals: 1,
            store: StoreId("here".into()),
            policy: policy("daily"),
            epoch: EPOCH,
            completed: at(10),
        }
    }

    /// What comes next after `tip`, two incremental backups being allowed since minute 10.
    fn after(tip: Option<&ChainTip>) -> Wanted {
        after_as(tip, 2, 10)
    }

    fn after_as(tip: Option<&ChainTip>, max_incrementals: u8, since: i64) -> Wanted {
        let (store, policy) = (StoreId("here".into()), policy("daily"));
        next(tip, &Conditions { max_incrementals, store: &store, policy: &policy, since: at(since), epoch: EPOCH })
    }

    #[test]
    fn a_backup_goes_on_from_the_tip_while_nothing_has_changed() {
        assert_eq!(after(Some(&tip())), Wanted::Incremental(tip().backup));
    }

    #[test]
    fn every_change_begins_a_new_chain_and_is_named() {
        assert_eq!(after(None), Wanted::Full(WhyFull::NoBase));
        for (change, why) in [
            ((|tip| tip.store = StoreId("there".into())) as fn(&mut ChainTip), WhyFull::OtherStore),
            (|tip| tip.policy = policy("Daily"), WhyFull::OtherPolicy),
            (|tip| tip.completed = at(9), WhyFull::NewStart),
            (|tip| tip.epoch.data_loss = 2, WhyFull::NewEpoch),
            (|tip| tip.epoch.configuration = 6, WhyFull::NewEpoch),
            (|tip| tip.incrementals = 2, WhyFull::ChainIsLong),
            (|tip| tip.incrementals = 3, WhyFull::ChainIsLong),
        ] {
            let mut changed = tip();
            change(&mut changed);
            assert_eq!(after(Some(&changed)), Wanted::Full(why), "{changed:?}");
        }
    }

    #[test]
    fn a_tip_that_was_complete_before_the_policy_held_as_it_does_begins_a_new_chain() {
        assert_eq!(after_as(Some(&tip()), 2, 11), Wanted::Full(WhyFull::NewStart));
        assert_eq!(after_as(Some(&tip()), 2, 10), Wanted::Incremental(tip().backup));
    }

    #[test]
    fn a_chain_is_one_full_backup_and_as_many_incremental_ones_as_the_policy_allows() {
        for max in [0, 1, 2, 255] {
            let mut tip = ChainTip { incrementals: 0, ..tip() };
            while after_as(Some(&tip), max, 0) != Wanted::Full(WhyFull::ChainIsLong) {
                tip.incrementals += 1;
            }
            assert_eq!(tip.incrementals, u32::from(max));
        }
    }

    #[test]
    fn a_policy_without_incremental_backups_makes_full_ones_only() {
        let full = ChainTip { incrementals: 0, ..tip() };
        assert_eq!(after_as(Some(&full), 0, 10), Wanted::Full(WhyFull::ChainIsLong));
    }
}
