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
    world::{Dice, Node, World, daily, every, id, keep, name, partition},
};
use crate::{
    domain::{BackupPoint, Location, PartitionId},
    job::State,
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
    async fn note(&mut self, world: &World, partitions: u128) {
        let records: BTreeMap<PartitionId, _> = world.ledger.partitions().await.unwrap().into_iter().collect();
        for number in 1..=partitions {
            let Some(record) = records.get(&id(number)) else { continue };
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

    /// Between two backups there is no more than the interval, but for what excuses it.
    fn every_due_backup_is_there_or_excused(&self, number: u128, now: DateTime<Utc>) {
        let interval = policy_of(number).1 + TimeDelta::seconds(5);
        let times = self.made(number).map(|point| point.created);
        let times: Vec<_> = std::iter::once(start()).chain(times).chain([now]).collect();
        for gap in times.windows(2).filter(|gap| gap[1] - gap[0] > interval) {
            let is_excused = |(from, to): &Excuse| *from < gap[1] && *to > gap[0];
            let excused = self.excuses.get(&number).is_some_and(|excuses| excuses.iter().any(is_excused));
            assert!(excused, "partition {number} has no backup between {} and {}", gap[0], gap[1]);
        }
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
}

impl Soak {
    async fn new(partitions: u128) -> Self {
        let world = World::new(partitions, start());
        for (policy, interval, duration, minimum) in POLICIES {
            let schedule = if policy == "nightly" { daily(3) } else { every(&format!("PT{}H", interval.num_hours())) };
            world.policy(policy, schedule, keep(duration, minimum)).await;
        }
        for number in 1..=partitions {
            world.enable(&partition(number), policy_of(number).0).await;
        }
        Self { world, partitions, dice: Dice::new(7), story: Story::default() }
    }

    /// One process, until `end`: then it is ended in the middle of what is due next.
    async fn life(&mut self, end: DateTime<Utc>) {
        let mut node = self.world.start().await;
        loop {
            self.weather().await;
            let next = node.settle().await;
            self.story.note(&self.world, self.partitions).await;
            self.world.hand.advance(next.min(end) - self.world.now());
            if next >= end {
                return self.cut_short(&mut node).await;
            }
        }
    }

    /// Now and then the store fails, and somebody suspends or resumes a partition.
    async fn weather(&mut self) {
        let storm = self.dice.roll(12) == 0;
        self.world.weather.one_in.store(if storm { 40 } else { 0 }, Ordering::Relaxed);
        if self.dice.roll(2) == 0 {
            let number = u128::from(self.dice.roll(u64::try_from(self.partitions).unwrap())) + 1;
            self.story.suspend_or_resume(&self.world, number).await;
        }
    }

    async fn cut_short(&self, node: &mut Node) {
        node.scheduler.activate().await.unwrap();
        let busy = self.world.ledger.busy_partitions().await.unwrap();
        let work = join_all(busy.into_iter().map(|id| node.engine.work(id)));
        let turns = self.dice.roll(400);
        let cut = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = cut => {}
            _ = work => {}
        }
    }

    /// The last process, in calm weather, until retention has run on all that is there, as it does when a policy is
    /// replaced.
    async fn calm_down(&mut self) {
        self.world.weather.one_in.store(0, Ordering::Relaxed);
        let mut node = self.world.start().await;
        node.settle().await;
        self.story.note(&self.world, self.partitions).await;
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

fn soak(partitions: u128, days: i64) {
    // A runtime a process: what its threads were at ends before the next one begins.
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    let mut soak = runtime().block_on(Soak::new(partitions));
    let end = start() + TimeDelta::days(days);
    while soak.world.now() < end {
        let life = soak.world.now() + TimeDelta::hours(24 + i64::try_from(soak.dice.roll(96)).unwrap());
        runtime().block_on(soak.life(life));
        let down = soak.world.now();
        soak.world.hand.advance(TimeDelta::minutes(i64::try_from(soak.dice.roll(600)).unwrap()));
        for number in 1..=partitions {
            soak.story.excuse(number, (down, soak.world.now()));
        }
    }
    runtime().block_on(soak.calm_down());
    let made: usize = soak.story.made.values().map(BTreeMap::len).sum();
    println!("{made} backups, {} failures noted", soak.story.failures);
    assert!(soak.story.failures > 0, "a soak without trouble proves little");
}

#[test]
fn after_a_month_of_trouble_every_due_backup_is_there_or_has_a_reason_and_the_store_holds_what_retention_keeps() {
    soak(200, 30);
}
