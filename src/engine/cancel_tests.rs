use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, Semaphore},
    time::{Instant, timeout},
};

use uuid::Uuid;

use super::{
    answered,
    bounds::Run,
    tests::{NOTHING, Node, ONE, On, TWO, files, go, hang_at, run, storage},
};
use crate::{
    domain::{Failure, FailureCode, PartitionId},
    job::State,
    ledger::PartitionRecord,
    source::Source,
    storage::faulty::{Call, Moment, Observer, Verb, Verdict},
};

/// What the contract allows.
const SOON: Duration = Duration::from_secs(5);

#[track_caller]
fn aborted<O: std::fmt::Debug>(state: State<O>) -> String {
    let State::Failed(Failure { code: FailureCode::Aborted, message }) = state else { panic!("{state:?}") };
    assert!(message.starts_with("cancelled"), "{message}");
    message
}

fn cancel_backup(record: &mut PartitionRecord) {
    record.backup.as_mut().unwrap().cancelled = true;
}

fn cancel_restore(record: &mut PartitionRecord) {
    record.restore.as_mut().unwrap().cancelled = true;
}

/// Runs the partition's jobs until the store hangs, cancels, and insists on their end in time.
async fn cancel_at(node: &Node, hung: &Semaphore, id: PartitionId, cancel: fn(&mut PartitionRecord)) {
    let engine = node.engine.clone();
    let job = tokio::spawn(async move { engine.work(id).await });
    hung.acquire().await.unwrap().forget();
    node.change(id, cancel).await;
    timeout(SOON, job).await.expect("the job did not end in time").unwrap().unwrap();
}

/// Hangs from the moment on after some call was done.
fn hang_after(verb: Verb, key_end: &'static str) -> (Arc<dyn Observer>, Arc<Semaphore>) {
    let hung = Arc::new(Semaphore::new(0));
    let tell = hung.clone();
    let observer = On(move |call: &Call, moment| {
        if call.verb == verb && moment == Moment::After && call.key.ends_with(key_end) {
            tell.add_permits(1);
            return Verdict::Hang;
        }
        Verdict::Go
    });
    (Arc::new(observer), hung)
}

#[test]
fn a_backup_that_is_cancelled_at_any_stage_ends_in_time_and_leaves_nothing() {
    let before = [(Verb::Size, ".zip"), (Verb::Create, ".zip"), (Verb::Part, ".zip"), (Verb::Finish, ".zip")];
    let before = before.map(|(verb, end)| (hang_at(verb, end), verb));
    let after = [Verb::Create, Verb::Finish].map(|verb| (hang_after(verb, ".zip"), verb));
    let committing =
        [(hang_at(Verb::PutNew, ".bkmetadata"), Verb::PutNew), (hang_after(Verb::PutNew, ".bkmetadata"), Verb::PutNew)];
    for ((observer, hung), verb) in before.into_iter().chain(after).chain(committing) {
        let node = Node::new(observer, 1, 1);
        run(async {
            node.ask_backup(ONE).await;
            cancel_at(&node, &hung, ONE, cancel_backup).await;
            assert!(!aborted(node.backup(ONE).await).contains("left"), "{verb:?}");
        });
        assert_eq!(node.stored(), NOTHING, "{verb:?}");
    }
}

#[test]
fn a_backup_that_is_cancelled_while_its_store_answers_nothing_any_more_says_what_may_be_left() {
    let dead = Arc::new(AtomicBool::new(false));
    let hung = Arc::new(Semaphore::new(0));
    let (dies, tell) = (dead.clone(), hung.clone());
    let observer = On(move |call: &Call, moment| {
        let commits = call.verb == Verb::PutNew && moment == Moment::After;
        if commits {
            dies.store(true, Ordering::SeqCst);
            tell.add_permits(1);
        }
        if dies.load(Ordering::SeqCst) { Verdict::Hang } else { Verdict::Go }
    });
    let node = Node::new(Arc::new(observer), 1, 1);
    run(async {
        node.ask_backup(ONE).await;
        cancel_at(&node, &hung, ONE, cancel_backup).await;
        let message = aborted(node.backup(ONE).await);
        let share = node.share().display().to_string();
        assert!(message.contains("may still be listed") && message.contains(&share), "{message}");
    });
}

#[test]
fn a_restore_that_is_cancelled_at_any_stage_ends_in_time_and_leaves_the_state_alone() {
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
            cancel_at(&node, &hung, ONE, cancel_restore).await;
            aborted(node.restore(ONE).await);
            // Not only once the threads are gone: the next restore may come at once.
            assert_eq!(files(&beside(&node, ONE)), NOTHING, "{verb:?} {key_end}");
        });
        assert_eq!(fs::read_to_string(node.state(ONE).join("a")).unwrap(), "second");
    }
}

fn beside(node: &Node, id: PartitionId) -> PathBuf {
    let state = node.state(id);
    state.with_file_name(format!(".{}.fabric-backup", state.file_name().unwrap().to_str().unwrap()))
}

#[test]
fn a_restore_waits_for_the_threads_of_one_that_ended_before_and_can_be_cancelled_meanwhile() {
    let node = Node::new(go(), 1, 1);
    run(async {
        node.ask_backup(ONE).await;
        node.engine.work(ONE).await.unwrap();
        for is_cancelled in [true, false] {
            let left = Source::directory(node.state(ONE)).stage(Uuid::from_u128(77)).unwrap();
            node.ask_restore(ONE, ONE).await;
            let engine = node.engine.clone();
            let mut job = tokio::spawn(async move { engine.work(ONE).await });
            timeout(Duration::from_millis(300), &mut job).await.expect_err("it did not wait");
            if is_cancelled {
                node.change(ONE, cancel_restore).await;
                timeout(SOON, job).await.expect("it did not end in time").unwrap().unwrap();
                aborted(node.restore(ONE).await);
            } else {
                drop(left);
                timeout(SOON, job).await.expect("it did not go on").unwrap().unwrap();
                assert!(matches!(node.restore(ONE).await, State::Succeeded(_)));
            }
        }
    });
}

#[test]
fn a_restore_whose_tree_is_ready_does_not_swap_once_it_is_cancelled() {
    let node = Node::new(go(), 1, 1);
    run(async {
        node.ask_backup(ONE).await;
        node.engine.work(ONE).await.unwrap();
        let job = node.ask_restore(ONE, ONE).await;
        node.change(ONE, |record| record.restore.as_mut().unwrap().state = State::Running).await;
        node.change(ONE, cancel_restore).await;
        let restore = node.ledger.partition(ONE).await.unwrap().unwrap().restore.unwrap();
        let commit = node.engine.step_restore(Run::of(ONE, &restore), crate::job::Event::Commit).await;
        assert!(matches!(commit, Err(super::End::Withdrawn)), "{job}: {commit:?}");
        assert_eq!(node.restore(ONE).await, State::Running);
    });
}

#[test]
fn a_job_that_is_cancelled_while_it_waits_for_a_slot_or_for_its_turn_ends_in_time() {
    let (observer, hung) = hang_at(Verb::Create, ".zip");
    let node = Node::new(observer, 2, 1);
    run(async {
        node.ask_backup(ONE).await;
        let engine = node.engine.clone();
        let first = tokio::spawn(async move { engine.work(ONE).await });
        hung.acquire().await.unwrap().forget();
        node.ask_backup(TWO).await;
        let engine = node.engine.clone();
        let second = tokio::spawn(async move { engine.work(TWO).await });
        tokio::task::yield_now().await;
        node.change(TWO, cancel_backup).await;
        timeout(SOON, second).await.expect("it waits for a slot").unwrap().unwrap();
        aborted(node.backup(TWO).await);

        let turn = Mutex::new(());
        let _taken = turn.lock().await;
        node.ask_backup(TWO).await;
        node.change(TWO, cancel_backup).await;
        let record = node.ledger.partition(TWO).await.unwrap().unwrap();
        let waiting = node.engine.run_backup(&node.engine.hosted[&TWO], record.backup.as_ref().unwrap(), &turn);
        timeout(SOON, waiting).await.expect("it waits for its turn").unwrap();
        aborted(node.backup(TWO).await);
        node.time_passes();
        first.await.unwrap().unwrap();
    });
}

#[test]
fn a_backup_that_may_have_been_committed_before_a_crash_is_taken_back_when_it_is_cancelled() {
    let node = Node::new(go(), 1, 1);
    run(async {
        node.ask_backup(ONE).await;
        node.engine.work(ONE).await.unwrap();
        assert_ne!(node.stored(), NOTHING);
        node.change(ONE, |record| {
            let job = record.backup.as_mut().unwrap();
            (job.state, job.cancelled) = (State::Committing, true);
        })
        .await;
        let next = node.reborn();
        next.recover(ONE).await.unwrap();
        next.work(ONE).await.unwrap();
        aborted(node.backup(ONE).await);
    });
    assert_eq!(node.stored(), NOTHING);
}

#[test]
fn a_job_that_somebody_ended_meanwhile_stays_as_it_was_ended() {
    let (observer, hung) = hang_at(Verb::Create, ".zip");
    let node = Node::new(observer, 1, 1);
    let ended = State::Failed(Failure::new(FailureCode::Aborted, "ended by somebody"));
    run(async {
        node.ask_backup(ONE).await;
        let engine = node.engine.clone();
        let job = tokio::spawn(async move { engine.work(ONE).await });
        hung.acquire().await.unwrap().forget();
        node.change(ONE, |record| record.backup.as_mut().unwrap().state = ended.clone()).await;
        timeout(SOON, job).await.expect("nobody wants it any more").unwrap().unwrap();
        assert_eq!(node.backup(ONE).await, ended);
    });
}

#[test]
fn restores_do_not_wait_for_the_slots_of_backups() {
    let armed = Arc::new(AtomicBool::new(false));
    let (inner, hung) = hang_at(Verb::Create, ".zip");
    let when = armed.clone();
    let observer = On(
        move |call: &Call, moment| {
            if when.load(Ordering::SeqCst) { inner.observe(call, moment) } else { Verdict::Go }
        },
    );
    let node = Node::new(Arc::new(observer), 2, 1);
    run(async {
        node.ask_backup(ONE).await;
        node.engine.work(ONE).await.unwrap();
        node.ask_restore(ONE, TWO).await;
        armed.store(true, Ordering::SeqCst);
        node.ask_backup(ONE).await;
        let engine = node.engine.clone();
        let backup = tokio::spawn(async move { engine.work(ONE).await });
        hung.acquire().await.unwrap().forget();
        node.engine.work(TWO).await.unwrap();
        assert!(matches!(node.restore(TWO).await, State::Succeeded(_)));
        assert_eq!(node.backup(ONE).await, State::Running);
        node.time_passes();
        backup.await.unwrap().unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_hangs_while_it_is_opened_is_named() {
    let root = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let failure = answered(&storage(root.path()), std::future::pending()).await.unwrap_err();
    assert_eq!((failure.code, began.elapsed().as_secs()), (FailureCode::Unreachable, 60));
    let share = root.path().join("share").display().to_string();
    assert!(failure.message.contains(&share) && failure.message.contains("60 s"), "{}", failure.message);
}
