use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;
use tokio::{runtime::Builder, sync::Semaphore, time::timeout};
use uuid::Uuid;

use super::{Engine, HUNG, Hosted, bounds::Run, end::End, slots::LONG};
use crate::{
    archive::Catalog,
    clock::{Clock, ManualClock},
    domain::{
        ApplicationName, BackupPoint, EntryKind, Failure, FailureCode, FileShare, Partition, PartitionId,
        PartitionKind, ServiceName, StorageSpec,
    },
    job::{BackupJob, BackupTask, RestoreJob, RestoreTask, Restored, State},
    ledger::{Embedded, KeyValue, Ledger, PartitionRecord},
    source::{Source, killed_after},
    storage::{
        ErrorKind, StoreSettings, Stores,
        faulty::{Call, Moment, Observer, Verb, Verdict},
    },
};

pub(crate) const ONE: PartitionId = PartitionId(Uuid::from_u128(1));
pub(crate) const TWO: PartitionId = PartitionId(Uuid::from_u128(2));
const MINUTES: i64 = 10;
pub(crate) const NOTHING: [PathBuf; 0] = [];

/// Lets a closure say what becomes of each call of the store.
pub(crate) struct On<F>(pub(crate) F);

impl<F: Fn(&Call, Moment) -> Verdict + Send + Sync> Observer for On<F> {
    fn observe(&self, call: &Call, moment: Moment) -> Verdict {
        (self.0)(call, moment)
    }
}

pub(crate) fn go() -> Arc<dyn Observer> {
    Arc::new(On(|_: &Call, _| Verdict::Go))
}

/// Hangs at the first call of a kind and tells who waits for it.
pub(crate) fn hang_at(verb: Verb, key_end: &'static str) -> (Arc<dyn Observer>, Arc<Semaphore>) {
    let hung = Arc::new(Semaphore::new(0));
    let tell = hung.clone();
    let observer = On(move |call: &Call, moment| {
        if call.verb == verb && moment == Moment::Before && call.key.ends_with(key_end) {
            tell.add_permits(1);
            return Verdict::Hang;
        }
        Verdict::Go
    });
    (Arc::new(observer), hung)
}

/// Some partitions, each a directory, and one store for all.
pub(crate) struct Node {
    pub(crate) root: TempDir,
    hand: ManualClock,
    pub(crate) clock: Clock,
    pub(crate) ledger: Ledger,
    pub(crate) engine: Engine,
}

impl Node {
    pub(crate) fn new(observer: Arc<dyn Observer>, partitions: u128, slots: usize) -> Self {
        Self::over(Embedded::in_memory().unwrap(), observer, partitions, slots)
    }

    pub(crate) fn over(store: impl KeyValue, observer: Arc<dyn Observer>, partitions: u128, slots: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("share")).unwrap();
        let (clock, hand) = Clock::manual(DateTime::UNIX_EPOCH);
        let ledger = Ledger::over(store);
        let catalog = catalog(root.path(), &clock, observer);
        let hosted = (1..=partitions).map(|id| hosted(root.path(), PartitionId(Uuid::from_u128(id)))).collect();
        let engine = Engine::new(hosted, catalog, ledger.clone(), clock.clone(), slots);
        Self { root, hand, clock, ledger, engine }
    }

    /// Hosts the first partition from another source, and no other.
    pub(crate) fn host(&mut self, source: Source) {
        let hosted = Hosted { source, ..hosted(self.root.path(), ONE) };
        let catalog = catalog(self.root.path(), &self.clock, go());
        self.engine = Engine::new(vec![hosted], catalog, self.ledger.clone(), self.clock.clone(), 1);
    }

    /// The next process over the same ledger, store and states.
    pub(crate) fn reborn(&self) -> Engine {
        let hosted = [ONE, TWO].map(|id| hosted(self.root.path(), id));
        let catalog = catalog(self.root.path(), &self.clock, go());
        Engine::new(hosted.into(), catalog, self.ledger.clone(), self.clock.clone(), 1)
    }

    pub(crate) fn state(&self, id: PartitionId) -> PathBuf {
        state(self.root.path(), id)
    }

    pub(crate) fn share(&self) -> PathBuf {
        self.root.path().join("share")
    }

    pub(crate) async fn change(&self, id: PartitionId, change: impl FnMut(&mut PartitionRecord)) {
        self.ledger.change_partition(id, self.clock.now(), change).await.unwrap();
    }

    pub(crate) fn deadline(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        (self.clock.now(), self.clock.now() + TimeDelta::minutes(MINUTES))
    }

    pub(crate) async fn ask_backup(&self, id: PartitionId) {
        let ((now, deadline), storage) = (self.deadline(), storage(self.root.path()));
        let job = BackupJob::new(self.clock.uuid(), now, deadline, BackupTask::new(storage));
        self.change(id, |record| record.backup = Some(job.clone())).await;
    }

    /// Asks to restore the last backup of `from`. Answers the job's id.
    pub(crate) async fn ask_restore(&self, from: PartitionId, to: PartitionId) -> Uuid {
        let State::Succeeded(done) = self.backup(from).await else { panic!("no backup to restore") };
        let ((now, deadline), storage) = (self.deadline(), storage(self.root.path()));
        let task = RestoreTask { storage, point: done, automatic: false };
        let job = RestoreJob::new(self.clock.uuid(), now, deadline, task);
        self.change(to, |record| record.restore = Some(job.clone())).await;
        job.id
    }

    pub(crate) async fn backup(&self, id: PartitionId) -> State<BackupPoint> {
        self.ledger.partition(id).await.unwrap().unwrap().backup.unwrap().state
    }

    pub(crate) async fn restore(&self, id: PartitionId) -> State<Restored> {
        self.ledger.partition(id).await.unwrap().unwrap().restore.unwrap().state
    }

    pub(crate) fn time_passes(&self) {
        self.move_on(TimeDelta::minutes(MINUTES));
    }

    pub(crate) fn move_on(&self, by: TimeDelta) {
        self.hand.advance(by);
    }

    /// Every file below the share, unfinished ones included.
    pub(crate) fn stored(&self) -> Vec<PathBuf> {
        files(&self.share())
    }
}

fn state(root: &Path, id: PartitionId) -> PathBuf {
    root.join(format!("state{}", id.0.as_u128()))
}

fn hosted(root: &Path, id: PartitionId) -> Hosted {
    let state = state(root, id);
    if !state.exists() {
        fs::create_dir(&state).unwrap();
        fs::write(state.join("a"), "first").unwrap();
    }
    let partition = Partition {
        id,
        kind: PartitionKind::Singleton,
        application: ApplicationName::parse("fabric:/App").unwrap(),
        service: ServiceName::parse("fabric:/App/Svc").unwrap(),
        manifest_version: "1.0".to_owned(),
        persisted: true,
        default_storage: None,
    };
    Hosted { partition, source: Source::directory(state) }
}

pub(crate) fn storage(root: &Path) -> StorageSpec {
    let path = root.join("share").to_str().unwrap().to_owned();
    StorageSpec::FileShare(FileShare { path, primary: None, secondary: None })
}

pub(crate) fn catalog(root: &Path, clock: &Clock, observer: Arc<dyn Observer>) -> Catalog {
    let settings = StoreSettings { share_roots: vec![root.join("share")], ..StoreSettings::default() };
    Catalog::new(Stores::new(settings, clock.clone()).observed(observer))
}

pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        found.extend(if path.is_dir() { files(&path) } else { vec![path] });
    }
    found
}

/// Drives `work`, then waits for every thread it left behind, without sleeping.
pub(crate) fn run<R>(work: impl Future<Output = R>) -> R {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(work);
    drop(runtime);
    result
}

#[track_caller]
fn timed_out<O: std::fmt::Debug>(state: State<O>, words: &str) {
    let State::TimedOut(Failure { code: FailureCode::Timeout, message }) = state else { panic!("{state:?}") };
    assert!(message.contains("10 minutes") && message.contains(words), "{message}");
}

/// Runs the partition's job until the store hangs, lets its time pass, and waits for its end.
async fn expire(node: &Node, hung: &Semaphore, id: PartitionId) {
    let engine = node.engine.clone();
    let job = tokio::spawn(async move { engine.work(id).await });
    hung.acquire().await.unwrap().forget();
    node.time_passes();
    job.await.unwrap().unwrap();
}

#[test]
fn a_backup_whose_time_passes_while_its_store_hangs_times_out_and_leaves_nothing() {
    for (verb, key_end) in [(Verb::Size, ".zip"), (Verb::Create, ".zip"), (Verb::Part, ".zip"), (Verb::Finish, ".zip")]
    {
        let (observer, hung) = hang_at(verb, key_end);
        let node = Node::new(observer, 1, 1);
        run(async {
            node.ask_backup(ONE).await;
            expire(&node, &hung, ONE).await;
            timed_out(node.backup(ONE).await, "BackupTimeout");
        });
        assert_eq!(node.stored(), NOTHING, "{verb:?}");
    }
}

/// Its first part never arrives, which it tells; then it waits for the store.
struct Away {
    hung: Semaphore,
    waits: AtomicBool,
}

impl Observer for Away {
    fn observe(&self, call: &Call, moment: Moment) -> Verdict {
        if (call.verb, moment) != (Verb::Part, Moment::Before) || self.waits.swap(true, Ordering::SeqCst) {
            return Verdict::Go;
        }
        self.hung.add_permits(1);
        Verdict::Hang
    }

    fn waits(&self) -> Option<ErrorKind> {
        self.waits.load(Ordering::SeqCst).then_some(ErrorKind::Unreachable)
    }
}

#[test]
fn a_backup_that_can_only_wait_for_its_store_is_in_the_way_of_no_other_and_says_so_at_its_end() {
    let away = Arc::new(Away { hung: Semaphore::new(0), waits: AtomicBool::new(false) });
    let node = Node::new(away.clone(), 2, 1);
    run(async {
        node.ask_backup(ONE).await;
        let engine = node.engine.clone();
        let first = tokio::spawn(async move { engine.work(ONE).await });
        away.hung.acquire().await.unwrap().forget();
        tokio::time::pause();
        tokio::time::advance(LONG * 2).await;
        tokio::time::resume();
        node.ask_backup(TWO).await;
        timeout(HUNG, node.engine.work(TWO)).await.expect("it waits for the slot").unwrap();
        assert!(matches!(node.backup(TWO).await, State::Succeeded(_)));
        assert_eq!(node.backup(ONE).await, State::Running);
        node.time_passes();
        first.await.unwrap().unwrap();
        timed_out(node.backup(ONE).await, "the store was waited for");
    });
}

#[test]
fn what_work_waits_for_at_its_deadline_is_asked_before_the_work_is_dropped() {
    let node = Node::new(go(), 1, 1);
    let held = Arc::new(());
    let mine = held.clone();
    let work = async move {
        std::future::pending::<()>().await;
        drop(mine);
        Ok::<(), End>(())
    };
    let waits = || (Arc::strong_count(&held) == 2).then(|| "away".to_owned());
    let run_of = Run { partition: ONE, job: Uuid::nil(), deadline: node.clock.now() };
    let end = run(node.engine.within_or_tell(run_of, waits, work));
    assert!(matches!(end, Err(End::Expired(Some(why))) if why == "away"));
}

#[test]
fn a_restore_whose_time_passes_while_its_store_hangs_times_out_and_leaves_the_state_alone() {
    for (verb, key_end) in [(Verb::GetRange, ".bkmetadata"), (Verb::Size, ".zip"), (Verb::GetRange, ".zip")] {
        let armed = Arc::new(AtomicBool::new(false));
        let (inner, hung) = hang_at(verb, key_end);
        let when = armed.clone();
        let observer = On(
            move |call: &Call, moment| {
                if when.load(Ordering::SeqCst) { inner.observe(call, moment) } else { Verdict::Go }
            },
        );
        let node = Node::new(Arc::new(observer), 1, 1);
        run(async {
            node.ask_backup(ONE).await;
            node.engine.work(ONE).await.unwrap();
            fs::write(node.state(ONE).join("a"), "second").unwrap();
            node.ask_restore(ONE, ONE).await;
            armed.store(true, Ordering::SeqCst);
            expire(&node, &hung, ONE).await;
            timed_out(node.restore(ONE).await, "RestoreTimeout");
        });
        assert_eq!(fs::read_to_string(node.state(ONE).join("a")).unwrap(), "second");
        assert_eq!(files(&node.root.path().join(".state1.fabric-backup")), NOTHING, "{verb:?} {key_end}");
    }
}

#[test]
fn no_more_jobs_run_than_there_are_slots_and_waiting_for_one_counts_against_the_deadline() {
    let (observer, hung) = hang_at(Verb::Create, ".zip");
    let node = Node::new(observer, 4, 2);
    let all = (1..=4).map(|id| PartitionId(Uuid::from_u128(id)));
    run(async {
        for id in all.clone() {
            node.ask_backup(id).await;
        }
        let jobs: Vec<_> = all.clone().map(|id| (node.engine.clone(), id)).collect();
        let jobs = jobs.into_iter().map(|(engine, id)| tokio::spawn(async move { engine.work(id).await }));
        let jobs: Vec<_> = jobs.collect();
        hung.acquire_many(2).await.unwrap().forget();
        let mut begun = 0;
        for id in all.clone() {
            begun += usize::from(node.backup(id).await == State::Running);
        }
        assert_eq!(begun, 2, "jobs that run, with two slots");
        node.time_passes();
        for job in jobs {
            job.await.unwrap().unwrap();
        }
        for id in all {
            timed_out(node.backup(id).await, "BackupTimeout");
        }
    });
    assert_eq!(hung.available_permits(), 0, "a third job came to the store while two had the slots");
}

/// Writes to a file that was read already, when the store takes its first piece, in so many uploads.
fn meddle(times: usize) -> (Arc<dyn Observer>, Arc<std::sync::OnceLock<PathBuf>>) {
    let file = Arc::new(std::sync::OnceLock::<PathBuf>::new());
    let (path, uploads, pieces) = (file.clone(), AtomicUsize::new(0), AtomicUsize::new(0));
    let observer = On(move |call: &Call, moment| {
        match (call.verb, moment) {
            (Verb::Create, Moment::Before) => {
                uploads.fetch_add(1, Ordering::SeqCst);
                pieces.store(0, Ordering::SeqCst);
            }
            (Verb::Part, Moment::Before) => {
                let upload = uploads.load(Ordering::SeqCst);
                if pieces.fetch_add(1, Ordering::SeqCst) == 0 && upload <= times {
                    fs::write(path.get().unwrap(), format!("written in upload {upload}")).unwrap();
                }
            }
            _ => {}
        }
        Verdict::Go
    });
    (Arc::new(observer), file)
}

/// So many pieces that the first is with the store before the packer can be done: it waits with the third.
pub(crate) const PIECES: usize = 4;

pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    });
    words.take(len / 8).flatten().collect()
}

#[test]
fn a_state_that_changes_under_every_reader_fails_the_backup_and_names_the_file() {
    let (observer, file) = meddle(usize::MAX);
    let node = Node::new(observer, 1, 1);
    file.set(node.state(ONE).join("a")).unwrap();
    fs::write(node.state(ONE).join("b"), noise(PIECES << 23)).unwrap();
    run(async {
        node.ask_backup(ONE).await;
        node.engine.work(ONE).await.unwrap();
        let State::Failed(why) = node.backup(ONE).await else { panic!("not failed") };
        assert!(why.message.contains("'a' changed"), "{}", why.message);
    });
    assert_eq!(fs::read_to_string(file.get().unwrap()).unwrap(), "written in upload 3");
    assert_eq!(node.stored(), NOTHING);
}

#[test]
fn a_state_that_changes_once_is_read_anew_and_backed_up_as_it_then_is() {
    let (observer, file) = meddle(1);
    let node = Node::new(observer, 2, 1);
    file.set(node.state(ONE).join("a")).unwrap();
    fs::write(node.state(ONE).join("b"), noise(PIECES << 23)).unwrap();
    run(async {
        node.ask_backup(ONE).await;
        node.engine.work(ONE).await.unwrap();
        node.ask_restore(ONE, TWO).await;
        node.engine.work(TWO).await.unwrap();
        assert!(matches!(node.restore(TWO).await, State::Succeeded(_)));
    });
    assert_eq!(fs::read_to_string(node.state(TWO).join("a")).unwrap(), "written in upload 1");
    assert!(fs::read(node.state(TWO).join("b")).unwrap() == noise(PIECES << 23));
}

/// What a restore does on the disk, up to `sealed`, which is when its ledger says that it commits.
fn swap_in(from: &Source, to: &Source, job: Uuid, sealed: &mut bool) -> Option<()> {
    let snapshot = from.snapshot().unwrap();
    let mut staging = to.stage(job).ok()?;
    for entry in snapshot.walk().map(Result::unwrap) {
        match entry.kind {
            EntryKind::File { .. } => {
                let mut bytes = Vec::new();
                snapshot.open(&entry).unwrap().read_to_end(&mut bytes).unwrap();
                let file = staging.file(&entry).ok()?;
                file.write_at(0, &bytes).ok()?;
                file.finish().ok()?;
            }
            _ => staging.directory(&entry).ok()?,
        }
    }
    for entry in snapshot.walk().map(Result::unwrap).filter(|entry| entry.kind == EntryKind::Directory) {
        staging.complete(&entry).ok()?;
    }
    let tree = staging.seal().ok()?;
    *sealed = true;
    tree.swap().ok()
}

/// A process is killed before each change on disk of a restore; the next one ends the job.
#[test]
fn a_restore_killed_at_any_change_on_disk_succeeds_once_and_keeps_the_state_before_it() {
    for steps in 0.. {
        let node = Node::new(go(), 2, 1);
        let killed = run(async {
            node.ask_backup(ONE).await;
            node.engine.work(ONE).await.unwrap();
            fs::write(node.state(TWO).join("a"), "of the partition's owner").unwrap();
            let job = node.ask_restore(ONE, TWO).await;
            let [from, to] = [ONE, TWO].map(|id| Source::directory(node.state(id)));
            let mut sealed = false;
            let killed = killed_after(steps, || {
                let _ = swap_in(&from, &to, job, &mut sealed);
            });
            let died_as = if sealed { State::Committing } else { State::Running };
            node.change(TWO, |record| record.restore.as_mut().unwrap().state = died_as.clone()).await;
            let next = node.reborn();
            next.recover(TWO).await.unwrap();
            next.work(TWO).await.unwrap();
            assert!(matches!(node.restore(TWO).await, State::Succeeded(_)), "killed after {steps} steps");
            killed
        });
        let undo = node.root.path().join(".state2.fabric-backup/undo/a");
        assert_eq!(fs::read_to_string(node.state(TWO).join("a")).unwrap(), "first", "{steps}");
        assert_eq!(fs::read_to_string(undo).unwrap(), "of the partition's owner", "{steps}");
        if !killed {
            assert!(steps > 10, "a restore has more steps than {steps}");
            return;
        }
    }
}
