//! What becomes of jobs when the process dies at the steps that matter most to a caller. Every other step: tests/crash.

use std::fs;

use chrono::TimeDelta;
use fabric_backup::{job::State, ledger::PartitionRecord};
use serde_json::{Value, json};

use crate::{
    app::TestApp,
    observed::{Seen, Verdict},
    world::CALC,
};

/// The process dies instead of making this write: from then on it writes nothing more.
fn die_before(app: &TestApp, write: impl Fn(&PartitionRecord) -> bool + Send + Sync + 'static) {
    let dead = std::sync::atomic::AtomicBool::new(false);
    app.store.observe(move |seen| {
        use std::sync::atomic::Ordering::Relaxed;
        let dies = matches!(seen, Seen::Writing(record) if write(record));
        if dead.fetch_or(dies, Relaxed) || dies { Verdict::Fail } else { Verdict::Go }
    });
}

fn backup_succeeds(record: &PartitionRecord) -> bool {
    record.backup.as_ref().is_some_and(|job| matches!(job.state, State::Succeeded(_)))
}

/// A backup whose process died after its commit record was written and before the ledger knew.
async fn committed_but_not_noted() -> TestApp {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    die_before(&app, backup_succeeds);
    app.work_on(CALC).await.unwrap_err();
    assert_eq!(app.stored("own").len(), 2, "the backup is there");
    app.restart().await;
    app
}

#[tokio::test]
async fn a_backup_that_was_committed_is_a_success_after_a_restart() {
    let app = committed_but_not_noted().await;
    app.work().await;
    let progress = app.backup_progress(CALC).await;
    assert_eq!(progress["BackupState"], "Success", "{progress}");
    let listed = app.list(CALC, "").await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["BackupId"], progress["BackupId"]);
    assert_eq!(app.back_up(CALC).await["LsnOfLastBackupRecord"], "2", "its log position counts");
}

#[tokio::test]
async fn a_backup_that_was_committed_is_a_success_however_late_the_restart_is() {
    let app = committed_but_not_noted().await;
    app.advance(TimeDelta::days(2));
    app.work().await;
    assert_eq!(app.backup_progress(CALC).await["BackupState"], "Success");
    assert_eq!(app.list(CALC, "").await.len(), 1);
}

#[tokio::test]
async fn a_backup_that_was_not_committed_begins_again_after_a_restart() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    die_before(&app, |record| record.backup.as_ref().is_some_and(|job| job.state == State::Committing));
    app.work_on(CALC).await.unwrap_err();
    app.restart().await;
    assert_eq!(app.backup_progress(CALC).await["BackupState"], "Accepted");
    assert_eq!(app.list(CALC, "").await, [Value::Null; 0], "half a backup is never listed");
    app.reconcile().await;
    assert_eq!(app.backup_progress(CALC).await["BackupState"], "Success");
    assert_eq!(app.stored("own").len(), 2, "what the first attempt left is gone");
}

#[tokio::test]
async fn a_backup_that_is_too_late_after_a_restart_times_out_and_leaves_nothing() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    die_before(&app, |record| record.backup.as_ref().is_some_and(|job| job.state == State::Committing));
    app.work_on(CALC).await.unwrap_err();
    app.advance(TimeDelta::minutes(10));
    app.restart().await;
    app.work().await;
    assert_eq!(app.backup_progress(CALC).await["BackupState"], "Timeout");
    assert_eq!(app.stored("own"), [""; 0]);
}

#[tokio::test]
async fn a_restore_that_was_swapped_in_is_a_success_after_a_restart() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    fs::write(app.state(CALC).join("record"), "later").unwrap();
    app.ask_restore(CALC, &point).await.accepted();
    die_before(&app, |record| record.restore.as_ref().is_some_and(|job| matches!(job.state, State::Succeeded(_))));
    app.work_on(CALC).await.unwrap_err();
    app.advance(TimeDelta::days(2));
    app.restart().await;
    let progress = app.restore_progress(CALC).await;
    assert_eq!(progress["RestoreState"], "Success");
    assert_eq!(progress["RestoredEpoch"], point["EpochOfLastBackupRecord"]);
    assert_eq!(fs::read_to_string(app.state(CALC).join("record")).unwrap(), format!("of {CALC}"));
}

#[tokio::test]
async fn a_restore_that_was_not_swapped_in_begins_again_after_a_restart() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    fs::write(app.state(CALC).join("record"), "later").unwrap();
    app.ask_restore(CALC, &point).await.accepted();
    die_before(&app, |record| record.restore.as_ref().is_some_and(|job| job.state == State::Committing));
    app.work_on(CALC).await.unwrap_err();
    app.restart().await;
    assert_eq!(app.restore_progress(CALC).await["RestoreState"], json!("Accepted"));
    assert_eq!(fs::read_to_string(app.state(CALC).join("record")).unwrap(), "later", "the state is untouched");
    app.work().await;
    assert_eq!(app.restore_progress(CALC).await["RestoreState"], "Success");
    assert_eq!(fs::read_to_string(app.state(CALC).join("record")).unwrap(), format!("of {CALC}"));
}

/// The ledger was away for a moment, the process lives on and tries again by itself.
#[tokio::test]
async fn a_committed_backup_is_a_success_once_the_ledger_can_be_written_again() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    die_before(&app, backup_succeeds);
    app.work_on(CALC).await.unwrap_err();
    app.store.observe(|_| Verdict::Go);
    app.advance(TimeDelta::days(2));
    app.work().await;
    assert_eq!(app.backup_progress(CALC).await["BackupState"], "Success");
    assert_eq!(app.list(CALC, "").await.len(), 1);
}

/// Time passes by itself, so that only the pauses count.
#[tokio::test(start_paused = true)]
async fn a_ledger_that_cannot_be_written_is_tried_again_after_a_pause() {
    const FAILURES: u32 = 20;
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    let failures = std::sync::atomic::AtomicU32::new(0);
    app.store.observe(move |seen| {
        let write = matches!(seen, Seen::Writing(_));
        let fails = write && failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < FAILURES;
        if fails { Verdict::Fail } else { Verdict::Go }
    });
    let begun = tokio::time::Instant::now();
    app.reconcile().await;
    assert_eq!(app.backup_progress(CALC).await["BackupState"], "Success");
    assert!(begun.elapsed() >= FAILURES * std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
}
