use chrono::{DateTime, Utc};

use crate::domain::{Controls, Entity, Level, PolicyName};

/// The policy that covers an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Which.
    pub policy: PolicyName,
    /// The level that it was enabled on.
    pub from: Level,
    /// Since when it is enabled there.
    pub since: DateTime<Utc>,
}

/// The policy that covers `entity`: the one of the nearest mapping, on itself or on what it lies in.
pub fn effective(controls: &Controls, entity: &Entity) -> Option<Effective> {
    entity.lineage().find_map(|it| {
        let enabled = controls.enabled.get(&it)?;
        Some(Effective { policy: enabled.policy.clone(), from: it.level(), since: enabled.since })
    })
}

/// The nearest level on which the schedule of `entity` is suspended.
pub fn suspension(controls: &Controls, entity: &Entity) -> Option<Level> {
    let mut lineage = entity.lineage();
    lineage.find(|it| controls.suspended.get(it).is_some_and(|it| it.suspended)).map(|it| it.level())
}

/// Since when the schedule of `entity` runs as it does: the latest of the mapping, the policy's change and every
/// resumption. None if no policy covers it.
pub fn since(controls: &Controls, entity: &Entity, changed: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let enabled = effective(controls, entity)?.since;
    let said = entity.lineage().filter_map(|it| controls.suspended.get(&it).copied());
    let resumed = said.filter(|it| !it.suspended).map(|it| it.since).max();
    Some(enabled.max(changed).max(resumed.unwrap_or(enabled)))
}

/// Whether any policy is enabled on `entity`, on what it lies in, or on what lies in it.
pub fn is_enabled_within(controls: &Controls, entity: &Entity) -> bool {
    controls.enabled.keys().any(|it| it.covers(entity) || entity.covers(it))
}
