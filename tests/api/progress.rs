//! `GetPartitionBackupProgress` and `GetPartitionRestoreProgress`: every state, field by field.

use std::{fs, time::Duration};

use chrono::TimeDelta;
use fabric_backup::{
    job::{Stage, State},
    ledger::PartitionRecord,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::{TestApp, moved, published},
    observed::{Seen, Verdict},
    world::{CALC, STATELESS, UNKNOWN},
};

const NEVER: &str = "0001-01-01T00:00:00Z";

/// A backup's progress that has only a state to tell, and perhaps why.
fn unfinished_backup(state: &str, why: &Value) -> Value {
    json!({
        "BackupState": state,
        "TimeStampUtc": NEVER,
        "BackupId": Uuid::nil(),
        "BackupLocation": null,
        "EpochOfLastBackupRecord": null,
        "LsnOfLastBackupRecord": "0",
        "FailureError": why,
    })
}

#[tokio::test]
async fn what_was_never_asked_for_has_no_progress() {
    let app = TestApp::new();
    for id in [CALC, STATELESS] {
        assert_eq!(app.backup_progress(id).await, Value::Null);
        assert_eq!(app.restore_progress(id).await, Value::Null);
    }
    let point = app.back_up(CALC).await;
    assert_eq!(app.restore_progress(CALC).await, Value::Null, "a backup is no restore");
    app.ask_restore(CALC, &point).await.accepted();
    app.work().await;
    assert_eq!(app.backup_progress(CALC).await, point, "a restore changes nothing in what the backup told");
}

#[tokio::test]
async fn an_unknown_partition_has_no_progress_to_ask_for() {
    let app = TestApp::new();
    for what in ["GetBackupProgress", "GetRestoreProgress"] {
        let answer = app.get(&format!("/Partitions/{UNKNOWN}/$/{what}")).await;
        answer.refused_with(404, "FABRIC_E_PARTITION_NOT_FOUND", &[&UNKNOWN.to_string()]);
    }
}

fn backup_is(
    state: &State<fabric_backup::domain::BackupPoint>,
) -> impl Fn(&PartitionRecord) -> bool + Send + Sync + 'static {
    let state = state.clone();
    move |record| record.backup.as_ref().is_some_and(|job| job.state == state)
}

#[tokio::test]
async fn a_backup_tells_only_its_state_until_it_is_done_and_then_everything() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    assert_eq!(app.backup_progress(CALC).await, unfinished_backup("Accepted", &Value::Null));
    app.advance(TimeDelta::seconds(50));
    let running = app.pause(CALC, backup_is(&State::Running), async || app.backup_progress(CALC).await).await;
    assert_eq!(running["StartedUtc"], "2026-03-04T12:05:59Z");
    assert_eq!(published(running), unfinished_backup("BackupInProgress", &Value::Null));
    app.advance(TimeDelta::seconds(7));
    let expected = json!({
        "BackupState": "Success",
        "TimeStampUtc": "2026-03-04T12:05:59Z",
        "BackupId": app.store.records()[0].backup.as_ref().unwrap().id,
        "BackupLocation": format!(r"CalcApp\CalcService\{CALC}\2026-03-04 12.05.59.zip"),
        // Microseconds of the instant at which the partition was first heard of.
        "EpochOfLastBackupRecord": { "ConfigurationVersion": "1", "DataLossVersion": "1772625909250000" },
        "LsnOfLastBackupRecord": "1",
        "FailureError": null,
    });
    let progress = app.backup_progress(CALC).await;
    assert_eq!((&progress["PercentComplete"], &progress["StartedUtc"]), (&json!(100), &json!("2026-03-04T12:05:59Z")));
    assert_eq!(published(progress), expected);
}

#[tokio::test]
async fn a_backup_that_is_being_committed_is_in_progress() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    let seen = app.pause(CALC, backup_is(&State::Committing), async || app.backup_progress(CALC).await).await;
    assert_eq!(published(seen), unfinished_backup("BackupInProgress", &Value::Null));
}

#[tokio::test]
async fn a_backup_that_failed_tells_only_why() {
    let app = TestApp::new();
    app.back_up(CALC).await;
    fs::remove_dir_all(app.state(CALC)).unwrap();
    app.ask_backup(CALC).await;
    assert_eq!(app.backup_progress(CALC).await, unfinished_backup("Accepted", &Value::Null), "the latest counts");
    app.work().await;
    let progress = app.backup_progress(CALC).await;
    let message = format!("the state '{}' does not exist", app.state(CALC).display());
    let why = json!({ "Code": "FABRIC_E_FILE_NOT_FOUND", "Message": message });
    assert_eq!(published(progress), unfinished_backup("Failure", &why));
}

#[tokio::test]
async fn a_backup_that_timed_out_tells_only_that() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    app.advance(TimeDelta::minutes(10));
    app.work().await;
    let message = "not backed up within 10 minutes, nothing is left in the store; \
                   ask again with a greater BackupTimeout";
    let why = json!({ "Code": "FABRIC_E_TIMEOUT", "Message": message });
    assert_eq!(app.backup_progress(CALC).await, unfinished_backup("Timeout", &why));
}

/// A restore's progress; while it may still succeed it shows the backup that is asked for.
fn restore(state: &str, at: &str, backup: Option<&Value>, why: &Value) -> Value {
    json!({
        "RestoreState": state,
        "TimeStampUtc": at,
        "RestoredEpoch": backup.map(|backup| &backup["EpochOfLastBackupRecord"]),
        "RestoredLsn": backup.map_or(&json!("0"), |backup| &backup["LsnOfLastBackupRecord"]),
        "FailureError": why,
    })
}

fn restore_is(
    state: &State<fabric_backup::job::Restored>,
) -> impl Fn(&PartitionRecord) -> bool + Send + Sync + 'static {
    let state = state.clone();
    move |record| record.restore.as_ref().is_some_and(|job| job.state == state)
}

#[tokio::test]
async fn a_restore_shows_its_backup_at_once_and_its_end_only_when_done() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    for state in [State::Running, State::Committing] {
        app.ask_restore(CALC, &point).await.accepted();
        assert_eq!(app.restore_progress(CALC).await, restore("Accepted", NEVER, Some(&point), &Value::Null));
        let seen = app.pause(CALC, restore_is(&state), async || app.restore_progress(CALC).await).await;
        assert_eq!(published(seen), restore("RestoreInProgress", NEVER, Some(&point), &Value::Null));
    }
    app.advance(TimeDelta::seconds(3));
    assert_eq!(
        published(app.restore_progress(CALC).await),
        restore("Success", "2026-03-04T12:05:09Z", Some(&point), &Value::Null)
    );
}

#[tokio::test]
async fn a_restore_that_failed_tells_only_why() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    app.ask_restore(CALC, &point).await.accepted();
    let zip = app.stored("own").pop().unwrap();
    fs::remove_file(app.share("own").join(zip)).unwrap();
    app.work().await;
    let message = format!("the data of the backup '{}' is missing", point["BackupLocation"].as_str().unwrap());
    let why = json!({ "Code": "FABRIC_E_RESTORE_SAFE_CHECK_FAILED", "Message": message });
    assert_eq!(published(app.restore_progress(CALC).await), restore("Failure", NEVER, None, &why));
}

#[tokio::test]
async fn a_restore_that_timed_out_tells_only_that() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    let body = crate::app::restore_of(&point);
    app.post(&format!("/Partitions/{CALC}/$/Restore?RestoreTimeout=1"), &body).await.accepted();
    app.advance(TimeDelta::minutes(1));
    app.work().await;
    let message = "not restored within 1 minutes, the partition is as it was; \
                   ask again with a greater RestoreTimeout";
    let why = json!({ "Code": "FABRIC_E_TIMEOUT", "Message": message });
    assert_eq!(app.restore_progress(CALC).await, restore("Timeout", NEVER, None, &why));
}

/// What is told besides the published fields, of a job that waits while its meter says something.
fn metered(app: &TestApp, progress: &Value, job: Uuid) -> Value {
    assert_eq!(moved(progress), json!({ "StartedUtc": "2026-03-04T12:05:09Z" }), "nothing is known yet");
    let meter = app.meters().of(job);
    meter.begin(2, 1000);
    meter.processed(250);
    meter.file();
    meter.stored(77);
    meter.spent(Stage::Hash, Duration::from_millis(1500));
    app.advance(TimeDelta::seconds(10));
    json!({
        "BytesTotal": "1000",
        "BytesProcessed": "250",
        "BytesStored": "77",
        "FilesTotal": "2",
        "FilesProcessed": "1",
        "PercentComplete": 25,
        "StartedUtc": "2026-03-04T12:05:09Z",
        "EstimatedCompletionUtc": "2026-03-04T12:05:49Z",
        "StageMilliseconds": { "Read": "0", "Hash": "1500", "Compress": "0", "Write": "0", "Throttled": "0" },
    })
}

#[tokio::test]
async fn a_backup_tells_what_it_has_moved_and_where_its_time_goes() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    assert_eq!(moved(&app.backup_progress(CALC).await), json!({}));
    let job = app.store.records()[0].backup.as_ref().unwrap().id;
    let look = async || {
        let expected = metered(&app, &app.backup_progress(CALC).await, job);
        assert_eq!(moved(&app.backup_progress(CALC).await), expected);
    };
    app.pause(CALC, backup_is(&State::Running), look).await;
    let end = moved(&app.backup_progress(CALC).await);
    assert_eq!((&end["PercentComplete"], &end["EstimatedCompletionUtc"]), (&json!(100), &Value::Null));
    assert_eq!((&end["BytesTotal"], &end["BytesProcessed"]), (&json!("39"), &json!("39")), "{end}");
    assert_eq!((&end["FilesTotal"], &end["FilesProcessed"]), (&json!("1"), &json!("1")), "{end}");
    assert_ne!(end["BytesStored"], "0", "{end}");
}

#[tokio::test]
async fn a_restore_tells_what_it_has_moved_and_where_its_time_goes() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    app.ask_restore(CALC, &point).await.accepted();
    let job = app.store.records()[0].restore.as_ref().unwrap().id;
    let look = async || {
        let expected = metered(&app, &app.restore_progress(CALC).await, job);
        assert_eq!(moved(&app.restore_progress(CALC).await), expected);
    };
    app.pause(CALC, restore_is(&State::Running), look).await;
    let end = moved(&app.restore_progress(CALC).await);
    assert_eq!((&end["PercentComplete"], &end["EstimatedCompletionUtc"]), (&json!(100), &Value::Null));
    assert_eq!((&end["BytesTotal"], &end["BytesProcessed"]), (&json!("39"), &json!("39")), "{end}");
    assert_eq!((&end["FilesTotal"], &end["FilesProcessed"]), (&json!("1"), &json!("1")), "{end}");
    assert_ne!(end["BytesStored"], "0", "{end}");
}

#[tokio::test]
async fn a_job_that_begins_again_counts_anew() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    let job = app.store.records()[0].backup.as_ref().unwrap().id;
    app.store.observe({
        let meters = app.meters();
        move |seen| match seen {
            Seen::Written(record) if record.backup.as_ref().is_some_and(|job| job.state == State::Running) => {
                meters.of(job).begin(1, 9);
                Verdict::Fail
            }
            _ => Verdict::Go,
        }
    });
    app.work_on(CALC).await.unwrap_err();
    app.restart().await;
    assert_eq!(moved(&app.backup_progress(CALC).await), json!({}));
    app.advance(TimeDelta::seconds(20));
    app.work().await;
    assert_eq!(app.backup_progress(CALC).await["StartedUtc"], "2026-03-04T12:05:29Z");
}
