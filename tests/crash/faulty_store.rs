//! A store that fails at each moment of a job, before or after it did what it was asked, in each way it can.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use chrono::DateTime;
use fabric_backup::{
    domain::{BackupPoint, FailureCode},
    job::{State, ToldBackup},
    ledger::Embedded,
    storage::{ErrorKind, faulty::Verdict},
};

use crate::{
    app::{App, Node, directory},
    script::Script,
    tree,
};

const KINDS: [ErrorKind; 7] = [
    ErrorKind::NotFound,
    ErrorKind::AlreadyExists,
    ErrorKind::AccessDenied,
    ErrorKind::Unreachable,
    ErrorKind::Full,
    ErrorKind::Invalid,
    ErrorKind::Other,
];

/// How a store lets a job down: at which of its moments, and how.
type Faults = Vec<(usize, ErrorKind)>;

/// Fails the store at the given moments. The ledger's moments are not the store's and not counted.
fn failing(faults: &Faults) -> Arc<Script> {
    let faults = faults.clone();
    let store = AtomicUsize::new(0);
    Script::new(move |_, name| {
        if name.ends_with("ledger") {
            return Verdict::Go;
        }
        let nth = store.fetch_add(1, Ordering::SeqCst) + 1;
        let fault = faults.iter().find(|(at, _)| *at == nth);
        fault.map_or(Verdict::Go, |(_, kind)| Verdict::Fail(*kind))
    })
}

fn store_moments(script: &Script) -> Vec<String> {
    script.moments().into_iter().filter(|name| !name.ends_with("ledger")).collect()
}

fn open(node: &Node, life: usize, script: Arc<Script>) -> App {
    App::open(node, life, DateTime::UNIX_EPOCH, Embedded::in_memory().unwrap(), script)
}

async fn back_up(app: &App) -> ToldBackup {
    app.ask_backup().await;
    app.work_until_idle().await;
    app.backup().await.unwrap()
}

/// A backup while the store fails. Answers the store's moments; insists that each fault happened.
async fn backup_with(faults: &Faults, check: impl AsyncFn(&App, &ToldBackup)) -> Vec<String> {
    let root = directory();
    let node = Node::new(root.path());
    let script = failing(faults);
    let job = back_up(&open(&node, 0, script.clone())).await;
    let moments = store_moments(&script);
    assert!(faults.iter().all(|(at, _)| *at <= moments.len()), "{faults:?} did not happen: {moments:#?}");
    check(&open(&node, 1, Script::silent()), &job).await;
    moments
}

/// The job has an end, and one without a backup says which store or which name in it was the reason.
fn check_words(job: &ToldBackup, node: &Node) {
    let place = [node.share().to_str().unwrap().to_owned(), "\\1970-01-01 00.00.00.zip".to_owned()];
    match &job.state {
        State::Succeeded(_) => {}
        State::Failed(why) => {
            assert!(place.iter().any(|place| why.message.contains(place)), "which store? {}", why.message);
        }
        state => panic!("not ended: {state:?}"),
    }
}

/// What is seen in the store by somebody who has only the store.
async fn check_store(app: &App, job: &ToldBackup) {
    let listed: Vec<BackupPoint> = app.listed().await.into_iter().map(|(point, _)| point).collect();
    match &job.state {
        State::Succeeded(point) => assert_eq!(listed, std::slice::from_ref(point)),
        _ => assert_eq!(listed, []),
    }
    assert_eq!(app.orphans().await, [""; 0]);
}

#[tokio::test]
async fn a_store_that_fails_once_anywhere_ends_the_backup_with_words_and_leaves_nothing() {
    for (at, moment) in (1..).zip(backup_with(&vec![], check_store).await) {
        for kind in KINDS {
            // A store that says so of its own write breaks its promise: this word must mean somebody else.
            if kind == ErrorKind::AlreadyExists && moment == "After Finish zip" {
                continue;
            }
            let faults = vec![(at, kind)];
            let check = async |app: &App, job: &ToldBackup| {
                println!("{faults:?}: {:?}", job.state);
                check_words(job, &app.node);
                check_store(app, job).await;
            };
            backup_with(&faults, check).await;
        }
    }
}

/// Between the write of the metadata and the end of the job, two faults can hide the truth from everybody. Even then
/// nothing is listed that cannot be brought back.
#[tokio::test(start_paused = true)]
async fn a_store_that_fails_twice_around_the_commit_never_lists_what_it_cannot_bring_back() {
    let whole = backup_with(&vec![], check_store).await;
    let put = whole.iter().position(|name| name == "Before PutNew bkmetadata").unwrap() + 1;
    for first in [put, put + 1] {
        for kind in [ErrorKind::AlreadyExists, ErrorKind::Unreachable] {
            let count = backup_with(&vec![(first, kind)], async |_, _| {}).await.len();
            for second in first + 1..=count {
                for then in [ErrorKind::NotFound, ErrorKind::Unreachable] {
                    let faults = vec![(first, kind), (second, then)];
                    let check = async |app: &App, job: &ToldBackup| {
                        println!("{faults:?}: {:?}", job.state);
                        check_words(job, &app.node);
                        let listed = app.listed().await;
                        assert!(!matches!(job.state, State::Succeeded(_)) || listed.len() == 1);
                    };
                    backup_with(&faults, check).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_recognised_as_done() {
    let whole = backup_with(&vec![], check_store).await;
    let after = whole.iter().position(|name| name == "After PutNew bkmetadata").unwrap() + 1;
    let check = async |app: &App, job: &ToldBackup| {
        assert!(matches!(job.state, State::Succeeded(_)), "{:?}", job.state);
        check_store(app, job).await;
    };
    backup_with(&vec![(after, ErrorKind::Unreachable)], check).await;
}

/// Takes a backup, changes the state, and restores while the store fails. Answers how many moments the restore has.
async fn restore_with(fault: Option<(usize, ErrorKind)>) -> usize {
    let root = directory();
    let node = Node::new(root.path());
    let first = tree::read(&node.state());
    let ToldBackup { state: State::Succeeded(taken), .. } = back_up(&open(&node, 0, Script::silent())).await else {
        panic!("no backup")
    };
    tree::write_second(&node.state());
    let second = tree::read(&node.state());
    // The first moments are the trigger's own looks at metadata and zip, which answer the caller at once.
    let script = failing(&fault.map(|(at, kind)| (at + 4, kind)).into_iter().collect());
    let app = open(&node, 1, script.clone());
    app.ask_restore(&taken).await;
    app.work_until_idle().await;
    let moments = store_moments(&script).len() - 4;
    app.check_restore(&second, &first).await;
    match (fault, app.restore().await.unwrap().state) {
        (None, State::Succeeded(_)) => {}
        (Some((at, kind)), State::Failed(why)) => {
            assert!(at <= moments, "moment {at} did not come");
            let place = [node.share().to_str().unwrap().to_owned(), taken.location.0];
            assert!(place.iter().any(|place| why.message.contains(place)), "which store? {}", why.message);
            assert_eq!(why.code == FailureCode::AccessDenied, kind == ErrorKind::AccessDenied, "{why:?}");
        }
        (fault, state) => panic!("{fault:?}: {state:?}"),
    }
    moments
}

#[tokio::test]
async fn a_store_that_fails_once_anywhere_ends_the_restore_with_words_and_leaves_the_state_alone() {
    for at in 1..=restore_with(None).await {
        for kind in KINDS {
            restore_with(Some((at, kind))).await;
        }
    }
}

#[tokio::test]
async fn a_store_that_is_gone_is_named_when_a_backup_fails() {
    let root = directory();
    let node = Node::new(root.path());
    fs::remove_dir(node.share()).unwrap();
    let job = back_up(&open(&node, 0, Script::silent())).await;
    assert!(matches!(job.state, State::Failed(_)), "{:?}", job.state);
    check_words(&job, &node);
}
