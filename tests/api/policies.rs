//! Policies: what is taken, what is refused and by which name, and how they are told.

use axum::http::Method;
use chrono::TimeDelta;
use fabric_backup::domain::{Entity, PolicyName};
use serde_json::{Value, json};

use crate::{
    app::{MOUNT, TestApp},
    document::{body_examples, operations},
    world::{self, CALC},
};

const POLICIES: &str = "/BackupRestore/BackupPolicies";
const CREATE: &str = "/BackupRestore/BackupPolicies/$/Create";
const MISSING: &str = "FABRIC_E_BACKUP_POLICY_NOT_EXISTING";

/// A policy of this name that any node of the tests takes.
pub(crate) fn policy(app: &TestApp, name: &str) -> Value {
    json!({
        "Name": name,
        "AutoRestoreOnDataLoss": false,
        "MaxIncrementalBackups": 3,
        "Schedule": { "ScheduleKind": "FrequencyBased", "Interval": "PT10M" },
        "Storage": app.storage("policy"),
    })
}

/// The policy, but for what `change` says.
fn with(app: &TestApp, change: &Value) -> Value {
    let mut policy = policy(app, "P");
    policy.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    policy
}

pub(crate) async fn create(app: &TestApp, policy: &Value) {
    let answer = app.post(CREATE, policy).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (201, &None));
}

async fn update(app: &TestApp, policy: &Value) {
    let answer = app.post(&path(policy, "/$/Update"), policy).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &None));
}

async fn read(app: &TestApp, policy: &Value) -> Value {
    app.get(&path(policy, "")).await.ok()
}

fn path(policy: &Value, rest: &str) -> String {
    format!("{POLICIES}/{}{rest}", policy["Name"].as_str().unwrap())
}

/// What the policy `change` makes is told as.
async fn told(app: &TestApp, change: &Value) -> Value {
    let policy = with(app, change);
    create(app, &policy).await;
    let told = read(app, &policy).await;
    assert_eq!(app.post(&path(&policy, "/$/Delete"), &Value::Null).await.status, 200);
    told
}

async fn enable(app: &TestApp, entity: &Entity, policy: &str) {
    let policy = PolicyName::parse(policy).unwrap();
    assert!(app.ledger.enable(entity, &policy, app.now()).await.unwrap());
}

fn calc() -> Entity {
    world::entity(CALC)
}

#[tokio::test]
async fn a_policy_is_told_as_it_was_sent() {
    let app = TestApp::new();
    let whole = with(
        &app,
        &json!({
            "Schedule": {
                "ScheduleKind": "TimeBased",
                "ScheduleFrequencyType": "Weekly",
                "RunDays": ["Sunday", "Friday"],
                "RunTimes": ["0001-01-01T09:00:00Z", "0001-01-01T17:00:00Z"],
            },
            "Storage": { "StorageKind": "FileShare", "FriendlyName": "Mine", "Path": app.share("a") },
            "RetentionPolicy": { "RetentionPolicyType": "Basic", "RetentionDuration": "P90D", "MinimumNumberOfBackups": 20 },
            "CompressionType": "ZSTANDARD",
            "QuickRecovery": "FromPrimary",
        }),
    );
    create(&app, &whole).await;
    assert_eq!(read(&app, &whole).await, whole);
    let bare = policy(&app, "bare");
    create(&app, &bare).await;
    assert_eq!(read(&app, &bare).await, bare, "what was not sent is left out");
}

#[tokio::test]
async fn spans_days_and_times_are_told_in_normal_form() {
    let app = TestApp::new();
    for (given, normal) in [("PT60S", "PT1M"), ("PT90M", "PT1H30M"), ("P15D", "P15D"), ("PT245M", "PT4H5M")] {
        let schedule = json!({ "Schedule": { "ScheduleKind": "FrequencyBased", "Interval": given } });
        assert_eq!(told(&app, &schedule).await["Schedule"]["Interval"], normal, "{given}");
    }
    for (given, normal) in [("PT1H", "PT1H"), ("P3M", "P90D"), ("P10Y", "P3650D"), ("P1Y2M3DT5H", "P428DT5H")] {
        let retention = json!({ "RetentionPolicy": { "RetentionPolicyType": "Basic", "RetentionDuration": given } });
        let retention = &told(&app, &retention).await["RetentionPolicy"];
        assert_eq!(retention["RetentionDuration"], normal, "{given}");
        assert_eq!(retention["MinimumNumberOfBackups"], 0);
    }
    let schedule = json!({
        "ScheduleKind": "TimeBased",
        "ScheduleFrequencyType": "Weekly",
        "RunDays": ["Saturday", "Monday", "Saturday"],
        "RunTimes": ["2018-05-06T23:30:00+02:00", "0001-01-01T09:00:00.9Z", "1999-01-01T09:00:00", "2026-01-01T00:00:07Z",
            "0001-01-01T01:30:00+02:00"],
    });
    let schedule = &told(&app, &json!({ "Schedule": schedule })).await["Schedule"];
    assert_eq!(schedule["RunDays"], json!(["Monday", "Saturday"]));
    // The last one is a moment before the first day of the calendar.
    let times = ["00:00:07", "09:00:00", "21:30:00", "23:30:00"].map(|time| format!("0001-01-01T{time}Z"));
    assert_eq!(schedule["RunTimes"], json!(times));
}

#[tokio::test]
async fn the_days_of_a_daily_schedule_mean_nothing_and_are_not_kept() {
    let app = TestApp::new();
    let schedule = json!({
        "ScheduleKind": "TimeBased",
        "ScheduleFrequencyType": "Daily",
        "RunDays": ["Monday"],
        "RunTimes": ["0001-01-01T09:00:00Z"],
    });
    let told = told(&app, &json!({ "Schedule": schedule })).await;
    assert_eq!(told["Schedule"].get("RunDays"), None);
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_the_path_of_the_property() {
    let app = TestApp::new();
    let interval = |it: &str| json!({ "Schedule": { "ScheduleKind": "FrequencyBased", "Interval": it } });
    let times = |kind: &str, days: Value, times: Value| {
        let kind = ("ScheduleFrequencyType", json!(kind));
        let mut schedule = json!({ "ScheduleKind": "TimeBased", "RunDays": days, "RunTimes": times });
        schedule[kind.0] = kind.1;
        json!({ "Schedule": schedule })
    };
    let retention =
        |it: &str| json!({ "RetentionPolicy": { "RetentionPolicyType": "Basic", "RetentionDuration": it } });
    let nine = json!(["0001-01-01T09:00:00Z"]);
    let storage = |it: Value| json!({ "Storage": it });
    for (change, words) in [
        (json!({ "Name": " " }), vec!["Name: "]),
        (json!({ "Name": "a\nb" }), vec!["Name: ", "control characters"]),
        (json!({ "Name": "a".repeat(1025) }), vec!["Name: ", "1024"]),
        (json!({ "MaxIncrementalBackups": -1 }), vec!["MaxIncrementalBackups: -1"]),
        (json!({ "MaxIncrementalBackups": 256 }), vec!["MaxIncrementalBackups: 256", "255"]),
        (interval("PT30S"), vec!["Schedule.Interval: 'PT30S'", "whole minutes", "P15D"]),
        (interval("PT90S"), vec!["Schedule.Interval: 'PT90S'"]),
        (interval("PT0S"), vec!["Schedule.Interval: 'PT0S'"]),
        (interval("P15DT1M"), vec!["Schedule.Interval: 'P15DT1M'"]),
        (interval("P1M"), vec!["Schedule.Interval: 'P1M'", "P15D"]),
        (interval("-PT5M"), vec!["Schedule.Interval: ", "-PT5M"]),
        (interval("10 minutes"), vec!["Schedule.Interval: ", "10 minutes"]),
        (interval("PT1.5M"), vec!["Schedule.Interval: ", "PT1.5M"]),
        (times("Invalid", json!([]), nine.clone()), vec!["Schedule.ScheduleFrequencyType: 'Invalid'", "Weekly"]),
        (times("Monthly", json!([]), nine.clone()), vec!["is not one of Daily, Weekly"]),
        (times("Weekly", json!([]), nine.clone()), vec!["Schedule.RunDays: ", "at least one"]),
        (times("Weekly", Value::Null, nine.clone()), vec!["Schedule.RunDays: ", "at least one"]),
        (times("Weekly", json!(["Someday"]), nine.clone()), vec!["Schedule.RunDays[0]: ", "Someday"]),
        (times("Daily", json!([]), json!([])), vec!["Schedule.RunTimes: ", "at least one"]),
        (times("Daily", json!([]), json!(["09:00"])), vec!["Schedule.RunTimes[0]: ", "09:00"]),
        (json!({ "Schedule": { "ScheduleKind": "Invalid" } }), vec!["Schedule.ScheduleKind: ", "FrequencyBased"]),
        (retention("PT59M59S"), vec!["RetentionPolicy.RetentionDuration: 'PT59M59S'", "PT1H"]),
        (retention("-P1D"), vec!["RetentionPolicy.RetentionDuration: ", "-P1D"]),
        (retention("P10001Y"), vec!["RetentionPolicy.RetentionDuration: 'P10001Y'", "10000 years"]),
        (
            json!({ "RetentionPolicy": { "RetentionPolicyType": "Invalid" } }),
            vec!["RetentionPolicy.RetentionPolicyType"],
        ),
        (storage(json!({ "StorageKind": "Invalid" })), vec!["Storage.StorageKind: "]),
        (storage(json!({ "StorageKind": "FileShare", "Path": "/etc" })), vec!["Storage.Path: ", "/etc"]),
        (
            storage(json!({ "StorageKind": "FileShare", "Path": app.share("a"), "FriendlyName": "a".repeat(33_000) })),
            vec!["Storage: ", "32768"],
        ),
        (
            storage(json!({ "StorageKind": "AzureBlobStore", "ConnectionString": "x", "ContainerName": "c-1" })),
            vec!["Storage.ConnectionString: "],
        ),
    ] {
        let given = with(&app, &change);
        app.post(CREATE, &given).await.refused_with(400, "E_INVALIDARG", &words);
        let update = app.post(&format!("{POLICIES}/nobody/$/Update"), &given).await;
        if !words[0].starts_with("Name: ") || change["Name"] == " " {
            update.refused_with(400, "E_INVALIDARG", &words);
        } else {
            update.refused(404, MISSING);
        }
    }
    assert_eq!(app.get(POLICIES).await.ok()["Items"], json!([]), "what was refused left nothing");
}

#[tokio::test]
async fn a_name_is_taken_once_and_case_matters() {
    let app = TestApp::new();
    create(&app, &policy(&app, "P")).await;
    app.post(CREATE, &policy(&app, "P")).await.refused_with(
        409,
        "FABRIC_E_BACKUP_POLICY_ALREADY_EXISTING",
        &["'P'", "UpdateBackupPolicy"],
    );
    create(&app, &policy(&app, "p")).await;
    let odd = policy(&app, "Täglich / um 3?");
    create(&app, &odd).await;
    let path = format!("{POLICIES}/T%C3%A4glich%20%2F%20um%203%3F");
    assert_eq!(app.get(&path).await.ok(), odd);
    assert_eq!(app.post(&format!("{path}/$/Delete"), &Value::Null).await.status, 200);
}

#[tokio::test]
async fn what_is_not_there_is_404_by_name_everywhere() {
    let app = TestApp::new();
    for (method, rest) in [
        (Method::GET, ""),
        (Method::POST, "/$/Update"),
        (Method::POST, "/$/Delete"),
        (Method::GET, "/$/GetBackupEnabledEntities"),
    ] {
        let body = policy(&app, "P").to_string().into_bytes();
        let path = format!("{POLICIES}/nobody{rest}");
        let answer = app.send(method, &path, body, &[("content-type", "application/json")]).await;
        answer.refused_with(404, MISSING, &["'nobody'"]);
    }
    app.get(&format!("{POLICIES}/a%0Ab")).await.refused_with(400, "E_INVALIDARG", &["backupPolicyName: "]);
}

#[tokio::test]
async fn an_update_replaces_everything_and_the_name_in_the_path_counts() {
    let app = TestApp::new();
    let mut first = policy(&app, "P");
    first["Storage"]["FriendlyName"] = json!("Mine");
    first["RetentionPolicy"] = json!({ "RetentionPolicyType": "Basic", "RetentionDuration": "P1D" });
    create(&app, &first).await;
    let mut second = with(&app, &json!({ "Name": "other", "MaxIncrementalBackups": "0" }));
    second["Storage"]["FriendlyName"] = json!("Ours");
    assert_eq!(app.post(&path(&first, "/$/Update"), &second).await.status, 200);
    let told = read(&app, &first).await;
    assert_eq!((&told["Name"], &told["MaxIncrementalBackups"]), (&json!("P"), &json!(0)));
    assert_eq!((&told["Storage"]["FriendlyName"], told.get("RetentionPolicy")), (&json!("Ours"), None));
    app.get(&format!("{POLICIES}/other")).await.refused(404, MISSING);
}

#[tokio::test]
async fn a_changed_policy_counts_from_its_change_and_one_that_is_only_repeated_does_not() {
    let app = TestApp::new();
    let first = policy(&app, "P");
    create(&app, &first).await;
    let changed = async || app.ledger.policy(&PolicyName::parse("P").unwrap()).await.unwrap().unwrap().changed;
    let start = changed().await;
    assert_eq!(start, app.now());
    app.advance(TimeDelta::minutes(5));
    update(&app, &first).await;
    assert_eq!(changed().await, start);
    update(&app, &with(&app, &json!({ "AutoRestoreOnDataLoss": true }))).await;
    assert_eq!(changed().await, app.now());
}

#[tokio::test]
async fn a_policy_that_is_enabled_is_not_deleted_and_the_refusal_says_where_it_is() {
    let app = TestApp::new();
    let given = policy(&app, "P");
    create(&app, &given).await;
    enable(&app, &calc(), "P").await;
    let refused = app.post(&path(&given, "/$/Delete"), &Value::Null).await;
    refused.refused_with(400, "FABRIC_E_BACKUP_IS_ENABLED", &["'P'", "fabric:/CalcApp/CalcService", "disable"]);
    let seen = app.ledger.controls().await.unwrap().enabled[&calc()].clone();
    assert!(app.ledger.disable(&calc(), &seen, None).await.unwrap());
    assert_eq!(app.post(&path(&given, "/$/Delete"), &Value::Null).await.status, 200);
    app.get(&path(&given, "")).await.refused(404, MISSING);
}

#[tokio::test]
async fn policies_are_listed_by_name_and_pages_show_each_once_while_others_come() {
    let app = TestApp::new();
    assert_eq!(app.get(POLICIES).await.ok(), json!({ "ContinuationToken": "", "Items": [] }));
    for name in ["b", "d", "a", "c"] {
        create(&app, &policy(&app, name)).await;
    }
    let (mut names, mut token) = (Vec::new(), String::new());
    for late in ["aa", "bb", "cc"] {
        let page = app.get(&format!("{POLICIES}?MaxResults=1&ContinuationToken={token}")).await.ok();
        assert_eq!(page["Items"].as_array().unwrap().len(), 1);
        names.push(page["Items"][0]["Name"].as_str().unwrap().to_owned());
        page["ContinuationToken"].as_str().unwrap().clone_into(&mut token);
        create(&app, &policy(&app, late)).await;
    }
    assert_eq!(names, ["a", "aa", "b"]);
    let rest = app.get(&format!("{POLICIES}?ContinuationToken={token}")).await.ok();
    let rest: Vec<_> = rest["Items"].as_array().unwrap().iter().map(|it| it["Name"].as_str().unwrap()).collect();
    assert_eq!(rest, ["bb", "c", "cc", "d"]);
    for token in ["!", "YQ%3D%3D", "_w", "Cg"] {
        let answer = app.get(&format!("{POLICIES}?ContinuationToken={token}")).await;
        answer.refused_with(400, "E_INVALIDARG", &["ContinuationToken"]);
    }
}

#[tokio::test]
async fn only_what_a_policy_was_enabled_on_itself_is_listed_by_name_and_paged() {
    let app = TestApp::new();
    for name in ["P", "Q"] {
        create(&app, &policy(&app, name)).await;
    }
    let application = calc().lineage().last().unwrap();
    let service = calc().parent().unwrap();
    for (entity, policy) in [(&application, "P"), (&calc(), "P"), (&service, "Q"), (&world::entity(world::TWIN), "P")] {
        enable(&app, entity, policy).await;
    }
    let items = [
        json!({ "EntityKind": "Application", "ApplicationName": "fabric:/CalcApp" }),
        json!({ "EntityKind": "Partition", "ServiceName": "fabric:/CalcApp/CalcService", "PartitionId": CALC }),
        json!({ "EntityKind": "Partition", "ServiceName": "fabric:/Group/Mirror/Twin", "PartitionId": world::TWIN }),
    ];
    let list = async |query: String| app.get(&format!("{POLICIES}/P/$/GetBackupEnabledEntities?{query}")).await;
    let all = list(String::new()).await.ok();
    assert_eq!(all, json!({ "ContinuationToken": "", "Items": items }));
    let mut token = String::new();
    for item in &items {
        let page = list(format!("MaxResults=1&ContinuationToken={token}")).await.ok();
        assert_eq!(page["Items"], json!([item]));
        page["ContinuationToken"].as_str().unwrap().clone_into(&mut token);
    }
    assert_eq!(token, "");
    list("ContinuationToken=!".to_owned()).await.refused_with(400, "E_INVALIDARG", &["ContinuationToken"]);
}

#[tokio::test]
async fn every_policy_of_the_document_is_taken_or_refused_for_a_reason_that_it_is_told() {
    let app = TestApp::new();
    let create = operations().into_iter().find(|it| it.facts["operationId"] == "CreateBackupPolicy").unwrap();
    for (name, body) in body_examples(create.facts) {
        let answer = app.post(CREATE, &body).await;
        match name.as_str() {
            // Azure takes no capitals in the name of a container.
            "dailyAzure" => answer.refused_with(400, "E_INVALIDARG", &["Storage.ContainerName: ", "BackupContainer"]),
            "fileShare" => assert_eq!(answer.status, 201),
            "managedIdentity" => {
                answer.refused_with(400, "E_INVALIDARG", &["Storage.ContainerName: ", "BackupContainer"]);
            }
            // Nobody has listed its server.
            "dsms" => {
                let words = &["Storage.StorageCredentialsSourceLocation: ", "[storage.dsms] allow"];
                answer.refused_with(400, "E_INVALIDARG", words);
            }
            other => panic!("nobody said what becomes of {other}"),
        }
    }
    let mut lower = body_examples(create.facts)["dailyAzure"].clone();
    lower["Storage"]["ContainerName"] = json!("backupcontainer");
    app.post(CREATE, &lower).await.refused_with(400, "E_INVALIDARG", &["Storage.ConnectionString: ", "AccountKey"]);
    lower["Storage"]["ConnectionString"] =
        json!("DefaultEndpointsProtocol=https;AccountName=sample;AccountKey=c2VjcmV0");
    assert_eq!(app.post(CREATE, &lower).await.status, 201);
    assert_eq!(app.get(POLICIES).await.ok()["Items"][1]["Storage"]["Path"], MOUNT);
}
