//! A requested backup and one by schedule, killed at each moment; and what is left of them when they are cancelled then.

use std::env;

use chrono::TimeDelta;
use fabric_backup::{
    domain::FailureCode,
    job::{BackupJob, State},
    ledger::PartitionRecord,
};
use uuid::Uuid;

use crate::{
    app::{App, ID, Node},
    killed::{ASKED_BACKUP, MOMENT, NODE, block_on, each_moment, mortal, open, start, trace},
    script::Script,
};

const PROCESS: &str = "scheduled::the_process_that_is_killed";
const SCHEDULED: &str = "scheduled backup";
const DUE: Uuid = Uuid::from_u128(0xd0e);

#[test]
#[ignore = "the process that the other tests start and kill"]
fn the_process_that_is_killed() {
    let node = Node(env::var_os(NODE).unwrap().into());
    let last = env::var(MOMENT).unwrap().parse().unwrap();
    block_on(async {
        let app = open(&node, 0, start(), mortal(&node.0, last));
        app.recover().await;
        trace(&node.0, ASKED_BACKUP);
        app.ask_backup().await;
        trace(&node.0, SCHEDULED);
        app.ask_scheduled(DUE, start()).await;
        app.work_until_idle().await;
    });
}

fn jobs(record: &PartitionRecord) -> Vec<BackupJob> {
    record.backups().cloned().collect()
}

async fn record(app: &App) -> PartitionRecord {
    app.ledger.partition(ID).await.unwrap().expect("the start looks at every partition")
}

/// The store holds exactly the backups that the jobs say, and the log of the schedule agrees.
async fn check(app: &App) {
    let record = record(app).await;
    let mut taken = Vec::new();
    for job in jobs(&record) {
        match job.state {
            State::Succeeded(point) => taken.push(point),
            State::Failed(why) => assert_eq!(why.code, FailureCode::Aborted, "{}", why.message),
            state => panic!("unfinished: {state:?}"),
        }
    }
    taken.sort_by_key(|point| point.created);
    let listed: Vec<_> = app.listed().await.into_iter().map(|(point, _)| point).collect();
    assert_eq!(listed, taken);
    assert_eq!(app.orphans().await, [""; 0]);
    let succeeded = record.scheduled.as_ref().map(|job| matches!(job.state, State::Succeeded(_)));
    assert_eq!(record.runs.succeeded.is_some(), succeeded == Some(true));
    assert_eq!(record.runs.failure.is_some(), succeeded == Some(false));
    assert_eq!(record.tip.map(|tip| tip.backup.id), succeeded.filter(|yes| *yes).map(|_| DUE));
}

async fn revive(node: &Node) -> App {
    let app = open(node, 1, start() + TimeDelta::minutes(1), Script::silent());
    app.recover().await;
    app
}

#[test]
fn killed_at_any_moment_both_backups_of_a_partition_are_there_once_in_the_end() {
    each_moment(PROCESS, &async |node: &Node, _: &[String]| {
        let app = revive(node).await;
        app.work_until_idle().await;
        check(&app).await;
        let all = jobs(&record(&app).await);
        assert!(all.iter().all(|job| matches!(job.state, State::Succeeded(_))), "{all:?}");
    });
}

#[test]
fn killed_at_any_moment_what_is_cancelled_then_leaves_nothing() {
    each_moment(PROCESS, &async |node: &Node, _: &[String]| {
        let app = revive(node).await;
        let cancel = |record: &mut PartitionRecord| {
            for job in record.backup.iter_mut().chain(&mut record.scheduled) {
                job.cancelled = job.state.is_active();
            }
        };
        app.ledger.change_partition(ID, start(), cancel).await.unwrap();
        app.work_until_idle().await;
        check(&app).await;
        let all = jobs(&record(&app).await);
        assert!(all.iter().all(|job| job.cancelled != matches!(job.state, State::Succeeded(_))), "{all:?}");
    });
}
