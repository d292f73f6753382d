use std::{fs, time::Duration};

use chrono::TimeDelta;
use tokio::time::timeout;

use super::tests::{NOTHING, Node, ONE, go, hang_at, run, storage};
use crate::{
    domain::{BackupPoint, DataLoss, Failure, FailureCode, Parent, PolicyName, Wanted},
    job::{BackupJob, BackupTask, State},
    ledger::PartitionRecord,
    storage::faulty::Verb,
};

fn policy() -> PolicyName {
    PolicyName::parse("Daily").unwrap()
}

async fn record(node: &Node) -> PartitionRecord {
    node.ledger.partition(ONE).await.unwrap().unwrap()
}

async fn scheduled(node: &Node) -> State<BackupPoint> {
    record(node).await.scheduled.unwrap().state
}

/// What the scheduler writes when a backup is due.
async fn due(node: &Node) -> BackupJob {
    let (now, deadline) = node.deadline();
    let task = BackupTask { policy: Some(policy()), ..BackupTask::new(storage(node.root.path())) };
    let job = BackupJob::new(node.clock.uuid(), now, deadline, task);
    node.change(ONE, |record| record.scheduled = Some(job.clone())).await;
    job
}

#[test]
fn a_backup_by_schedule_is_taken_and_noted_and_the_requested_one_is_not_touched() {
    let node = Node::new(go(), 1, 1);
    run(async {
        let job = due(&node).await;
        node.engine.work(ONE).await.unwrap();
        let State::Succeeded(point) = scheduled(&node).await else { panic!("not taken") };
        let record = record(&node).await;
        assert_eq!(record.backup, None);
        assert_eq!((record.runs.ended, record.runs.succeeded), (Some(node.clock.now()), Some(node.clock.now())));
        let tip = record.tip.unwrap();
        assert_eq!((tip.backup.id, tip.backup.location, tip.chain_id), (job.id, point.location, point.chain_id));
        assert_eq!((tip.incrementals, tip.policy, tip.epoch), (0, policy(), point.epoch));
        let wrote: Vec<_> = record.wrote.into_iter().collect();
        assert_eq!(wrote.len(), 1);
        assert_eq!((&wrote[0].policy, &wrote[0].store), (&policy(), &tip.store));
        assert!(record.had_state);
        assert_eq!(record.entity.unwrap().partition(), Some(ONE));
    });
}

#[test]
fn what_is_made_for_a_policy_says_so_and_nothing_else_does() {
    let node = Node::new(go(), 1, 1);
    run(async {
        node.ask_backup(ONE).await;
        node.engine.work(ONE).await.unwrap();
        let before = record(&node).await;
        assert_eq!((before.tip, before.wrote.len()), (None, 0));
        due(&node).await;
        node.engine.work(ONE).await.unwrap();
        let mut policies = Vec::new();
        for state in [node.backup(ONE).await, scheduled(&node).await] {
            let State::Succeeded(point) = state else { panic!("{state:?}") };
            let catalog = super::tests::catalog(node.root.path(), &node.clock, go());
            let metadata = catalog.restorable(&storage(node.root.path()), &point.location).await.unwrap();
            policies.push(metadata.policy().cloned());
        }
        assert_eq!(policies, [None, Some(policy())]);
    });
}

#[test]
fn what_is_wanted_incremental_and_has_nothing_to_go_on_from_is_made_full_and_the_wish_is_kept() {
    let node = Node::new(go(), 1, 1);
    run(async {
        let mut job = due(&node).await;
        let parent = Parent { id: job.id, location: crate::domain::Location("App\\x.zip".to_owned()) };
        job.task.wanted = Wanted::Incremental(parent);
        node.change(ONE, |record| record.scheduled = Some(job.clone())).await;
        node.engine.work(ONE).await.unwrap();
        let State::Succeeded(point) = scheduled(&node).await else { panic!("not taken") };
        assert!(point.is_full());
        assert_eq!(record(&node).await.scheduled.unwrap().task.wanted, job.task.wanted);
    });
}

#[test]
fn a_backup_by_schedule_that_fails_times_out_or_is_cancelled_counts_as_a_failed_run() {
    for stop in ["timed out", "cancelled on request", "since a restore"] {
        let (observer, hung) = hang_at(Verb::Create, ".zip");
        let node = Node::new(observer, 1, 1);
        run(async {
            due(&node).await;
            let engine = node.engine.clone();
            let job = tokio::spawn(async move { engine.work(ONE).await });
            hung.acquire().await.unwrap().forget();
            match stop {
                "timed out" => node.time_passes(),
                "since a restore" => {
                    let restore = a_restore(&node).await;
                    node.change(ONE, |record| {
                        record.restore = Some(restore.clone());
                        record.scheduled.as_mut().unwrap().cancelled = true;
                    })
                    .await;
                }
                _ => node.change(ONE, |record| record.scheduled.as_mut().unwrap().cancelled = true).await,
            }
            timeout(Duration::from_secs(5), job).await.expect("not in time").unwrap().unwrap();
            let state = scheduled(&node).await;
            let (State::Failed(why) | State::TimedOut(why)) = state else { panic!("{stop}: {state:?}") };
            let runs = record(&node).await.runs;
            assert_eq!((runs.failures, runs.ended), (1, None), "{stop}");
            assert_eq!(runs.failure.unwrap().why, why);
            assert!(stop == "timed out" || why.message.contains(stop), "{}", why.message);
        });
        assert_eq!(node.stored(), NOTHING, "{stop}");
    }
}

/// A restore of no backup at all: it need only be there.
async fn a_restore(node: &Node) -> crate::job::RestoreJob {
    let (now, deadline) = node.deadline();
    let record = record(node).await;
    let point = BackupPoint {
        id: node.clock.uuid(),
        chain_id: node.clock.uuid(),
        parent: None,
        location: crate::domain::Location("nowhere".to_owned()),
        created: now,
        epoch: record.epoch,
        lsn: 0,
        partition: crate::domain::PartitionKind::Singleton,
        manifest_version: String::new(),
    };
    let task = crate::job::RestoreTask { storage: storage(node.root.path()), point, automatic: false };
    crate::job::RestoreJob::new(node.clock.uuid(), now, deadline, task)
}

#[test]
fn a_crash_in_a_backup_by_schedule_is_settled_like_any_other() {
    for (state, left) in [(State::Running, 1), (State::Committing, 1)] {
        let node = Node::new(go(), 1, 1);
        run(async {
            due(&node).await;
            node.engine.work(ONE).await.unwrap();
            let State::Succeeded(point) = scheduled(&node).await else { panic!("not taken") };
            if state == State::Running {
                let zip = node.stored().into_iter().find(|path| path.extension().unwrap() == "bkmetadata").unwrap();
                fs::remove_file(zip).unwrap();
            }
            node.change(ONE, |record| {
                record.runs = crate::domain::RunLog::default();
                record.scheduled.as_mut().unwrap().state = state.clone();
            })
            .await;
            let next = node.reborn();
            next.recover(ONE).await.unwrap();
            next.work(ONE).await.unwrap();
            let State::Succeeded(again) = scheduled(&node).await else { panic!("not taken again") };
            assert_eq!(again.id, point.id);
            assert_eq!(record(&node).await.runs.succeeded, Some(node.clock.now()));
        });
        let metadata = node.stored().iter().filter(|path| path.extension().unwrap() == "bkmetadata").count();
        assert_eq!((metadata, node.stored().len()), (left, 2 * left), "{state:?}");
    }
}

#[test]
fn both_backups_of_a_partition_end_when_they_are_given_up() {
    let node = Node::new(go(), 1, 1);
    run(async {
        node.ask_backup(ONE).await;
        due(&node).await;
        node.engine.give_up(ONE, Failure::new(FailureCode::Other, "a defect")).await.unwrap();
        for state in [node.backup(ONE).await, scheduled(&node).await] {
            assert!(matches!(state, State::Failed(_)), "{state:?}");
        }
        assert_eq!(record(&node).await.runs.failures, 1);
    });
}

#[test]
fn while_a_state_is_lost_no_backup_by_schedule_runs_and_a_requested_one_is_the_consent_to_what_is_there() {
    let node = Node::new(go(), 1, 1);
    run(async {
        let lost = DataLoss { since: node.clock.now(), found: "the state is empty".to_owned() };
        node.change(ONE, |record| record.data_loss = Some(lost.clone())).await;
        due(&node).await;
        node.engine.work(ONE).await.unwrap();
        let State::Failed(why) = scheduled(&node).await else { panic!("it ran") };
        assert!(why.message.contains("the state is empty"), "{}", why.message);
        assert_eq!(record(&node).await.runs.failures, 1);
        assert_eq!(node.stored(), NOTHING);

        node.ask_backup(ONE).await;
        node.change(ONE, |record| record.backup.as_mut().unwrap().requested -= TimeDelta::minutes(1)).await;
        node.engine.work(ONE).await.unwrap();
        assert_eq!(record(&node).await.data_loss, Some(lost.clone()), "asked for before the loss");
        node.ask_backup(ONE).await;
        node.engine.work(ONE).await.unwrap();
        assert_eq!(record(&node).await.data_loss, None);
    });
}

#[test]
fn a_requested_backup_goes_before_one_by_schedule() {
    let (observer, hung) = hang_at(Verb::Create, ".zip");
    let node = Node::new(observer, 1, 2);
    run(async {
        due(&node).await;
        node.ask_backup(ONE).await;
        let engine = node.engine.clone();
        let jobs = tokio::spawn(async move { engine.work(ONE).await });
        hung.acquire().await.unwrap().forget();
        assert_eq!((node.backup(ONE).await, scheduled(&node).await), (State::Running, State::Accepted));
        node.time_passes();
        jobs.await.unwrap().unwrap();
    });
    assert_eq!(hung.available_permits(), 0);
}
