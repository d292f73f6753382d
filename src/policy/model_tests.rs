//! Coverage against a simple model, and its lists while others change them.

use std::{collections::BTreeSet, sync::LazyLock};

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::{
    Effective, configuration,
    coverage_tests::{at, enable, entity, policy, set_suspended},
    effective, since, suspension,
};
use crate::domain::{ApplicationName, Controls, Entity, Level, ServiceName};

/// Entities with names that are easily taken for one another. A service can be named like a partition of another.
static EVERYTHING: LazyLock<Vec<Entity>> = LazyLock::new(|| {
    let like_a_partition = Entity::Service(
        ApplicationName::parse("fabric:/A").unwrap(),
        ServiceName::parse(&entity("A/S/1").to_string()).unwrap(),
    );
    let names = ["A", "A2", "A/S", "A/S2", "A2/S", "A/S-1", "A/S/1", "A/S/2", "A/S2/3", "A2/S/4", "A/S-1/5"];
    names.map(entity).into_iter().chain([like_a_partition]).collect()
});

#[derive(Debug, Clone, Copy)]
enum Act {
    Enable(usize),
    Disable,
    Suspend,
    Resume,
}

const POLICIES: [&str; 3] = ["daily", "hourly", "weekly"];

fn act() -> impl Strategy<Value = (Act, usize)> {
    let what = prop_oneof![
        (0..POLICIES.len()).prop_map(Act::Enable),
        Just(Act::Disable),
        Just(Act::Suspend),
        Just(Act::Resume)
    ];
    (what, 0..EVERYTHING.len())
}

fn apply(controls: &mut Controls, (act, on): (Act, usize), minute: i64) {
    let on = &EVERYTHING[on];
    match act {
        Act::Enable(name) => enable(controls, on, POLICIES[name], minute),
        Act::Disable => drop(controls.enabled.remove(on)),
        Act::Suspend => set_suspended(controls, on, true, minute),
        Act::Resume => set_suspended(controls, on, false, minute),
    }
}

/// All that was done, and nothing reckoned from it: answers are looked up by reading it from the end.
struct Model<'a>(&'a [(Act, usize)]);

impl Model<'_> {
    /// What was done to this very entity and when, latest first.
    fn done_to(&self, on: &Entity) -> Vec<(Act, DateTime<Utc>)> {
        let all = (1..).zip(self.0).filter(|(_, (_, it))| EVERYTHING[*it] == *on);
        let mut acts: Vec<_> = all.map(|(minute, (act, _))| (*act, at(minute))).collect();
        acts.reverse();
        acts
    }

    /// The last policy that was enabled on this very entity, and when, unless it was disabled since.
    fn enabled_on(&self, on: &Entity) -> Option<(usize, DateTime<Utc>)> {
        let told = |(act, when)| match act {
            Act::Enable(name) => Some(Some((name, when))),
            Act::Disable => Some(None),
            Act::Suspend | Act::Resume => None,
        };
        self.done_to(on).into_iter().find_map(told).flatten()
    }

    /// Whether this very entity was suspended or resumed last, and when.
    fn said_of(&self, on: &Entity) -> Option<(bool, DateTime<Utc>)> {
        let told = |(act, when)| match act {
            Act::Suspend => Some((true, when)),
            Act::Resume => Some((false, when)),
            Act::Enable(_) | Act::Disable => None,
        };
        self.done_to(on).into_iter().find_map(told)
    }

    /// The levels of `of`, from its own up.
    fn levels(of: &Entity) -> Vec<(Entity, Level)> {
        let application = Entity::Application(of.application().clone());
        let service = of.service().map(|it| Entity::Service(of.application().clone(), it.clone()));
        let partition = matches!(of, Entity::Partition(..)).then(|| (of.clone(), Level::Partition));
        let above = service.map(|it| (it, Level::Service)).into_iter().chain([(application, Level::Application)]);
        partition.into_iter().chain(above).collect()
    }

    fn effective(&self, of: &Entity) -> Option<Effective> {
        for (on, from) in Self::levels(of) {
            if let Some((name, since)) = self.enabled_on(&on) {
                return Some(Effective { policy: policy(POLICIES[name]), from, since });
            }
        }
        None
    }

    fn suspension(&self, of: &Entity) -> Option<Level> {
        let mut levels = Self::levels(of).into_iter();
        levels.find(|(on, _)| self.said_of(on).is_some_and(|(suspended, _)| suspended)).map(|(_, level)| level)
    }

    fn since(&self, of: &Entity, changed: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut latest = self.effective(of)?.since.max(changed);
        for (on, _) in Self::levels(of) {
            if let Some((false, resumed)) = self.said_of(&on) {
                latest = latest.max(resumed);
            }
        }
        Some(latest)
    }
}

/// What a list has to hold at this moment: `of` itself, and each entity in it that has a policy of its own or is suspended.
fn expected(controls: &Controls, of: &Entity) -> BTreeSet<Entity> {
    let below = |it: &Entity| it != of && Model::levels(it).iter().any(|(above, _)| above == of);
    let is_listed = |it: &Entity| match () {
        () if it == of => effective(controls, of).is_some(),
        () if below(it) => {
            controls.enabled.contains_key(it) || controls.suspended.get(it).is_some_and(|it| it.suspended)
        }
        () => false,
    };
    EVERYTHING.iter().filter(|it| is_listed(it)).cloned().collect()
}

proptest! {
    #[test]
    fn coverage_is_as_a_simple_reading_of_all_that_was_done(
        acts in prop::collection::vec(act(), 0..60), changed in 0..80_i64,
    ) {
        let mut controls = Controls::default();
        for (minute, act) in (1..).zip(&acts) {
            apply(&mut controls, *act, minute);
        }
        for it in EVERYTHING.iter() {
            prop_assert_eq!(effective(&controls, it), Model(&acts).effective(it));
            prop_assert_eq!(suspension(&controls, it), Model(&acts).suspension(it));
            prop_assert_eq!(since(&controls, it, at(changed)), Model(&acts).since(it, at(changed)));
        }
    }

    #[test]
    fn pages_have_each_entry_once_while_others_come_and_go(
        before in prop::collection::vec(act(), 0..40),
        between in prop::collection::vec(prop::collection::vec(act(), 0..4), 0..30),
        size in 1..5_usize,
        of in 0..EVERYTHING.len(),
    ) {
        let of = &EVERYTHING[of];
        let mut controls = Controls::default();
        for act in before {
            apply(&mut controls, act, 1);
        }
        let (mut always, mut ever) = (expected(&controls, of), expected(&controls, of));
        let (mut got, mut after, mut between) = (Vec::new(), String::new(), between.into_iter());
        loop {
            let list = configuration(&controls, of);
            let page: Vec<_> = list.iter().filter(|it| it.position() > after).take(size).collect();
            let Some(last) = page.last() else { break };
            after = last.position();
            got.extend(page.iter().map(|it| it.entity.clone()));
            for act in between.next().unwrap_or_default() {
                apply(&mut controls, act, 1);
            }
            let now = expected(&controls, of);
            always.retain(|it| now.contains(it));
            ever.extend(now);
        }
        let unique: BTreeSet<_> = got.iter().cloned().collect();
        prop_assert_eq!(unique.len(), got.len(), "one is there twice: {:?}", got);
        prop_assert!(unique.is_superset(&always), "{:?} misses some of {:?}", unique, always);
        prop_assert!(unique.is_subset(&ever));
    }
}
