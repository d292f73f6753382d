//! Every example of the contract is what the generated types say: requests are read as they were meant, through the
//! whole edge, and answers come back out as they went in.

use std::sync::{Arc, Mutex};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use fabric_backup::{
    api::{
        ApiError, Operations, edge,
        operations::{
            BackupPartitionQuery, CreateBackupPolicyQuery, GetBackupsFromBackupLocationQuery, RestorePartitionQuery,
            UpdateBackupPolicyQuery, VerifyPartitionBackupQuery,
        },
        wire,
    },
    clock::Clock,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{json_of, operations, send, written};

/// Keeps the last body that arrived, as it would be written again.
#[derive(Clone, Default)]
struct Echo(Arc<Mutex<Value>>);

impl Echo {
    fn keep<T, A>(&self, body: &T) -> Result<A, ApiError>
    where
        T: Serialize,
    {
        *self.0.lock().unwrap() = json!(body);
        Err(ApiError::invalid("kept"))
    }
}

impl Operations for Echo {
    async fn backup_partition(
        &self,
        _: Uuid,
        _: BackupPartitionQuery,
        _: Option<String>,
        body: Option<wire::BackupPartitionDescription>,
    ) -> Result<(), ApiError> {
        self.keep(&body)
    }

    async fn restore_partition(
        &self,
        _: Uuid,
        _: RestorePartitionQuery,
        _: Option<String>,
        body: wire::RestorePartitionDescription,
    ) -> Result<(), ApiError> {
        self.keep(&body)
    }

    async fn verify_partition_backup(
        &self,
        _: Uuid,
        _: VerifyPartitionBackupQuery,
        _: Option<String>,
        body: wire::VerifyBackupDescription,
    ) -> Result<(), ApiError> {
        self.keep(&body)
    }

    async fn get_backups_from_backup_location(
        &self,
        _: GetBackupsFromBackupLocationQuery,
        body: wire::GetBackupByStorageQueryDescription,
    ) -> Result<wire::PagedBackupInfoList, ApiError> {
        self.keep(&body)
    }

    async fn create_backup_policy(
        &self,
        _: CreateBackupPolicyQuery,
        body: wire::BackupPolicyDescription,
    ) -> Result<(), ApiError> {
        self.keep(&body)
    }

    async fn update_backup_policy(
        &self,
        _: String,
        _: UpdateBackupPolicyQuery,
        body: wire::BackupPolicyDescription,
    ) -> Result<(), ApiError> {
        self.keep(&body)
    }

    async fn enable_application_backup(&self, _: String, body: wire::EnableBackupDescription) -> Result<(), ApiError> {
        self.keep(&body)
    }

    async fn enable_service_backup(&self, _: String, body: wire::EnableBackupDescription) -> Result<(), ApiError> {
        self.keep(&body)
    }

    async fn enable_partition_backup(&self, _: Uuid, body: wire::EnableBackupDescription) -> Result<(), ApiError> {
        self.keep(&body)
    }

    async fn disable_application_backup(
        &self,
        _: String,
        body: Option<wire::DisableBackupDescription>,
    ) -> Result<(), ApiError> {
        self.keep(&body)
    }

    async fn disable_service_backup(
        &self,
        _: String,
        body: Option<wire::DisableBackupDescription>,
    ) -> Result<(), ApiError> {
        self.keep(&body)
    }

    async fn disable_partition_backup(
        &self,
        _: Uuid,
        body: Option<wire::DisableBackupDescription>,
    ) -> Result<(), ApiError> {
        self.keep(&body)
    }
}

#[tokio::test]
async fn every_request_example_arrives_as_it_was_written() {
    let mut sent = 0;
    for (path, _, operation) in operations(&written()) {
        for (name, example) in examples(&operation["requestBody"]) {
            let id = operation["operationId"].as_str().unwrap();
            assert_eq!(arrived(&path, &example).await, meaning(&example), "{id}, {name}");
            sent += 1;
        }
    }
    assert!(sent >= 15, "{sent} examples");
}

async fn arrived(path: &str, example: &Value) -> Value {
    let echo = Echo::default();
    let path = path.replace("{partitionId}", "1daae3f5-7fd6-42e9-b1ba-8c05f873994d").replace(['{', '}'], "");
    let request = Request::post(format!("{path}?api-version=6.4")).header("Content-Type", "application/json");
    let request = request.body(Body::from(example.to_string())).unwrap();
    let response = send(edge(echo.clone(), Clock::system(), || true), request).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let answer = json_of(response).await;
    assert_eq!(answer["Error"]["Message"], "kept", "{answer}");
    echo.0.lock().unwrap().take()
}

/// What an example says once defaults are filled in and instants are written one way.
fn meaning(example: &Value) -> Value {
    let mut meaning = example.clone();
    if example.get("BackupEntity").is_some() && example.get("Latest").is_none() {
        meaning["Latest"] = json!(false);
    }
    meaning
}

#[test]
fn every_answer_example_is_read_and_written_unchanged() {
    let mut read = 0;
    for (_, _, operation) in operations(&written()) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            for (name, example) in examples(response) {
                let id = operation["operationId"].as_str().unwrap();
                assert_eq!(again(id, &example), example, "{id}, {status}, {name}");
                read += 1;
            }
        }
    }
    assert!(read >= 12, "{read} examples");
}

fn again(operation: &str, example: &Value) -> Value {
    match operation {
        "GetPartitionBackupProgress" => through::<Option<wire::BackupProgressInfo>>(example),
        "GetPartitionRestoreProgress" => through::<Option<wire::RestoreProgressInfo>>(example),
        "GetPartitionVerifyProgress" => through::<Option<wire::VerifyProgressInfo>>(example),
        "GetBackupPolicyList" => through::<wire::PagedBackupPolicyDescriptionList>(example),
        "GetBackupPolicyByName" => through::<wire::BackupPolicyDescription>(example),
        "GetAllEntitiesBackedUpByPolicy" => through::<wire::PagedBackupEntityList>(example),
        "GetBackupRetentionPlan" => through::<wire::PagedRetentionVerdictList>(example),
        "GetBackupHealth" => through::<wire::BackupHealth>(example),
        "GetApplicationInfoList" => through::<wire::PagedApplicationInfoList>(example),
        "GetServiceInfoList" => through::<wire::PagedServiceInfoList>(example),
        "GetPartitionInfoList" => through::<wire::PagedServicePartitionInfoList>(example),
        "GetPartitionInfo" => through::<wire::ServicePartitionInfo>(example),
        "GetPartitionBackupConfigurationInfo" => through::<Option<wire::PartitionBackupConfigurationInfo>>(example),
        "GetApplicationBackupConfigurationInfo" | "GetServiceBackupConfigurationInfo" => {
            through::<wire::PagedBackupConfigurationInfoList>(example)
        }
        list if list.ends_with("BackupList") || list == "GetBackupsFromBackupLocation" => {
            through::<wire::PagedBackupInfoList>(example)
        }
        other => panic!("{other} has an example of no known type"),
    }
}

fn through<T: DeserializeOwned + Serialize>(example: &Value) -> Value {
    json!(serde_json::from_value::<T>(example.clone()).unwrap_or_else(|error| panic!("{error}: {example}")))
}

#[test]
fn the_examples_of_errors_are_errors() {
    for (name, example) in examples(&written()["components"]["responses"]["FabricError"]) {
        assert_eq!(through::<wire::FabricError>(&example), example, "{name}");
    }
}

fn examples(body: &Value) -> Vec<(String, Value)> {
    let examples = body.pointer("/content/application~1json/examples").and_then(Value::as_object);
    examples.into_iter().flatten().map(|(name, example)| (name.clone(), example["value"].clone())).collect()
}
