//! `ValidateConnection`: a policy whose storage cannot be used is told so before anything is stored.

use std::{fs, io::ErrorKind};

use serde_json::{Value, json};

use crate::app::{MOUNT, TestApp};

const POLICIES: &str = "/BackupRestore/BackupPolicies";
const CREATE: &str = "/BackupRestore/BackupPolicies/$/Create";
const UPDATE: &str = "/BackupRestore/BackupPolicies/P/$/Update";

fn policy(storage: &Value) -> Value {
    json!({
        "Name": "P",
        "AutoRestoreOnDataLoss": false,
        "MaxIncrementalBackups": 3,
        "Schedule": { "ScheduleKind": "FrequencyBased", "Interval": "PT10M" },
        "Storage": storage,
    })
}

/// With the storage's trial.
fn tried(path: &str) -> String {
    format!("{path}?ValidateConnection=true")
}

/// A storage that cannot be opened, for a file is in its way.
fn blocked(app: &TestApp) -> Value {
    fs::write(app.share("blocked"), "a file").unwrap();
    app.storage("blocked/below")
}

#[tokio::test]
async fn a_storage_that_can_be_used_is_left_as_it_was() {
    let app = TestApp::new();
    let answer = app.post(&tried(CREATE), &policy(&app.storage("new"))).await;
    assert_eq!(answer.status, 201);
    assert!(app.share("new").is_dir(), "it was really tried out");
    assert_eq!(app.stored("new"), [""; 0]);
}

#[tokio::test]
async fn a_storage_that_cannot_be_used_is_refused_with_what_failed_and_nothing_is_stored() {
    let app = TestApp::new();
    let blocked = policy(&blocked(&app));
    let words = ["Storage: ", "cannot be opened", "blocked"];
    app.post(&tried(CREATE), &blocked).await.refused_with(400, "E_INVALIDARG", &words);
    assert_eq!(app.get(POLICIES).await.ok()["Items"], json!([]));
    for unasked in [CREATE.to_owned(), format!("{CREATE}?ValidateConnection=false")] {
        let status = app.post(&unasked, &blocked).await.status.as_u16();
        assert!(matches!(status, 201 | 409), "nobody asked for a trial: {status}");
    }
}

#[tokio::test]
async fn an_update_that_does_not_pass_the_trial_changes_nothing() {
    let app = TestApp::new();
    app.post(CREATE, &policy(&app.storage("new"))).await;
    let before = app.get(&format!("{POLICIES}/P")).await.ok();
    let refused = app.post(&tried(UPDATE), &policy(&blocked(&app))).await;
    refused.refused_with(400, "E_INVALIDARG", &["Storage: ", "nothing was stored"]);
    assert_eq!(app.get(&format!("{POLICIES}/P")).await.ok(), before);
    assert_eq!(app.post(&tried(UPDATE), &policy(&app.storage("other"))).await.status, 200);
    assert!(app.share("other").is_dir());
}

#[tokio::test]
async fn a_share_that_is_not_mounted_is_refused_and_no_secret_is_shown() {
    let app = TestApp::new();
    let share = json!({
        "StorageKind": "FileShare",
        "Path": MOUNT,
        "PrimaryUserName": "me",
        "PrimaryPassword": "open sesame",
    });
    app.post(CREATE, &policy(&share)).await;
    let masked = app.get(&format!("{POLICIES}/P")).await.ok();
    assert_eq!(app.post(&tried(UPDATE), &masked).await.status, 200, "the kept password is tried out too");
    fs::remove_dir(app.mounted()).unwrap();
    let answer = app.post(&tried(UPDATE), &masked).await;
    answer.refused_with(400, "E_INVALIDARG", &["Storage: ", "could not be written"]);
    let message = answer.refused(400, "E_INVALIDARG");
    assert!(!message.contains("sesame"), "{message}");
    assert_eq!(fs::metadata(app.mounted()).unwrap_err().kind(), ErrorKind::NotFound, "a trial does not make a mount");
}

#[tokio::test]
async fn a_policy_that_would_be_refused_anyhow_is_not_tried_out() {
    let app = TestApp::new();
    let update = app.post(&tried(UPDATE), &policy(&app.storage("new"))).await;
    update.refused(404, "FABRIC_E_BACKUP_POLICY_NOT_EXISTING");
    app.post(CREATE, &policy(&app.storage("new"))).await;
    let create = app.post(&tried(CREATE), &policy(&app.storage("new"))).await;
    create.refused(409, "FABRIC_E_BACKUP_POLICY_ALREADY_EXISTING");
    let wrong = app.post(&tried(CREATE), &policy(&json!({ "StorageKind": "FileShare", "Path": "/etc" }))).await;
    wrong.refused_with(400, "E_INVALIDARG", &["Storage.Path: "]);
    assert!(!app.share("new").exists());
}
