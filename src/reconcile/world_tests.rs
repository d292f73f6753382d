//! A node whose background work is done step by step on the manual clock, for tests.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use tempfile::TempDir;
use uuid::Uuid;

use super::{Rules, cleanup::Cleanups, drive::Task, jobs::Jobs, retention::Retentions, schedule::Scheduler};
use crate::{
    archive::{Catalog, Filter, Found, Scope},
    clock::{Clock, ManualClock},
    domain::{
        ApplicationName, BackupPoint, Days, Entity, FileShare, Interval, Location, Partition, PartitionId,
        PartitionKind, Policy, PolicyName, Retention, RunTimes, Schedule, ServiceName, Span, StorageSpec,
    },
    engine::{Engine, Hosted},
    job::{RestoreJob, RestoreTask, State},
    ledger::{Embedded, Feed, Ledger, News, PartitionRecord, PolicyRecord},
    retention::{Keeper, Plan},
    source::Source,
    storage::{
        ErrorKind, StoreSettings, Stores,
        faulty::{Call, Moment, Observer, Verdict},
    },
};

/// Numbers that look random and are the same each time.
pub(super) struct Dice {
    seed: u64,
    step: AtomicU64,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, step: AtomicU64::new(0) }
    }

    /// From 0 up to, but not, `sides`.
    pub(super) fn roll(&self, sides: u64) -> u64 {
        let step = self.step.fetch_add(1, Ordering::Relaxed);
        let hash = blake3::hash(&[self.seed.to_le_bytes(), step.to_le_bytes()].concat());
        u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap()) % sides
    }
}

/// How the store fares.
pub(super) struct Weather {
    dice: Dice,
    /// One call in so many fails; none if 0.
    pub(super) one_in: AtomicU64,
    pub(super) time: Mutex<Option<DateTime<Utc>>>,
}

impl Observer for Weather {
    fn observe(&self, _: &Call, _: Moment) -> Verdict {
        match self.one_in.load(Ordering::Relaxed) {
            0 => Verdict::Go,
            sides if self.dice.roll(sides) == 0 => Verdict::Fail(ErrorKind::Other),
            _ => Verdict::Go,
        }
    }

    fn time(&self) -> Option<DateTime<Utc>> {
        *self.time.lock().unwrap()
    }
}

/// What outlives a process.
pub(super) struct World {
    root: TempDir,
    pub(super) hand: ManualClock,
    pub(super) clock: Clock,
    pub(super) ledger: Ledger,
    pub(super) weather: Arc<Weather>,
    partitions: u128,
    rules: Rules,
    /// Of every policy that is made from now on.
    pub(super) max_incrementals: u8,
}

/// A process: the tasks of a reconciler, activated by hand.
pub(super) struct Node {
    pub(super) engine: Engine,
    pub(super) catalog: Catalog,
    pub(super) keeper: Keeper,
    pub(super) scheduler: Scheduler,
    pub(super) retentions: Retentions,
    pub(super) cleanups: Cleanups,
    ledger: Ledger,
    clock: Clock,
    /// Whether every task is activated at every look, or only when it would be woken.
    pub(super) is_eager: bool,
    alarms: [Alarm; 3],
}

/// When a task is woken.
struct Alarm {
    feed: Feed,
    next: DateTime<Utc>,
}

impl Alarm {
    async fn wake<T: Task>(&mut self, task: &mut T, now: DateTime<Utc>, is_eager: bool) -> DateTime<Utc> {
        if self.feed.take() != News::default() || self.next <= now || is_eager {
            self.next = task.activate().await.unwrap();
        }
        self.next
    }
}

pub(super) fn id(number: u128) -> PartitionId {
    PartitionId(Uuid::from_u128(number))
}

pub(super) fn application() -> ApplicationName {
    ApplicationName::parse("fabric:/App").unwrap()
}

pub(super) fn service() -> ServiceName {
    ServiceName::parse("fabric:/App/Svc").unwrap()
}

pub(super) fn partition(number: u128) -> Entity {
    Entity::Partition(application(), service(), id(number))
}

pub(super) fn every(interval: &str) -> Schedule {
    Schedule::Frequency(Interval::new(Span::parse(interval).unwrap()).unwrap())
}

pub(super) fn daily(hour: u32) -> Schedule {
    Schedule::Time(RunTimes::new(Days::Daily, NaiveTime::from_hms_opt(hour, 0, 0)).unwrap())
}

pub(super) fn keep(duration: &str, minimum: u64) -> Retention {
    Retention::new(Span::parse(duration).unwrap(), minimum).unwrap()
}

pub(super) fn name(name: &str) -> PolicyName {
    PolicyName::parse(name).unwrap()
}

impl World {
    /// `partitions` of one service, on a disk in memory where there is one.
    pub(super) fn new(partitions: u128, start: DateTime<Utc>) -> Self {
        Self::with_weather(partitions, start, 1)
    }

    /// The same with other storms.
    pub(super) fn with_weather(partitions: u128, start: DateTime<Utc>, seed: u64) -> Self {
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap();
        fs::create_dir(root.path().join("share")).unwrap();
        for number in 1..=partitions {
            fs::create_dir(root.path().join(number.to_string())).unwrap();
            fs::write(root.path().join(number.to_string()).join("a"), "state").unwrap();
        }
        let (clock, hand) = Clock::manual(start);
        let weather = Arc::new(Weather { dice: Dice::new(seed), one_in: AtomicU64::new(0), time: Mutex::default() });
        let rules = Rules { jitter: Span::minutes(0), ..Rules::default() };
        let ledger = Ledger::over(Embedded::in_memory().unwrap());
        Self { root, hand, clock, ledger, weather, partitions, rules, max_incrementals: 2 }
    }

    pub(super) fn storage(&self) -> StorageSpec {
        let path = self.root.path().join("share").to_str().unwrap().to_owned();
        StorageSpec::FileShare(FileShare { path, primary: None, secondary: None })
    }

    /// A process, before anything is put in order.
    pub(super) fn boot(&self) -> Node {
        self.boot_with(self.partitions)
    }

    /// One whose configuration has only the first of them.
    pub(super) fn boot_with(&self, partitions: u128) -> Node {
        let settings = StoreSettings { share_roots: vec![self.root.path().join("share")], ..StoreSettings::default() };
        let catalog = Catalog::new(Stores::new(settings, self.clock.clone()).observed(self.weather.clone()));
        let hosted = (1..=partitions).map(|number| self.hosted(number)).collect();
        let (ledger, clock) = (self.ledger.clone(), self.clock.clone());
        let engine = Engine::new(hosted, catalog.clone(), ledger.clone(), clock.clone(), 4);
        let keeper = Keeper::new(catalog.clone(), ledger.clone(), clock.clone());
        let alarm = |hears| Alarm { feed: ledger.feed(hears), next: clock.now() };
        Node {
            is_eager: true,
            alarms: [alarm(Scheduler::HEARS), alarm(Retentions::HEARS), alarm(Cleanups::HEARS)],
            scheduler: Scheduler::new(&engine, catalog.clone(), ledger.clone(), clock.clone(), self.rules),
            retentions: Retentions::new(keeper.clone(), ledger.clone(), clock.clone(), self.rules.orphan_grace),
            cleanups: Cleanups::new(keeper.clone(), ledger.clone(), clock.clone()),
            engine,
            catalog,
            keeper,
            ledger,
            clock,
        }
    }

    /// A process in order.
    pub(super) async fn start(&self) -> Node {
        let node = self.boot();
        Jobs::new(node.engine.clone(), self.ledger.clone()).recover().await.unwrap();
        node
    }

    fn hosted(&self, number: u128) -> Hosted {
        let partition = Partition {
            id: id(number),
            kind: PartitionKind::Singleton,
            application: application(),
            service: service(),
            manifest_version: "1.0".to_owned(),
            persisted: true,
            default_storage: Some(self.storage()),
        };
        Hosted { partition, source: Source::directory(self.root.path().join(number.to_string())) }
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(super) async fn policy(&self, policy: &str, schedule: Schedule, retention: impl Into<Option<Retention>>) {
        let policy = Policy {
            name: name(policy),
            auto_restore_on_data_loss: false,
            max_incrementals: self.max_incrementals,
            schedule,
            storage: self.storage(),
            friendly_name: None,
            retention: retention.into(),
            compression: None,
            quick_recovery: None,
        };
        assert!(self.ledger.create_policy(&PolicyRecord { policy, changed: self.now() }).await.unwrap());
    }

    /// Replaces a policy by itself.
    pub(super) async fn touch(&self, policy: &str) {
        let now = self.now();
        let change = |record: &mut PolicyRecord| {
            record.changed = now;
            Ok::<(), ()>(())
        };
        self.ledger.update_policy(&name(policy), change).await.unwrap().unwrap().unwrap();
    }

    pub(super) async fn enable(&self, entity: &Entity, policy: &str) {
        assert!(self.ledger.enable(entity, &name(policy), self.now()).await.unwrap());
    }

    fn object(&self, location: &Location, extension: &str) -> PathBuf {
        let base = location.0.strip_suffix(".zip").unwrap().replace('\\', "/");
        self.root.path().join("share").join(base + extension)
    }

    pub(super) fn write(&self, location: &Location, extension: &str, bytes: &[u8]) {
        fs::write(self.object(location, extension), bytes).unwrap();
    }

    /// Whether its data is there.
    pub(super) fn has(&self, location: &Location) -> bool {
        self.object(location, ".zip").exists()
    }

    /// Leaves its data without a commit record.
    pub(super) fn remove_record(&self, location: &Location) {
        fs::remove_file(self.object(location, ".bkmetadata")).unwrap();
    }

    pub(super) async fn record(&self, number: u128) -> PartitionRecord {
        self.ledger.partition(id(number)).await.unwrap().unwrap()
    }

    pub(super) async fn change(&self, number: u128, change: impl FnMut(&mut PartitionRecord)) {
        self.ledger.change_partition(id(number), self.now(), change).await.unwrap();
    }

    /// A restore of a backup that nobody has begun.
    pub(super) async fn ask_restore(&self, number: u128, point: &BackupPoint) {
        let deadline = self.now() + TimeDelta::minutes(10);
        let task = RestoreTask { storage: self.storage(), point: point.clone(), automatic: false };
        let job = RestoreJob::new(self.clock.uuid(), self.now(), deadline, task);
        self.change(number, |record| record.restore = Some(job.clone())).await;
    }
}

impl Node {
    /// Does all that is due now, jobs included, and tells when something may be due again.
    pub(super) async fn settle(&mut self) -> DateTime<Utc> {
        let mut changes = self.ledger.watch();
        loop {
            changes.mark_unchanged();
            let next = self.activate().await;
            for id in self.ledger.busy_partitions().await.unwrap() {
                self.engine.work(id).await.unwrap();
            }
            if !changes.has_changed().unwrap() {
                return next;
            }
        }
    }

    /// Does all that is due, but runs no job.
    pub(super) async fn activate(&mut self) -> DateTime<Utc> {
        let (now, is_eager, [one, two, three]) = (self.clock.now(), self.is_eager, &mut self.alarms);
        let one = one.wake(&mut self.scheduler, now, is_eager).await;
        let two = two.wake(&mut self.retentions, now, is_eager).await;
        one.min(two).min(three.wake(&mut self.cleanups, now, is_eager).await)
    }

    /// Lives until `end`.
    pub(super) async fn live(&mut self, hand: &ManualClock, end: DateTime<Utc>) {
        loop {
            let next = self.settle().await;
            let now = self.clock.now();
            if next > end {
                hand.advance(end - now);
                self.settle().await;
                return;
            }
            assert!(next > now, "something is due at {next} and nobody does it");
            hand.advance(next - now);
        }
    }

    pub(super) async fn stored(&self, world: &World) -> Vec<Found> {
        let scope = Scope::Application(application());
        self.catalog.list(&world.storage(), &scope, &Filter::default()).await.unwrap().items
    }

    pub(super) async fn points(&self, world: &World) -> Vec<BackupPoint> {
        self.stored(world).await.into_iter().map(|found| found.point.unwrap()).collect()
    }

    pub(super) async fn plan(&self, policy: &str) -> Plan {
        let record = self.ledger.policy(&name(policy)).await.unwrap().unwrap();
        self.keeper.plan(&record).await.unwrap()
    }
}

/// The scheduled backup of a partition, if it is there.
pub(super) fn done(record: &PartitionRecord) -> Option<&BackupPoint> {
    match &record.scheduled.as_ref()?.state {
        State::Succeeded(point) => Some(point),
        _ => None,
    }
}
