//! Which policy covers what: effective policies, suspensions, their lists, and what a disabled policy leaves behind.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Configuration, cleaned, configuration, effective, is_enabled_within, since, suspension};
use crate::domain::{
    ApplicationName, Controls, Enabled, Entity, Level, PartitionId, PolicyName, ServiceName, Suspension,
};

/// `A`, `A/S` or `A/S/1`: an application, a service or a partition.
pub(super) fn entity(text: &str) -> Entity {
    let parts: Vec<&str> = text.split('/').collect();
    let application = ApplicationName::parse(&format!("fabric:/{}", parts[0])).unwrap();
    let service = |name: &str| ServiceName::parse(&format!("fabric:/{}/{name}", parts[0])).unwrap();
    match parts[..] {
        [_] => Entity::Application(application),
        [_, name] => Entity::Service(application, service(name)),
        [_, name, id] => {
            Entity::Partition(application, service(name), PartitionId(Uuid::from_u128(id.parse().unwrap())))
        }
        _ => panic!("{text}"),
    }
}

pub(super) fn policy(name: &str) -> PolicyName {
    PolicyName::parse(name).unwrap()
}

pub(super) fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
}

/// Words like `A=daily` (enabled), `A/S!` (suspended) and `A/S/1?` (resumed), each a minute after the one before.
fn controls(text: &str) -> Controls {
    let mut controls = Controls::default();
    for (minute, word) in (1..).zip(text.split_whitespace()) {
        if let Some((on, name)) = word.split_once('=') {
            enable(&mut controls, &entity(on), name, minute);
            continue;
        }
        let (on, mark) = word.split_at(word.len() - 1);
        set_suspended(&mut controls, &entity(on), mark == "!", minute);
    }
    controls
}

pub(super) fn enable(controls: &mut Controls, on: &Entity, name: &str, minute: i64) {
    controls.enabled.insert(on.clone(), Enabled { policy: policy(name), since: at(minute) });
}

pub(super) fn set_suspended(controls: &mut Controls, on: &Entity, suspended: bool, minute: i64) {
    controls.suspended.insert(on.clone(), Suspension { suspended, since: at(minute) });
}

fn effective_as_told(controls: &Controls, of: &str) -> Option<(String, Level)> {
    effective(controls, &entity(of)).map(|it| (it.policy.to_string(), it.from))
}

#[test]
fn the_nearest_policy_covers_a_partition() {
    let all = controls("A=a A/S=s A/S/1=p");
    assert_eq!(effective_as_told(&all, "A/S/1"), Some(("p".into(), Level::Partition)));
    assert_eq!(effective_as_told(&all, "A/S/2"), Some(("s".into(), Level::Service)));
    assert_eq!(effective_as_told(&all, "A/T/1"), Some(("a".into(), Level::Application)));
    assert_eq!(effective_as_told(&all, "A/S"), Some(("s".into(), Level::Service)));
    assert_eq!(effective_as_told(&all, "A2/S/1"), None);
    assert_eq!(effective_as_told(&controls("A/S/1=p"), "A/S"), None);
    assert_eq!(effective(&all, &entity("A/S/2")).unwrap().since, at(2));
}

#[test]
fn a_partition_is_suspended_with_all_that_it_lies_in() {
    let level = |text, of| suspension(&controls(text), &entity(of));
    assert_eq!(level("A!", "A/S/1"), Some(Level::Application));
    assert_eq!(level("A! A/S!", "A/S/1"), Some(Level::Service));
    assert_eq!(level("A! A/S! A/S/1!", "A/S/1"), Some(Level::Partition));
    assert_eq!(level("A! A/S?", "A/S/1"), Some(Level::Application));
    assert_eq!(level("A/S! A/S?", "A/S/1"), None);
    assert_eq!(level("A/S/1!", "A/S"), None);
    assert_eq!(level("A!", "A2/S/1"), None);
}

#[test]
fn a_schedule_runs_since_the_latest_of_enabling_change_and_resumption() {
    let since = |text, changed| since(&controls(text), &entity("A/S/1"), at(changed));
    assert_eq!(since("A=a", 0), Some(at(1)));
    assert_eq!(since("A=a", 9), Some(at(9)));
    assert_eq!(since("A=a A/S?", 0), Some(at(2)));
    assert_eq!(since("A=a A? A/S/1? A/S?", 0), Some(at(4)));
    assert_eq!(since("A? A=a", 0), Some(at(2)));
    assert_eq!(since("A=a A/S!", 0), Some(at(1)), "what is still suspended was not resumed");
    assert_eq!(since("A/S/1=p A=a", 0), Some(at(1)), "only the policy that covers it counts");
    assert_eq!(since("A=a A/T?", 0), Some(at(1)));
    assert_eq!(since("A/S?", 9), None);
}

#[test]
fn enabled_within_means_on_it_above_it_or_below_it() {
    let within = |text, of| is_enabled_within(&controls(text), &entity(of));
    for of in ["A", "A/S", "A/S/1"] {
        for on in ["A=p", "A/S=p", "A/S/1=p"] {
            assert!(within(on, of), "{on} {of}");
        }
    }
    for (on, of) in [("A/S=p", "A/T"), ("A/S/1=p", "A/S/2"), ("A2=p", "A"), ("A2/S=p", "A"), ("A/S2/1=p", "A/S")] {
        assert!(!within(on, of), "{on} {of}");
    }
    assert!(!within("A!", "A"));
}

/// What is listed for `of`: `A/S=policy(level)`, with `!level` if suspended.
fn listed(text: &str, of: &str) -> Vec<String> {
    let nil = "00000000-0000-0000-0000-00000000000";
    let letter = |level| match level {
        Level::Application => "a",
        Level::Service => "s",
        Level::Partition => "p",
    };
    let told = |it: &Configuration| {
        let name = it.entity.to_string().replace("fabric:/", "").replace(nil, "");
        let policy = it.effective.as_ref().map_or(String::new(), |it| format!("={}({})", it.policy, letter(it.from)));
        let suspension = it.suspension.map_or(String::new(), |it| format!("!{}", letter(it)));
        format!("{name}{policy}{suspension}")
    };
    configuration(&controls(text), &entity(of)).iter().map(told).collect()
}

#[test]
fn a_list_has_its_own_entry_and_then_by_name_what_has_a_policy_or_is_suspended() {
    let all = "A/S/1! A/S! A/T/2! A/S/2=p A/T=t A=a A2=x A/R!";
    let of_application =
        ["A=a(a)", "A/R=a(a)!s", "A/S=a(a)!s", "A/S/1=a(a)!p", "A/S/2=p(p)!s", "A/T=t(s)", "A/T/2=t(s)!p"];
    assert_eq!(listed(all, "A"), of_application);
    assert_eq!(listed(all, "A/S"), ["A/S=a(a)!s", "A/S/1=a(a)!p", "A/S/2=p(p)!s"]);
    assert_eq!(listed(all, "A/S/1"), ["A/S/1=a(a)!p"]);
}

#[test]
fn a_list_has_no_own_entry_without_a_policy() {
    assert_eq!(listed("A! A/S=s", "A"), ["A/S=s(s)!a"]);
    assert_eq!(listed("A/S/1!", "A"), ["A/S/1!p"], "without any policy there is none to tell");
    assert_eq!(listed("A/S!", "A/S"), [] as [&str; 0]);
    assert_eq!(listed("A2=x", "A"), [] as [&str; 0]);
}

#[test]
fn a_suspended_partition_shows_the_policy_of_its_service() {
    assert_eq!(listed("A/S=s A/S/1!", "A"), ["A/S=s(s)", "A/S/1=s(s)!p"]);
}

#[test]
fn what_was_resumed_or_merely_inherits_is_not_listed() {
    assert_eq!(listed("A=a A/S! A/S?", "A"), ["A=a(a)"]);
    assert_eq!(listed("A=a A!", "A"), ["A=a(a)!a"]);
}

/// The partitions that are cleaned up when `on` is disabled, `same` being policies with one storage.
fn clean(text: &str, on: &str, same: &[&str]) -> Vec<String> {
    let partitions = ["A/S/1", "A/S/2", "A/T/3", "A2/S/4"].map(entity);
    let same_store = |one: &PolicyName, other: &PolicyName| [one, other].iter().all(|it| same.contains(&it.as_str()));
    let cleaned = cleaned(&controls(text), &entity(on), partitions.iter(), same_store);
    cleaned.iter().map(|it| it.to_string().chars().last().unwrap().to_string()).collect()
}

#[test]
fn disabling_cleans_what_this_very_mapping_covered() {
    assert_eq!(clean("A=a", "A", &[]), ["1", "2", "3"]);
    assert_eq!(clean("A=a A/S/1=p", "A", &[]), ["2", "3"]);
    assert_eq!(clean("A=a A/S=s", "A", &[]), ["3"], "a service's own policy is an override too");
    assert_eq!(clean("A/S=s A/S/1=p", "A/S/1", &[]), ["1"]);
    assert_eq!(clean("A/S=s", "A/S", &[]), ["1", "2"]);
    assert_eq!(clean("A=a A/S=a", "A", &[]), ["3"], "the same policy on the service still covers its partitions");
}

#[test]
fn disabling_cleans_nothing_that_another_policy_takes_over_in_the_same_storage() {
    assert_eq!(clean("A=a A/S=s", "A/S", &["a", "s"]), [] as [&str; 0]);
    assert_eq!(clean("A=a A/S=s", "A/S", &["s"]), ["1", "2"], "another storage is not taken over");
    assert_eq!(clean("A=a A/S=a", "A/S", &[]), [] as [&str; 0], "the same policy has the same storage");
    assert_eq!(clean("A=a A/S=s A/S/1=p", "A/S/1", &["a", "p"]), ["1"], "the nearest one takes over");
}

#[test]
fn disabling_what_is_not_enabled_cleans_nothing() {
    assert_eq!(clean("A/S=s", "A", &[]), [] as [&str; 0]);
    assert_eq!(clean("A!", "A", &[]), [] as [&str; 0]);
}
