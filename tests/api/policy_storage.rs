//! Whose storage counts: what a policy in force means for requested backups, restores and lists.

use std::fs;

use chrono::TimeDelta;
use fabric_backup::domain::{PolicyName, Wanted, WhyFull};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::{TestApp, restore_of},
    control::{BOOK_SERVICE, CALC_APP, CALC_SERVICE, NOT_ENABLED, ask, enable, partition, policies, policy_in, record},
    list::times,
    world::{self, BOOK, CALC, EMPTY, NORTH, STATELESS, TWIN, UNKNOWN},
};

async fn app() -> TestApp {
    let app = TestApp::new();
    policies(&app, &["A", "B"]).await;
    app
}

/// The policies that the partition was written for, as it remembers them.
async fn wrote(app: &TestApp, id: Uuid) -> Vec<String> {
    record(app, id).await.wrote.into_iter().map(|wrote| wrote.policy.to_string()).collect()
}

/// The partitions of a list's items, in its order.
fn ids(items: &[Value]) -> Vec<Uuid> {
    items.iter().map(|item| item["PartitionInformation"]["Id"].as_str().unwrap().parse().unwrap()).collect()
}

async fn items(app: &TestApp, of: &str, query: &str) -> Vec<Value> {
    let page = app.get(&format!("{of}/$/GetBackups?{query}")).await.ok();
    assert_eq!(page["ContinuationToken"], "", "{page}");
    page["Items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_backup_goes_to_the_storage_of_the_policy_in_force_at_any_level_also_while_suspended() {
    for on in [CALC_APP, CALC_SERVICE, &partition(CALC)] {
        let app = app().await;
        enable(&app, on, "A").await;
        ask(&app, on, "SuspendBackup").await.accepted();
        app.back_up(CALC).await;
        assert_eq!((app.stored("A").len(), app.stored("own").len()), (2, 0), "{on}");
        assert_eq!(wrote(&app, CALC).await, ["A"]);
        assert_eq!(record(&app, CALC).await.entity, Some(world::entity(CALC)));
        let task = record(&app, CALC).await.backup.unwrap().task;
        assert_eq!(task.policy, Some(PolicyName::parse("A").unwrap()));
        assert_eq!(task.wanted, Wanted::Full(WhyFull::Requested));
    }
}

async fn wanted(app: &TestApp, id: Uuid) -> Wanted {
    record(app, id).await.backup.unwrap().task.wanted
}

async fn ask_incremental(app: &TestApp, id: Uuid, body: &Value) {
    app.post(&format!("{}/$/Backup?Incremental=true", partition(id)), body).await.accepted();
}

#[tokio::test]
async fn a_backup_that_may_be_incremental_goes_on_with_the_chain_of_the_policy_in_force() {
    let app = app().await;
    enable(&app, CALC_APP, "A").await;
    ask_incremental(&app, CALC, &json!({})).await;
    assert_eq!(wanted(&app, CALC).await, Wanted::Full(WhyFull::NoBase));
    app.work().await;
    let base = record(&app, CALC).await.tip.unwrap().backup;
    ask_incremental(&app, CALC, &json!({})).await;
    assert_eq!(wanted(&app, CALC).await, Wanted::Incremental(base));
    app.work().await;
    app.advance(TimeDelta::minutes(1));
    enable(&app, CALC_APP, "B").await;
    ask_incremental(&app, CALC, &json!({})).await;
    assert_eq!(wanted(&app, CALC).await, Wanted::Full(WhyFull::OtherStore));
    app.work().await;
}

#[tokio::test]
async fn a_backup_that_goes_to_no_policys_storage_has_no_chain_to_go_on_with() {
    let app = app().await;
    enable(&app, CALC_APP, "A").await;
    app.back_up(CALC).await;
    ask_incremental(&app, CALC, &json!({ "BackupStorage": app.storage("named") })).await;
    assert_eq!(wanted(&app, CALC).await, Wanted::Full(WhyFull::NoPolicy));
    ask_incremental(&app, TWIN, &json!({})).await;
    assert_eq!(wanted(&app, TWIN).await, Wanted::Full(WhyFull::NoPolicy));
    app.work().await;
}

#[tokio::test]
async fn where_a_policy_wrote_is_known_before_it_writes() {
    let app = app().await;
    enable(&app, CALC_APP, "A").await;
    app.ask_backup(CALC).await;
    assert_eq!(wrote(&app, CALC).await, ["A"]);
    app.work().await;
}

#[tokio::test]
async fn a_backup_is_the_policys_if_the_body_names_its_storage_and_nobodys_if_it_names_another() {
    let app = app().await;
    enable(&app, CALC_APP, "A").await;
    for (share, policies) in [("named", [].as_slice()), ("A", &["A"])] {
        let body = json!({ "BackupStorage": app.storage(share) });
        app.post(&format!("{}/$/Backup", partition(CALC)), &body).await.accepted();
        app.work().await;
        assert_eq!(app.stored(share).len(), 2);
        assert_eq!(wrote(&app, CALC).await, policies);
    }
}

#[tokio::test]
async fn without_a_policy_nothing_is_made_for_one() {
    let app = app().await;
    enable(&app, CALC_APP, "A").await;
    app.back_up(TWIN).await;
    assert_eq!(app.stored("own").len(), 2);
    assert_eq!(wrote(&app, TWIN).await, [""; 0]);
}

#[tokio::test]
async fn a_restore_without_a_storage_reads_that_of_the_policy_in_force() {
    let app = app().await;
    enable(&app, CALC_SERVICE, "A").await;
    let point = app.back_up(CALC).await;
    fs::write(app.state(CALC).join("record"), "changed").unwrap();
    app.ask_restore(CALC, &point).await.accepted();
    app.work().await;
    assert_eq!(fs::read_to_string(app.state(CALC).join("record")).unwrap(), format!("of {CALC}"));
    enable(&app, CALC_SERVICE, "B").await;
    let path = format!("{}/$/Restore", partition(CALC));
    app.post(&path, &restore_of(&point)).await.refused(500, "FABRIC_E_RESTORE_SAFE_CHECK_FAILED");
}

/// One backup each of CALC and NORTH for `A`, of BOOK for `B`, and of TWIN for none, a minute apart; then another of CALC.
async fn two_storages() -> TestApp {
    let app = app().await;
    enable(&app, CALC_APP, "A").await;
    enable(&app, BOOK_SERVICE, "B").await;
    for id in [CALC, NORTH, BOOK, TWIN, CALC] {
        app.back_up(id).await;
        app.advance(TimeDelta::minutes(1));
    }
    app
}

#[tokio::test]
async fn an_application_has_the_backups_of_all_its_partitions_each_from_its_own_storage() {
    let app = two_storages().await;
    let all = items(&app, CALC_APP, "").await;
    assert_eq!(ids(&all), [BOOK, CALC, CALC, NORTH]);
    assert_eq!(times(&all), ["07:09", "05:09", "09:09", "06:09"]);
    assert_eq!(ids(&items(&app, BOOK_SERVICE, "").await), [BOOK]);
    assert_eq!(ids(&items(&app, CALC_SERVICE, "").await), [CALC, CALC]);
    assert_eq!(ids(&items(&app, "/Applications/Group~Mirror", "").await), [TWIN], "by default");
    assert_eq!(times(&app.list(CALC, "").await), ["05:09", "09:09"]);
}

#[tokio::test]
async fn filters_count_over_all_storages() {
    let app = two_storages().await;
    for (query, expected) in [
        ("Latest=true", vec![BOOK, CALC, NORTH]),
        ("StartDateTimeFilter=2026-03-04T12:07:00Z", vec![BOOK, CALC]),
        ("EndDateTimeFilter=2026-03-04T12:06:30Z", vec![CALC, NORTH]),
    ] {
        assert_eq!(ids(&items(&app, CALC_APP, query).await), expected, "{query}");
    }
}

#[tokio::test]
async fn pages_meet_over_two_storages() {
    let app = two_storages().await;
    let all = items(&app, CALC_APP, "").await;
    let (mut seen, mut token) = (Vec::new(), String::new());
    for size in [3, 1] {
        let page = app.get(&format!("{CALC_APP}/$/GetBackups?MaxResults=3&ContinuationToken={token}")).await.ok();
        assert_eq!(page["Items"].as_array().unwrap().len(), size);
        seen.extend(page["Items"].as_array().unwrap().clone());
        page["ContinuationToken"].as_str().unwrap().clone_into(&mut token);
    }
    assert_eq!((seen, token.as_str()), (all, ""));
    app.get(&format!("{CALC_APP}/$/GetBackups?ContinuationToken=%21")).await.refused(400, "E_INVALIDARG");
}

#[tokio::test]
async fn a_partitions_backups_in_a_storage_that_is_not_its_own_now_are_not_listed() {
    let app = two_storages().await;
    enable(&app, &partition(CALC), "B").await;
    assert_eq!(ids(&items(&app, CALC_APP, "").await), [BOOK, NORTH]);
    policy_in(&app, "Same", "A").await;
    enable(&app, &partition(CALC), "Same").await;
    assert_eq!(app.list(CALC, "").await.len(), 2, "another policy, the same storage");
}

#[tokio::test]
async fn what_left_the_configuration_is_still_listed() {
    let mut app = two_storages().await;
    app.unconfigure(&[CALC, BOOK]);
    assert_eq!(ids(&items(&app, CALC_APP, "").await), [BOOK, CALC, CALC, NORTH]);
    assert_eq!(ids(&items(&app, BOOK_SERVICE, "").await), [BOOK]);
    assert_eq!(app.list(CALC, "").await.len(), 2);
}

#[tokio::test]
async fn a_list_of_what_is_unknown_or_keeps_no_state_or_has_no_storage_is_refused() {
    let app = app().await;
    let empty = EMPTY.replace("fabric:", "/Applications");
    let get = async |of: &str| app.get(&format!("{of}/$/GetBackups?ContinuationToken=%21")).await;
    for (of, status, code, name) in [
        ("/Applications/Nobody", 404, "FABRIC_E_APPLICATION_NOT_FOUND", "fabric:/Nobody"),
        ("/Services/CalcApp~Nobody", 404, "FABRIC_E_SERVICE_DOES_NOT_EXIST", "fabric:/CalcApp/Nobody"),
        (&partition(UNKNOWN), 404, "FABRIC_E_PARTITION_NOT_FOUND", "66666666"),
        ("/Services/CalcApp~Front", 400, "FABRIC_E_INVALID_FOR_STATELESS_SERVICES", "fabric:/CalcApp/Front"),
        (&partition(STATELESS), 400, "FABRIC_E_INVALID_FOR_STATELESS_SERVICES", "fabric:/CalcApp/Front"),
        ("/Services/CalcApp~Names", 404, NOT_ENABLED, "fabric:/CalcApp/Names"),
        (&empty, 404, NOT_ENABLED, EMPTY),
    ] {
        get(of).await.refused_with(status, code, &[name]);
    }
    enable(&app, &empty, "A").await;
    assert_eq!(items(&app, &empty, "").await, [Value::Null; 0], "nothing in it has a backup");
}

#[tokio::test]
async fn a_store_that_is_not_there_yet_has_no_backups() {
    let app = app().await;
    enable(&app, CALC_APP, "A").await;
    assert_eq!(items(&app, CALC_APP, "").await, [Value::Null; 0]);
}
