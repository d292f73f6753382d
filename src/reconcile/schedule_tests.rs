use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Datelike, TimeDelta, TimeZone, Utc};
use tokio::sync::watch;

use super::super::{
    Reconciler, Rules,
    drive::Task,
    world::{World, daily, done, every, id, name, partition},
};
use crate::{
    domain::{DataLoss, Entity, FileShare, StorageSpec, Wanted, WhyFull},
    job::{BackupJob, BackupTask, State},
    ledger::{Change, Embedded, KeyValue, Ledger, LedgerError, PartitionRecord, Versioned},
};

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap()
}

const HOUR: TimeDelta = TimeDelta::hours(1);

async fn hourly(partitions: u128) -> World {
    let world = World::new(partitions, start());
    world.policy("p", every("PT1H"), None).await;
    world.enable(&Entity::Application(super::super::world::application()), "p").await;
    world
}

fn wanted(record: &PartitionRecord) -> Wanted {
    record.scheduled.as_ref().unwrap().task.wanted.clone()
}

#[tokio::test]
async fn a_backup_that_is_due_is_taken_by_itself() {
    let world = hourly(1).await;
    let node = world.start().await;
    let (stop, stopped) = watch::channel(false);
    let (ledger, clock) = (world.ledger.clone(), world.clock.clone());
    let rules = Rules::default();
    let reconciler = Reconciler::new(node.engine, node.catalog, node.keeper, ledger.clone(), clock, rules);
    let running = tokio::spawn(reconciler.run(stopped, Duration::from_secs(10)));
    let mut changes = ledger.watch();
    world.hand.advance(HOUR + TimeDelta::seconds(10));
    while world.ledger.partition(id(1)).await.unwrap().as_ref().and_then(done).is_none() {
        changes.changed().await.unwrap();
    }
    let record = world.record(1).await;
    assert_eq!(record.runs.succeeded, Some(world.now()));
    assert_eq!(record.scheduled.unwrap().task.policy, Some(name("p")));
    stop.send_replace(true);
    running.await.unwrap();
}

#[tokio::test]
async fn the_next_backup_comes_an_interval_after_the_end_of_the_one_before() {
    let world = hourly(1).await;
    let mut node = world.start().await;
    node.live(&world.hand, start() + HOUR * 3).await;
    let times: Vec<_> = node.points(&world).await.iter().map(|point| point.created - start()).collect();
    assert_eq!(times, [HOUR, HOUR * 2, HOUR * 3]);
}

#[tokio::test]
async fn runs_that_were_missed_while_the_node_was_down_are_caught_up_once() {
    let world = hourly(1).await;
    world.start().await.settle().await;
    world.hand.advance(HOUR * 24);
    let mut node = world.start().await;
    let next = node.settle().await;
    assert_eq!(node.points(&world).await.len(), 1);
    assert_eq!(next, world.now() + HOUR);
}

#[tokio::test]
async fn a_suspended_partition_gets_no_backups_and_a_full_one_after_it_is_resumed() {
    let world = hourly(1).await;
    let mut node = world.start().await;
    node.live(&world.hand, start() + HOUR).await;
    world.ledger.suspend(&partition(1), world.now()).await.unwrap();
    node.live(&world.hand, start() + HOUR * 10).await;
    assert_eq!(node.points(&world).await.len(), 1);
    world.ledger.resume(&partition(1), world.now()).await.unwrap();
    node.live(&world.hand, start() + HOUR * 11).await;
    assert_eq!(node.points(&world).await.len(), 2);
    assert_eq!(wanted(&world.record(1).await), Wanted::Full(WhyFull::NewStart));
}

#[tokio::test]
async fn what_is_wanted_follows_the_rule_of_chains() {
    let world = hourly(1).await;
    let mut node = world.start().await;
    node.live(&world.hand, start() + HOUR).await;
    assert_eq!(wanted(&world.record(1).await), Wanted::Full(WhyFull::NoBase));
    let first = done(&world.record(1).await).unwrap().id;
    node.live(&world.hand, start() + HOUR * 2).await;
    let Wanted::Incremental(parent) = wanted(&world.record(1).await) else { panic!("full") };
    assert_eq!(parent.id, first);
}

#[tokio::test]
async fn a_failed_backup_is_tried_again_five_times_a_minute_apart_and_then_by_the_schedule() {
    let world = hourly(1).await;
    let mut node = world.start().await;
    world.hand.advance(HOUR);
    world.weather.one_in.store(1, Ordering::Relaxed);
    for minute in 0..5 {
        let next = node.settle().await;
        assert_eq!(next, start() + HOUR + TimeDelta::minutes(minute + 1));
        world.hand.advance(next - world.now());
    }
    assert_eq!(node.settle().await, world.now() + HOUR);
    let runs = world.record(1).await.runs;
    assert!(runs.failure.is_some() && runs.succeeded.is_none());
    world.weather.one_in.store(0, Ordering::Relaxed);
    world.hand.advance(HOUR);
    node.settle().await;
    let runs = world.record(1).await.runs;
    assert!(runs.failure.is_none() && runs.succeeded == Some(world.now()));
}

#[tokio::test]
async fn a_backup_by_schedule_waits_for_a_requested_one() {
    let world = hourly(1).await;
    let mut node = world.start().await;
    let task = BackupTask::new(world.storage());
    let job = BackupJob::new(world.clock.uuid(), world.now(), world.now() + HOUR * 5, task);
    world.change(1, |record| record.backup = Some(job.clone())).await;
    world.hand.advance(HOUR);
    node.scheduler.activate().await.unwrap();
    assert_eq!(world.record(1).await.scheduled, None);
    node.settle().await;
    let record = world.record(1).await;
    assert!(matches!(record.backup.as_ref().unwrap().state, State::Succeeded(_)));
    assert!(done(&record).is_some(), "it was due when the other one had ended");
}

#[tokio::test]
async fn a_partition_that_lost_its_state_gets_no_backups_by_schedule() {
    let world = hourly(1).await;
    let mut node = world.start().await;
    let loss = DataLoss { since: world.now(), found: "nothing".into() };
    world.change(1, |record| record.data_loss = Some(loss.clone())).await;
    world.hand.advance(HOUR * 2);
    node.scheduler.activate().await.unwrap();
    assert_eq!(world.record(1).await.scheduled, None);
}

#[tokio::test]
async fn a_partition_that_no_policy_covers_gets_none_whatever_its_default_storage_is() {
    let world = World::new(1, start());
    let mut node = world.start().await;
    node.live(&world.hand, start() + TimeDelta::days(30)).await;
    assert!(node.points(&world).await.is_empty());
}

#[tokio::test]
async fn a_running_backup_whose_policy_is_not_in_force_any_more_is_cancelled() {
    let world = hourly(1).await;
    let mut node = world.start().await;
    world.hand.advance(HOUR);
    node.scheduler.activate().await.unwrap();
    world.policy("q", daily(2), None).await;
    world.enable(&partition(1), "q").await;
    node.scheduler.activate().await.unwrap();
    let job = world.record(1).await.scheduled.unwrap();
    assert!(job.cancelled && job.task.policy == Some(name("p")));
    node.settle().await;
    assert!(node.points(&world).await.is_empty());
}

#[tokio::test]
async fn a_policy_whose_storage_cannot_be_used_tells_so_and_stops_no_other() {
    let world = hourly(2).await;
    world.policy("q", every("PT1H"), None).await;
    let nowhere = FileShare { path: "/not/allowed".into(), primary: None, secondary: None };
    let change = |record: &mut crate::ledger::PolicyRecord| {
        record.policy.storage = StorageSpec::FileShare(nowhere.clone());
        Ok::<(), ()>(())
    };
    world.ledger.update_policy(&name("q"), change).await.unwrap().unwrap().unwrap();
    world.enable(&partition(1), "q").await;
    let mut node = world.start().await;
    world.hand.advance(HOUR);
    node.settle().await;
    assert!(done(&world.record(2).await).is_some());
    let why = world.record(1).await.runs.failure.unwrap().why;
    assert!(why.message.contains("/not/allowed"), "{}", why.message);
}

#[tokio::test]
async fn years_of_a_daily_schedule_have_a_backup_every_day_leap_days_too() {
    let start = Utc.with_ymd_and_hms(2027, 12, 31, 12, 0, 0).unwrap();
    let mut world = World::new(1, start);
    world.max_incrementals = 0;
    world.policy("p", daily(3), super::super::world::keep("P3M", 0)).await;
    world.enable(&partition(1), "p").await;
    let mut node = world.start().await;
    let mut runs = Vec::new();
    for day in 1..=731 {
        node.live(&world.hand, start + TimeDelta::days(day)).await;
        runs.push(done(&world.record(1).await).unwrap().created);
    }
    let expected = (1..=731).map(|day| start - HOUR * 9 + TimeDelta::days(day));
    assert_eq!(runs, expected.collect::<Vec<_>>());
    assert!(runs.iter().any(|run| (run.month(), run.day()) == (2, 29)));
    // Three months are 90 days; the run at noon keeps what is younger, and the newest one that is older.
    let kept: Vec<_> = node.points(&world).await.iter().map(|point| point.created).collect();
    assert_eq!(kept, runs[731 - 91..]);
}

#[tokio::test]
async fn a_clock_that_was_ahead_and_is_set_right_stops_no_schedule() {
    for schedule in [every("PT1H"), daily(1)] {
        let world = World::new(1, start());
        world.hand.jump(TimeDelta::days(30));
        world.policy("p", schedule, None).await;
        world.enable(&partition(1), "p").await;
        let mut node = world.start().await;
        node.live(&world.hand, world.now() + HOUR * 2).await;
        assert!(done(&world.record(1).await).is_some());
        world.hand.jump(TimeDelta::days(-30));
        let next = node.settle().await;
        assert!(next <= start() + TimeDelta::days(1) + HOUR, "{next}");
        node.live(&world.hand, start() + HOUR * 26).await;
        let record = world.record(1).await;
        let last = record.runs.succeeded.unwrap();
        assert!(last > start() + HOUR * 24 && last <= world.now(), "{last}");
        assert!(matches!(wanted(&record), Wanted::Incremental(_)) || last == start() + HOUR * 25);
    }
}

#[tokio::test]
async fn a_failure_while_the_clock_was_ahead_is_tried_again_a_minute_after_it_is_set_right() {
    let world = hourly(1).await;
    let mut node = world.start().await;
    world.hand.jump(TimeDelta::days(30));
    world.weather.one_in.store(1, Ordering::Relaxed);
    node.settle().await;
    assert_eq!(world.record(1).await.runs.failures, 1);
    world.weather.one_in.store(0, Ordering::Relaxed);
    world.hand.jump(TimeDelta::days(-30));
    assert_eq!(node.settle().await, start() + TimeDelta::minutes(1));
}

#[tokio::test]
async fn a_loss_that_was_noted_by_a_clock_that_was_ahead_can_be_consented_to() {
    let world = hourly(1).await;
    let mut node = world.start().await;
    let loss = DataLoss { since: world.now() + HOUR, found: "nothing".into() };
    world.change(1, |record| record.data_loss = Some(loss.clone())).await;
    node.settle().await;
    let job = BackupJob::new(world.clock.uuid(), world.now(), world.now() + HOUR, BackupTask::new(world.storage()));
    world.change(1, |record| record.backup = Some(job.clone())).await;
    node.settle().await;
    assert_eq!(world.record(1).await.data_loss, None);
}

#[tokio::test]
async fn no_backup_begins_on_what_is_not_in_force_any_more() {
    for change in ["nothing", "suspended", "disabled", "replaced", "overridden"] {
        let world = hourly(1).await;
        let mut node = world.start().await;
        world.hand.advance(HOUR);
        let before = node.scheduler.in_force().await.unwrap();
        let application = Entity::Application(super::super::world::application());
        match change {
            "suspended" => world.ledger.suspend(&application, world.now()).await.unwrap(),
            "disabled" => {
                let seen = before.said.controls.enabled[&application].clone();
                assert!(world.ledger.disable(&application, &seen, None).await.unwrap());
            }
            "replaced" => world.touch("p").await,
            "overridden" => {
                world.policy("q", daily(2), None).await;
                world.enable(&partition(1), "q").await;
            }
            _ => {}
        }
        node.scheduler.change(&before, &partition(1), id(1)).await.unwrap();
        let begun = world.ledger.partition(id(1)).await.unwrap().and_then(|record| record.scheduled);
        assert_eq!(begun.is_some(), change == "nothing", "{change}");
    }
}

/// A store that counts what is read from it.
struct Counted {
    store: Embedded,
    lists: Arc<AtomicUsize>,
    gets: Arc<AtomicUsize>,
}

impl KeyValue for Counted {
    fn get(&self, key: &str) -> Result<Option<Versioned>, LedgerError> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.store.get(key)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Versioned)>, LedgerError> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.store.list(prefix, after, limit)
    }

    fn commit(&self, changes: &[Change]) -> Result<(), LedgerError> {
        self.store.commit(changes)
    }
}

#[tokio::test]
async fn what_is_written_of_one_partition_has_that_one_read_and_what_is_in_force_has_all() {
    let (lists, gets) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut world = World::new(20, start());
    let store = Embedded::in_memory().unwrap();
    world.ledger = Ledger::over(Counted { store, lists: lists.clone(), gets: gets.clone() });
    world.policy("p", every("PT1H"), None).await;
    world.enable(&Entity::Application(super::super::world::application()), "p").await;
    let mut node = world.start().await;
    node.scheduler.activate().await.unwrap();
    let read = || (lists.swap(0, Ordering::Relaxed), gets.swap(0, Ordering::Relaxed));
    world.change(1, |record| record.lsn += 1).await;
    read();
    let next = node.scheduler.activate().await.unwrap();
    assert_eq!((read(), next), ((0, 1), start() + HOUR));
    node.scheduler.activate().await.unwrap();
    assert_eq!(read(), (0, 0), "nothing was written");
    world.ledger.suspend(&partition(2), world.now()).await.unwrap();
    read();
    node.scheduler.activate().await.unwrap();
    assert!(read().0 >= 2);
    world.hand.jump(TimeDelta::seconds(-5));
    node.scheduler.activate().await.unwrap();
    assert!(read().0 >= 2, "the clock was set");
}
