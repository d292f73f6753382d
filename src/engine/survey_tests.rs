use std::{fs, sync::Arc};

use chrono::TimeDelta;

use super::tests::{Node, ONE, On, go, run, storage};
use crate::{
    domain::{Interval, Policy, PolicyName, Schedule, Span},
    job::{BackupJob, BackupTask, State},
    ledger::{PartitionRecord, PolicyRecord},
    storage::{
        ErrorKind,
        faulty::{Call, Moment, Verdict},
    },
};

fn name() -> PolicyName {
    PolicyName::parse("Daily").unwrap()
}

async fn record(node: &Node) -> PartitionRecord {
    node.ledger.partition(ONE).await.unwrap().unwrap()
}

async fn cover(node: &Node, auto_restore: bool) {
    let policy = Policy {
        name: name(),
        auto_restore_on_data_loss: auto_restore,
        max_incrementals: 0,
        schedule: Schedule::Frequency(Interval::new(Span::hours(1)).unwrap()),
        storage: storage(node.root.path()),
        friendly_name: None,
        retention: None,
        compression: None,
        quick_recovery: None,
    };
    let now = node.clock.now();
    assert!(node.ledger.create_policy(&PolicyRecord { policy, changed: now }).await.unwrap());
    assert!(node.ledger.enable(&node.engine.hosted[&ONE].partition.entity(), &name(), now).await.unwrap());
}

/// The state was backed up and is gone.
async fn lose(node: &Node) {
    node.engine.survey(ONE).await.unwrap();
    node.ask_backup(ONE).await;
    node.engine.work(ONE).await.unwrap();
    assert!(matches!(node.backup(ONE).await, State::Succeeded(_)));
    fs::remove_dir_all(node.state(ONE)).unwrap();
}

#[test]
fn a_state_that_was_never_seen_is_not_lost() {
    let node = Node::new(go(), 1, 1);
    run(async {
        for missing in [false, true] {
            fs::remove_dir_all(node.state(ONE)).unwrap();
            if !missing {
                fs::create_dir(node.state(ONE)).unwrap();
            }
            cover_once(&node, !missing).await;
            node.engine.survey(ONE).await.unwrap();
            assert_eq!(node.ledger.partition(ONE).await.unwrap(), None);
        }
    });
}

async fn cover_once(node: &Node, first: bool) {
    if first {
        cover(node, true).await;
    }
}

#[test]
fn a_state_that_is_seen_is_remembered_and_a_loss_that_was_none_is_forgotten() {
    let node = Node::new(go(), 1, 1);
    run(async {
        node.engine.survey(ONE).await.unwrap();
        assert!(record(&node).await.had_state);
        let aside = node.state(ONE).with_file_name("aside");
        fs::rename(node.state(ONE), &aside).unwrap();
        node.engine.survey(ONE).await.unwrap();
        let lost = record(&node).await.data_loss.unwrap();
        assert!(lost.found.starts_with("the state is gone"), "{}", lost.found);
        fs::rename(&aside, node.state(ONE)).unwrap();
        node.engine.survey(ONE).await.unwrap();
        assert_eq!(record(&node).await.data_loss, None);
    });
}

#[test]
fn what_is_no_directory_or_empty_is_lost_too_and_says_so() {
    for (found, make) in [
        ("is not a directory", (|path| fs::write(path, "").unwrap()) as fn(std::path::PathBuf)),
        ("the state is empty", |path| fs::create_dir(path).unwrap()),
    ] {
        let node = Node::new(go(), 1, 1);
        run(async {
            lose(&node).await;
            make(node.state(ONE));
            node.engine.survey(ONE).await.unwrap();
            let lost = record(&node).await.data_loss.unwrap();
            assert!(lost.found.contains(found), "{}", lost.found);
        });
    }
}

#[test]
fn a_lost_state_is_brought_back_only_if_its_policy_says_so() {
    for (auto_restore, covered) in [(true, true), (false, true), (false, false)] {
        let node = Node::new(go(), 1, 1);
        run(async {
            if covered {
                cover(&node, auto_restore).await;
            }
            lose(&node).await;
            node.engine.survey(ONE).await.unwrap();
            let noted = record(&node).await;
            assert!(noted.data_loss.is_some(), "noted until it is over");
            assert_eq!(noted.restore.is_some(), auto_restore);
            node.engine.work(ONE).await.unwrap();
            let after = record(&node).await;
            assert_eq!(after.data_loss.is_none(), auto_restore);
            if let Some(restore) = after.restore {
                assert!(restore.task.automatic && matches!(restore.state, State::Succeeded(_)), "{restore:?}");
                assert_eq!(restore.deadline - restore.requested, TimeDelta::hours(24));
                assert!(after.had_state && after.tip.is_none());
            }
        });
        let back = fs::read_to_string(node.state(ONE).join("a"));
        assert_eq!(back.ok().as_deref(), auto_restore.then_some("first"));
    }
}

#[test]
fn the_second_look_at_a_loss_begins_nothing_twice_and_what_was_cancelled_stays_so() {
    let node = Node::new(go(), 1, 1);
    run(async {
        cover(&node, true).await;
        lose(&node).await;
        node.engine.survey(ONE).await.unwrap();
        let first = record(&node).await.restore.unwrap();
        node.engine.retry_data_loss().await.unwrap();
        node.engine.survey(ONE).await.unwrap();
        assert_eq!(record(&node).await.restore.unwrap(), first);
        node.change(ONE, |record| record.restore.as_mut().unwrap().cancelled = true).await;
        node.engine.work(ONE).await.unwrap();
        node.engine.retry_data_loss().await.unwrap();
        assert_eq!(record(&node).await.restore.unwrap().id, first.id);
        assert!(record(&node).await.data_loss.is_some());
    });
}

#[test]
fn a_storage_that_does_not_answer_is_the_reason_to_wait_and_is_asked_again() {
    let dead = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_dead = dead.clone();
    let observer = On(move |_: &Call, moment| {
        let fails = moment == Moment::Before && is_dead.load(std::sync::atomic::Ordering::SeqCst);
        if fails { Verdict::Fail(ErrorKind::Unreachable) } else { Verdict::Go }
    });
    let node = Node::new(Arc::new(observer), 1, 1);
    run(async {
        cover(&node, true).await;
        lose(&node).await;
        dead.store(true, std::sync::atomic::Ordering::SeqCst);
        node.engine.survey(ONE).await.unwrap();
        let lost = record(&node).await.data_loss.unwrap();
        assert!(lost.found.contains(node.share().to_str().unwrap()), "{}", lost.found);
        node.engine.retry_data_loss().await.unwrap();
        assert_eq!(record(&node).await.restore, None);
        dead.store(false, std::sync::atomic::Ordering::SeqCst);
        node.engine.retry_data_loss().await.unwrap();
        node.engine.work(ONE).await.unwrap();
        assert_eq!(record(&node).await.data_loss, None);
    });
    assert_eq!(fs::read_to_string(node.state(ONE).join("a")).unwrap(), "first");
}

#[test]
fn a_loss_without_a_backup_waits_and_a_restore_that_somebody_asked_for_is_not_overtaken() {
    let node = Node::new(go(), 1, 1);
    run(async {
        cover(&node, true).await;
        node.engine.survey(ONE).await.unwrap();
        fs::remove_dir_all(node.state(ONE)).unwrap();
        node.engine.survey(ONE).await.unwrap();
        let lost = record(&node).await.data_loss.unwrap();
        assert!(lost.found.contains("no backup"), "{}", lost.found);
        assert_eq!(record(&node).await.restore, None);
    });
    let node = Node::new(go(), 1, 1);
    run(async {
        cover(&node, true).await;
        lose(&node).await;
        let asked = node.ask_restore(ONE, ONE).await;
        node.engine.survey(ONE).await.unwrap();
        assert_eq!(record(&node).await.restore.unwrap().id, asked);
        node.engine.work(ONE).await.unwrap();
        assert!(matches!(node.restore(ONE).await, State::Succeeded(_)));
    });
}

#[test]
fn a_backup_by_schedule_stands_back_when_a_lost_state_is_brought_back() {
    let node = Node::new(go(), 1, 1);
    run(async {
        cover(&node, true).await;
        lose(&node).await;
        let (now, deadline) = node.deadline();
        let job = BackupJob::new(node.clock.uuid(), now, deadline, BackupTask::new(storage(node.root.path())));
        node.change(ONE, |record| record.scheduled = Some(job.clone())).await;
        node.engine.survey(ONE).await.unwrap();
        node.engine.work(ONE).await.unwrap();
        let record = record(&node).await;
        assert!(matches!(record.scheduled.unwrap().state, State::Failed(_)));
        assert!(matches!(record.restore.unwrap().state, State::Succeeded(_)));
    });
}

#[test]
fn an_empty_state_that_its_owner_had_backed_up_is_not_lost_again() {
    let node = Node::new(go(), 1, 1);
    run(async {
        lose(&node).await;
        fs::create_dir(node.state(ONE)).unwrap();
        node.engine.survey(ONE).await.unwrap();
        assert!(record(&node).await.data_loss.is_some());
        node.ask_backup(ONE).await;
        node.engine.work(ONE).await.unwrap();
        assert!(matches!(node.backup(ONE).await, State::Succeeded(_)));
        assert_eq!(record(&node).await.data_loss, None);
        node.engine.survey(ONE).await.unwrap();
        assert_eq!(record(&node).await.data_loss, None);
    });
}
