use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};

use super::super::{
    drive::Task,
    world::{Node, World, application, every, id, keep, name, partition},
};
use crate::{
    domain::{BackupPoint, DataLoss, Entity, Location, Retention, StoreId},
    ledger::{Basis, Cleanup},
    policy::{Action, Hold},
};

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap()
}

const HOUR: TimeDelta = TimeDelta::hours(1);
const DAY: TimeDelta = TimeDelta::days(1);

/// A world whose partitions were backed up in full every hour for ten, without retention.
async fn ten_hours(partitions: u128) -> (World, Node) {
    hours_of_chains(partitions, 0).await
}

/// The same, with so many incremental backups after each full one.
async fn hours_of_chains(partitions: u128, incrementals: u8) -> (World, Node) {
    let mut world = World::new(partitions, start());
    world.max_incrementals = incrementals;
    world.policy("p", every("PT1H"), None).await;
    world.enable(&Entity::Application(application()), "p").await;
    let mut node = world.start().await;
    node.live(&world.hand, start() + HOUR * 10).await;
    world.ledger.suspend(&Entity::Application(application()), world.now()).await.unwrap();
    (world, node)
}

async fn set_retention(world: &World, retention: Retention) {
    let now = world.now();
    let change = |record: &mut crate::ledger::PolicyRecord| {
        record.policy.retention = Some(retention);
        record.changed = now;
        Ok::<(), ()>(())
    };
    world.ledger.update_policy(&name("p"), change).await.unwrap().unwrap().unwrap();
}

/// How many hours after the start each was taken.
fn hours(points: &[BackupPoint]) -> Vec<i64> {
    points.iter().map(|point| (point.created - start()).num_hours()).collect()
}

#[tokio::test]
async fn a_policy_without_retention_keeps_everything_and_says_so() {
    let (world, mut node) = ten_hours(1).await;
    node.live(&world.hand, start() + DAY * 400).await;
    let plan = node.plan("p").await;
    assert_eq!((node.points(&world).await.len(), plan.verdicts.len(), plan.blocked), (10, 10, None));
    assert!(plan.verdicts.iter().all(|verdict| verdict.holds == [Hold::NoRetentionPolicy]));
}

#[tokio::test]
async fn a_retention_that_is_set_takes_effect_at_once_and_then_by_the_hour() {
    let (world, mut node) = ten_hours(1).await;
    set_retention(&world, keep("PT4H", 0)).await;
    let plan = node.plan("p").await;
    let going = plan.verdicts.iter().filter(|verdict| verdict.action == Action::Delete).count();
    assert_eq!((going, node.points(&world).await.len()), (4, 10), "a plan deletes nothing");
    node.settle().await;
    // The newest one that is older than the cutoff stays.
    assert_eq!(hours(&node.points(&world).await), [5, 6, 7, 8, 9, 10]);
    node.live(&world.hand, world.now() + HOUR).await;
    assert_eq!(hours(&node.points(&world).await), [6, 7, 8, 9, 10]);
    set_retention(&world, keep("PT2H", 0)).await;
    node.settle().await;
    assert_eq!(hours(&node.points(&world).await), [8, 9, 10], "an update that changes only the duration");
}

#[tokio::test]
async fn retention_keeps_the_newest_up_to_the_minimum_and_says_which_it_keeps_for_that() {
    let (world, mut node) = ten_hours(1).await;
    set_retention(&world, keep("PT1H", 7)).await;
    node.live(&world.hand, start() + DAY * 30).await;
    assert_eq!(hours(&node.points(&world).await), [4, 5, 6, 7, 8, 9, 10]);
    let plan = node.plan("p").await;
    assert!(plan.verdicts.iter().all(|it| it.holds.contains(&Hold::MinimumNumberOfBackups)), "{plan:?}");
}

#[tokio::test]
async fn what_is_disabled_or_made_for_nobody_is_out_of_the_reach_of_retention() {
    let (world, mut node) = ten_hours(2).await;
    let application = Entity::Application(application());
    let seen = world.ledger.controls().await.unwrap().enabled[&application].clone();
    world.enable(&partition(2), "p").await;
    assert!(world.ledger.disable(&application, &seen, None).await.unwrap());
    set_retention(&world, keep("PT1H", 0)).await;
    node.live(&world.hand, start() + DAY * 30).await;
    let left = node.stored(&world).await;
    let of = |number| left.iter().filter(|found| Some(found.place.partition) == partition(number).partition()).count();
    assert_eq!((of(1), of(2)), (10, 1));
}

#[tokio::test]
async fn a_partition_that_left_the_configuration_stays_under_retention() {
    let (world, _node) = ten_hours(2).await;
    set_retention(&world, keep("PT1H", 0)).await;
    let mut without = world.boot_with(1);
    without.live(&world.hand, start() + DAY * 30).await;
    assert_eq!(without.stored(&world).await.len(), 2);
}

#[tokio::test]
async fn a_backup_that_is_being_restored_is_held_until_the_restore_ends() {
    let (world, mut node) = ten_hours(1).await;
    let oldest = node.points(&world).await.remove(0);
    world.ask_restore(1, &oldest).await;
    set_retention(&world, keep("PT1H", 0)).await;
    world.hand.advance(TimeDelta::minutes(5));
    node.activate().await;
    assert_eq!(hours(&node.points(&world).await), [1, 9, 10]);
    let plan = node.plan("p").await;
    assert_eq!(plan.verdicts[0].holds, [Hold::RestoreInProgress]);
    node.settle().await;
    node.live(&world.hand, world.now() + HOUR * 2).await;
    assert_eq!(hours(&node.points(&world).await), [10]);
}

#[tokio::test]
async fn what_the_writer_chained_goes_as_a_chain() {
    let (world, mut node) = hours_of_chains(1, 2).await;
    let is_full = |point: &BackupPoint| point.is_full();
    let fulls: Vec<_> = node.points(&world).await.iter().map(is_full).collect();
    assert_eq!(fulls, [true, false, false].repeat(4)[..10]);
    // Older than four hours are the first six; the sixth is needed, with the chain that it ends.
    set_retention(&world, keep("PT4H", 0)).await;
    world.hand.advance(TimeDelta::minutes(5));
    node.settle().await;
    assert_eq!(hours(&node.points(&world).await), [4, 5, 6, 7, 8, 9, 10]);
}

#[tokio::test]
async fn nothing_of_a_partition_that_lost_its_state_goes() {
    let (world, mut node) = ten_hours(1).await;
    let loss = DataLoss { since: world.now(), found: "nothing".into() };
    world.change(1, |record| record.data_loss = Some(loss.clone())).await;
    set_retention(&world, keep("PT1H", 0)).await;
    node.activate().await;
    assert_eq!(node.points(&world).await.len(), 10);
    assert!(node.plan("p").await.verdicts.iter().all(|verdict| verdict.holds.contains(&Hold::DataLoss)));
}

#[tokio::test]
async fn what_cannot_be_read_holds_its_own_partition_and_no_other() {
    let (world, mut node) = ten_hours(2).await;
    let location = node.stored(&world).await[3].location.clone();
    world.write(&location, ".bkmetadata", b"not metadata");
    set_retention(&world, keep("PT1H", 0)).await;
    world.hand.advance(TimeDelta::minutes(5));
    node.settle().await;
    assert_eq!(node.stored(&world).await.len(), 10 + 2);
    let plan = node.plan("p").await;
    let damaged = plan.verdicts.iter().find(|verdict| verdict.location == location).unwrap();
    assert!(damaged.point.is_none() && damaged.action == Action::Keep, "{damaged:?}");
}

#[tokio::test]
async fn a_storage_that_has_another_time_stops_retention_until_they_agree() {
    let (world, mut node) = ten_hours(1).await;
    let tell = |time| *world.weather.time.lock().unwrap() = Some(time);
    tell(world.now() - DAY * 365);
    set_retention(&world, keep("PT1H", 0)).await;
    node.settle().await;
    assert_eq!(node.points(&world).await.len(), 10);
    let blocked = world.ledger.retention(&name("p")).await.unwrap().blocked.unwrap();
    assert!(blocked.why.contains("2025-01-01T10:00:00Z"), "{}", blocked.why);
    assert!(node.plan("p").await.blocked.is_some());
    tell(world.now() + TimeDelta::minutes(10));
    node.live(&world.hand, world.now() + TimeDelta::minutes(10)).await;
    assert!(world.ledger.retention(&name("p")).await.unwrap().blocked.is_none());
    assert_eq!(node.points(&world).await.len(), 2);
}

#[tokio::test]
async fn a_clock_that_was_set_forward_stops_retention_until_it_is_set_back() {
    let (world, mut node) = ten_hours(1).await;
    set_retention(&world, keep("P1D", 0)).await;
    node.settle().await;
    world.hand.jump(DAY * 3650);
    node.settle().await;
    assert_eq!(node.points(&world).await.len(), 10);
    assert!(node.plan("p").await.blocked.unwrap().contains("2035-12-30"));
    world.hand.jump(DAY * -3650);
    node.settle().await;
    assert!(world.ledger.retention(&name("p")).await.unwrap().blocked.is_none());
    assert_eq!(node.points(&world).await.len(), 10);
}

#[tokio::test]
async fn a_clock_that_went_back_between_two_processes_stops_retention_until_the_next_start() {
    let (world, mut node) = ten_hours(1).await;
    set_retention(&world, keep("PT1H", 0)).await;
    world.hand.advance(HOUR);
    node.settle().await;
    drop(node);
    world.hand.jump(DAY * -30);
    let mut second = world.start().await;
    second.settle().await;
    assert!(world.ledger.retention(&name("p")).await.unwrap().blocked.is_some());
    world.hand.advance(HOUR);
    let mut third = world.start().await;
    third.settle().await;
    assert_eq!(world.ledger.retention(&name("p")).await.unwrap().blocked, None);
}

#[tokio::test]
async fn time_that_went_ahead_between_two_processes_stops_retention_for_a_day() {
    for restarted in [false, true] {
        let (world, mut node) = ten_hours(1).await;
        set_retention(&world, keep("P30D", 0)).await;
        node.settle().await;
        let before = node.points(&world).await.len();
        drop(node);
        world.hand.jump(DAY * 3650);
        let mut next = world.start().await;
        next.settle().await;
        let blocked = world.ledger.retention(&name("p")).await.unwrap().blocked.unwrap();
        assert!(blocked.why.contains("retention ran last at"), "{}", blocked.why);
        assert!(next.points(&world).await.len() >= before, "nothing went");
        if restarted {
            drop(next);
            next = world.start().await;
            next.settle().await;
            assert!(world.ledger.retention(&name("p")).await.unwrap().blocked.is_some(), "not yet");
            drop(next);
            world.hand.jump(DAY);
            next = world.start().await;
        } else {
            world.hand.advance(DAY);
        }
        next.settle().await;
        assert_eq!(world.ledger.retention(&name("p")).await.unwrap().blocked, None);
        assert!(next.points(&world).await.len() < before + 3);
    }
}

#[tokio::test]
async fn a_service_that_was_down_for_a_day_deletes_at_once() {
    let (world, mut node) = ten_hours(1).await;
    set_retention(&world, keep("PT1H", 0)).await;
    node.settle().await;
    drop(node);
    world.hand.advance(DAY);
    let mut next = world.start().await;
    next.settle().await;
    assert_eq!(world.ledger.retention(&name("p")).await.unwrap().blocked, None);
}

#[tokio::test]
async fn a_run_that_fails_is_made_again_five_times_and_then_at_its_pace() {
    let (world, mut node) = ten_hours(1).await;
    set_retention(&world, keep("PT1H", 0)).await;
    world.weather.one_in.store(1, Ordering::Relaxed);
    for minute in 1..=5 {
        assert_eq!(node.retentions.activate().await.unwrap(), world.now() + TimeDelta::minutes(1), "{minute}");
        world.hand.advance(TimeDelta::minutes(1));
    }
    assert_eq!(node.retentions.activate().await.unwrap(), world.now() + HOUR);
    let remembered = world.ledger.retention(&name("p")).await.unwrap();
    assert!(remembered.failure.is_some() && remembered.failures == 0);
    world.weather.one_in.store(0, Ordering::Relaxed);
    world.hand.advance(HOUR);
    node.settle().await;
    assert_eq!(world.ledger.retention(&name("p")).await.unwrap().failure, None);
    assert_eq!(node.points(&world).await.len(), 1);
}

#[tokio::test]
async fn data_without_a_record_goes_when_it_is_old_and_no_job_is_at_it() {
    let (world, mut node) = ten_hours(1).await;
    let old = node.stored(&world).await[0].location.clone();
    let attempt = Location(old.0.replace("01.00.00", "01.30.00"));
    world.remove_record(&old);
    world.write(&attempt, ".zip", b"data");
    set_retention(&world, keep("P30D", 0)).await;
    node.settle().await;
    assert!(world.has(&old) && world.has(&attempt), "they are young");
    let mut job = world.record(1).await.scheduled.unwrap();
    job.state = crate::job::State::Running;
    job.task.attempt = Some(attempt.clone());
    world.change(1, |record| record.scheduled = Some(job.clone())).await;
    world.hand.advance(DAY * 2);
    node.retentions.activate().await.unwrap();
    assert!(!world.has(&old) && world.has(&attempt));
}

async fn disable(world: &World, partitions: Vec<Entity>) {
    let application = Entity::Application(application());
    let seen = world.ledger.controls().await.unwrap().enabled[&application].clone();
    let store: StoreId = world.boot().catalog.identity(&world.storage()).unwrap();
    let cleanup = Cleanup {
        id: world.clock.uuid(),
        policy: name("p"),
        storage: world.storage(),
        store,
        partitions,
        requested: world.now(),
        failure: None,
        jobs: None,
    };
    assert!(world.ledger.disable(&application, &seen, Some((&cleanup, &Basis::default()))).await.unwrap());
}

#[tokio::test]
async fn a_cleanup_deletes_what_the_policy_made_of_its_partitions_and_nothing_else() {
    let (world, mut node) = ten_hours(2).await;
    disable(&world, vec![partition(1)]).await;
    node.settle().await;
    let left = node.stored(&world).await;
    assert_eq!(left.len(), 10);
    assert!(left.iter().all(|found| Some(found.place.partition) == partition(2).partition()));
    assert!(world.ledger.cleanups().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cleanup_waits_for_a_restore_and_for_a_loss_of_data_to_be_decided() {
    let (world, mut node) = ten_hours(1).await;
    let oldest = node.points(&world).await.remove(0);
    world.ask_restore(1, &oldest).await;
    disable(&world, vec![partition(1)]).await;
    node.activate().await;
    assert_eq!(hours(&node.points(&world).await), [1]);
    let loss = DataLoss { since: world.now(), found: "nothing".into() };
    world.change(1, |record| (record.restore, record.data_loss) = (None, Some(loss.clone()))).await;
    world.hand.advance(HOUR);
    node.activate().await;
    assert_eq!(world.ledger.cleanups().await.unwrap().len(), 1);
    world.change(1, |record| record.data_loss = None).await;
    world.hand.advance(TimeDelta::minutes(1));
    node.settle().await;
    assert!(node.stored(&world).await.is_empty() && world.ledger.cleanups().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cleanup_that_fails_says_why_and_is_tried_again() {
    let (world, mut node) = ten_hours(1).await;
    disable(&world, vec![partition(1)]).await;
    world.weather.one_in.store(1, Ordering::Relaxed);
    node.settle().await;
    let failure = world.ledger.cleanups().await.unwrap().remove(0).failure.unwrap();
    assert_eq!(failure.at, world.now());
    world.weather.one_in.store(0, Ordering::Relaxed);
    node.live(&world.hand, world.now() + TimeDelta::minutes(1)).await;
    assert!(node.stored(&world).await.is_empty() && world.ledger.cleanups().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cleanup_includes_what_a_job_commits_later_that_began_before_and_nothing_of_a_later_one() {
    for is_seen_running in [true, false] {
        let (world, mut node) = ten_hours(1).await;
        world.ledger.resume(&Entity::Application(application()), world.now()).await.unwrap();
        world.hand.advance(HOUR);
        node.scheduler.activate().await.unwrap();
        disable(&world, vec![partition(1)]).await;
        if is_seen_running {
            node.cleanups.activate().await.unwrap();
            assert_eq!(world.ledger.cleanups().await.unwrap().len(), 1);
        }
        world.hand.advance(TimeDelta::minutes(1));
        node.engine.work(id(1)).await.unwrap();
        assert!(node.points(&world).await.iter().any(|point| point.created == world.now()), "it was committed");
        world.enable(&partition(1), "p").await;
        node.settle().await;
        assert!(node.points(&world).await.is_empty() && world.ledger.cleanups().await.unwrap().is_empty());
        node.live(&world.hand, world.now() + HOUR * 2).await;
        assert_eq!(node.points(&world).await.len(), 2);
    }
}
