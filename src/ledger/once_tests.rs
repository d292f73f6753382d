use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use uuid::Uuid;

use crate::{
    domain::PartitionId,
    ledger::{Embedded, Ledger, Once, Outcome},
};

const ID: PartitionId = PartitionId(Uuid::from_u128(7));
const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn ledger() -> Ledger {
    Ledger::over(Embedded::in_memory().unwrap())
}

fn once(key: &str, digest: &str) -> Once {
    Once { operation: "backup", key: key.to_owned(), digest: digest.to_owned() }
}

async fn accept(ledger: &Ledger, id: PartitionId, after: TimeDelta, once: &Once) -> Outcome<i64> {
    let count = |record: &mut crate::ledger::PartitionRecord| {
        record.lsn += 1;
        Ok::<_, ()>(record.lsn)
    };
    ledger.accept(id, START + after, Some(once), count).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_request_is_recognised_for_24_hours() {
    let (ledger, day) = (ledger(), TimeDelta::hours(24));
    let last = day - TimeDelta::milliseconds(1);
    assert_eq!(accept(&ledger, ID, TimeDelta::zero(), &once("k", "one")).await, Outcome::Done(1));
    assert_eq!(accept(&ledger, ID, last, &once("k", "one")).await, Outcome::Repeated);
    assert_eq!(accept(&ledger, ID, last, &once("k", "two")).await, Outcome::OtherRequest);
    assert_eq!(ledger.recognise::<()>(ID, START + last, &once("k", "one")).await.unwrap(), Some(Outcome::Repeated));
    assert_eq!(ledger.recognise::<()>(ID, START + day, &once("k", "one")).await.unwrap(), None);
    assert_eq!(accept(&ledger, ID, day, &once("k", "two")).await, Outcome::Done(2));
    assert_eq!(accept(&ledger, ID, day + last, &once("k", "two")).await, Outcome::Repeated);
    assert_eq!(ledger.partition(ID).await.unwrap().unwrap().lsn, 2);
}

#[tokio::test]
async fn a_repetition_changes_nothing_and_wakes_nobody() {
    let ledger = ledger();
    accept(&ledger, ID, TimeDelta::zero(), &once("k", "one")).await;
    let changes = ledger.watch();
    accept(&ledger, ID, TimeDelta::zero(), &once("k", "one")).await;
    accept(&ledger, ID, TimeDelta::zero(), &once("k", "two")).await;
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test]
async fn a_refused_request_is_not_remembered() {
    let ledger = ledger();
    let named = once("k", "one");
    let refused = ledger.accept(ID, START, Some(&named), |_| Err::<(), _>("busy"));
    assert_eq!(refused.await.unwrap(), Err("busy"));
    assert_eq!(ledger.recognise::<()>(ID, START, &named).await.unwrap(), None);
    assert_eq!(accept(&ledger, ID, TimeDelta::zero(), &once("k", "two")).await, Outcome::Done(1));
}

#[tokio::test]
async fn a_key_means_nothing_to_another_partition_or_operation() {
    let ledger = ledger();
    let other = PartitionId(Uuid::from_u128(8));
    let restore = Once { operation: "restore", ..once("k", "one") };
    accept(&ledger, ID, TimeDelta::zero(), &once("k", "one")).await;
    assert_eq!(accept(&ledger, other, TimeDelta::zero(), &once("k", "two")).await, Outcome::Done(1));
    assert_eq!(accept(&ledger, ID, TimeDelta::zero(), &restore).await, Outcome::Done(2));
}

#[tokio::test]
async fn keys_may_be_any_text() {
    let ledger = ledger();
    for (nth, key) in (1..).zip(["", " ", "a/b", "a", "A", "\u{0}", "\t", &"long".repeat(5000)]) {
        assert_eq!(accept(&ledger, ID, TimeDelta::zero(), &once(key, "one")).await, Outcome::Done(nth), "{key:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_same_requests_at_once_do_one_thing() {
    for _ in 0..20 {
        let ledger = ledger();
        let tasks = (0..8).map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move { accept(&ledger, ID, TimeDelta::zero(), &once("k", "one")).await })
        });
        let outcomes: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Done(1)).count(), 1);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Repeated).count(), 7);
    }
}

#[tokio::test]
async fn what_is_no_longer_recognised_is_forgotten() {
    let (ledger, day) = (ledger(), TimeDelta::hours(24));
    accept(&ledger, ID, TimeDelta::zero(), &once("old", "one")).await;
    accept(&ledger, ID, TimeDelta::hours(1), &once("young", "one")).await;
    ledger.forget_requests(START + day).await.unwrap();
    assert_eq!(ledger.run(|store| store.list(super::PREFIX, None, 9)).await.unwrap().len(), 1);
    assert_eq!(accept(&ledger, ID, day, &once("young", "one")).await, Outcome::Repeated);
}
