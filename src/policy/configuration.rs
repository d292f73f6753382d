use std::collections::BTreeSet;

use super::{Effective, effective, suspension};
use crate::domain::{Controls, Entity, Level};

/// What holds for one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// Which.
    pub entity: Entity,
    /// The policy that covers it.
    pub effective: Option<Effective>,
    /// The nearest level on which it is suspended.
    pub suspension: Option<Level>,
}

/// Stands between the parts of a position. No name holds it, and every letter of a name comes after it.
const SEPARATOR: char = '\u{1}';

impl Configuration {
    /// Its place in the list as a text: later ones have greater texts, whatever else comes and goes and whatever is said of
    /// this one meanwhile.
    pub fn position(&self) -> String {
        format!("{}{SEPARATOR}{}", self.entity, self.entity.level() as u8)
    }
}

/// What holds for `entity` and what lies in it: first itself, if a policy covers it; then, by name, what has a policy of its
/// own or is suspended. What merely inherits is left out.
pub fn configuration(controls: &Controls, entity: &Entity) -> Vec<Configuration> {
    let own = Some(entity).filter(|it| effective(controls, it).is_some());
    let suspended = controls.suspended.iter().filter(|(_, it)| it.suspended).map(|(entity, _)| entity);
    let below = controls.enabled.keys().chain(suspended).filter(|it| entity.covers(it) && *it != entity);
    let of = |entity: &Entity| Configuration {
        entity: entity.clone(),
        effective: effective(controls, entity),
        suspension: suspension(controls, entity),
    };
    let mut list: Vec<_> = own.into_iter().chain(below).collect::<BTreeSet<_>>().into_iter().map(of).collect();
    list.sort_by_cached_key(Configuration::position);
    list
}
