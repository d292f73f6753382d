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
    part: Part,
}

/// The parts of the list, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Own,
    Overrides,
    Suspended,
}

/// Stands between the parts of a position. No name holds it, and every letter of a name comes after it.
const SEPARATOR: char = '\u{1}';

impl Configuration {
    /// Its place in the list as a text: later ones have greater texts, whatever else comes and goes.
    pub fn position(&self) -> String {
        let (part, level) = (self.part as u8, self.entity.level() as u8);
        format!("{part}{SEPARATOR}{}{SEPARATOR}{level}", self.entity)
    }
}

/// What holds for `entity` and what lies in it: first itself, if a policy covers it; then what has a policy of its own;
/// then what is suspended without one. What merely inherits is left out.
pub fn configuration(controls: &Controls, entity: &Entity) -> Vec<Configuration> {
    let of = |part, entity: &Entity| Configuration {
        entity: entity.clone(),
        effective: effective(controls, entity),
        suspension: suspension(controls, entity),
        part,
    };
    let own = Some(of(Part::Own, entity)).filter(|it| it.effective.is_some());
    let below = |it: &&Entity| entity.covers(it) && *it != entity;
    let enabled: BTreeSet<&Entity> = controls.enabled.keys().filter(below).collect();
    let suspended = controls.suspended.iter().filter(|(_, it)| it.suspended).map(|(entity, _)| entity);
    let suspended = suspended.filter(below).filter(|it| !enabled.contains(it));
    let overrides = enabled.iter().map(|it| of(Part::Overrides, it));
    let mut list: Vec<_> =
        own.into_iter().chain(overrides).chain(suspended.map(|it| of(Part::Suspended, it))).collect();
    list.sort_by_cached_key(Configuration::position);
    list
}
