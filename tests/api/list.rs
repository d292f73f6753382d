//! `GetPartitionBackupList`: which backups it shows, in which order and on which page.

use std::fs;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::TestApp,
    world::{BOOK, CALC, NORTH, STATELESS, TWIN, UNKNOWN},
};

/// A node with four backups of one partition, a minute apart from 12:05:09 on, and one of another.
pub(crate) async fn four_backups() -> TestApp {
    let app = TestApp::new();
    app.back_up(TWIN).await;
    for _ in 0..4 {
        app.back_up(CALC).await;
        app.advance(TimeDelta::minutes(1));
    }
    app
}

/// The minutes and seconds at which these backups were taken.
pub(crate) fn times(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| &item["CreationTimeUtc"].as_str().unwrap()[14..19]).collect()
}

#[tokio::test]
async fn a_list_is_checked_in_the_published_order() {
    let app = TestApp::new();
    let bad = "ContinuationToken=!";
    let ask = async |id: Uuid, query: &str| app.get(&format!("/Partitions/{id}/$/GetBackups?{query}")).await;
    ask(UNKNOWN, "MaxResults=-1").await.refused_with(400, "E_INVALIDARG", &["MaxResults"]);
    ask(UNKNOWN, bad).await.refused(404, "FABRIC_E_PARTITION_NOT_FOUND");
    ask(STATELESS, bad).await.refused(400, "FABRIC_E_INVALID_FOR_STATELESS_SERVICES");
    ask(NORTH, bad).await.refused(404, "FABRIC_E_BACKUP_NOT_ENABLED");
    ask(CALC, bad).await.refused_with(400, "E_INVALIDARG", &["ContinuationToken"]);
}

#[tokio::test]
async fn before_the_first_backup_a_list_is_empty() {
    let app = TestApp::new();
    let page = app.get(&format!("/Partitions/{CALC}/$/GetBackups")).await.ok();
    assert_eq!(page, json!({ "ContinuationToken": "", "Items": [] }));
    app.back_up(TWIN).await;
    assert_eq!(app.list(CALC, "").await, [Value::Null; 0], "another's backup lies in the same store");
}

#[tokio::test]
async fn a_listed_backup_tells_what_its_progress_told_and_whose_it_is() {
    let app = TestApp::new();
    let done = app.back_up(CALC).await;
    let item = json!({
        "BackupId": done["BackupId"],
        "BackupChainId": done["BackupId"],
        "ApplicationName": "fabric:/CalcApp",
        "ServiceName": "fabric:/CalcApp/CalcService",
        "PartitionInformation": {
            "ServicePartitionKind": "Int64Range",
            "Id": CALC,
            "LowKey": "-9223372036854775808",
            "HighKey": "9223372036854775807",
        },
        "BackupLocation": done["BackupLocation"],
        "BackupType": "Full",
        "EpochOfLastBackupRecord": done["EpochOfLastBackupRecord"],
        "LsnOfLastBackupRecord": done["LsnOfLastBackupRecord"],
        "CreationTimeUtc": done["TimeStampUtc"],
        "ServiceManifestVersion": "1.0.0",
        "FailureError": null,
    });
    assert_eq!(app.list(CALC, "").await, [item]);
}

#[tokio::test]
async fn names_with_levels_and_other_kinds_of_partition_are_told_as_they_are() {
    let app = TestApp::new();
    app.back_up(TWIN).await;
    app.back_up(BOOK).await;
    let twin = &app.list(TWIN, "").await[0];
    assert_eq!(twin["ApplicationName"], "fabric:/Group/Mirror");
    assert_eq!(twin["ServiceName"], "fabric:/Group/Mirror/Twin");
    assert!(twin["BackupLocation"].as_str().unwrap().starts_with(r"Group$Mirror\Twin\"), "{twin}");
    let book = &app.list(BOOK, "").await[0];
    assert_eq!(book["PartitionInformation"], json!({ "ServicePartitionKind": "Singleton", "Id": BOOK }));
}

#[tokio::test]
async fn a_list_is_oldest_first() {
    let app = four_backups().await;
    assert_eq!(times(&app.list(CALC, "").await), ["05:09", "06:09", "07:09", "08:09"]);
}

#[tokio::test]
async fn each_filter_counts_alone_and_includes_its_own_instant() {
    let app = four_backups().await;
    let at = |time: &str| format!("DateTimeFilter=2026-03-04T12:{time}Z");
    let (start, end) = (|time| format!("Start{}", at(time)), |time| format!("End{}", at(time)));
    for (query, expected) in [
        (start("06:09"), vec!["06:09", "07:09", "08:09"]),
        (start("06:10"), vec!["07:09", "08:09"]),
        (end("07:09"), vec!["05:09", "06:09", "07:09"]),
        (end("07:08"), vec!["05:09", "06:09"]),
        (format!("{}&{}", start("06:09"), end("07:09")), vec!["06:09", "07:09"]),
        (format!("{}&{}", start("07:09"), end("06:09")), vec![]),
        ("Latest=true".to_owned(), vec!["08:09"]),
        (format!("Latest=True&{}", end("07:08")), vec!["06:09"]),
        (format!("latest=false&{}", start("08:10")), vec![]),
        ("StartDateTimeFilter=2026-03-04T13:07:09%2B01:00".to_owned(), vec!["07:09", "08:09"]),
    ] {
        assert_eq!(times(&app.list(CALC, &query).await), expected, "{query}");
    }
    let wrong = app.get(&format!("/Partitions/{CALC}/$/GetBackups?StartDateTimeFilter=yesterday")).await;
    wrong.refused_with(400, "E_INVALIDARG", &["StartDateTimeFilter", "yesterday"]);
}

/// All pages: the items, and how many there were on each.
async fn pages(app: &TestApp, query: &str) -> (Vec<Value>, Vec<usize>) {
    let (mut items, mut sizes, mut token) = (Vec::new(), Vec::new(), String::new());
    for _ in 0..9 {
        let page = app.get(&format!("/Partitions/{CALC}/$/GetBackups?{query}&ContinuationToken={token}")).await.ok();
        let page_items = page["Items"].as_array().unwrap();
        sizes.push(page_items.len());
        items.extend(page_items.iter().cloned());
        page["ContinuationToken"].as_str().unwrap().clone_into(&mut token);
        if token.is_empty() {
            return (items, sizes);
        }
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
    }
    panic!("pages without end: {sizes:?}")
}

#[tokio::test]
async fn pages_show_each_backup_once_and_the_last_has_no_token() {
    let app = four_backups().await;
    let all = app.list(CALC, "").await;
    for (limit, sizes) in
        [(1, vec![1, 1, 1, 1]), (2, vec![2, 2]), (3, vec![3, 1]), (4, vec![4]), (9, vec![4]), (0, vec![4])]
    {
        assert_eq!(pages(&app, &format!("MaxResults={limit}")).await, (all.clone(), sizes), "{limit}");
    }
    let filtered = pages(&app, "MaxResults=1&StartDateTimeFilter=2026-03-04T12:07:00Z").await;
    assert_eq!((times(&filtered.0), filtered.1), (vec!["07:09", "08:09"], vec![1, 1]));
}

#[tokio::test]
async fn a_token_stays_good_while_backups_come_and_go() {
    let app = four_backups().await;
    let first = app.get(&format!("/Partitions/{CALC}/$/GetBackups?MaxResults=2")).await.ok();
    for file in app.stored("own").iter().filter(|file| file.contains("12.06.09")) {
        fs::remove_file(app.share("own").join(file)).unwrap();
    }
    app.back_up(CALC).await;
    let token = first["ContinuationToken"].as_str().unwrap();
    let rest = app.list(CALC, &format!("ContinuationToken={token}")).await;
    assert_eq!(times(&rest), ["07:09", "08:09", "09:09"]);
}

#[tokio::test]
async fn a_token_that_was_not_given_out_is_refused_even_before_the_first_backup() {
    let app = TestApp::new();
    for token in ["!", "a", &URL_SAFE_NO_PAD.encode([0xff]), &URL_SAFE_NO_PAD.encode("CalcApp"), "..%2F.."] {
        let answer = app.get(&format!("/Partitions/{CALC}/$/GetBackups?ContinuationToken={token}")).await;
        answer.refused_with(400, "E_INVALIDARG", &["ContinuationToken"]);
    }
}

#[tokio::test]
async fn a_backup_whose_metadata_is_broken_is_shown_with_the_reason() {
    let app = four_backups().await;
    let broken = app.stored("own").into_iter().find(|file| file.contains("12.06.09.bkmetadata")).unwrap();
    fs::write(app.share("own").join(&broken), "not metadata").unwrap();
    let items = app.list(CALC, "").await;
    assert_eq!(times(&items), ["05:09", "06:09", "07:09", "08:09"]);
    let errors: Vec<&Value> = items.iter().map(|item| &item["FailureError"]["Code"]).collect();
    assert_eq!(errors, [&Value::Null, &json!("FABRIC_E_RESTORE_SAFE_CHECK_FAILED"), &Value::Null, &Value::Null]);
    assert_eq!(items[1]["BackupId"], json!(Uuid::nil()));
    assert_eq!(items[1]["BackupLocation"], format!(r"CalcApp\CalcService\{CALC}\2026-03-04 12.06.09.zip"));
    assert_eq!(items[1]["BackupType"], Value::Null);
}

#[tokio::test]
async fn data_without_metadata_and_strange_files_are_no_backups() {
    let app = four_backups().await;
    let folder = app.share("own").join(format!("CalcApp/CalcService/{CALC}"));
    fs::write(folder.join("2026-03-04 13.00.00.zip"), "half a backup").unwrap();
    fs::write(folder.join("notes.bkmetadata"), "mine").unwrap();
    fs::write(folder.join("README"), "mine").unwrap();
    assert_eq!(app.list(CALC, "").await.len(), 4);
}
