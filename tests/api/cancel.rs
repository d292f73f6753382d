//! Jobs that are told to end: what is accepted, and what of it the ledger is told. What the engine makes of it is the engine's.

use axum::http::Method;
use fabric_backup::{domain::Location, job::State, ledger::PartitionRecord};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    answer::Answer,
    app::TestApp,
    control::{ask, enable, is_scheduled_cancelled, partition, policies, record, remember, scheduled},
    world::{BOOK, CALC, UNKNOWN},
};

const NOTHING: &str = "FABRIC_E_KEY_NOT_FOUND";

async fn cancel(app: &TestApp, id: Uuid, what: &str) -> Answer {
    ask(app, &partition(id), &format!("Cancel{what}")).await
}

fn running_backup(record: &PartitionRecord) -> bool {
    record.backup.as_ref().is_some_and(|job| job.state == State::Running)
}

fn restoring(state: &State<fabric_backup::job::Restored>) -> impl Fn(&PartitionRecord) -> bool + use<> {
    let state = state.clone();
    move |record| record.restore.as_ref().is_some_and(|job| job.state == state)
}

#[tokio::test]
async fn a_backup_that_nobody_has_begun_ends_at_once() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    cancel(&app, CALC, "Backup").await.accepted();
    let progress = app.backup_progress(CALC).await;
    assert_eq!((&progress["BackupState"], &progress["FailureError"]["Code"]), (&"Failure".into(), &"E_ABORT".into()));
    app.back_up(CALC).await;
}

#[tokio::test]
async fn a_backup_that_may_have_written_something_is_left_to_whoever_tidies_up() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    let attempt = Location("App\\Svc\\guid\\2026-03-04 12.05.09.zip".to_owned());
    remember(&app, CALC, |record| record.backup.as_mut().unwrap().task.attempt = Some(attempt.clone())).await;
    cancel(&app, CALC, "Backup").await.accepted();
    let job = record(&app, CALC).await.backup.unwrap();
    assert!(job.cancelled && job.state == State::Accepted);
    app.leave_unfinished();
}

#[tokio::test]
async fn a_running_backup_is_told_to_end_as_often_as_somebody_asks() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    let asked = app.pause(CALC, running_backup, async || {
        cancel(&app, CALC, "Backup").await.accepted();
        cancel(&app, CALC, "Backup").await.accepted();
        record(&app, CALC).await.backup.unwrap()
    });
    let job = asked.await;
    assert!(job.cancelled && job.state == State::Running);
}

#[tokio::test]
async fn a_scheduled_backup_is_cancelled_if_none_was_asked_for() {
    let app = TestApp::new();
    scheduled(&app, CALC, "A").await;
    app.ask_backup(CALC).await;
    cancel(&app, CALC, "Backup").await.accepted();
    assert!(!is_scheduled_cancelled(&app, CALC).await);
    cancel(&app, CALC, "Backup").await.accepted();
    assert!(is_scheduled_cancelled(&app, CALC).await);
    assert!(record(&app, CALC).await.scheduled.unwrap().state.is_active(), "only the engine may end it");
    app.leave_unfinished();
}

#[tokio::test]
async fn a_restore_is_told_to_end_until_its_state_is_put_in_place() {
    let app = TestApp::new();
    let backup = app.back_up(CALC).await;
    app.ask_restore(CALC, &backup).await.accepted();
    cancel(&app, CALC, "Restore").await.accepted();
    assert!(record(&app, CALC).await.restore.unwrap().cancelled);
    remember(&app, CALC, |record| record.restore.as_mut().unwrap().cancelled = false).await;
    let late = app.pause(CALC, restoring(&State::Committing), async || cancel(&app, CALC, "Restore").await);
    late.await.refused_with(409, "FABRIC_E_RESTORE_IN_PROGRESS", &["too late"]);
    assert!(!record(&app, CALC).await.restore.unwrap().cancelled);
}

#[tokio::test]
async fn where_nothing_runs_there_is_nothing_to_cancel() {
    let app = TestApp::new();
    for what in ["Backup", "Restore"] {
        cancel(&app, CALC, what).await.refused_with(404, NOTHING, &[&CALC.to_string()]);
        cancel(&app, UNKNOWN, what).await.refused(404, "FABRIC_E_PARTITION_NOT_FOUND");
    }
    assert_eq!(app.store.records(), [], "nothing was written");
    let backup = app.back_up(CALC).await;
    cancel(&app, CALC, "Backup").await.refused(404, NOTHING);
    app.ask_restore(CALC, &backup).await.accepted();
    app.work().await;
    cancel(&app, CALC, "Restore").await.refused(404, NOTHING);
    app.ask_backup(CALC).await;
    cancel(&app, CALC, "Restore").await.refused(404, NOTHING);
    app.work().await;
}

#[tokio::test]
async fn a_restore_ends_a_scheduled_backup_and_a_requested_backup_does_not() {
    let app = TestApp::new();
    policies(&app, &["A"]).await;
    enable(&app, &partition(CALC), "A").await;
    let backup = app.back_up(CALC).await;
    scheduled(&app, CALC, "A").await;
    app.ask_backup(CALC).await;
    assert!(!is_scheduled_cancelled(&app, CALC).await);
    cancel(&app, CALC, "Backup").await.accepted();
    app.ask_restore(CALC, &backup).await.accepted();
    assert!(is_scheduled_cancelled(&app, CALC).await);
    app.leave_unfinished();
}

#[tokio::test]
async fn a_scheduled_backup_is_no_reason_to_refuse_and_shows_in_no_progress() {
    let app = TestApp::new();
    scheduled(&app, BOOK, "A").await;
    assert_eq!(app.backup_progress(BOOK).await, Value::Null);
    app.ask_backup(BOOK).await;
    let again = app.send(Method::POST, &format!("{}/$/Backup", partition(BOOK)), Vec::new(), &[]).await;
    again.refused(409, "FABRIC_E_BACKUP_IN_PROGRESS");
    app.leave_unfinished();
}
