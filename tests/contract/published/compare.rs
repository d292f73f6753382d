//! Holds two sets of facts against each other, and the differences against the deviations that we stand by.

use super::facts::entries;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A fact that the two sides do not share; `None` where a side has nothing.
#[derive(Debug, PartialEq)]
pub(super) struct Difference {
    at: String,
    published: Option<Value>,
    ours: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |side: &Option<Value>| side.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        write!(f, "{}: published {}, ours {}", self.at, show(&self.published), show(&self.ours))
    }
}

/// The same difference, of one fact or of a whole tree of them, in some places and on purpose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deviation {
    why: String,
    at: Vec<String>,
    published: Option<Value>,
    ours: Option<Value>,
}

impl Deviation {
    fn differences(&self) -> impl Iterator<Item = Difference> {
        let places = self.at.iter();
        places.flat_map(|at| between(leaves(at, self.published.as_ref()), leaves(at, self.ours.as_ref())))
    }
}

pub(super) fn differences(published: &Value, ours: &Value) -> Vec<Difference> {
    between(leaves("", Some(published)), leaves("", Some(ours)))
}

fn between(mut published: BTreeMap<String, Value>, mut ours: BTreeMap<String, Value>) -> Vec<Difference> {
    let places: BTreeSet<String> = published.keys().chain(ours.keys()).cloned().collect();
    places
        .into_iter()
        .map(|at| Difference { published: published.remove(&at), ours: ours.remove(&at), at })
        .filter(|difference| difference.published != difference.ours)
        .collect()
}

/// The leaves of a tree by their paths. An empty object is a leaf: that it is there is a fact.
fn leaves(at: &str, tree: Option<&Value>) -> BTreeMap<String, Value> {
    let Some(tree) = tree else { return BTreeMap::new() };
    if entries(tree).next().is_none() {
        return BTreeMap::from([(at.to_owned(), tree.clone())]);
    }
    let join = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
    entries(tree).flat_map(|(name, member)| leaves(&join(name), Some(member))).collect()
}

/// What nobody stands by: differences without a deviation, deviations without a difference or without a reason.
pub(super) fn unexplained(differences: &[Difference], deviations: &[Deviation]) -> Vec<String> {
    let listed: Vec<Difference> = deviations.iter().flat_map(Deviation::differences).collect();
    let open = differences.iter().filter(|found| !listed.contains(found)).map(ToString::to_string);
    let stale = listed.iter().filter(|listed| !differences.contains(listed));
    let stale = stale.map(|listed| format!("listed as a deviation, but is none: {listed}"));
    let unjustified = deviations.iter().filter(|deviation| deviation.why.trim().is_empty());
    let unjustified = unjustified.map(|deviation| format!("listed without a reason: {:?}", deviation.at));
    open.chain(stale).chain(unjustified).collect()
}

#[test]
fn the_leaves_of_a_tree_are_named_by_their_paths() {
    let tree = json!({ "a": { "b": 1, "c": {} }, "d": [2] });
    let expected = [("x/a/b", json!(1)), ("x/a/c", json!({})), ("x/d", json!([2]))];
    assert_eq!(leaves("x", Some(&tree)), expected.map(|(at, leaf)| (at.to_owned(), leaf)).into());
}
