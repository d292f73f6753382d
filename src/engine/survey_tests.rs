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

/// A backup of the policy is due.
async fn due(node: &Node) -> State<crate::domain::BackupPoint> {
    let (now, deadline) = node.deadline();
    let task = BackupTask { policy: Some(name()), ..BackupTask::new(storage(node.root.path())) };
    let job = BackupJob::new(node.clock.uuid(), now, deadline, task);
    node.change(ONE, |record| record.scheduled = Some(job.clone())).await;
    node.engine.work(ONE).await.unwrap();
    record(node).await.scheduled.unwrap().state
}

#[test]
fn a_state_that_is_empty_or_gone_when_its_backup_is_due_is_lost_and_no_backup_is_made_of_that() {
    for (gone, auto_restore) in [(false, false), (false, true), (true, false), (true, true)] {
        let node = Node::new(go(), 1, 1);
        run(async {
            cover(&node, auto_restore).await;
            lose(&node).await;
            if !gone {
                fs::create_dir(node.state(ONE)).unwrap();
            }
            let stored = node.stored();
            let State::Failed(why) = due(&node).await else { panic!("it was backed up") };
            assert!(why.message.contains("until it is restored"), "{}", why.message);
            assert_eq!(node.stored(), stored);
            let noted = record(&node).await;
            assert!(noted.data_loss.is_some() && noted.had_state, "{noted:?}");
            assert_eq!(noted.restore.is_some(), auto_restore, "seen to at once");
            node.engine.work(ONE).await.unwrap();
            assert_eq!(record(&node).await.data_loss.is_none(), auto_restore);
        });
        let back = fs::read_to_string(node.state(ONE).join("a"));
        assert_eq!(back.ok().as_deref(), auto_restore.then_some("first"));
    }
}

#[test]
fn a_state_that_was_always_empty_is_backed_up_by_schedule_and_so_is_one_whose_owner_had_it_backed_up_empty() {
    let node = Node::new(go(), 1, 1);
    run(async {
        cover(&node, true).await;
        fs::remove_dir_all(node.state(ONE)).unwrap();
        fs::create_dir(node.state(ONE)).unwrap();
        assert!(matches!(due(&node).await, State::Succeeded(_)));
        fs::write(node.state(ONE).join("a"), "something").unwrap();
        assert!(matches!(due(&node).await, State::Succeeded(_)));
        fs::remove_file(node.state(ONE).join("a")).unwrap();
        node.ask_backup(ONE).await;
        node.engine.work(ONE).await.unwrap();
        assert!(matches!(node.backup(ONE).await, State::Succeeded(_)));
        assert!(matches!(due(&node).await, State::Succeeded(_)));
        assert_eq!(record(&node).await.data_loss, None);
    });
}

/// Changes one bit in the middle of the data of the latest backup.
fn damage_latest(node: &Node) {
    let zips = node.stored().into_iter().filter(|path| path.extension().is_some_and(|it| it == "zip"));
    let latest = zips.max().unwrap();
    let mut data = fs::read(&latest).unwrap();
    let middle = data.len() / 2;
    data[middle] ^= 1;
    fs::write(latest, data).unwrap();
}

#[test]
fn when_the_latest_backup_turns_out_damaged_the_one_before_it_is_restored() {
    let node = Node::new(go(), 1, 1);
    run(async {
        cover(&node, true).await;
        node.engine.survey(ONE).await.unwrap();
        for content in ["older", "newer"] {
            let noise: Vec<u8> = (0..4000_u32).flat_map(|n| *blake3::hash(&n.to_le_bytes()).as_bytes()).collect();
            fs::write(node.state(ONE).join("noise"), noise).unwrap();
            fs::write(node.state(ONE).join("a"), content).unwrap();
            assert!(matches!(due(&node).await, State::Succeeded(_)));
        }
        damage_latest(&node);
        fs::remove_dir_all(node.state(ONE)).unwrap();
        node.engine.survey(ONE).await.unwrap();
        node.engine.work(ONE).await.unwrap();
        let after = record(&node).await;
        let State::Failed(why) = after.restore.unwrap().state else { panic!("the damage was not seen") };
        assert_eq!(why.code, crate::domain::FailureCode::Damaged);
        assert_eq!(after.tried.len(), 1);
        node.engine.retry_data_loss().await.unwrap();
        node.engine.work(ONE).await.unwrap();
        assert_eq!(record(&node).await.data_loss, None);
    });
    assert_eq!(fs::read_to_string(node.state(ONE).join("a")).unwrap(), "older");
}

#[test]
fn no_more_than_a_few_damaged_backups_are_tried_and_then_somebody_has_to_choose() {
    let node = Node::new(go(), 1, 1);
    run(async {
        cover(&node, true).await;
        lose(&node).await;
        let tried =
            |n: u8| crate::ledger::Tried { location: crate::domain::Location(n.to_string()), why: "bad".into() };
        let since = node.clock.now();
        node.change(ONE, |record| {
            record.data_loss = Some(crate::domain::DataLoss { since, found: "gone".into() });
            record.tried = (0..5).map(tried).collect();
        })
        .await;
        node.engine.survey(ONE).await.unwrap();
        let after = record(&node).await;
        assert_eq!(after.restore, None);
        assert!(after.data_loss.unwrap().found.contains("choose"));
    });
}

#[test]
fn a_backup_by_schedule_makes_no_storage_in_the_place_of_one_that_is_away() {
    let node = Node::new(go(), 1, 1);
    let place = node.share().join("mount");
    let spec = crate::domain::StorageSpec::FileShare(crate::domain::FileShare {
        path: place.to_str().unwrap().to_owned(),
        primary: None,
        secondary: None,
    });
    let due = async |node: &Node| {
        let (now, deadline) = node.deadline();
        let job = BackupJob::new(node.clock.uuid(), now, deadline, BackupTask::new(spec.clone()));
        node.change(ONE, |record| record.scheduled = Some(job.clone())).await;
        node.engine.work(ONE).await.unwrap();
        record(node).await.scheduled.unwrap().state
    };
    run(async {
        assert!(matches!(due(&node).await, State::Succeeded(_)), "the first one makes it");
        let aside = node.share().join("aside");
        fs::rename(&place, &aside).unwrap();
        let State::Failed(why) = due(&node).await else { panic!("it was made anew") };
        assert!(why.message.contains("is not there now") && why.message.contains("mount"), "{}", why.message);
        assert!(!place.exists());
        fs::rename(&aside, &place).unwrap();
        assert!(matches!(due(&node).await, State::Succeeded(_)));
    });
}
