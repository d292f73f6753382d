use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;

use crate::{
    domain::{ApplicationName, Entity},
    ledger::{
        Deletion, Embedded, Ledger, PolicyRecord, RetentionRecord,
        samples::{name, policy},
    },
};

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn ledger() -> Ledger {
    Ledger::over(Embedded::in_memory().unwrap())
}

fn application(nth: usize) -> Entity {
    Entity::Application(ApplicationName::parse(&format!("fabric:/App{nth}")).unwrap())
}

async fn names(ledger: &Ledger, after: Option<&str>, limit: Option<usize>) -> Vec<String> {
    let after = after.map(name);
    let page = ledger.policies(after.as_ref(), limit).await.unwrap();
    page.into_iter().map(|it| it.policy.name.to_string()).collect()
}

/// Names that are alike or have what keys and paths are made of, in the order of their bytes.
const ODD: [&str; 16] = [
    " p",
    "!",
    "%2F",
    "...",
    "/",
    "P",
    "p",
    "p ",
    "p!",
    "p/",
    "p//q",
    "p/q",
    "p2",
    "policy/p",
    "p\u{e4}",
    "\u{10ffff}",
];

#[tokio::test]
async fn policies_with_odd_names_are_kept_apart_and_in_the_order_of_their_names() {
    let ledger = ledger();
    for name in ODD.iter().rev() {
        assert!(ledger.create_policy(&policy(name)).await.unwrap(), "{name:?}");
        assert!(!ledger.create_policy(&policy(name)).await.unwrap(), "{name:?}");
    }
    let mut sorted = ODD.map(str::to_owned);
    sorted.sort();
    assert_eq!(names(&ledger, None, None).await, sorted);
    for (nth, after) in sorted.iter().enumerate() {
        assert_eq!(names(&ledger, Some(after), None).await, sorted[nth + 1..], "after {after:?}");
        assert_eq!(ledger.policy(&name(after)).await.unwrap(), Some(policy(after)));
    }
}

#[tokio::test]
async fn what_is_remembered_of_retention_goes_with_its_policy_and_no_other() {
    let ledger = ledger();
    let failed = RetentionRecord { failures: 3, ..RetentionRecord::default() };
    for odd in ODD {
        ledger.create_policy(&policy(odd)).await.unwrap();
        ledger.set_retention(&name(odd), &failed).await.unwrap();
    }
    assert_eq!(ledger.delete_policy(&name("p")).await.unwrap(), Deletion::Deleted);
    ledger.set_retention(&name("p"), &failed).await.unwrap();
    assert_eq!(ledger.retention(&name("p")).await.unwrap(), RetentionRecord::default());
    for odd in ODD.iter().filter(|odd| **odd != "p") {
        assert_eq!(ledger.retention(&name(odd)).await.unwrap(), failed, "{odd:?}");
    }
}

#[tokio::test]
async fn of_many_who_create_one_policy_one_succeeds_and_its_policy_stays() {
    let ledger = ledger();
    let create = async |minutes| {
        let record = PolicyRecord { changed: NOW + TimeDelta::minutes(minutes), ..policy("p") };
        ledger.create_policy(&record).await.unwrap().then_some(record)
    };
    let made: Vec<_> = join_all((0..20).map(create)).await.into_iter().flatten().collect();
    assert_eq!(made.len(), 1);
    assert_eq!(ledger.policy(&name("p")).await.unwrap().as_ref(), made.first());
}

#[tokio::test]
async fn updates_that_meet_are_all_kept() {
    let ledger = ledger();
    ledger.create_policy(&policy("p")).await.unwrap();
    let name = name("p");
    let one = async || {
        let more = |record: &mut PolicyRecord| {
            record.policy.max_incrementals += 1;
            Ok::<(), ()>(())
        };
        ledger.update_policy(&name, more).await.unwrap()
    };
    let enabling = async || assert!(ledger.enable(&application(1), &name, NOW).await.unwrap());
    let (updates, ()) = tokio::join!(async { join_all((0..20).map(|_| one())).await }, enabling());
    assert!(updates.iter().all(|done| *done == Some(Ok(()))));
    assert_eq!(ledger.policy(&name).await.unwrap().unwrap().policy.max_incrementals, 20);
}

#[tokio::test]
async fn a_refused_update_writes_nothing_and_one_of_no_policy_asks_nobody() {
    let ledger = ledger();
    ledger.create_policy(&policy("p")).await.unwrap();
    let refuse = |record: &mut PolicyRecord| {
        record.policy.max_incrementals = 9;
        Err("no")
    };
    assert_eq!(ledger.update_policy(&name("p"), refuse).await.unwrap(), Some(Err("no")));
    assert_eq!(ledger.policy(&name("p")).await.unwrap(), Some(policy("p")));
    let never = |_: &mut PolicyRecord| -> Result<(), ()> { panic!("there is nothing to change") };
    assert_eq!(ledger.update_policy(&name("q"), never).await.unwrap(), None);
}

#[tokio::test]
async fn a_policy_is_deleted_only_once_it_is_enabled_nowhere() {
    let (ledger, name) = (ledger(), name("p"));
    ledger.create_policy(&policy("p")).await.unwrap();
    ledger.enable(&application(1), &name, NOW).await.unwrap();
    assert_eq!(ledger.delete_policy(&name).await.unwrap(), Deletion::Enabled(application(1)));
    let seen = ledger.controls().await.unwrap().enabled[&application(1)].clone();
    ledger.disable(&application(1), &seen, None).await.unwrap();
    assert_eq!(ledger.delete_policy(&name).await.unwrap(), Deletion::Deleted);
    assert_eq!(ledger.delete_policy(&name).await.unwrap(), Deletion::Missing);
}

/// Many threads, so that what one does falls between the look and the write of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_ever_enabled_without_its_policy() {
    let ledger = Arc::new(ledger());
    for _ in 0..50 {
        ledger.create_policy(&policy("p")).await.unwrap();
        let enabling = (0..4).map(|nth| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.enable(&application(nth), &name("p"), NOW).await.unwrap() })
        });
        let enabling: Vec<_> = enabling.collect();
        let deleted = ledger.delete_policy(&name("p")).await.unwrap();
        let done: Vec<bool> = join_all(enabling).await.into_iter().map(Result::unwrap).collect();
        let controls = ledger.controls().await.unwrap();
        let there = ledger.policy(&name("p")).await.unwrap().is_some();
        assert_eq!(there, deleted != Deletion::Deleted);
        assert!(there || controls.enabled.is_empty(), "{deleted:?} {done:?}");
        assert_eq!(controls.enabled.len(), done.iter().filter(|done| **done).count());
        for (entity, seen) in controls.enabled {
            assert!(ledger.disable(&entity, &seen, None).await.unwrap());
        }
        ledger.delete_policy(&name("p")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pages_hold_each_policy_once_while_others_are_made_and_deleted() {
    let ledger = Arc::new(ledger());
    for nth in 0..40 {
        ledger.create_policy(&policy(&format!("stays {nth:02}"))).await.unwrap();
    }
    let busy = tokio::spawn({
        let ledger = ledger.clone();
        async move {
            for nth in 0..60 {
                let passing = format!("stays {:02} not", nth % 40);
                ledger.create_policy(&policy(&passing)).await.unwrap();
                ledger.delete_policy(&name(&passing)).await.unwrap();
            }
        }
    });
    while !busy.is_finished() {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = names(&ledger, after.as_deref(), Some(3)).await;
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            seen.extend(page);
        }
        assert!(seen.is_sorted() && seen.len() == BTreeSet::from_iter(&seen).len(), "{seen:?}");
        assert_eq!(seen.iter().filter(|name| !name.ends_with("not")).count(), 40);
    }
    busy.await.unwrap();
}
