//! Applications, services and partitions, in the shapes of Service Fabric's own operations.

use serde_json::{Value, json};

use crate::{
    app::TestApp,
    control::{names, partition, remember},
    world::{BOOK, CALC, NORTH, STATELESS, UNKNOWN},
};

async fn get(app: &TestApp, path: &str) -> Value {
    app.get(path).await.ok()
}

#[tokio::test]
async fn applications_are_told_by_name_also_those_without_services() {
    let app = TestApp::new();
    let application = |id: &str, name: &str| json!({ "Id": id, "Name": name, "Status": "Ready", "HealthState": "Ok" });
    let expected = json!([
        application("CalcApp", "fabric:/CalcApp"),
        application("CalcAppTwo", "fabric:/CalcAppTwo"),
        application("Group~Mirror", "fabric:/Group/Mirror"),
    ]);
    assert_eq!(get(&app, "/Applications").await, json!({ "ContinuationToken": "", "Items": expected }));
}

#[tokio::test]
async fn applications_come_in_pages_that_meet() {
    let app = TestApp::new();
    let first = get(&app, "/Applications?MaxResults=2").await;
    assert_eq!(names(&first, "Id"), ["CalcApp", "CalcAppTwo"]);
    let token = first["ContinuationToken"].as_str().unwrap();
    let second = get(&app, &format!("/Applications?MaxResults=2&ContinuationToken={token}")).await;
    assert_eq!((names(&second, "Id"), &second["ContinuationToken"]), (vec!["Group~Mirror".to_owned()], &json!("")));
    for path in ["/Applications", "/Applications/CalcApp/$/GetServices", "/Services/CalcApp~Book/$/GetPartitions"] {
        let answer = app.get(&format!("{path}?ContinuationToken=%21")).await;
        answer.refused_with(400, "E_INVALIDARG", &["ContinuationToken"]);
    }
}

#[tokio::test]
async fn services_are_told_by_name_with_what_they_keep() {
    let app = TestApp::new();
    let page = get(&app, "/Applications/CalcApp/$/GetServices").await;
    let ids = ["CalcApp~Book", "CalcApp~Cache", "CalcApp~CalcService", "CalcApp~Front", "CalcApp~Names"];
    assert_eq!(names(&page, "Id"), ids);
    let book = json!({
        "ServiceKind": "Stateful", "Id": "CalcApp~Book", "Name": "fabric:/CalcApp/Book", "ManifestVersion": "1.0.0",
        "HealthState": "Ok", "ServiceStatus": "Active", "IsServiceGroup": false, "HasPersistedState": true,
    });
    assert_eq!(page["Items"][0], book);
    assert_eq!(
        (&page["Items"][1]["ServiceKind"], &page["Items"][1]["HasPersistedState"]),
        (&json!("Stateful"), &json!(false))
    );
    let front = json!({
        "ServiceKind": "Stateless", "Id": "CalcApp~Front", "Name": "fabric:/CalcApp/Front", "ManifestVersion": "1.0.0",
        "HealthState": "Ok", "ServiceStatus": "Active", "IsServiceGroup": false,
    });
    assert_eq!(page["Items"][3], front);
    assert_eq!(get(&app, "/Applications/CalcAppTwo/$/GetServices").await["Items"], json!([]));
    assert_eq!(names(&get(&app, "/Applications/Group~Mirror/$/GetServices").await, "Id"), ["Group~Mirror~Twin"]);
}

#[tokio::test]
async fn a_partition_is_told_in_the_list_of_its_service_and_by_itself() {
    let app = TestApp::new();
    app.back_up(BOOK).await;
    let epoch = app.backup_progress(BOOK).await["EpochOfLastBackupRecord"].clone();
    let told = json!({
        "ServiceKind": "Stateful", "HealthState": "Ok", "PartitionStatus": "Ready",
        "PartitionInformation": { "ServicePartitionKind": "Singleton", "Id": BOOK },
        "TargetReplicaSetSize": 1, "MinReplicaSetSize": 1, "PrimaryEpoch": epoch,
    });
    assert_eq!(get(&app, &partition(BOOK)).await, told);
    let page = get(&app, "/Services/CalcApp~Book/$/GetPartitions").await;
    assert_eq!(page, json!({ "ContinuationToken": "", "Items": [told] }));
    let kind = |partition: &Value| partition["PartitionInformation"].clone();
    let north = json!({ "ServicePartitionKind": "Named", "Id": NORTH, "Name": "north" });
    assert_eq!(kind(&get(&app, &partition(NORTH)).await), north);
    let stateless = json!({
        "ServiceKind": "Stateless", "HealthState": "Ok", "PartitionStatus": "Ready",
        "PartitionInformation": { "ServicePartitionKind": "Singleton", "Id": STATELESS },
    });
    assert_eq!(get(&app, &partition(STATELESS)).await, stateless);
    assert_eq!(get(&app, "/Services/CalcApp~Cache/$/GetPartitions").await["Items"], json!([]));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let app = TestApp::new();
    let services = app.get("/Applications/Nobody/$/GetServices").await;
    services.refused_with(404, "FABRIC_E_APPLICATION_NOT_FOUND", &["fabric:/Nobody"]);
    let partitions = app.get("/Services/CalcApp~Nobody/$/GetPartitions").await;
    partitions.refused_with(404, "FABRIC_E_SERVICE_DOES_NOT_EXIST", &["fabric:/CalcApp/Nobody"]);
    app.get(&partition(UNKNOWN)).await.refused(404, "FABRIC_E_PARTITION_NOT_FOUND");
}

#[tokio::test]
async fn a_partition_that_lost_its_state_shows_in_all_that_it_lies_in() {
    let app = TestApp::new();
    let loss = fabric_backup::domain::DataLoss { since: app.now(), found: "it is gone".to_owned() };
    remember(&app, CALC, |record| record.data_loss = Some(loss.clone())).await;
    let told = get(&app, &partition(CALC)).await;
    assert_eq!((&told["HealthState"], &told["PartitionStatus"]), (&json!("Warning"), &json!("NotReady")));
    assert_eq!(names(&get(&app, "/Applications").await, "HealthState"), ["Warning", "Ok", "Ok"]);
    let services = get(&app, "/Applications/CalcApp/$/GetServices").await;
    assert_eq!(names(&services, "HealthState"), ["Ok", "Ok", "Warning", "Ok", "Ok"]);
}
