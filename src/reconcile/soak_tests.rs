//! A month of a node with many partitions, a store that fails, people who suspend and resume, and a process that is ended
//! in the middle of its work, all on the manual clock.
//!
//! What must hold afterwards is reckoned here anew from what happened, by rules as simple as they can be.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use futures::future::join_all;
use tokio::runtime::Builder;

use super::{
    drive::Task,
    world::{Dice, Node, World, daily, every, keep, name, partition},
};
use crate::{
    domain::{BackupPoint, Epoch, Location, PartitionKind},
    job::State,
    ledger::{Feed, Topic},
    policy::Action,
};

/// Name, interval of the schedule, duration and minimum of the retention.
const POLICIES: [(&str, TimeDelta, &str, u64); 3] = [
    ("often", TimeDelta::hours(12), "P5D", 2),
    ("nightly", TimeDelta::days(1), "P7D", 3),
    ("seldom", TimeDelta::days(3), "P10D", 4),
];

fn policy_of(number: u128) -> (&'static str, TimeDelta, &'static str, u64) {
    POLICIES[usize::try_from(number % 3).unwrap()]
}

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2028, 2, 10, 0, 0, 0).unwrap()
}

/// A span of time in which no backup can be expected.
type Excuse = (DateTime<Utc>, DateTime<Utc>);

/// What happened.
#[derive(Default)]
struct Story {
    made: BTreeMap<u128, BTreeMap<Location, BackupPoint>>,
    excuses: BTreeMap<u128, Vec<Excuse>>,
    suspended: BTreeMap<u128, DateTime<Utc>>,
    failures: usize,
}

impl Story {
    /// Takes down how the latest backups by schedule ended.
    async fn note(&mut self, world: &World, feed: &mut Feed) {
        for id in feed.take().partitions {
            let (number, record) = (id.0.as_u128(), world.ledger.partition(id).await.unwrap().unwrap());
            if let Some(State::Succeeded(point)) = record.scheduled.as_ref().map(|job| &job.state) {
                self.made.entry(number).or_default().insert(point.location.clone(), point.clone());
            }
            if let Some(failure) = &record.runs.failure {
                // Retries, and then the schedule from the last one on.
                self.excuse(number, (failure.since, failure.at + policy_of(number).1));
                self.failures += 1;
            }
        }
    }

    fn made(&self, number: u128) -> impl DoubleEndedIterator<Item = &BackupPoint> {
        self.made.get(&number).into_iter().flat_map(BTreeMap::values)
    }

    fn excuse(&mut self, number: u128, excuse: Excuse) {
        self.excuses.entry(number).or_default().push(excuse);
    }

    async fn suspend_or_resume(&mut self, world: &World, number: u128) {
        let now = world.now();
        if let Some(since) = self.suspended.remove(&number) {
            world.ledger.resume(&partition(number), now).await.unwrap();
            // The schedule goes on from the resumption.
            self.excuse(number, (since, now + policy_of(number).1));
        } else {
            world.ledger.suspend(&partition(number), now).await.unwrap();
            self.suspended.insert(number, now);
        }
    }

    /// Between two backups there is no more than the interval, but for the time that is excused.
    fn every_due_backup_is_there_or_excused(&self, number: u128, now: DateTime<Utc>) {
        let interval = policy_of(number).1 + TimeDelta::seconds(5);
        let times = self.made(number).map(|point| point.created);
        let times: Vec<_> = std::iter::once(start()).chain(times).chain([now]).collect();
        for gap in times.windows(2).filter(|gap| gap[1] - gap[0] > interval) {
            let excused = self.excused(number, gap[0], gap[1]);
            assert!(
                gap[1] - gap[0] - excused <= interval,
                "partition {number} has no backup between {} and {}, and a reason for {excused} only",
                gap[0],
                gap[1]
            );
        }
    }

    /// How much of a span of time is excused.
    fn excused(&self, number: u128, from: DateTime<Utc>, to: DateTime<Utc>) -> TimeDelta {
        let mut excuses = self.excuses.get(&number).cloned().unwrap_or_default();
        excuses.sort_unstable();
        let (mut sum, mut reached) = (TimeDelta::zero(), from);
        for (begins, ends) in excuses {
            let (begins, ends) = (begins.max(reached), ends.min(to));
            sum += (ends - begins).max(TimeDelta::zero());
            reached = reached.max(ends);
        }
        sum
    }

    /// Whatever is gone was older than the retention's duration, and so is a newer one; and enough is left.
    fn nothing_went_too_early(&self, number: u128, left: &[Location], now: DateTime<Utc>) {
        let (_, _, duration, minimum) = policy_of(number);
        let cutoff = keep(duration, 0).duration().before(now);
        let gone: Vec<_> = self.made(number).filter(|point| !left.contains(&point.location)).collect();
        for point in &gone {
            let mut newer = self.made(number).filter(|it| it.created > point.created);
            let is_covered = newer.any(|it| it.created < cutoff && left.contains(&it.location));
            assert!(is_covered, "{} is gone, and nothing that is old enough took its place", point.location);
        }
        assert!(gone.is_empty() || left.len() as u64 >= minimum, "partition {number} has {} left", left.len());
    }
}

struct Soak {
    world: World,
    partitions: u128,
    dice: Dice,
    story: Story,
    /// How often a process was ended while jobs were at work.
    deaths: usize,
}

impl Soak {
    async fn new(partitions: u128, seed: u64) -> Self {
        let world = World::with_weather(partitions, start(), seed);
        for (policy, interval, duration, minimum) in POLICIES {
            let schedule = if policy == "nightly" { daily(3) } else { every(&format!("PT{}H", interval.num_hours())) };
            world.policy(policy, schedule, keep(duration, minimum)).await;
        }
        for number in 1..=partitions {
            world.enable(&partition(number), policy_of(number).0).await;
        }
        Self { world, partitions, dice: Dice::new(seed + 100), story: Story::default(), deaths: 0 }
    }

    /// One process, until `end`: then it is ended in the middle of what is due next.
    async fn life(&mut self, end: DateTime<Utc>) {
        let mut feed = self.world.ledger.feed(&[Topic::Partitions]);
        let mut node = self.world.start().await;
        node.is_eager = false;
        self.go_on(&node, &mut feed).await;
        loop {
            self.weather().await;
            let next = node.settle().await;
            self.story.note(&self.world, &mut feed).await;
            self.world.hand.advance(next.min(end) - self.world.now());
            if next >= end {
                self.cut_short(&mut node).await;
                return self.story.note(&self.world, &mut feed).await;
            }
        }
    }

    /// Brings to an end what the process before had begun, and hears of it before the next backup takes its place in the
    /// record.
    async fn go_on(&mut self, node: &Node, feed: &mut Feed) {
        let busy = self.world.ledger.busy_partitions().await.unwrap();
        for ended in join_all(busy.into_iter().map(|id| node.engine.work(id))).await {
            ended.unwrap();
        }
        self.story.note(&self.world, feed).await;
    }

    /// Now and then the store fails, and somebody suspends or resumes a partition.
    async fn weather(&mut self) {
        let storm = self.dice.roll(12) == 0;
        self.world.weather.one_in.store(if storm { 40 } else { 0 }, Ordering::Relaxed);
        if self.dice.roll(12) == 0 {
            let number = u128::from(self.dice.roll(u64::try_from(self.partitions).unwrap())) + 1;
            self.story.suspend_or_resume(&self.world, number).await;
        }
    }

    async fn cut_short(&mut self, node: &mut Node) {
        node.scheduler.activate().await.unwrap();
        let busy = self.world.ledger.busy_partitions().await.unwrap();
        let work = join_all(busy.into_iter().map(|id| node.engine.work(id)));
        let turns = self.dice.roll(400);
        let cut = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        let is_done = tokio::select! {
            biased;
            () = cut => false,
            _ = work => true,
        };
        let left = self.world.ledger.busy_partitions().await.unwrap();
        self.deaths += usize::from(!is_done && !left.is_empty());
    }

    /// The last process, in calm weather, until retention has run on all that is there, as it does when a policy is
    /// replaced.
    async fn calm_down(&mut self) {
        self.world.weather.one_in.store(0, Ordering::Relaxed);
        let mut feed = self.world.ledger.feed(&[Topic::Partitions]);
        let mut node = self.world.start().await;
        self.go_on(&node, &mut feed).await;
        node.settle().await;
        self.story.note(&self.world, &mut feed).await;
        for (number, since) in std::mem::take(&mut self.story.suspended) {
            self.story.excuse(number, (since, self.world.now()));
        }
        for (policy, ..) in POLICIES {
            self.world.touch(policy).await;
        }
        node.settle().await;
        self.judge(&node).await;
    }

    async fn judge(&self, node: &Node) {
        let mut left: BTreeMap<u128, Vec<Location>> = BTreeMap::new();
        for found in node.stored(&self.world).await {
            let number = found.place.partition.0.as_u128();
            left.entry(number).or_default().push(found.location);
        }
        for number in 1..=self.partitions {
            let left = left.get(&number).map(Vec::as_slice).unwrap_or_default();
            let is_told = |it: &Location| self.story.made(number).any(|point| point.location == *it);
            assert!(left.iter().all(is_told), "a backup that nobody told of");
            self.story.every_due_backup_is_there_or_excused(number, self.world.now());
            self.story.nothing_went_too_early(number, left, self.world.now());
        }
        for (policy, ..) in POLICIES {
            self.nothing_is_left_to_delete(node, policy).await;
        }
    }

    /// What retention keeps is what lies there.
    async fn nothing_is_left_to_delete(&self, node: &Node, policy: &str) {
        let remembered = self.world.ledger.retention(&name(policy)).await.unwrap();
        assert_eq!((remembered.ended, remembered.failure), (Some(self.world.now()), None));
        let plan = node.plan(policy).await;
        assert!(plan.blocked.is_none() && plan.verdicts.len() > 10, "{plan:?}");
        let left = plan.verdicts.iter().find(|verdict| verdict.action == Action::Delete);
        assert!(left.is_none(), "{left:?}");
    }
}

fn soak(partitions: u128, days: i64, seed: u64) {
    // A runtime a process: what its threads were at ends before the next one begins.
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    let mut soak = runtime().block_on(Soak::new(partitions, seed));
    let end = start() + TimeDelta::days(days);
    let mut lives = 0;
    while soak.world.now() < end {
        let life = soak.world.now() + TimeDelta::hours(24 + i64::try_from(soak.dice.roll(96)).unwrap());
        runtime().block_on(soak.life(life));
        let down = soak.world.now();
        soak.world.hand.advance(TimeDelta::minutes(i64::try_from(soak.dice.roll(600)).unwrap()));
        for number in 1..=partitions {
            soak.story.excuse(number, (down, soak.world.now()));
        }
        lives += 1;
    }
    runtime().block_on(soak.calm_down());
    let made: usize = soak.story.made.values().map(BTreeMap::len).sum();
    let (failures, deaths) = (soak.story.failures, soak.deaths);
    println!("seed {seed}: {made} backups, {failures} failures noted, {lives} processes, {deaths} ended at work");
    assert!(failures > 0 && lives > 5 && made > 0, "a soak without trouble proves little");
}

#[test]
fn after_a_month_of_trouble_every_due_backup_is_there_or_has_a_reason_and_the_store_holds_what_retention_keeps() {
    soak(200, 30, 1);
}

#[test]
fn the_same_holds_for_fewer_partitions_in_other_months() {
    for seed in 2..=4 {
        soak(20, 30, seed);
    }
}

/// A partition of the policy with the interval of 12 hours, with a backup every 12 hours of a day and a half.
fn told() -> Story {
    let mut story = Story::default();
    for nth in 1..=3 {
        let created = start() + TimeDelta::hours(12) * nth;
        let id = uuid::Uuid::from_u128(1);
        let point = BackupPoint {
            id,
            chain_id: id,
            parent: None,
            location: Location(created.to_rfc3339()),
            created,
            epoch: Epoch { data_loss: 1, configuration: 1 },
            lsn: 0,
            partition: PartitionKind::Singleton,
            manifest_version: String::new(),
        };
        story.made.entry(3).or_default().insert(point.location.clone(), point);
    }
    story
}

#[test]
fn a_story_without_gaps_or_with_a_reason_for_each_passes() {
    let mut story = told();
    story.every_due_backup_is_there_or_excused(3, start() + TimeDelta::hours(48));
    story.made.get_mut(&3).unwrap().pop_first();
    story.excuse(3, (start() + TimeDelta::hours(1), start() + TimeDelta::hours(9)));
    story.excuse(3, (start() + TimeDelta::hours(5), start() + TimeDelta::hours(13)));
    story.every_due_backup_is_there_or_excused(3, start() + TimeDelta::hours(48));
}

#[test]
#[should_panic(expected = "partition 3 has no backup between 2028-02-10 00:00:00 UTC and 2028-02-11 00:00:00 UTC")]
fn a_story_in_which_a_backup_is_missing_and_only_an_hour_is_excused_does_not() {
    let mut story = told();
    story.made.get_mut(&3).unwrap().pop_first();
    story.excuse(3, (start() + TimeDelta::hours(11), start() + TimeDelta::hours(12)));
    story.every_due_backup_is_there_or_excused(3, start() + TimeDelta::hours(36));
}
