//! `BackupPartition`: what is refused and in which order, what is accepted, and how an accepted backup ends.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, os::unix::net::UnixListener};

use axum::http::Method;
use chrono::TimeDelta;
use fabric_backup::{job::State, ledger::PartitionRecord};
use serde_json::{Value, json};

use crate::{
    app::{MOUNT, TestApp},
    observed::{Seen, Verdict},
    world::{BOOK, CALC, NORTH, STATELESS, TWIN, UNKNOWN},
};

fn path(id: uuid::Uuid) -> String {
    format!("/Partitions/{id}/$/Backup")
}

fn named(storage: &Value) -> Value {
    json!({ "BackupStorage": storage })
}

fn outside() -> Value {
    named(&json!({ "StorageKind": "FileShare", "Path": "/etc" }))
}

#[tokio::test]
async fn a_request_is_checked_in_the_published_order() {
    let app = TestApp::new();
    let malformed = json!({ "BackupStorage": { "StorageKind": "Tape" } });
    app.post(&path(UNKNOWN), &malformed).await.refused_with(400, "E_INVALIDARG", &["BackupStorage.StorageKind"]);
    app.post(&path(UNKNOWN), &outside()).await.refused_with(
        404,
        "FABRIC_E_PARTITION_NOT_FOUND",
        &[&UNKNOWN.to_string()],
    );
    let code = "FABRIC_E_INVALID_FOR_STATELESS_SERVICES";
    app.post(&path(STATELESS), &outside()).await.refused_with(400, code, &["fabric:/CalcApp/Front"]);
    app.post(&path(NORTH), &json!({})).await.refused_with(404, "FABRIC_E_BACKUP_NOT_ENABLED", &["backup_storage"]);
    app.ask_backup(CALC).await;
    app.post(&path(CALC), &outside()).await.refused_with(400, "E_INVALIDARG", &["[file_share] roots", "/etc"]);
    app.post(&path(CALC), &json!({})).await.refused(409, "FABRIC_E_BACKUP_IN_PROGRESS");
    app.work().await;
}

#[tokio::test]
async fn nothing_that_is_refused_is_remembered() {
    let app = TestApp::new();
    app.post(&path(CALC), &outside()).await.refused(400, "E_INVALIDARG");
    app.post(&path(NORTH), &json!({})).await.refused(404, "FABRIC_E_BACKUP_NOT_ENABLED");
    assert_eq!(app.backup_progress(CALC).await, Value::Null);
    assert_eq!(app.store.records(), []);
}

#[tokio::test]
async fn a_body_that_names_no_storage_means_the_partitions_own() {
    for body in ["", "{}", "null", r#"{"BackupStorage":null}"#, r#"{"Other":1}"#] {
        let app = TestApp::new();
        let json = [("content-type", "application/json; charset=utf-8")];
        app.send(Method::POST, &path(CALC), body.into(), &json).await.accepted();
        app.work().await;
        assert_eq!(app.stored("own").len(), 2, "{body}");
    }
}

#[tokio::test]
async fn a_storage_in_the_body_is_used_even_where_there_is_none_by_default() {
    let app = TestApp::new();
    app.post(&path(NORTH), &named(&app.storage("named"))).await.accepted();
    app.post(&path(CALC), &named(&app.storage("named"))).await.accepted();
    app.work().await;
    let folders = [format!("CalcApp/CalcService/{CALC}"), format!("CalcApp/Names/{NORTH}")];
    let stem = |folder: &String| format!("{folder}/2026-03-04 12.05.09");
    let files = folders.iter().map(stem).flat_map(|stem| [format!("{stem}.bkmetadata"), format!("{stem}.zip")]);
    assert_eq!(app.stored("named"), files.collect::<Vec<_>>());
    assert_eq!(app.stored("own"), [""; 0]);
}

#[tokio::test]
async fn a_unc_path_is_used_where_its_share_is_mounted() {
    let app = TestApp::new();
    let storage = json!({ "StorageKind": "FileShare", "Path": format!(r"{MOUNT}\team"),
        "PrimaryUserName": r"mydomain\backupaccount", "PrimaryPassword": "abcd1234", "SecondaryUserName": "" });
    app.post(&path(BOOK), &named(&storage)).await.accepted();
    app.work().await;
    assert!(app.mounted().join(format!("team/CalcApp/Book/{BOOK}/2026-03-04 12.05.09.zip")).is_file());
    let elsewhere = json!({ "StorageKind": "FileShare", "Path": r"\\other\share" });
    let refused = app.post(&path(BOOK), &named(&elsewhere)).await;
    refused.refused_with(400, "E_INVALIDARG", &["[file_share.mounts]", r"\\other\share"]);
}

#[tokio::test]
async fn a_description_that_would_swell_the_ledger_is_refused() {
    let app = TestApp::new();
    let storage = |len: usize| {
        let path = app.share("given").display().to_string();
        let password = "p".repeat(len);
        json!({"BackupStorage": {"StorageKind": "FileShare", "Path": path, "PrimaryUserName": "u", "PrimaryPassword": password}})
    };
    app.post(&path(CALC), &storage(40_000)).await.refused_with(400, "E_INVALIDARG", &["32768 bytes"]);
    app.post(&path(CALC), &storage(30_000)).await.accepted();
    app.work().await;
}

#[tokio::test]
async fn a_storage_that_cannot_be_used_is_refused_with_its_reason_and_without_its_secrets() {
    let app = TestApp::new();
    let blob = |text: &str| json!({ "StorageKind": "AzureBlobStore", "ContainerName": "c", "ConnectionString": text });
    let secret = "c2VjcmV0LW9mLXRoZS1jYWxsZXI=";
    for (storage, status, code) in [
        (blob(&format!("AccountKey={secret}")), 400, "E_INVALIDARG"),
        (blob(&format!("DefaultEndpointsProtocol=https;AccountName=a;AccountKey={secret}")), 400, "E_INVALIDARG"),
        (json!({ "StorageKind": "FileShare", "Path": "shares" }), 400, "E_INVALIDARG"),
        (json!({ "StorageKind": "FileShare", "Path": r"C:\backups" }), 400, "E_INVALIDARG"),
        (json!({ "StorageKind": "FileShare" }), 400, "E_INVALIDARG"),
        (json!({ "StorageKind": "FileShare", "Path": " " }), 400, "E_INVALIDARG"),
        (
            json!({ "StorageKind": "DsmsAzureBlobStore", "StorageCredentialsSourceLocation": "https://x.invalid/y",
                "ContainerName": "con" }),
            400,
            "E_INVALIDARG",
        ),
        (
            json!({ "StorageKind": "ManagedIdentityAzureBlobStore", "ManagedIdentityType": "Cluster",
                "BlobServiceUri": "https://x.invalid/", "ContainerName": "con" }),
            400,
            "E_INVALIDARG",
        ),
        (
            json!({ "StorageKind": "ManagedIdentityAzureBlobStore", "ManagedIdentityType": "Invalid",
                "BlobServiceUri": "https://x.invalid/", "ContainerName": "con" }),
            400,
            "E_INVALIDARG",
        ),
    ] {
        let message = app.post(&path(CALC), &named(&storage)).await.refused(status, code);
        assert!(!message.contains(secret) && message.len() > 20, "{message}");
    }
}

#[tokio::test]
async fn a_host_that_the_operator_does_not_mean_is_refused_by_every_operation_that_takes_a_storage() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    let blob = |host: &str| {
        json!({ "StorageKind": "AzureBlobStore", "ContainerName": "con",
            "ConnectionString": format!("AccountName=a;AccountKey=c2VjcmV0;BlobEndpoint=https://{host}/a") })
    };
    let identity = json!({ "StorageKind": "ManagedIdentityAzureBlobStore", "ManagedIdentityType": "Cluster",
        "BlobServiceUri": "https://evil.example/", "ContainerName": "con" });
    let secrets = json!({ "StorageKind": "DsmsAzureBlobStore", "ContainerName": "con",
        "StorageCredentialsSourceLocation": "https://evil.example/x" });
    for (storage, property, words) in [
        (blob("evil.example"), "ConnectionString", "[storage] allow"),
        (blob("169.254.169.254"), "ConnectionString", "metadata service"),
        (blob("0xA9FEA9FE"), "ConnectionString", "metadata service"),
        (blob("[fe80::1]"), "ConnectionString", "metadata service"),
        (identity, "BlobServiceUri", "[storage] allow"),
        (secrets, "StorageCredentialsSourceLocation", "[storage.dsms] allow"),
    ] {
        let entity = json!({ "EntityKind": "Application", "ApplicationName": "fabric:/CalcApp" });
        let listing = json!({ "Storage": storage, "BackupEntity": entity });
        let mut restore = crate::app::restore_of(&point);
        restore["BackupStorage"] = storage.clone();
        let policy = json!({ "Name": "P", "AutoRestoreOnDataLoss": false, "MaxIncrementalBackups": 0, "Storage": storage,
            "Schedule": { "ScheduleKind": "FrequencyBased", "Interval": "PT10M" } });
        for (path, body) in [
            (path(CALC), named(&storage)),
            (format!("/Partitions/{CALC}/$/Restore"), restore),
            ("/BackupRestore/$/GetBackups".to_owned(), listing),
            ("/BackupRestore/BackupPolicies/$/Create".to_owned(), policy),
        ] {
            app.post(&path, &body).await.refused_with(400, "E_INVALIDARG", &[property, words]);
        }
    }
}

#[tokio::test]
async fn a_backup_while_a_job_runs_is_refused_and_the_restore_is_named_first() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    app.ask_restore(CALC, &point).await.accepted();
    app.post(&path(CALC), &json!({})).await.refused(409, "FABRIC_E_RESTORE_IN_PROGRESS");
    app.ask_backup(TWIN).await;
    app.post(&path(TWIN), &json!({})).await.refused(409, "FABRIC_E_BACKUP_IN_PROGRESS");
    app.work().await;
    app.back_up(CALC).await;
}

#[tokio::test]
async fn of_many_requests_at_once_one_is_accepted() {
    let app = TestApp::new();
    let (to, body) = (path(CALC), json!({}));
    let answers = futures::future::join_all((0..8).map(|_| app.post(&to, &body))).await;
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    assert_eq!(accepted, 1);
    app.work().await;
    assert_eq!(app.list(CALC, "").await.len(), 1);
}

#[tokio::test]
async fn a_guid_in_any_form_is_the_same_partition() {
    let app = TestApp::new();
    let upper = CALC.to_string().to_uppercase();
    for id in [upper.clone(), format!("%7B{upper}%7D"), CALC.simple().to_string()] {
        app.advance(TimeDelta::seconds(1));
        app.post(&format!("/partitions/{id}/%24/backup/"), &json!({})).await.accepted();
        app.work().await;
        assert_eq!(app.get(&format!("/Partitions/{id}/$/GetBackupProgress")).await.ok()["BackupState"], "Success");
    }
    assert_eq!(app.list(CALC, "").await.len(), 3);
}

#[tokio::test]
async fn two_backups_in_one_second_get_different_names() {
    let app = TestApp::new();
    let first = app.back_up(CALC).await;
    let second = app.back_up(CALC).await;
    assert!(first["BackupLocation"].as_str().unwrap().ends_with(r"\2026-03-04 12.05.09.zip"));
    assert!(second["BackupLocation"].as_str().unwrap().ends_with(r"\2026-03-04 12.05.10.zip"));
    assert_eq!(app.list(CALC, "").await.len(), 2);
}

#[tokio::test]
async fn a_timeout_out_of_bounds_is_refused() {
    let app = TestApp::new();
    for minutes in ["0", "-1", "525601", "1.5", "soon", "99999999999999999999"] {
        let answer = app.post(&format!("{}?BackupTimeout={minutes}", path(CALC)), &json!({})).await;
        answer.refused_with(400, "E_INVALIDARG", &["BackupTimeout"]);
    }
    for minutes in ["1", "525600", ""] {
        app.post(&format!("{}?BackupTimeout={minutes}", path(CALC)), &json!({})).await.accepted();
        app.work().await;
    }
}

/// Asks for a backup that may take two minutes.
async fn two_minutes(app: &TestApp) {
    app.post(&format!("{}?BackupTimeout=2", path(CALC)), &json!({})).await.accepted();
}

async fn assert_timed_out(app: &TestApp) {
    let progress = app.backup_progress(CALC).await;
    assert_eq!(progress["BackupState"], "Timeout");
    assert_eq!(progress["FailureError"]["Code"], "FABRIC_E_TIMEOUT");
    let message = progress["FailureError"]["Message"].as_str().unwrap();
    assert!(message.contains("2 minutes") && message.contains("BackupTimeout"), "{message}");
    assert_eq!(app.stored("own"), [""; 0]);
    app.back_up(CALC).await;
}

#[tokio::test]
async fn a_backup_that_nobody_began_in_time_times_out() {
    let app = TestApp::new();
    two_minutes(&app).await;
    app.advance(TimeDelta::minutes(2));
    app.work().await;
    assert_timed_out(&app).await;
}

#[tokio::test]
async fn a_backup_one_instant_before_its_deadline_is_still_taken() {
    let app = TestApp::new();
    two_minutes(&app).await;
    app.advance(TimeDelta::minutes(2) - TimeDelta::microseconds(1));
    app.work().await;
    assert_eq!(app.backup_progress(CALC).await["BackupState"], "Success");
}

#[tokio::test]
async fn a_backup_that_is_running_at_its_deadline_times_out_and_leaves_nothing() {
    let app = TestApp::new();
    // A hole of 64 GiB: quickly made, long to read.
    fs::File::create(app.state(CALC).join("hole")).unwrap().set_len(64 << 30).unwrap();
    two_minutes(&app).await;
    let once_it_uploads = async {
        while app.stored("own").is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(app.backup_progress(CALC).await["BackupState"], "BackupInProgress");
        app.advance(TimeDelta::minutes(2));
    };
    tokio::join!(app.work(), once_it_uploads);
    fs::remove_file(app.state(CALC).join("hole")).unwrap();
    assert_timed_out(&app).await;
}

#[tokio::test]
async fn a_deadline_has_no_power_over_a_backup_that_is_being_committed() {
    let app = TestApp::new();
    two_minutes(&app).await;
    let commits = |record: &PartitionRecord| record.backup.as_ref().is_some_and(|job| job.state == State::Committing);
    app.pause(CALC, commits, async || app.advance(TimeDelta::minutes(9))).await;
    assert_eq!(app.backup_progress(CALC).await["BackupState"], "Success");
    assert_eq!(app.list(CALC, "").await.len(), 1);
}

/// Takes a backup that must fail with this code; its message must have these words, and nothing may be stored.
async fn fails(app: &TestApp, code: &str, words: &[&str]) {
    app.ask_backup(CALC).await;
    app.work().await;
    let progress = app.backup_progress(CALC).await;
    assert_eq!(progress["BackupState"], "Failure", "{progress}");
    assert_eq!(progress["FailureError"]["Code"], code, "{progress}");
    let message = progress["FailureError"]["Message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "no '{word}' in: {message}");
    }
    assert_eq!(app.stored("own"), [""; 0]);
}

#[tokio::test]
async fn a_state_that_is_gone_fails_the_backup_by_its_path() {
    let app = TestApp::new();
    fs::remove_dir_all(app.state(CALC)).unwrap();
    fails(&app, "FABRIC_E_FILE_NOT_FOUND", &[app.state(CALC).to_str().unwrap()]).await;
}

#[tokio::test]
async fn a_name_that_is_not_utf_8_fails_the_backup_by_that_name() {
    let app = TestApp::new();
    fs::create_dir(app.state(CALC).join("sub")).unwrap();
    fs::write(app.state(CALC).join("sub").join(OsStr::from_bytes(b"caf\xe9")), "x").unwrap();
    fails(&app, "E_INVALIDARG", &[r"sub/caf\xe9", "not UTF-8"]).await;
}

#[tokio::test]
async fn a_store_that_cannot_be_written_fails_the_backup_by_its_path() {
    let app = TestApp::new();
    fs::write(app.share("own"), "a file where a directory should be").unwrap();
    app.ask_backup(CALC).await;
    app.work().await;
    let progress = app.backup_progress(CALC).await;
    assert_eq!(progress["BackupState"], "Failure", "{progress}");
    let message = progress["FailureError"]["Message"].as_str().unwrap();
    assert!(message.contains(app.share("own").to_str().unwrap()), "{message}");
}

/// Lets the first `times` attempts find that the state changed after they looked.
fn change_the_state(app: &TestApp, times: usize) {
    let (record, left) = (app.state(CALC).join("record"), std::sync::Mutex::new(times));
    app.store.observe(move |seen| {
        let Seen::Written(written) = seen else { return Verdict::Go };
        let job = written.backup.as_ref().unwrap();
        let mut left = left.lock().unwrap();
        if *left > 0 && job.state == State::Running && job.task.attempt.is_some() {
            fs::write(&record, format!("changed, {left} to go")).unwrap();
            *left -= 1;
        }
        Verdict::Go
    });
}

#[tokio::test]
async fn a_state_that_keeps_changing_fails_the_backup_by_the_file() {
    let app = TestApp::new();
    change_the_state(&app, usize::MAX);
    fails(&app, "E_FAIL", &["'record' changed"]).await;
}

#[tokio::test]
async fn a_state_that_changes_once_is_read_anew_as_a_whole() {
    let app = TestApp::new();
    change_the_state(&app, 1);
    let point = app.back_up(CALC).await;
    fs::remove_dir_all(app.state(CALC)).unwrap();
    app.ask_restore(CALC, &point).await.accepted();
    app.work().await;
    assert_eq!(fs::read_to_string(app.state(CALC).join("record")).unwrap(), "changed, 1 to go");
    assert_eq!(app.stored("own").len(), 2);
}

#[tokio::test]
async fn a_socket_is_left_out_and_noted_in_the_job() {
    let app = TestApp::new();
    let _socket = UnixListener::bind(app.state(CALC).join("s")).unwrap();
    app.back_up(CALC).await;
    let notes = json!(["1 left out, as no backup carries them: s (socket)"]);
    assert_eq!(app.backup_progress(CALC).await["Notes"], notes);
}

#[tokio::test]
async fn the_reconciler_finds_what_was_accepted_and_runs_it() {
    let app = TestApp::new();
    for id in [CALC, TWIN, BOOK] {
        app.ask_backup(id).await;
    }
    app.reconcile().await;
    for id in [CALC, TWIN, BOOK] {
        assert_eq!(app.backup_progress(id).await["BackupState"], "Success");
    }
}

#[tokio::test]
async fn an_accepted_backup_is_in_the_ledger_before_its_caller_knows() {
    let app = TestApp::new();
    app.store.observe(|seen| if matches!(seen, Seen::Writing(_)) { Verdict::Fail } else { Verdict::Go });
    app.post(&path(CALC), &json!({})).await.refused(500, "E_FAIL");
    app.store.observe(|_| Verdict::Go);
    assert_eq!(app.backup_progress(CALC).await, Value::Null);
    app.post(&path(CALC), &json!({})).await.accepted();
    assert!(app.store.records()[0].is_busy());
    app.leave_unfinished();
}
