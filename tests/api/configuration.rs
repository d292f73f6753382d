//! Which policies cover what, as it is told, page by page.

use serde_json::{Value, json};

use crate::{
    app::TestApp,
    control::{BOOK_SERVICE, CALC_APP, CALC_SERVICE, NOT_ENABLED, ask, enable, partition, policies, seen},
    world::{BOOK, CALC, NORTH, TWIN, UNKNOWN},
};

/// A node with the policies `A` and `B` that covers something on every level.
async fn app() -> TestApp {
    let app = TestApp::new();
    policies(&app, &["A", "B"]).await;
    enable(&app, CALC_APP, "A").await;
    enable(&app, BOOK_SERVICE, "B").await;
    enable(&app, &partition(CALC), "A").await;
    ask(&app, "/Services/CalcApp~Names", "SuspendBackup").await.accepted();
    app
}

async fn page(app: &TestApp, on: &str, query: &str) -> Value {
    app.get(&format!("{on}/$/GetBackupConfigurationInfo?{query}")).await.ok()
}

/// Each item as its kind and name.
fn items(page: &Value) -> Vec<String> {
    let name = |item: &Value| {
        let name = ["PartitionId", "ServiceName", "ApplicationName"].into_iter().find_map(|it| item[it].as_str());
        format!("{} {}", item["Kind"].as_str().unwrap(), name.unwrap())
    };
    page["Items"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn an_application_tells_its_own_policy_then_those_within_then_what_is_only_suspended() {
    let app = app().await;
    let running = json!({ "IsSuspended": false, "SuspensionInheritedFrom": "Invalid" });
    let page = page(&app, CALC_APP, "").await;
    let expected = json!([
        {
            "Kind": "Application", "PolicyName": "A", "PolicyInheritedFrom": "Application",
            "SuspensionInfo": running, "ApplicationName": "fabric:/CalcApp",
        },
        {
            "Kind": "Service", "PolicyName": "B", "PolicyInheritedFrom": "Service",
            "SuspensionInfo": running, "ServiceName": "fabric:/CalcApp/Book",
        },
        {
            "Kind": "Partition", "PolicyName": "A", "PolicyInheritedFrom": "Partition", "SuspensionInfo": running,
            "ServiceName": "fabric:/CalcApp/CalcService", "PartitionId": CALC,
        },
        {
            "Kind": "Service", "PolicyName": "A", "PolicyInheritedFrom": "Application",
            "SuspensionInfo": { "IsSuspended": true, "SuspensionInheritedFrom": "Service" },
            "ServiceName": "fabric:/CalcApp/Names",
        },
    ]);
    assert_eq!(page, json!({ "ContinuationToken": "", "Items": expected }));
}

#[tokio::test]
async fn a_service_tells_what_it_inherits_and_what_its_partitions_do_not() {
    let app = app().await;
    let page = page(&app, CALC_SERVICE, "").await;
    assert_eq!(items(&page), ["Service fabric:/CalcApp/CalcService".to_owned(), format!("Partition {CALC}")]);
    assert_eq!(page["Items"][0]["PolicyInheritedFrom"], "Application");
}

#[tokio::test]
async fn what_is_suspended_without_a_policy_says_that_it_has_none() {
    let app = TestApp::new();
    policies(&app, &["A"]).await;
    enable(&app, &partition(CALC), "A").await;
    ask(&app, CALC_SERVICE, "SuspendBackup").await.accepted();
    ask(&app, &partition(CALC), "DisableBackup").await.accepted();
    let suspended = json!({
        "Kind": "Service", "PolicyInheritedFrom": "Invalid", "ServiceName": "fabric:/CalcApp/CalcService",
        "SuspensionInfo": { "IsSuspended": true, "SuspensionInheritedFrom": "Service" },
    });
    assert_eq!(page(&app, CALC_APP, "").await["Items"], json!([suspended]));
}

#[tokio::test]
async fn a_partition_tells_what_covers_it_or_null() {
    let app = app().await;
    let expected = json!({
        "Kind": "Partition", "PolicyName": "B", "PolicyInheritedFrom": "Service",
        "SuspensionInfo": { "IsSuspended": false, "SuspensionInheritedFrom": "Invalid" },
        "ServiceName": "fabric:/CalcApp/Book", "PartitionId": BOOK,
    });
    assert_eq!(page(&app, &partition(BOOK), "").await, expected);
    let inherited = page(&app, &partition(NORTH), "").await;
    assert_eq!((&inherited["PolicyName"], &inherited["PolicyInheritedFrom"]), (&json!("A"), &json!("Application")));
    assert_eq!(inherited["SuspensionInfo"], json!({ "IsSuspended": true, "SuspensionInheritedFrom": "Service" }));
    assert_eq!(page(&app, &partition(TWIN), "").await, Value::Null);
}

#[tokio::test]
async fn where_nothing_is_enabled_is_not_enabled() {
    let app = app().await;
    for on in ["/Applications/CalcAppTwo", "/Applications/Group~Mirror", "/Applications/Nobody"] {
        app.get(&format!("{on}/$/GetBackupConfigurationInfo")).await.refused(404, NOT_ENABLED);
    }
    let info = async |on: &str| app.get(&format!("{on}/$/GetBackupConfigurationInfo")).await;
    info("/Services/Group~Mirror~Twin").await.refused(404, NOT_ENABLED);
    info("/Services/CalcApp~Nobody").await.refused(404, "FABRIC_E_SERVICE_DOES_NOT_EXIST");
    info(&partition(UNKNOWN)).await.refused(404, "FABRIC_E_PARTITION_NOT_FOUND");
}

#[tokio::test]
async fn what_left_the_configuration_still_tells_what_covers_it() {
    let mut app = app().await;
    seen(&app, NORTH).await;
    app.unconfigure(&[NORTH, BOOK]);
    assert_eq!(page(&app, &partition(NORTH), "").await["PolicyName"], "A");
    assert_eq!(items(&page(&app, BOOK_SERVICE, "").await), ["Service fabric:/CalcApp/Book"]);
}

#[tokio::test]
async fn every_item_is_told_once_whatever_comes_and_goes_between_the_pages() {
    let app = app().await;
    let first = page(&app, CALC_APP, "MaxResults=2").await;
    assert_eq!(items(&first), ["Application fabric:/CalcApp", "Service fabric:/CalcApp/Book"]);
    let token = first["ContinuationToken"].as_str().unwrap();
    ask(&app, BOOK_SERVICE, "DisableBackup").await.accepted();
    enable(&app, &partition(BOOK), "B").await;
    enable(&app, &partition(NORTH), "B").await;
    let second = page(&app, CALC_APP, &format!("MaxResults=2&ContinuationToken={token}")).await;
    assert_eq!(items(&second), [format!("Partition {BOOK}"), format!("Partition {CALC}")]);
    let token = second["ContinuationToken"].as_str().unwrap();
    let third = page(&app, CALC_APP, &format!("ContinuationToken={token}")).await;
    assert_eq!(items(&third), ["Service fabric:/CalcApp/Names".to_owned(), format!("Partition {NORTH}")]);
    assert_eq!(third["ContinuationToken"], "");
}

#[tokio::test]
async fn a_token_that_is_none_is_refused() {
    let app = app().await;
    let path = format!("{CALC_APP}/$/GetBackupConfigurationInfo?ContinuationToken=%21");
    app.get(&path).await.refused_with(400, "E_INVALIDARG", &["ContinuationToken"]);
}
