//! `RestorePartition`: what is refused and in which order, and what an accepted restore does to the state.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use chrono::TimeDelta;
use fabric_backup::{archive, job::State, ledger::PartitionRecord};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::{TestApp, restore_of},
    world::{BOOK, CALC, NORTH, STATELESS, TWIN, UNKNOWN},
};

fn path(id: Uuid) -> String {
    format!("/Partitions/{id}/$/Restore")
}

/// A body with this id, location and, if it is one, storage.
fn body(id: Uuid, location: &str, storage: &Value) -> Value {
    json!({ "BackupId": id, "BackupLocation": location, "BackupStorage": storage })
}

#[tokio::test]
async fn a_request_is_checked_in_the_published_order() {
    let app = TestApp::new();
    let (wrong, nowhere) = (Uuid::from_u128(9), "../../etc/passwd");
    let outside = json!({ "StorageKind": "FileShare", "Path": "/etc" });
    let ask = async |id: Uuid, body: Value| app.post(&path(id), &body).await;
    ask(UNKNOWN, json!({ "BackupLocation": nowhere })).await.refused_with(400, "E_INVALIDARG", &["BackupId"]);
    ask(UNKNOWN, body(wrong, nowhere, &outside)).await.refused(404, "FABRIC_E_PARTITION_NOT_FOUND");
    let stateless = "FABRIC_E_INVALID_FOR_STATELESS_SERVICES";
    ask(STATELESS, body(wrong, nowhere, &outside)).await.refused(400, stateless);
    ask(NORTH, body(wrong, nowhere, &Value::Null)).await.refused(404, "FABRIC_E_BACKUP_NOT_ENABLED");
    let answer = ask(CALC, body(wrong, nowhere, &outside)).await;
    answer.refused_with(400, "E_INVALIDARG", &["[file_share] roots"]);
    let answer = ask(CALC, body(wrong, nowhere, &Value::Null)).await;
    answer.refused_with(400, "E_INVALIDARG", &["BackupLocation", nowhere]);

    let of_calc = app.back_up(CALC).await;
    let location = of_calc["BackupLocation"].as_str().unwrap();
    app.ask_restore(CALC, &of_calc).await.accepted();
    app.ask_backup(BOOK).await;
    let answer = ask(BOOK, body(wrong, &location.replace("05.09", "05.10"), &Value::Null)).await;
    answer.refused_with(500, "FABRIC_E_RESTORE_SAFE_CHECK_FAILED", &["12.05.10"]);
    let mismatch = "FABRIC_E_RESTORE_SOURCE_TARGET_PARTITION_MISMATCH";
    let id: Uuid = of_calc["BackupId"].as_str().unwrap().parse().unwrap();
    let answer = ask(BOOK, body(wrong, location, &Value::Null)).await;
    answer.refused_with(400, mismatch, &[&id.to_string(), &wrong.to_string()]);
    let answer = ask(BOOK, body(id, location, &Value::Null)).await;
    answer.refused_with(400, mismatch, &["Singleton", "Int64Range"]);
    ask(CALC, body(id, location, &Value::Null)).await.refused(409, "FABRIC_E_RESTORE_IN_PROGRESS");
    app.work().await;
}

#[tokio::test]
async fn a_restore_while_a_backup_runs_is_refused() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    app.ask_backup(CALC).await;
    app.ask_restore(CALC, &point).await.refused(409, "FABRIC_E_BACKUP_IN_PROGRESS");
    app.work().await;
    app.ask_restore(CALC, &point).await.accepted();
    app.work().await;
}

#[tokio::test]
async fn nothing_that_is_refused_is_remembered() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    app.post(&path(CALC), &body(Uuid::nil(), point["BackupLocation"].as_str().unwrap(), &Value::Null)).await;
    assert_eq!(app.restore_progress(CALC).await, Value::Null);
    assert_eq!(app.backup_progress(CALC).await, point);
}

#[tokio::test]
async fn a_body_is_needed_and_held_to_its_schema() {
    let app = TestApp::new();
    let id = Uuid::nil().to_string();
    for (body, word) in [
        (Value::Null, "body"),
        (json!({}), "BackupId"),
        (json!({ "BackupId": "one", "BackupLocation": "x" }), "BackupId"),
        (json!({ "BackupId": id }), "BackupLocation"),
        (json!({ "BackupId": id, "BackupLocation": "" }), "BackupLocation"),
        (json!({ "BackupId": id, "BackupLocation": " " }), "BackupLocation"),
        (json!({ "BackupId": id, "BackupLocation": "x", "BackupStorage": "share" }), "BackupStorage"),
    ] {
        app.post(&path(CALC), &body).await.refused_with(400, "E_INVALIDARG", &[word]);
    }
    for minutes in ["0", "-1", "525601", "soon"] {
        let path = format!("{}?RestoreTimeout={minutes}", path(CALC));
        let answer = app.post(&path, &body(Uuid::nil(), "x", &Value::Null)).await;
        answer.refused_with(400, "E_INVALIDARG", &["RestoreTimeout"]);
    }
}

#[tokio::test]
async fn a_location_that_leaves_the_store_is_refused() {
    let app = TestApp::new();
    for location in [r"..\x", "/etc/passwd", r"C:\x", r"\\host\share\x", "a//b", "a\u{0}b", &"a/".repeat(600)] {
        let answer = app.post(&path(CALC), &body(Uuid::nil(), location, &Value::Null)).await;
        answer.refused_with(400, "E_INVALIDARG", &["BackupLocation"]);
    }
}

#[tokio::test]
async fn metadata_that_cannot_be_read_is_a_safe_check_that_failed() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    let metadata = app.share("own").join(&app.stored("own")[0]);
    let whole = fs::read(&metadata).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for broken in [b"".as_slice(), b"text", &whole[..whole.len() - 1], &flipped] {
        fs::write(&metadata, broken).unwrap();
        let answer = app.ask_restore(CALC, &point).await;
        answer.refused_with(500, "FABRIC_E_RESTORE_SAFE_CHECK_FAILED", &[point["BackupLocation"].as_str().unwrap()]);
    }
    fs::write(&metadata, &whole).unwrap();
    app.ask_restore(CALC, &point).await.accepted();
    app.work().await;
    fs::remove_file(&metadata).unwrap();
    app.ask_restore(CALC, &point).await.refused(500, "FABRIC_E_RESTORE_SAFE_CHECK_FAILED");
}

#[tokio::test]
async fn a_backup_of_another_program_is_refused_as_such() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    let metadata = app.share("own").join(&app.stored("own")[0]);
    let ours = archive::decode(&fs::read(&metadata).unwrap()).unwrap();
    fs::write(&metadata, archive::encode(&archive::Metadata { content: None, ..ours })).unwrap();
    assert_eq!(app.list(CALC, "").await[0]["FailureError"], Value::Null, "it can be listed");
    app.ask_restore(CALC, &point).await.refused_with(400, "E_INVALIDARG", &["not written by fabric-backup"]);
}

/// What is in a tree: path, mode, and a file's text or a link's target.
fn tree(root: &Path) -> Vec<(PathBuf, u32, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let facts = path.symlink_metadata().unwrap();
            let text = if facts.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else if facts.is_dir() {
                waiting.push(path.clone());
                String::new()
            } else {
                fs::read_to_string(&path).unwrap()
            };
            found.push((path.strip_prefix(root).unwrap().to_owned(), facts.permissions().mode(), text));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_restore_brings_the_state_back_and_keeps_the_one_before_as_the_undo_point() {
    let app = TestApp::new();
    let state = app.state(CALC);
    fs::create_dir_all(state.join("empty/.hidden")).unwrap();
    fs::write(state.join("empty/.hidden/file"), "").unwrap();
    symlink("../outside", state.join("link")).unwrap();
    fs::set_permissions(state.join("record"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = tree(&state);
    let point = app.back_up(CALC).await;
    fs::remove_dir_all(state.join("empty")).unwrap();
    fs::write(state.join("record"), "later").unwrap();
    let later = tree(&state);
    app.ask_restore(CALC, &point).await.accepted();
    app.work().await;
    assert_eq!(app.restore_progress(CALC).await["RestoreState"], "Success");
    assert_eq!(tree(&state), before);
    let undo = state.parent().unwrap().join(format!(".{CALC}.fabric-backup/undo"));
    assert_eq!(tree(&undo), later);
    fs::write(state.join("record"), "later still").unwrap();
    app.ask_restore(CALC, &point).await.accepted();
    app.work().await;
    assert_eq!(fs::read_to_string(undo.join("record")).unwrap(), "later still", "the next restore replaces it");
    assert_eq!(tree(&state), before);
}

#[tokio::test]
async fn a_restore_that_fails_leaves_the_state_as_it_was() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    fs::write(app.state(CALC).join("record"), "later").unwrap();
    let later = tree(&app.state(CALC));
    let zip = app.share("own").join(&app.stored("own")[1]);
    let whole = fs::read(&zip).unwrap();
    for byte in (0..whole.len()).step_by(whole.len() / 20) {
        let mut damaged = whole.clone();
        damaged[byte] ^= 0x40;
        fs::write(&zip, damaged).unwrap();
        app.ask_restore(CALC, &point).await.accepted();
        app.work().await;
        let progress = app.restore_progress(CALC).await;
        if progress["RestoreState"] == "Success" {
            // Zip's own headers are for other programs; no byte of the state hangs on them.
            assert_eq!(fs::read_to_string(app.state(CALC).join("record")).unwrap(), format!("of {CALC}"), "{byte}");
            fs::write(app.state(CALC).join("record"), "later").unwrap();
        } else {
            assert_eq!(progress["FailureError"]["Code"], "FABRIC_E_RESTORE_SAFE_CHECK_FAILED", "{byte}: {progress}");
        }
        assert_eq!(tree(&app.state(CALC)), later, "{byte}");
    }
}

#[tokio::test]
async fn a_backup_whose_data_is_cut_or_missing_is_refused_at_once() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    let zip = app.share("own").join(&app.stored("own")[1]);
    let whole = fs::read(&zip).unwrap();
    fs::write(&zip, &whole[..whole.len() - 1]).unwrap();
    app.ask_restore(CALC, &point).await.refused(500, "FABRIC_E_RESTORE_SAFE_CHECK_FAILED");
    fs::remove_file(&zip).unwrap();
    app.ask_restore(CALC, &point).await.refused(500, "FABRIC_E_RESTORE_SAFE_CHECK_FAILED");
    assert_eq!(app.restore_progress(CALC).await, Value::Null);
}

#[tokio::test]
async fn a_backup_can_be_restored_into_another_service_with_the_same_keys() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    app.ask_restore(TWIN, &point).await.accepted();
    app.work().await;
    assert_eq!(app.restore_progress(TWIN).await["RestoreState"], "Success");
    assert_eq!(fs::read_to_string(app.state(TWIN).join("record")).unwrap(), format!("of {CALC}"));
    assert_eq!(app.restore_progress(CALC).await, Value::Null);
}

#[tokio::test]
async fn a_location_counts_in_either_slash_and_wherever_the_store_lies_now() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    fs::rename(app.share("own"), app.share("moved")).unwrap();
    let location = point["BackupLocation"].as_str().unwrap().replace('\\', "/");
    let id: Uuid = point["BackupId"].as_str().unwrap().parse().unwrap();
    let moved = body(id, location.strip_suffix(".zip").unwrap(), &app.storage("moved"));
    app.post(&path(CALC), &moved).await.accepted();
    app.work().await;
    assert_eq!(app.restore_progress(CALC).await["RestoreState"], "Success");
}

fn version(progress: &Value, field: &str) -> i64 {
    let found = progress.pointer(field).unwrap().as_str().unwrap();
    found.parse().unwrap()
}

#[tokio::test]
async fn the_log_grows_with_backups_and_goes_back_with_a_restore_into_a_greater_epoch() {
    const LSN: &str = "/LsnOfLastBackupRecord";
    const LIFE: &str = "/EpochOfLastBackupRecord/DataLossVersion";
    let app = TestApp::new();
    let first = app.back_up(CALC).await;
    fs::write(app.state(CALC).join("more"), vec![7; 150_000]).unwrap();
    let second = app.back_up(CALC).await;
    // Three more blocks of 64 KiB, and one at least for every backup.
    assert_eq!((version(&first, LSN), version(&second, LSN)), (1, 4));
    assert_eq!(version(&first, LIFE), version(&second, LIFE));
    for _ in 0..2 {
        app.ask_restore(CALC, &first).await.accepted();
        app.work().await;
        let restored = app.restore_progress(CALC).await;
        assert_eq!(restored["RestoredEpoch"], first["EpochOfLastBackupRecord"], "the backup's own");
        assert_eq!(restored["RestoredLsn"], first["LsnOfLastBackupRecord"]);
    }
    let after = app.back_up(CALC).await;
    assert_eq!(version(&after, LSN), 2);
    assert_eq!(version(&after, LIFE), version(&second, LIFE) + 2, "a new life each time, though the clock stood still");
    app.advance(TimeDelta::hours(1));
    app.ask_restore(CALC, &second).await.accepted();
    app.work().await;
    assert_eq!(version(&app.back_up(CALC).await, LIFE), app.now().timestamp_micros());
}

#[tokio::test]
async fn a_restore_that_is_running_at_its_deadline_times_out_and_the_state_is_as_it_was() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    fs::write(app.state(CALC).join("record"), "later").unwrap();
    app.post(&format!("{}?RestoreTimeout=3", path(CALC)), &restore_of(&point)).await.accepted();
    let running = |record: &PartitionRecord| record.restore.as_ref().is_some_and(|job| job.state == State::Running);
    app.pause(CALC, running, async || app.advance(TimeDelta::minutes(3))).await;
    assert_eq!(app.restore_progress(CALC).await["RestoreState"], "Timeout");
    assert_eq!(fs::read_to_string(app.state(CALC).join("record")).unwrap(), "later");
    app.ask_restore(CALC, &point).await.accepted();
    app.reconcile().await;
    assert_eq!(app.restore_progress(CALC).await["RestoreState"], "Success");
}

#[tokio::test]
async fn a_deadline_has_no_power_over_a_restore_that_is_being_swapped_in() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    app.ask_restore(CALC, &point).await.accepted();
    let commits = |record: &PartitionRecord| record.restore.as_ref().is_some_and(|job| job.state == State::Committing);
    app.pause(CALC, commits, async || app.advance(TimeDelta::days(1))).await;
    assert_eq!(app.restore_progress(CALC).await["RestoreState"], "Success");
}

#[tokio::test]
async fn a_state_that_was_lost_as_a_whole_is_restored() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    fs::remove_dir_all(app.state(CALC)).unwrap();
    app.ask_restore(CALC, &point).await.accepted();
    app.work().await;
    assert_eq!(app.restore_progress(CALC).await["RestoreState"], "Success");
    assert_eq!(fs::read_to_string(app.state(CALC).join("record")).unwrap(), format!("of {CALC}"));
}
