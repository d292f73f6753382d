//! What is wrong and needs somebody, told as long as it lasts.

use chrono::{DateTime, TimeDelta, Utc};
use fabric_backup::{
    domain::{DataLoss, Failure, FailureCode, PolicyName, RunFailure},
    ledger::{Blocked, RetentionRecord},
};
use serde_json::{Value, json};

use crate::{
    app::TestApp,
    control::{CALC_APP, ask, disable_and_clean, enable, partition, policies, remember},
    world::CALC,
};

async fn health(app: &TestApp) -> Value {
    app.get("/BackupRestore/$/GetHealth").await.ok()
}

/// The only event; everything else is well.
async fn event(app: &TestApp) -> Value {
    let health = health(app).await;
    assert_eq!(
        (&health["HealthState"], health["Events"].as_array().unwrap().len()),
        (&json!("Warning"), 1),
        "{health}"
    );
    health["Events"][0].clone()
}

async fn is_well(app: &TestApp) {
    assert_eq!(health(app).await, json!({ "HealthState": "Ok", "Events": [] }));
}

/// A failure of `words` that began an hour ago.
fn failure(now: DateTime<Utc>, words: &str) -> RunFailure {
    let why = Failure::new(FailureCode::Unreachable, words);
    RunFailure { at: now, since: now - TimeDelta::hours(1), why }
}

fn says(event: &Value, words: &[&str]) {
    let text = event["Description"].as_str().unwrap();
    for word in words {
        assert!(text.contains(word), "no '{word}' in: {text}");
    }
}

#[tokio::test]
async fn a_node_that_nothing_was_asked_of_is_well() {
    is_well(&TestApp::new()).await;
}

#[tokio::test]
async fn a_partition_that_lost_its_state_is_told_until_that_is_decided() {
    let mut app = TestApp::new();
    let loss = DataLoss { since: app.now(), found: "the directory is empty".to_owned() };
    remember(&app, CALC, |record| record.data_loss = Some(loss.clone())).await;
    let told = event(&app).await;
    says(&told, &["the directory is empty", "Restore a backup", "request a backup"]);
    let names =
        json!([told["Kind"], told["ApplicationName"], told["ServiceName"], told["PartitionId"], told["SinceUtc"]]);
    let service = "fabric:/CalcApp/CalcService";
    assert_eq!(names, json!(["DataLoss", "fabric:/CalcApp", service, CALC, "2026-03-04T12:05:09Z"]));
    assert_eq!(told.get("PolicyName"), None);
    let progress = app.restore_progress(CALC).await;
    let expected = json!({
        "RestoreState": "Invalid", "TimeStampUtc": "0001-01-01T00:00:00Z", "RestoredEpoch": null, "RestoredLsn": "0",
        "FailureError": null,
        "DataLoss": { "DetectedUtc": "2026-03-04T12:05:09Z", "Description": "the directory is empty" },
    });
    assert_eq!(progress, expected);
    app.unconfigure(&[CALC]);
    is_well(&app).await;
}

#[tokio::test]
async fn a_loss_tells_the_backups_that_were_tried_in_vain() {
    let app = TestApp::new();
    let loss = DataLoss { since: app.now(), found: "it is gone".to_owned() };
    let location = fabric_backup::domain::Location("App\\bad.zip".to_owned());
    let tried = fabric_backup::ledger::Tried { location, why: "a block is damaged".to_owned() };
    remember(&app, CALC, |record| (record.data_loss, record.tried) = (Some(loss.clone()), vec![tried.clone()])).await;
    says(&event(&app).await, &["it is gone", "bad.zip", "a block is damaged", "Restore a backup"]);
}

#[tokio::test]
async fn a_run_that_somebody_stopped_is_none_that_failed() {
    let app = TestApp::new();
    policies(&app, &["A"]).await;
    enable(&app, CALC_APP, "A").await;
    let mut stopped = failure(app.now(), "cancelled on request");
    stopped.why.code = fabric_backup::domain::FailureCode::Aborted;
    remember(&app, CALC, |record| record.runs.failure = Some(stopped.clone())).await;
    is_well(&app).await;
}

#[tokio::test]
async fn a_restore_that_runs_tells_the_loss_too() {
    let app = TestApp::new();
    let backup = app.back_up(CALC).await;
    let loss = DataLoss { since: app.now(), found: "it is gone".to_owned() };
    remember(&app, CALC, |record| record.data_loss = Some(loss.clone())).await;
    app.ask_restore(CALC, &backup).await.accepted();
    let told = app.restore_progress(CALC).await;
    assert_eq!((&told["RestoreState"], &told["DataLoss"]["Description"]), (&json!("Accepted"), &json!("it is gone")));
    app.leave_unfinished();
}

#[tokio::test]
async fn scheduled_backups_that_fail_are_told_where_a_policy_is_in_force() {
    let app = TestApp::new();
    policies(&app, &["A"]).await;
    let why = failure(app.now(), "the share is not mounted");
    remember(&app, CALC, |record| record.runs.failure = Some(why.clone())).await;
    is_well(&app).await;
    enable(&app, CALC_APP, "A").await;
    let failing = event(&app).await;
    says(&failing, &["the share is not mounted"]);
    let names = json!([failing["Kind"], failing["PartitionId"], failing["PolicyName"], failing["SinceUtc"]]);
    assert_eq!(names, json!(["BackupFailing", CALC, "A", "2026-03-04T11:05:09Z"]));
    remember(&app, CALC, |record| record.runs.failure = None).await;
    is_well(&app).await;
}

#[tokio::test]
async fn retention_that_is_stopped_or_fails_is_told_by_its_policy() {
    let app = TestApp::new();
    policies(&app, &["A", "B"]).await;
    let name = PolicyName::parse("B").unwrap();
    let (now, set) = (app.now(), async |value: RetentionRecord| app.ledger.set_retention(&name, &value).await.unwrap());
    set(RetentionRecord { failure: Some(failure(now, "it is read-only")), ..RetentionRecord::default() }).await;
    let failing = event(&app).await;
    assert_eq!((&failing["Kind"], &failing["PolicyName"]), (&json!("RetentionBlocked"), &json!("B")));
    assert_eq!((failing.get("ApplicationName"), &failing["SinceUtc"]), (None, &json!("2026-03-04T11:05:09Z")));
    says(&failing, &["it is read-only"]);
    let blocked = Blocked { since: now, why: "the clocks disagree".to_owned() };
    set(RetentionRecord { blocked: Some(blocked), ..RetentionRecord::default() }).await;
    says(&event(&app).await, &["the clocks disagree"]);
    set(RetentionRecord::default()).await;
    is_well(&app).await;
}

#[tokio::test]
async fn what_cannot_be_cleaned_up_is_told_until_it_is_also_when_its_policy_is_gone() {
    let app = TestApp::new();
    policies(&app, &["A"]).await;
    enable(&app, &partition(CALC), "A").await;
    disable_and_clean(&app, &partition(CALC)).await;
    is_well(&app).await;
    let id = app.ledger.cleanups().await.unwrap()[0].id;
    app.ledger.fail_cleanup(id, &failure(app.now(), "it is read-only")).await.unwrap();
    assert_eq!(ask(&app, "/BackupRestore/BackupPolicies/A", "Delete").await.status, 200);
    let failing = event(&app).await;
    let names = json!([failing["Kind"], failing["PolicyName"], failing["ApplicationName"]]);
    assert_eq!(names, json!(["CleanupFailing", "A", "fabric:/CalcApp"]));
    says(&failing, &["it is read-only", "1 partition"]);
    app.ledger.finish_cleanup(id).await.unwrap();
    is_well(&app).await;
}
