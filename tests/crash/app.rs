//! The product over one directory, without its HTTP edge, and what must be true of that directory once it is idle.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use fabric_backup::{
    archive::{Archive, Catalog, Keys},
    clock::{Clock, ManualClock},
    domain::{
        ApplicationName, BackupPoint, FileShare, Partition, PartitionId, PartitionKind, PolicyName, ServiceName,
        StorageSpec,
    },
    engine::{Engine, Hosted},
    job::{BackupJob, BackupTask, RestoreJob, State, ToldBackup},
    ledger::{KeyValue, Ledger},
    ops::{BackupRequest, Inventory, Item, Ops, Query, RestoreRequest, Target},
    reconcile::{Reconciler, Rules},
    retention::Keeper,
    source::Source,
    spool::Spools,
    storage::{StoreSettings, Stores},
};
use uuid::Uuid;

use crate::{
    script::{Script, Watched},
    tree::{self, Memory, Tree},
};

pub(crate) const ID: PartitionId = PartitionId(Uuid::from_u128(0x1daa_e3f5));

/// How long each job may take.
const MINUTES: u32 = 10;

/// A job that was asked for may need one look after a crash and one piece of work, not more.
const ACTIVATIONS: usize = 2;

/// Where everything of one node lies.
#[derive(Clone)]
pub(crate) struct Node(pub(crate) PathBuf);

impl Node {
    /// With the first state.
    pub(crate) fn new(root: &Path) -> Self {
        let node = Self(root.to_owned());
        fs::create_dir_all(node.share()).unwrap();
        tree::write_first(&node.state());
        node
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    pub(crate) fn share(&self) -> PathBuf {
        self.0.join("share")
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.0.join("ledger.redb")
    }

    /// What lies beside the state.
    pub(crate) fn beside(&self) -> PathBuf {
        self.0.join(".state.fabric-backup")
    }

    fn storage(&self) -> StorageSpec {
        let path = self.share().to_str().unwrap().to_owned();
        StorageSpec::FileShare(FileShare { path, primary: None, secondary: None })
    }

    fn partition(&self) -> Partition {
        Partition {
            id: ID,
            kind: PartitionKind::Singleton,
            application: ApplicationName::parse("fabric:/App").unwrap(),
            service: ServiceName::parse("fabric:/App/Svc").unwrap(),
            manifest_version: "1.0".to_owned(),
            persisted: true,
            default_storage: Some(self.storage()),
        }
    }
}

/// One life of the process.
pub(crate) struct App {
    pub(crate) node: Node,
    pub(crate) ops: Ops,
    pub(crate) engine: Engine,
    pub(crate) ledger: Ledger,
    catalog: Catalog,
    clock: Clock,
    _hand: ManualClock,
}

impl App {
    /// Opens the node. `life` keeps the ids of a process apart from those of the ones before it.
    pub(crate) fn open(
        node: &Node,
        life: usize,
        now: DateTime<Utc>,
        store: impl KeyValue,
        script: Arc<Script>,
    ) -> Self {
        let (clock, hand) = Clock::manual(now);
        for _ in 0..life * 1000 {
            let _spent = clock.uuid();
        }
        let settings = StoreSettings { share_roots: vec![node.share()], ..StoreSettings::default() };
        let catalog = Catalog::new(Stores::new(settings, clock.clone()).observed(script.clone()));
        let ledger = Ledger::over(Watched { store, script });
        let hosted = Hosted { partition: node.partition(), source: Source::directory(node.state()) };
        let engine = Engine::new(vec![hosted], catalog.clone(), ledger.clone(), clock.clone(), 1);
        let keeper = Keeper::new(catalog.clone(), ledger.clone(), clock.clone());
        let inventory = Inventory::new([], [], [node.partition()]);
        let ops = Ops::new(inventory, catalog.clone(), ledger.clone(), keeper, engine.meters(), clock.clone());
        Self { node: node.clone(), ops, engine, ledger, catalog, clock, _hand: hand }
    }

    /// What a process does when it starts.
    pub(crate) async fn recover(&self) {
        self.reconciler().recover().await.unwrap();
    }

    /// All background work, not begun.
    pub(crate) fn reconciler(&self) -> Reconciler {
        let (engine, catalog) = (self.engine.clone(), self.catalog.clone());
        let keeper = Keeper::new(catalog.clone(), self.ledger.clone(), self.clock.clone());
        Reconciler::new(engine, catalog, keeper, self.ledger.clone(), self.clock.clone(), Rules::default())
    }

    /// Has the engine do what is unfinished, and insists that it comes to an end.
    pub(crate) async fn work_until_idle(&self) {
        for _ in 0..ACTIVATIONS {
            for id in self.ledger.busy_partitions().await.unwrap() {
                self.engine.work(id).await.unwrap();
            }
        }
        let busy = self.ledger.busy_partitions().await.unwrap();
        assert!(busy.is_empty(), "still unfinished: {:?}", self.ledger.partition(ID).await.unwrap());
    }

    pub(crate) async fn ask_backup(&self) {
        self.ops.backup_partition(ID, BackupRequest { minutes: MINUTES, ..BackupRequest::default() }).await.unwrap();
    }

    /// What the scheduler writes when a backup is due.
    pub(crate) async fn ask_scheduled(&self, id: Uuid, now: DateTime<Utc>) {
        let policy = Some(PolicyName::parse("Daily").unwrap());
        let task = BackupTask { policy, ..BackupTask::new(self.node.storage()) };
        let job = BackupJob::new(id, now, now + TimeDelta::minutes(MINUTES.into()), task);
        self.ledger.change_partition(ID, now, |record| record.scheduled = Some(job.clone())).await.unwrap();
    }

    pub(crate) async fn ask_restore(&self, of: &BackupPoint) {
        let request = RestoreRequest { backup: of.id, location: of.location.0.clone(), storage: None };
        self.ops.restore_partition(ID, request, MINUTES, None).await.unwrap();
    }

    pub(crate) async fn backup(&self) -> Option<ToldBackup> {
        self.ops.backup_progress(ID).await.unwrap()
    }

    pub(crate) async fn restore(&self) -> Option<RestoreJob> {
        self.ops.restore_progress(ID).await.unwrap().job
    }

    /// The backup of the latest job, which must have succeeded.
    pub(crate) async fn taken(&self) -> BackupPoint {
        match self.backup().await.unwrap().state {
            State::Succeeded(point) => point,
            state => panic!("no backup: {state:?}"),
        }
    }

    /// The backups that a caller sees, oldest first, each proved to bring back a whole tree.
    pub(crate) async fn listed(&self) -> Vec<(BackupPoint, Tree)> {
        let mut listed = Vec::new();
        for item in self.ops.backups(Target::Partition(ID), Query::default()).await.unwrap().items {
            let Item::Backup(found) = item else { panic!("the store cannot be listed") };
            let point = found.point.unwrap();
            let tree = self.bring_back(&point).await;
            listed.push((point, tree));
        }
        listed
    }

    async fn bring_back(&self, point: &BackupPoint) -> Tree {
        let storage = self.catalog.open(&self.node.storage()).await.unwrap();
        let archive = Archive::open(&storage, &point.location, &Spools::in_memory()).await.unwrap();
        archive.extract(Memory::default(), std::sync::Arc::default()).await.unwrap().tree()
    }

    /// What the store holds beyond the two objects of each listed backup.
    pub(crate) async fn orphans(&self) -> Vec<String> {
        let storage = self.catalog.open(&self.node.storage()).await.unwrap();
        let mut kept = Vec::new();
        for (point, _) in self.listed().await {
            let keys = Keys::of(&point.location).unwrap();
            kept.extend([keys.zip, keys.metadata]);
        }
        let all = storage.list("").await.unwrap();
        all.into_iter().map(|object| object.key).filter(|key| !kept.contains(key)).collect()
    }

    /// The backup job says what is true of the store: listed once if it succeeded, not at all if it did not.
    pub(crate) async fn check_backup(&self) {
        let Some(job) = self.backup().await else { return assert!(self.listed().await.is_empty()) };
        let mine = self.listed().await.into_iter().filter(|(point, _)| point.id == job.id).map(|(point, _)| point);
        let mine: Vec<_> = mine.collect();
        match &job.state {
            State::Succeeded(point) => assert_eq!(mine, std::slice::from_ref(point)),
            State::Failed(why) | State::TimedOut(why) => assert!(mine.is_empty(), "{why:?}, but listed"),
            state => panic!("unfinished: {state:?}"),
        }
        assert_eq!(self.orphans().await, [""; 0]);
    }

    /// The restore job says what is true of the state: `old` is untouched, or `new` is there and `old` its undo point.
    pub(crate) async fn check_restore(&self, old: &Tree, new: &Tree) {
        let swapped = match self.restore().await.map(|job| job.state) {
            Some(State::Succeeded(_)) => true,
            None | Some(State::Failed(_) | State::TimedOut(_)) => false,
            Some(state) => panic!("unfinished: {state:?}"),
        };
        let undo = tree::read(&self.node.beside().join("undo"));
        let nothing = Tree::new();
        let expected = if swapped { (new, old) } else { (old, &nothing) };
        assert!((&tree::read(&self.node.state()), &undo) == expected, "swapped: {swapped}, but the trees say no");
        assert_eq!(self.beside(), if swapped { vec!["restored", "undo"] } else { vec![] });
    }

    fn beside(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.node.beside()) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A directory in memory where there is one, so that the disk's flushes do not set the pace.
pub(crate) fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}
