//! `VerifyPartitionBackup`, its progress, and its cancelling.

use std::fs;

use axum::http::Method;
use chrono::TimeDelta;
use fabric_backup::{job::State, ledger::PartitionRecord};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    answer::Answer,
    app::{TestApp, published},
    world::{CALC, NORTH, STATELESS, TWIN, UNKNOWN},
};

const NEVER: &str = "0001-01-01T00:00:00Z";

/// The body that verifies what a backup's progress tells.
fn verify_of(backup: &Value, level: i64) -> Value {
    json!({ "BackupId": backup["BackupId"], "BackupLocation": backup["BackupLocation"], "Level": level })
}

async fn ask(app: &TestApp, id: Uuid, body: &Value) -> Answer {
    app.post(&format!("/Partitions/{id}/$/VerifyBackup"), body).await
}

async fn progress(app: &TestApp, id: Uuid) -> Value {
    app.get(&format!("/Partitions/{id}/$/GetVerifyProgress")).await.ok()
}

/// Verifies to the end.
async fn verify(app: &TestApp, backup: &Value, level: i64) -> Value {
    ask(app, CALC, &verify_of(backup, level)).await.accepted();
    app.work().await;
    progress(app, CALC).await
}

fn zip_of(app: &TestApp) -> std::path::PathBuf {
    app.share("own").join(app.stored("own").into_iter().find(|name| name.rsplit('.').next() == Some("zip")).unwrap())
}

/// Turns one byte of the file, counted from its start.
fn spoil(path: &std::path::Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_backup_that_is_as_it_was_written_is_a_success_on_every_level() {
    let app = TestApp::new();
    assert_eq!(progress(&app, CALC).await, Value::Null);
    let backup = app.back_up(CALC).await;
    for level in 1..=3 {
        ask(&app, CALC, &verify_of(&backup, level)).await.accepted();
        let accepted = json!({
            "VerifyState": "Accepted",
            "TimeStampUtc": NEVER,
            "BackupId": backup["BackupId"],
            "BackupLocation": backup["BackupLocation"],
            "Level": level,
            "Findings": [],
            "FailureError": null,
        });
        assert_eq!(progress(&app, CALC).await, accepted);
        app.work().await;
        let told = progress(&app, CALC).await;
        assert_eq!((&told["VerifyState"], &told["FailureError"]), (&json!("Success"), &Value::Null), "{told}");
        assert_eq!((&told["DamagesFound"], &told["Findings"]), (&json!("0"), &json!([])));
        assert_eq!(told["BlocksChecked"], if level == 1 { "0" } else { "1" }, "{told}");
        assert_eq!((&told["TimeStampUtc"], &told["PercentComplete"]), (&json!("2026-03-04T12:05:09Z"), &json!(100)));
    }
    assert_eq!(published(app.backup_progress(CALC).await), published(backup));
    assert_eq!(fs::read_to_string(app.state(CALC).join("record")).unwrap(), format!("of {CALC}"));
}

#[tokio::test]
async fn the_level_is_2_unless_another_is_named() {
    let app = TestApp::new();
    let backup = app.back_up(CALC).await;
    let mut body = verify_of(&backup, 1);
    body.as_object_mut().unwrap().remove("Level");
    ask(&app, CALC, &body).await.accepted();
    assert_eq!(progress(&app, CALC).await["Level"], 2);
    app.work().await;
}

#[tokio::test]
async fn a_backup_that_is_damaged_is_a_failure_that_says_where() {
    for level in 1..=3 {
        let app = TestApp::new();
        let backup = app.back_up(CALC).await;
        let zip = zip_of(&app);
        fs::write(&zip, &fs::read(&zip).unwrap()[1..]).unwrap();
        let told = verify(&app, &backup, level).await;
        assert_eq!(told["VerifyState"], "Failure", "{told}");
        assert_eq!(told["FailureError"]["Code"], "FABRIC_E_RESTORE_SAFE_CHECK_FAILED");
        assert_ne!(told["DamagesFound"], "0");
        assert_eq!(told["TimeStampUtc"], NEVER);
        assert_eq!(told["Findings"][0]["BackupLocation"], backup["BackupLocation"]);
        assert!(told["Findings"][0]["Reason"].as_str().unwrap().contains("bytes"), "{told}");
    }
}

#[tokio::test]
async fn a_block_that_is_damaged_shows_from_level_2_up_with_its_file_and_offset() {
    let app = TestApp::new();
    let backup = app.back_up(CALC).await;
    let zip = zip_of(&app);
    let content = format!("of {CALC}");
    let bytes = fs::read(&zip).unwrap();
    let at = bytes.windows(8).position(|window| window == &content.as_bytes()[4..12]).unwrap();
    spoil(&zip, at);
    assert_eq!(verify(&app, &backup, 1).await["VerifyState"], "Success");
    for level in [2, 3] {
        let told = verify(&app, &backup, level).await;
        assert_eq!(told["VerifyState"], "Failure", "{told}");
        let finding = &told["Findings"][0];
        assert_eq!((&finding["File"], &finding["Offset"]), (&json!("record"), &json!("0")), "{told}");
        assert_eq!(finding["BackupLocation"], backup["BackupLocation"]);
    }
    spoil(&zip, at);
    assert_eq!(verify(&app, &backup, 3).await["VerifyState"], "Success", "nothing of a failed one sticks");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_found_and_not_refused() {
    let app = TestApp::new();
    let backup = app.back_up(CALC).await;
    let record = zip_of(&app).with_extension("bkmetadata");
    spoil(&record, 20);
    let told = verify(&app, &backup, 2).await;
    assert_eq!(told["VerifyState"], "Failure", "{told}");
    assert_eq!(told["FailureError"]["Code"], "FABRIC_E_RESTORE_SAFE_CHECK_FAILED");
    assert_eq!(told["Findings"].as_array().unwrap().len(), 1, "{told}");
}

#[tokio::test]
async fn what_is_not_there_is_refused_as_by_a_restore() {
    let app = TestApp::new();
    let backup = app.back_up(CALC).await;
    fs::remove_file(zip_of(&app)).unwrap();
    let told = verify(&app, &backup, 1).await;
    assert_eq!(told["VerifyState"], "Failure", "{told}");
    assert_ne!(told["DamagesFound"], "0", "{told}");
    for name in app.stored("own") {
        fs::remove_file(app.share("own").join(name)).unwrap();
    }
    let answer = ask(&app, CALC, &verify_of(&backup, 1)).await;
    answer.refused_with(500, "FABRIC_E_RESTORE_SAFE_CHECK_FAILED", &["there is no backup"]);
    assert_eq!(progress(&app, CALC).await, told, "what was refused changes nothing");
}

#[tokio::test]
async fn what_cannot_be_verified_is_refused_with_the_reason() {
    let app = TestApp::new();
    let backup = app.back_up(CALC).await;
    let good = verify_of(&backup, 2);
    ask(&app, UNKNOWN, &good).await.refused(404, "FABRIC_E_PARTITION_NOT_FOUND");
    ask(&app, STATELESS, &good).await.refused(400, "FABRIC_E_INVALID_FOR_STATELESS_SERVICES");
    ask(&app, NORTH, &good).await.refused(404, "FABRIC_E_BACKUP_NOT_ENABLED");
    for level in [json!(0), json!(4), json!(-1), json!("two"), json!(1.5)] {
        let body = json!({ "BackupId": good["BackupId"], "BackupLocation": good["BackupLocation"], "Level": level });
        ask(&app, CALC, &body).await.refused_with(400, "E_INVALIDARG", &["Level"]);
    }
    let other = json!({ "BackupId": Uuid::from_u128(9), "BackupLocation": good["BackupLocation"] });
    ask(&app, CALC, &other).await.refused(400, "FABRIC_E_RESTORE_SOURCE_TARGET_PARTITION_MISMATCH");
    let nowhere = json!({ "BackupId": good["BackupId"], "BackupLocation": "..\\up.zip" });
    ask(&app, CALC, &nowhere).await.refused_with(400, "E_INVALIDARG", &["BackupLocation"]);
    for timeout in ["0", "525601"] {
        let path = format!("/Partitions/{CALC}/$/VerifyBackup?VerifyTimeout={timeout}");
        app.post(&path, &good).await.refused_with(400, "E_INVALIDARG", &["VerifyTimeout"]);
    }
    assert_eq!(progress(&app, CALC).await, Value::Null);
    for (what, method) in [("GetVerifyProgress", Method::GET), ("CancelVerify", Method::POST)] {
        let answer = app.send(method, &format!("/Partitions/{UNKNOWN}/$/{what}"), Vec::new(), &[]).await;
        answer.refused(404, "FABRIC_E_PARTITION_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_backup_of_another_partition_can_be_verified() {
    let app = TestApp::new();
    let backup = app.back_up(CALC).await;
    ask(&app, TWIN, &verify_of(&backup, 3)).await.accepted();
    app.work().await;
    assert_eq!(progress(&app, TWIN).await["VerifyState"], "Success");
    assert_eq!(progress(&app, CALC).await, Value::Null);
}

fn verifying(record: &PartitionRecord) -> bool {
    record.verify.as_ref().is_some_and(|job| job.state == State::Running)
}

#[tokio::test]
async fn one_verification_of_a_partition_runs_at_a_time_and_backups_and_restores_go_on_beside_it() {
    let app = TestApp::new();
    let backup = app.back_up(CALC).await;
    ask(&app, CALC, &verify_of(&backup, 2)).await.accepted();
    let again = ask(&app, CALC, &verify_of(&backup, 1)).await;
    again.refused_with(409, "FABRIC_E_OPERATION_NOT_COMPLETE", &["GetPartitionVerifyProgress"]);
    let beside = async || {
        assert_eq!(progress(&app, CALC).await["VerifyState"], "VerifyInProgress");
        app.ask_backup(CALC).await;
        app.work_on(CALC).await.unwrap();
        assert_eq!(app.backup_progress(CALC).await["BackupState"], "Success");
        app.ask_restore(CALC, &backup).await.accepted();
        app.work_on(CALC).await.unwrap();
        assert_eq!(app.restore_progress(CALC).await["RestoreState"], "Success");
    };
    app.pause(CALC, verifying, beside).await;
    assert_eq!(progress(&app, CALC).await["VerifyState"], "Success");
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_one_verification() {
    let app = TestApp::new();
    let backup = app.back_up(CALC).await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "once")];
    let path = format!("/Partitions/{CALC}/$/VerifyBackup");
    for level in [1, 1, 2] {
        let body = verify_of(&backup, level).to_string().into_bytes();
        let answer = app.send(Method::POST, &path, body, &headers).await;
        if level == 1 { answer.accepted() } else { drop(answer.refused(409, "FABRIC_E_SEQUENCE_NUMBER_CHECK_FAILED")) }
    }
    app.work().await;
    assert_eq!(progress(&app, CALC).await["Level"], 1);
}

#[tokio::test]
async fn a_verification_is_cancelled_before_it_began_and_while_it_runs() {
    let app = TestApp::new();
    let backup = app.back_up(CALC).await;
    let cancel = async || app.post(&format!("/Partitions/{CALC}/$/CancelVerify"), &json!({})).await;
    cancel().await.refused(404, "FABRIC_E_KEY_NOT_FOUND");
    ask(&app, CALC, &verify_of(&backup, 2)).await.accepted();
    cancel().await.accepted();
    assert_eq!(progress(&app, CALC).await["FailureError"]["Code"], "E_ABORT");
    ask(&app, CALC, &verify_of(&backup, 2)).await.accepted();
    app.pause(CALC, verifying, async || cancel().await.accepted()).await;
    let told = progress(&app, CALC).await;
    assert_eq!((&told["VerifyState"], &told["FailureError"]["Code"]), (&json!("Failure"), &json!("E_ABORT")));
    cancel().await.refused(404, "FABRIC_E_KEY_NOT_FOUND");
}

#[tokio::test]
async fn a_verification_that_takes_too_long_times_out() {
    let app = TestApp::new();
    let backup = app.back_up(CALC).await;
    let path = format!("/Partitions/{CALC}/$/VerifyBackup?VerifyTimeout=1");
    app.post(&path, &verify_of(&backup, 2)).await.accepted();
    app.advance(TimeDelta::minutes(1));
    app.work().await;
    let told = progress(&app, CALC).await;
    assert_eq!(told["VerifyState"], "Timeout", "{told}");
    assert_eq!(told["FailureError"]["Code"], "FABRIC_E_TIMEOUT");
    assert!(told["FailureError"]["Message"].as_str().unwrap().contains("VerifyTimeout"));
}

#[tokio::test]
async fn a_verification_that_a_crash_cut_short_begins_again() {
    let app = TestApp::new();
    let backup = app.back_up(CALC).await;
    ask(&app, CALC, &verify_of(&backup, 2)).await.accepted();
    let id = fabric_backup::domain::PartitionId(CALC);
    let now = app.now();
    let begun = |record: &mut PartitionRecord| {
        let job = record.verify.as_mut().unwrap();
        (job.state, job.started) = (State::Running, Some(now));
    };
    app.ledger.change_partition(id, now, begun).await.unwrap();
    app.restart().await;
    assert_eq!(progress(&app, CALC).await["VerifyState"], "Accepted");
    app.reconcile().await;
    assert_eq!(progress(&app, CALC).await["VerifyState"], "Success");
}
