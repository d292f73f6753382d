//! What is in force at one moment, so that what is decided on it can be written only if it still is.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Ledger, LedgerError, PolicyRecord, Revision, controls, policies, records::same};
use crate::domain::{Controls, Entity, PolicyName};

/// What is enabled and suspended, and the policies that are enabled anywhere.
#[derive(Debug, Default)]
pub struct InForce {
    /// Where.
    pub controls: Controls,
    /// Those that could be read.
    pub policies: BTreeMap<PolicyName, PolicyRecord>,
    /// Those that could not.
    pub unreadable: BTreeMap<PolicyName, LedgerError>,
    seen: BTreeMap<String, Revision>,
}

/// The records that a decision rests on, as they were seen; also those that were not there.
#[derive(Debug, Clone, Default)]
pub struct Basis(BTreeMap<String, Revision>);

impl Ledger {
    /// What is in force. It is read one after the other: a [`Basis`] tells later whether it was so at one moment.
    pub async fn in_force(&self) -> Result<InForce, LedgerError> {
        let (controls, seen) = self.controls_seen().await?;
        let names: BTreeSet<PolicyName> = controls.enabled.values().map(|enabled| enabled.policy.clone()).collect();
        let mut found = InForce { controls, seen, ..InForce::default() };
        for name in names {
            match self.read_policy(&name).await {
                Ok(None) => {}
                Ok(Some(record)) => {
                    found.seen.insert(record.key, record.revision);
                    found.policies.insert(name, record.value);
                }
                Err(error @ (LedgerError::Decode { .. } | LedgerError::Sealed { .. })) => {
                    found.unreadable.insert(name, error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}

impl InForce {
    /// What every decision about `partitions` rests on: what is said of them and of what they lie in, and the policies
    /// that are named there.
    pub fn basis<'a>(&self, partitions: impl IntoIterator<Item = &'a Entity>) -> Basis {
        let entities: BTreeSet<Entity> = partitions.into_iter().flat_map(Entity::lineage).collect();
        let policies = entities.iter().filter_map(|entity| self.controls.enabled.get(entity));
        let policies = policies.map(|enabled| policies::key(&enabled.policy));
        let keys = entities.iter().map(controls::key).chain(policies);
        Basis(keys.map(|key| (self.seen.get(&key).copied().unwrap_or(0), key)).map(|(seen, key)| (key, seen)).collect())
    }
}

impl Basis {
    /// The changes that change nothing, and fail where something is not any more as it was seen.
    pub(super) fn checks(&self) -> impl Iterator<Item = Change> {
        self.0.iter().map(|(key, seen)| same(key.clone(), *seen))
    }
}
