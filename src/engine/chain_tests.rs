use std::{
    fs,
    os::{fd::OwnedFd, unix::fs::symlink},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use chrono::DateTime;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::tests::{Node, ONE, On, catalog, go, run, storage};
use crate::{
    archive::{Archive, Storage},
    chain::{Conditions, next},
    domain::{BackupPoint, Parent, PolicyName, Wanted, WhyFull},
    job::{BackupJob, BackupTask, RestoreJob, RestoreTask, State},
    ledger::PartitionRecord,
    source::Source,
    spool::Spools,
    storage::faulty::{Call, Moment, Verb, Verdict},
};

fn policy() -> PolicyName {
    PolicyName::parse("Daily").unwrap()
}

/// What the chain wants next, `max` incremental backups being allowed.
pub(super) async fn wanted(node: &Node, max: u8) -> Wanted {
    let Some(record) = node.ledger.partition(ONE).await.unwrap() else { return Wanted::Full(WhyFull::NoBase) };
    let store = node.engine.catalog.identity(&storage(node.root.path())).unwrap();
    let since = DateTime::UNIX_EPOCH;
    let (store, policy, epoch) = (&store, &policy(), record.epoch);
    next(record.tip.as_ref(), &Conditions { max_incrementals: max, store, policy, since, epoch })
}

/// Runs a backup by schedule.
pub(super) async fn backup(node: &Node, wanted: Wanted) -> BackupPoint {
    let State::Succeeded(point) = scheduled(node, wanted).await.scheduled.unwrap().state else { panic!("not taken") };
    point
}

/// What the record says after it ran.
async fn scheduled(node: &Node, wanted: Wanted) -> PartitionRecord {
    let (now, deadline) = node.deadline();
    let task = BackupTask { policy: Some(policy()), wanted, ..BackupTask::new(storage(node.root.path())) };
    let job = BackupJob::new(node.clock.uuid(), now, deadline, task);
    node.change(ONE, |record| record.scheduled = Some(job.clone())).await;
    node.engine.work(ONE).await.unwrap();
    node.ledger.partition(ONE).await.unwrap().unwrap()
}

pub(super) async fn restore(node: &Node, point: &BackupPoint) {
    let ((now, deadline), storage) = (node.deadline(), storage(node.root.path()));
    let task = RestoreTask { storage, point: point.clone(), automatic: false };
    let job = RestoreJob::new(node.clock.uuid(), now, deadline, task);
    node.change(ONE, |record| record.restore = Some(job.clone())).await;
    node.engine.work(ONE).await.unwrap();
    assert!(matches!(node.restore(ONE).await, State::Succeeded(_)), "{:?}", node.restore(ONE).await);
}

async fn store(node: &Node) -> Storage {
    catalog(node.root.path(), &node.clock, go()).open(&storage(node.root.path())).await.unwrap()
}

async fn open(node: &Node, point: &BackupPoint) -> Archive {
    Archive::open(&store(node).await, &point.location, &Spools::in_memory()).await.unwrap()
}

fn write(node: &Node, name: &str, content: &str) {
    fs::write(node.state(ONE).join(name), content).unwrap();
}

fn read(node: &Node, name: &str) -> String {
    fs::read_to_string(node.state(ONE).join(name)).unwrap()
}

#[test]
fn a_chain_is_as_long_as_the_policy_allows_and_every_point_of_it_can_be_restored() {
    let node = Node::new(go(), 1, 1);
    run(async {
        let mut points = Vec::new();
        for n in 0..4 {
            write(&node, "n", &format!("backup {n}"));
            let wanted = wanted(&node, 2).await;
            points.push(backup(&node, wanted).await);
        }
        let tip = node.ledger.partition(ONE).await.unwrap().unwrap().tip.unwrap();
        assert_eq!((tip.backup.id, tip.chain_id, tip.incrementals), (points[3].id, points[3].id, 0));
        let [full, one, two, next] = points.as_slice() else { panic!("{points:?}") };
        assert!(full.is_full() && next.is_full() && next.chain_id == next.id);
        for (point, before) in [(one, full), (two, one)] {
            let parent = Parent { id: before.id, location: before.location.clone() };
            assert_eq!((point.parent.as_ref(), point.chain_id), (Some(&parent), full.id));
        }
        let lsns: Vec<_> = points.iter().map(|point| point.lsn).collect();
        assert!(lsns.is_sorted_by(|a, b| a < b), "{lsns:?}");
        for (n, point) in points.iter().enumerate().rev() {
            restore(&node, point).await;
            assert_eq!((read(&node, "a"), read(&node, "n")), ("first".to_owned(), format!("backup {n}")));
        }
    });
}

#[test]
fn an_incremental_backup_stores_what_is_new_and_counts_in_its_chain() {
    let node = Node::new(go(), 1, 1);
    run(async {
        let full = backup(&node, Wanted::Full(WhyFull::NoBase)).await;
        write(&node, "b", "second");
        let wanted = wanted(&node, 9).await;
        let point = backup(&node, wanted).await;
        let archive = open(&node, &point).await;
        assert_eq!(archive.manifest().members().iter().map(|it| it.id).collect::<Vec<_>>(), [full.id]);
        assert_eq!((archive.content().files, archive.content().plain_bytes), (2, 11));
        assert!(archive.content().stored_bytes < 20);
        assert_eq!(node.ledger.partition(ONE).await.unwrap().unwrap().tip.unwrap().incrementals, 1);
    });
}

/// Tells whether a file was opened.
struct Watch(OwnedFd);

impl Watch {
    fn on(file: &Path) -> Self {
        let watch = inotify::init(CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&watch, file, WatchFlags::OPEN).unwrap();
        Self(watch)
    }

    /// Since it was asked last.
    fn was_opened(&self) -> bool {
        rustix::io::read(&self.0, &mut [0; 4096]).is_ok()
    }
}

#[test]
fn a_file_that_did_not_change_is_not_opened_unless_the_source_says_so() {
    for always_read in [false, true] {
        let mut node = Node::new(go(), 1, 1);
        node.host(Source::directory(node.state(ONE)).always_read(always_read));
        run(async {
            let watch = Watch::on(&node.state(ONE).join("a"));
            backup(&node, Wanted::Full(WhyFull::NoBase)).await;
            assert!(watch.was_opened());
            write(&node, "b", "new");
            for _ in 0..2 {
                let wanted = wanted(&node, 9).await;
                backup(&node, wanted).await;
                assert_eq!(watch.was_opened(), always_read);
            }
            write(&node, "a", "changed");
            assert!(watch.was_opened());
            let wanted = wanted(&node, 9).await;
            let point = backup(&node, wanted).await;
            assert!(watch.was_opened() && open(&node, &point).await.content().stored_bytes < 20);
        });
    }
}

/// A node whose state has a link, and how many uploads were begun. When the second one is, this is done to the state: a
/// snapshot of it is taken then, and nothing of it is packed yet.
fn meddled(change: fn(&Path)) -> (Node, Arc<AtomicUsize>) {
    let (uploads, state) = (Arc::new(AtomicUsize::new(0)), Arc::new(OnceLock::<PathBuf>::new()));
    let (count, place) = (uploads.clone(), state.clone());
    let observer = On(move |call: &Call, moment| {
        let is_upload = (call.verb, moment) == (Verb::Create, Moment::Before);
        if is_upload && count.fetch_add(1, Ordering::SeqCst) == 1 {
            change(place.get().unwrap());
        }
        Verdict::Go
    });
    let node = Node::new(Arc::new(observer), 1, 1);
    symlink("a", node.state(ONE).join("link")).unwrap();
    state.set(node.state(ONE)).unwrap();
    (node, uploads)
}

#[test]
fn what_changes_before_a_backup_that_opens_no_file_has_looked_again_makes_it_look_anew() {
    let changes: [fn(&Path); 6] = [
        |state| fs::write(state.join("a"), "other").unwrap(),
        |state| fs::write(state.join("added"), "").unwrap(),
        |state| fs::create_dir(state.join("made")).unwrap(),
        |state| fs::remove_file(state.join("link")).unwrap(),
        |state| {
            fs::remove_file(state.join("link")).unwrap();
            symlink("b", state.join("link")).unwrap();
        },
        |state| {
            fs::rename(state, state.with_extension("moved")).unwrap();
            fs::create_dir(state).unwrap();
            fs::write(state.join("a"), "of another").unwrap();
        },
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let (node, uploads) = meddled(change);
        run(async {
            backup(&node, Wanted::Full(WhyFull::NoBase)).await;
            let wanted = wanted(&node, 9).await;
            let point = backup(&node, wanted).await;
            assert_eq!(uploads.load(Ordering::SeqCst), 3, "change {n}");
            let now = Source::directory(node.state(ONE)).snapshot().unwrap();
            let compared = open(&node, &point).await.compare(now.walk()).unwrap();
            assert!(compared.findings.is_empty(), "change {n}: {:?}", compared.findings);
        });
    }
}

#[test]
fn a_state_that_goes_away_before_a_backup_by_schedule_has_looked_again_is_a_loss() {
    let (node, _) = meddled(|state| fs::rename(state, state.with_extension("moved")).unwrap());
    run(async {
        backup(&node, Wanted::Full(WhyFull::NoBase)).await;
        let wanted = wanted(&node, 9).await;
        let record = scheduled(&node, wanted).await;
        assert!(!matches!(record.scheduled.unwrap().state, State::Succeeded(_)));
        assert!(record.data_loss.unwrap().found.starts_with("the state is gone"));
    });
}

#[test]
fn what_cannot_be_continued_is_followed_by_a_full_backup() {
    for spoil in ["no record", "no zip", "a short zip", "another id"] {
        let node = Node::new(go(), 1, 1);
        run(async {
            let full = backup(&node, Wanted::Full(WhyFull::NoBase)).await;
            let mut parent = Parent { id: full.id, location: full.location.clone() };
            let zip = node.share().join(full.location.0.replace('\\', "/"));
            match spoil {
                "no record" => fs::remove_file(zip.with_extension("bkmetadata")).unwrap(),
                "no zip" => fs::remove_file(zip).unwrap(),
                "a short zip" => fs::write(zip, "short").unwrap(),
                _ => parent.id = node.clock.uuid(),
            }
            let next = backup(&node, Wanted::Incremental(parent)).await;
            assert!(next.is_full() && next.chain_id == next.id, "{spoil}");
            let tip = node.ledger.partition(ONE).await.unwrap().unwrap().tip.unwrap();
            assert_eq!((tip.chain_id, tip.incrementals), (next.id, 0), "{spoil}");
            restore(&node, &next).await;
        });
    }
}

#[test]
fn a_chain_whose_length_nobody_knows_is_not_continued() {
    let node = Node::new(go(), 1, 1);
    run(async {
        let full = backup(&node, Wanted::Full(WhyFull::NoBase)).await;
        backup(&node, Wanted::Full(WhyFull::NoBase)).await;
        let parent = Parent { id: full.id, location: full.location };
        let point = backup(&node, Wanted::Incremental(parent)).await;
        assert_eq!(point.chain_id, full.id);
        assert_eq!(node.ledger.partition(ONE).await.unwrap().unwrap().tip, None);
    });
}
