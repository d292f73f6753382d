//! Requests that name themselves: the same one sent again starts nothing, another one of the same name is refused.

use axum::http::Method;
use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    answer::Answer,
    app::{TestApp, restore_of},
    world::{BOOK, CALC, NORTH, UNKNOWN},
};

const TAKEN: &str = "FABRIC_E_SEQUENCE_NUMBER_CHECK_FAILED";

async fn post(app: &TestApp, path: &str, body: &Value, key: &str) -> Answer {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    app.send(Method::POST, path, body.to_string().into(), &headers).await
}

async fn backup(app: &TestApp, id: Uuid, body: &Value, key: &str) -> Answer {
    post(app, &format!("/Partitions/{id}/$/Backup"), body, key).await
}

async fn restore(app: &TestApp, id: Uuid, body: &Value, key: &str) -> Answer {
    post(app, &format!("/Partitions/{id}/$/Restore"), body, key).await
}

#[tokio::test]
async fn the_same_request_is_accepted_again_and_done_once() {
    let app = TestApp::new();
    backup(&app, CALC, &json!({}), "k").await.accepted();
    backup(&app, CALC, &json!({}), "k").await.accepted();
    app.work().await;
    let progress = app.backup_progress(CALC).await;
    backup(&app, CALC, &json!({}), "k").await.accepted();
    assert_eq!(app.backup_progress(CALC).await, progress);
    assert_eq!(app.list(CALC, "").await.len(), 1);
    backup(&app, CALC, &json!({}), "l").await.accepted();
    backup(&app, CALC, &json!({}), "m").await.refused(409, "FABRIC_E_BACKUP_IN_PROGRESS");
    app.work().await;
    assert_eq!(app.list(CALC, "").await.len(), 2);
}

#[tokio::test]
async fn a_request_is_the_same_if_its_body_means_the_same() {
    let app = TestApp::new();
    backup(&app, CALC, &json!({}), "k").await.accepted();
    for body in [json!(null), json!({ "BackupStorage": null }), json!({ "Other": 7 })] {
        backup(&app, CALC, &body, "k").await.accepted();
    }
    let longer = format!("/Partitions/{CALC}/$/Backup?BackupTimeout=20&timeout=5");
    post(&app, &longer, &json!({}), "k").await.accepted();
    let named = json!({ "BackupStorage": app.storage("own") });
    backup(&app, CALC, &named, "k").await.refused_with(409, TAKEN, &["Idempotency-Key"]);
    backup(&app, BOOK, &named, "k").await.accepted();
    let reordered = json!({ "backupstorage": { "Path": app.share("own"), "StorageKind": "FileShare" } });
    backup(&app, BOOK, &reordered, "k").await.accepted();
    backup(&app, BOOK, &json!({ "BackupStorage": app.storage("else") }), "k").await.refused(409, TAKEN);
    app.work().await;
}

#[tokio::test]
async fn a_key_belongs_to_one_partition_and_one_operation_for_a_day() {
    let app = TestApp::new();
    backup(&app, CALC, &json!({}), "k").await.accepted();
    backup(&app, BOOK, &json!({}), "k").await.accepted();
    app.work().await;
    let of_calc = restore_of(&app.backup_progress(CALC).await);
    restore(&app, CALC, &of_calc, "k").await.accepted();
    app.work().await;
    app.advance(TimeDelta::hours(24) - TimeDelta::seconds(1));
    backup(&app, CALC, &json!({ "BackupStorage": app.storage("else") }), "k").await.refused(409, TAKEN);
    app.advance(TimeDelta::seconds(1));
    backup(&app, CALC, &json!({ "BackupStorage": app.storage("else") }), "k").await.accepted();
    app.work().await;
    assert_eq!(app.backup_progress(CALC).await["BackupState"], "Success");
}

#[tokio::test]
async fn a_restore_sent_again_is_recognised_before_the_store_is_asked() {
    let app = TestApp::new();
    let backup = app.back_up(CALC).await;
    let body = restore_of(&backup);
    restore(&app, CALC, &body, "k").await.accepted();
    std::fs::remove_dir_all(app.share("own")).unwrap();
    restore(&app, CALC, &body, "k").await.accepted();
    let other = json!({ "BackupId": Uuid::from_u128(9), "BackupLocation": backup["BackupLocation"] });
    restore(&app, CALC, &other, "k").await.refused(409, TAKEN);
    app.work().await;
}

#[tokio::test]
async fn a_request_that_was_refused_may_be_sent_again_under_its_key() {
    let app = TestApp::new();
    backup(&app, NORTH, &json!({}), "k").await.refused(404, "FABRIC_E_BACKUP_NOT_ENABLED");
    backup(&app, NORTH, &json!({ "BackupStorage": app.storage("else") }), "k").await.accepted();
    app.work().await;
    app.ask_backup(CALC).await;
    backup(&app, CALC, &json!({}), "k").await.refused(409, "FABRIC_E_BACKUP_IN_PROGRESS");
    app.work().await;
    backup(&app, CALC, &json!({}), "k").await.accepted();
    app.work().await;
    assert_eq!(app.list(CALC, "").await.len(), 2);
}

#[tokio::test]
async fn a_key_does_not_make_a_wrong_request_right() {
    let app = TestApp::new();
    backup(&app, UNKNOWN, &json!({}), "k").await.refused(404, "FABRIC_E_PARTITION_NOT_FOUND");
    for key in ["", "a b", &"k".repeat(256)] {
        backup(&app, CALC, &json!({}), key).await.refused_with(400, "E_INVALIDARG", &["Idempotency-Key"]);
    }
    assert_eq!(app.store.records(), []);
}

#[tokio::test]
async fn requests_without_a_key_are_each_their_own() {
    let app = TestApp::new();
    app.back_up(CALC).await;
    app.back_up(CALC).await;
    assert_eq!(app.list(CALC, "").await.len(), 2);
}
