//! `GetBackupsFromBackupLocation`: backups of any name in any storage, and stores that cannot be listed.

use std::fs;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::{MOUNT, TestApp, restore_of},
    list::{four_backups, times},
    world::{BOOK, CALC, NORTH, TWIN},
};

const PATH: &str = "/BackupRestore/$/GetBackups";

fn application(name: &str) -> Value {
    json!({ "EntityKind": "Application", "ApplicationName": name })
}

fn service(name: &str) -> Value {
    json!({ "EntityKind": "Service", "ServiceName": name })
}

fn partition(service: &str, id: Uuid) -> Value {
    json!({ "EntityKind": "Partition", "ServiceName": service, "PartitionId": id })
}

fn body(storage: &Value, entity: &Value) -> Value {
    json!({ "Storage": storage, "BackupEntity": entity, "Latest": false })
}

/// The items for an entity in the store `own`.
async fn items(app: &TestApp, entity: &Value) -> Vec<Value> {
    let page = app.post(PATH, &body(&app.storage("own"), entity)).await.ok();
    assert_eq!(page["ContinuationToken"], "");
    page["Items"].as_array().unwrap().clone()
}

fn partitions(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["PartitionInformation"]["Id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_kind_of_entity_shows_its_own_backups_by_partition_and_then_time() {
    let app = TestApp::new();
    for id in [CALC, BOOK, TWIN, CALC] {
        app.back_up(id).await;
    }
    let (calc, book, twin) = (CALC.to_string(), BOOK.to_string(), TWIN.to_string());
    assert_eq!(partitions(&items(&app, &application("fabric:/CalcApp")).await), [&book, &calc, &calc]);
    assert_eq!(partitions(&items(&app, &application("fabric:/Group/Mirror")).await), [&twin]);
    assert_eq!(partitions(&items(&app, &service("fabric:/CalcApp/CalcService")).await), [&calc, &calc]);
    assert_eq!(partitions(&items(&app, &service("fabric:/Group/Mirror/Twin")).await), [&twin]);
    let of_calc = items(&app, &partition("fabric:/CalcApp/CalcService", CALC)).await;
    assert_eq!(of_calc, app.list(CALC, "").await, "the same as the partition's own list");
}

#[tokio::test]
async fn a_named_partition_is_shown_by_its_name_and_restored_by_it() {
    let app = TestApp::new();
    let storage = app.storage("own");
    app.post(&format!("/Partitions/{NORTH}/$/Backup"), &json!({ "BackupStorage": storage })).await.accepted();
    app.work().await;
    let found = items(&app, &service("fabric:/CalcApp/Names")).await;
    assert_eq!(found.len(), 1);
    let information = json!({ "ServicePartitionKind": "Named", "Id": NORTH, "Name": "north" });
    assert_eq!(found[0]["PartitionInformation"], information);
    let refused = app.ask_restore(CALC, &found[0]).await;
    refused.refused_with(400, "FABRIC_E_RESTORE_SOURCE_TARGET_PARTITION_MISMATCH", &["'north'"]);
    let mut body = restore_of(&found[0]);
    body["BackupStorage"] = storage;
    app.post(&format!("/Partitions/{NORTH}/$/Restore"), &body).await.accepted();
    app.work().await;
    assert_eq!(app.restore_progress(NORTH).await["RestoreState"], "Success");
}

#[tokio::test]
async fn names_that_nobody_has_are_no_error_but_have_no_backups() {
    let app = TestApp::new();
    app.back_up(CALC).await;
    for entity in [
        application("fabric:/Nobody"),
        application("fabric:/Calc"),
        service("fabric:/CalcApp/Calc"),
        service("fabric:/CalcApp/CalcService/Deeper"),
        partition("fabric:/CalcApp/CalcService", TWIN),
        partition("fabric:/CalcApp/Book", CALC),
    ] {
        assert_eq!(items(&app, &entity).await, [Value::Null; 0], "{entity}");
    }
}

#[tokio::test]
async fn backups_are_shown_by_a_node_that_does_not_have_their_partition() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    let folder = app.share("own/Other$App/Svc").join(Uuid::from_u128(1).to_string());
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    fs::rename(app.share("own/CalcApp/CalcService").join(CALC.to_string()), &folder).unwrap();
    let found = items(&app, &application("fabric:/Other/App")).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["ServiceName"], "fabric:/Other/App/Svc");
    assert_eq!(found[0]["BackupId"], point["BackupId"]);
    assert_eq!(partitions(&found), [Uuid::from_u128(1).to_string()]);
}

#[tokio::test]
async fn filters_latest_and_pages_count_in_any_storage() {
    let app = four_backups().await;
    let entity = partition("fabric:/CalcApp/CalcService", CALC);
    let with = |more: Value| {
        let mut body = body(&app.storage("own"), &entity);
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (more, expected) in [
        (json!({ "StartDateTimeFilter": "2026-03-04T12:07:09Z" }), vec!["07:09", "08:09"]),
        (json!({ "EndDateTimeFilter": "2026-03-04T12:06:09Z" }), vec!["05:09", "06:09"]),
        (json!({ "EndDateTimeFilter": "2026-03-04T12:07:00Z", "Latest": true }), vec!["06:09"]),
        (json!({ "StartDateTimeFilter": null, "EndDateTimeFilter": "", "Latest": "True" }), vec!["08:09"]),
    ] {
        let page = app.post(PATH, &with(more.clone())).await.ok();
        assert_eq!(times(page["Items"].as_array().unwrap()), expected, "{more}");
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    for _ in 0..2 {
        let page = app.post(&format!("{PATH}?MaxResults=2&ContinuationToken={token}"), &with(json!({}))).await.ok();
        seen.extend(page["Items"].as_array().unwrap().clone());
        page["ContinuationToken"].as_str().unwrap().clone_into(&mut token);
    }
    assert_eq!((times(&seen), token.as_str()), (vec!["05:09", "06:09", "07:09", "08:09"], ""));
}

#[tokio::test]
async fn latest_is_the_newest_of_each_partition() {
    let app = four_backups().await;
    app.back_up(BOOK).await;
    let mut latest = body(&app.storage("own"), &application("fabric:/CalcApp"));
    latest["Latest"] = json!(true);
    let page = app.post(PATH, &latest).await.ok();
    let found = page["Items"].as_array().unwrap();
    assert_eq!(partitions(found), [BOOK.to_string(), CALC.to_string()]);
    assert_eq!(times(found), ["09:09", "08:09"]);
}

#[tokio::test]
async fn a_token_that_was_not_given_out_is_refused() {
    let app = TestApp::new();
    app.back_up(CALC).await;
    for token in ["!", "YQ", "a"] {
        let ask = body(&app.storage("own"), &application("fabric:/CalcApp"));
        let answer = app.post(&format!("{PATH}?ContinuationToken={token}"), &ask).await;
        answer.refused_with(400, "E_INVALIDARG", &["ContinuationToken"]);
    }
}

/// The only item of an answer about a store that could not be listed.
async fn the_failure(app: &TestApp, storage: &Value) -> Value {
    let page = app.post(PATH, &body(storage, &application("fabric:/CalcApp"))).await.ok();
    assert_eq!(page["ContinuationToken"], "");
    let items = page["Items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{page}");
    let item = &items[0];
    let fields: Vec<&str> = item.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((fields, &item["BackupId"]), (vec!["BackupId", "FailureError"], &json!(Uuid::nil())));
    item["FailureError"].clone()
}

#[tokio::test]
async fn a_store_that_is_not_there_is_one_item_that_says_so() {
    let app = TestApp::new();
    let why = the_failure(&app, &app.storage("nowhere")).await;
    assert_eq!(why["Code"], "FABRIC_E_FILE_NOT_FOUND");
    assert!(why["Message"].as_str().unwrap().contains(app.share("nowhere").to_str().unwrap()), "{why}");
}

/// The time between the tries passes by itself.
#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_one_item_that_says_so() {
    let app = TestApp::new();
    // Nobody listens on port 1; the connection is refused at once.
    let key = "c2VjcmV0LW9mLXRoZS1jYWxsZXI=";
    let storage = json!({ "StorageKind": "AzureBlobStore", "ContainerName": "con", "ConnectionString":
        format!("AccountName=a;AccountKey={key};BlobEndpoint=http://127.0.0.1:1/a") });
    let why = the_failure(&app, &storage).await;
    assert_eq!(why["Code"], "FABRIC_E_COMMUNICATION_ERROR", "{why}");
    assert!(!why.to_string().contains(key), "{why}");
}

#[tokio::test]
async fn a_mapped_unc_path_is_listed_and_any_other_refused_by_the_table() {
    let app = TestApp::new();
    let unc = |path: &str| json!({ "StorageKind": "FileShare", "Path": path });
    let page = app.post(PATH, &body(&unc(MOUNT), &application("fabric:/CalcApp"))).await.ok();
    assert_eq!(page["Items"], json!([]));
    let answer = app.post(PATH, &body(&unc(r"\\other\share"), &application("fabric:/CalcApp"))).await;
    answer.refused_with(400, "E_INVALIDARG", &["[file_share.mounts]"]);
}

#[tokio::test]
async fn a_path_outside_the_roots_is_refused_by_the_setting_even_through_a_link() {
    let app = TestApp::new();
    for path in ["/etc".to_owned(), format!("{}/../..", app.share("own").display())] {
        let storage = json!({ "StorageKind": "FileShare", "Path": path });
        let answer = app.post(PATH, &body(&storage, &application("fabric:/CalcApp"))).await;
        answer.refused_with(400, "E_INVALIDARG", &["[file_share] roots"]);
    }
    std::os::unix::fs::symlink("/etc", app.share("link")).unwrap();
    let why = the_failure(&app, &app.storage("link")).await;
    assert!(why["Message"].as_str().unwrap().contains("symbolic link"), "{why}");
}

#[tokio::test]
async fn a_backup_whose_metadata_is_broken_is_shown_with_the_reason() {
    let app = four_backups().await;
    let metadata = app.stored("own").into_iter().find(|file| file.contains("12.05.09.bkmetadata")).unwrap();
    fs::write(app.share("own").join(&metadata), "").unwrap();
    let found = items(&app, &partition("fabric:/CalcApp/CalcService", CALC)).await;
    assert_eq!(found.len(), 4);
    assert_eq!(found[0]["FailureError"]["Code"], "FABRIC_E_RESTORE_SAFE_CHECK_FAILED");
    assert_eq!(found[1]["FailureError"], Value::Null);
}

#[tokio::test]
async fn a_request_names_a_storage_and_an_entity_that_can_be() {
    let app = TestApp::new();
    let storage = app.storage("own");
    for (body, word) in [
        (Value::Null, "body"),
        (json!({ "BackupEntity": application("fabric:/CalcApp") }), "Storage"),
        (json!({ "Storage": storage }), "BackupEntity"),
        (body(&storage, &json!({ "EntityKind": "Node" })), "BackupEntity.EntityKind"),
        (body(&storage, &json!({ "EntityKind": "Application" })), "BackupEntity.ApplicationName"),
        (body(&storage, &json!({ "EntityKind": "Service" })), "BackupEntity.ServiceName"),
        (
            body(&storage, &json!({ "EntityKind": "Partition", "ServiceName": "fabric:/CalcApp/CalcService" })),
            "BackupEntity.PartitionId",
        ),
        (body(&storage, &application("CalcApp")), "fabric:/"),
        (body(&storage, &application("fabric:/../etc")), "BackupEntity.ApplicationName"),
        (body(&storage, &service("fabric:/CalcApp")), "BackupEntity.ServiceName"),
    ] {
        app.post(PATH, &body).await.refused_with(400, "E_INVALIDARG", &[word]);
    }
}
