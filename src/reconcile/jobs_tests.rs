use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle, time::Instant};
use uuid::Uuid;

use super::{Jobs, POLL};
use crate::{
    domain::{BackupPoint, Epoch, FailureCode, Location, PartitionId, PartitionKind},
    engine::{
        Engine,
        tests::{NOTHING, Node, ONE, On, PIECES, TWO, go, hang_at, noise},
    },
    job::{BackupJob, BackupTask, RestoreJob, RestoreTask, State},
    ledger::{Change, Embedded, KeyValue, Ledger, LedgerError, Versioned},
    storage::faulty::{Call, Moment, Verb, Verdict},
};

/// The jobs of a node at work, and the way to stop it.
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

fn start(engine: Engine, ledger: &Ledger) -> Running {
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(Jobs::new(engine, ledger.clone()).run(stopped, Duration::ZERO));
    Running { stop, task }
}

impl Running {
    async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

/// Waits for the ledger to say that nothing is left to do.
async fn idle(ledger: &Ledger) {
    let mut changes = ledger.watch();
    loop {
        changes.mark_unchanged();
        if ledger.busy_partitions().await.unwrap().is_empty() {
            return;
        }
        changes.changed().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_starts_when_it_is_written_to_the_ledger_not_at_the_next_poll() {
    let node = Node::new(go(), 1, 1);
    let running = start(node.engine.clone(), &node.ledger);
    tokio::time::advance(POLL / 2).await;
    let asked = Instant::now();
    node.ask_backup(ONE).await;
    idle(&node.ledger).await;
    assert!(matches!(node.backup(ONE).await, State::Succeeded(_)));
    assert_eq!(asked.elapsed(), Duration::ZERO, "it waited for the poll");
    running.stop().await;
}

#[tokio::test]
async fn a_job_that_panics_ends_with_a_reason_and_does_not_stop_the_others() {
    let observer = On(|call: &Call, _| {
        assert!(call.verb != Verb::Create || !call.key.contains(&ONE.to_string()), "a defect");
        Verdict::Go
    });
    let node = Node::new(Arc::new(observer), 2, 2);
    let running = start(node.engine.clone(), &node.ledger);
    node.ask_backup(ONE).await;
    idle(&node.ledger).await;
    let State::Failed(why) = node.backup(ONE).await else { panic!("not failed") };
    assert!(why.message.contains("internal error"), "{}", why.message);
    node.ask_backup(TWO).await;
    idle(&node.ledger).await;
    assert!(matches!(node.backup(TWO).await, State::Succeeded(_)));
    running.stop().await;
}

#[tokio::test]
async fn a_backup_that_panics_while_it_packs_and_sends_fails_leaves_nothing_and_can_be_asked_for_again() {
    let sent = AtomicUsize::new(0);
    let observer = On(move |call: &Call, moment| {
        let nth = sent.fetch_add(usize::from((call.verb, moment) == (Verb::Part, Moment::Before)), Ordering::SeqCst);
        assert!((call.verb, moment, nth) != (Verb::Part, Moment::Before, 1), "a defect at the second piece");
        Verdict::Go
    });
    let node = Node::new(Arc::new(observer), 1, 1);
    fs::write(node.state(ONE).join("b"), noise(PIECES << 23)).unwrap();
    let running = start(node.engine.clone(), &node.ledger);
    node.ask_backup(ONE).await;
    idle(&node.ledger).await;
    let State::Failed(why) = node.backup(ONE).await else { panic!("not failed") };
    assert!(why.message.contains("internal error") && why.message.contains("the log"), "{}", why.message);
    assert_eq!(node.stored(), NOTHING);
    node.ask_backup(ONE).await;
    idle(&node.ledger).await;
    let again = node.backup(ONE).await;
    assert!(matches!(again, State::Succeeded(_)), "{again:?}");
    assert_eq!(node.stored().len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn a_job_that_outlasts_the_shutdown_is_finished_by_the_next_process() {
    let (observer, hung) = hang_at(Verb::Part, ".zip");
    let node = Node::new(observer, 1, 1);
    let running = start(node.engine.clone(), &node.ledger);
    node.ask_backup(ONE).await;
    hung.acquire().await.unwrap().forget();
    running.stop().await;
    assert_eq!(node.backup(ONE).await, State::Running);

    let engine = node.reborn();
    Jobs::new(engine.clone(), node.ledger.clone()).recover().await.unwrap();
    assert_eq!(node.backup(ONE).await, State::Accepted);
    let running = start(engine, &node.ledger);
    idle(&node.ledger).await;
    assert!(matches!(node.backup(ONE).await, State::Succeeded(_)));
    running.stop().await;
}

#[tokio::test]
async fn a_job_of_a_partition_that_is_no_longer_configured_ends_with_that_reason() {
    let node = Node::new(go(), 1, 1);
    let gone = PartitionId(Uuid::from_u128(77));
    node.ask_backup(gone).await;
    let jobs = Jobs::new(node.engine.clone(), node.ledger.clone());
    jobs.recover().await.unwrap();
    let running = start(node.engine.clone(), &node.ledger);
    idle(&node.ledger).await;
    let State::Failed(why) = node.backup(gone).await else { panic!("not failed") };
    assert_eq!(why.code, FailureCode::NotFound);
    assert!(why.message.contains(&gone.to_string()) && why.message.contains("configured"), "{}", why.message);
    running.stop().await;
}

/// A store that cannot be written to a few times, once a job is in it.
struct Full {
    store: Embedded,
    puts: Arc<AtomicUsize>,
}

const REFUSED: std::ops::RangeInclusive<usize> = 2..=4;

impl KeyValue for Full {
    fn get(&self, key: &str) -> Result<Option<Versioned>, LedgerError> {
        self.store.get(key)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Versioned)>, LedgerError> {
        self.store.list(prefix, after, limit)
    }

    fn commit(&self, changes: &[Change]) -> Result<(), LedgerError> {
        if REFUSED.contains(&(self.puts.fetch_add(1, Ordering::SeqCst) + 1)) {
            return Err(LedgerError::Store {
                operation: "write",
                key: changes[0].key.clone(),
                source: "disk full".into(),
            });
        }
        self.store.commit(changes)
    }
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_cannot_be_written_is_tried_again_at_the_pace_of_the_poll() {
    let store = Full { store: Embedded::in_memory().unwrap(), puts: Arc::default() };
    let node = Node::over(store, go(), 1, 1);
    node.ask_backup(ONE).await;
    let started = Instant::now();
    let running = start(node.engine.clone(), &node.ledger);
    idle(&node.ledger).await;
    assert!(matches!(node.backup(ONE).await, State::Succeeded(_)));
    let waits = started.elapsed().as_secs() / POLL.as_secs();
    assert_eq!(waits, REFUSED.count() as u64);
    running.stop().await;
}

#[tokio::test]
async fn jobs_that_were_in_the_ledger_before_the_start_are_found() {
    let node = Node::new(go(), 2, 1);
    node.ask_backup(ONE).await;
    node.ask_backup(TWO).await;
    let running = start(node.engine.clone(), &node.ledger);
    idle(&node.ledger).await;
    for id in [ONE, TWO] {
        assert!(matches!(node.backup(id).await, State::Succeeded(_)));
    }
    running.stop().await;
}

#[tokio::test]
async fn a_job_that_came_while_another_runs_and_is_cancelled_does_not_wait_for_its_end() {
    for kind in ["requested", "by schedule", "restore"] {
        let (observer, hung) = hang_at(Verb::Part, ".zip");
        let node = Node::new(observer, 1, 2);
        let running = start(node.engine.clone(), &node.ledger);
        node.ask_backup(ONE).await;
        hung.acquire().await.unwrap().forget();
        let first = node.ledger.partition(ONE).await.unwrap().unwrap().backup.unwrap();
        let job = BackupJob { id: Uuid::from_u128(99), state: State::Accepted, ..first.clone() };
        let job = BackupJob { task: BackupTask::new(job.task.storage.clone()), cancelled: true, ..job };
        node.change(ONE, |record| match kind {
            "requested" => (record.scheduled, record.backup) = (record.backup.clone(), Some(job.clone())),
            "by schedule" => record.scheduled = Some(job.clone()),
            _ => {
                let RestoreJob { task, .. } = a_restore(&first);
                let restore = RestoreJob::new(job.id, job.requested, job.deadline, task);
                record.restore = Some(RestoreJob { cancelled: true, ..restore });
            }
        })
        .await;
        let ends = async {
            let mut changes = node.ledger.watch();
            loop {
                changes.mark_unchanged();
                let record = node.ledger.partition(ONE).await.unwrap().unwrap();
                let is_active = record.backups().any(|mine| mine.id == job.id && mine.state.is_active())
                    || record.restore.as_ref().is_some_and(|mine| mine.state.is_active());
                if !is_active {
                    return record;
                }
                changes.changed().await.unwrap();
            }
        };
        let record = tokio::time::timeout(Duration::from_secs(5), ends).await.expect(kind);
        assert!(record.backups().any(|mine| mine.id == first.id && mine.state == State::Running), "{kind}");
        running.stop().await;
    }
}

fn a_restore(backup: &BackupJob) -> RestoreJob {
    let point = BackupPoint {
        id: backup.id,
        chain_id: backup.id,
        parent: None,
        location: Location("nowhere".to_owned()),
        created: backup.requested,
        epoch: Epoch { data_loss: 1, configuration: 1 },
        lsn: 0,
        partition: PartitionKind::Singleton,
        manifest_version: String::new(),
    };
    let task = RestoreTask { storage: backup.task.storage.clone(), point, automatic: false };
    RestoreJob::new(backup.id, backup.requested, backup.deadline, task)
}
