//! What holds for every request, whatever the operation: routes, headers, errors, versions, time.

use std::{
    future::pending,
    io::Write,
    sync::{Arc, Mutex},
};

use axum::{
    body::{Body, to_bytes},
    http::{Request, Response, StatusCode},
};
use chrono::{DateTime, TimeDelta};
use fabric_backup::{
    api::{
        ApiError, Edge, Operations, edge,
        operations::{
            BackupPartitionQuery, GetApplicationInfoListQuery, GetPartitionBackupListQuery, GetServiceInfoListQuery,
        },
        wire,
    },
    clock::Clock,
};
use serde_json::Value;
use uuid::Uuid;

use crate::harness::{json_of, not_built, send};

const PARTITION: &str = "1daae3f5-7fd6-42e9-b1ba-8c05f873994d";

/// Says back what reached it, as the message of an error.
#[derive(Clone)]
struct Says;

impl Operations for Says {
    async fn backup_partition(
        &self,
        partition_id: Uuid,
        query: BackupPartitionQuery,
        idempotency_key: Option<String>,
        body: Option<wire::BackupPartitionDescription>,
    ) -> Result<(), ApiError> {
        assert_ne!(query.backup_timeout, 13, "a bug with s3cret in it");
        let key = idempotency_key.map(|key| format!(" {key}")).unwrap_or_default();
        Err(ApiError::invalid(format!("{partition_id} {} {}{key}", query.backup_timeout, body.is_some())))
    }

    async fn get_partition_info(&self, partition_id: Uuid) -> Result<wire::ServicePartitionInfo, ApiError> {
        Err(ApiError::invalid(format!("info of {partition_id}")))
    }

    async fn get_application_info_list(
        &self,
        query: GetApplicationInfoListQuery,
    ) -> Result<wire::PagedApplicationInfoList, ApiError> {
        Err(ApiError::invalid(format!("applications {}", query.max_results)))
    }

    async fn get_service_info_list(
        &self,
        application_id: String,
        query: GetServiceInfoListQuery,
    ) -> Result<wire::PagedServiceInfoList, ApiError> {
        Err(ApiError::invalid(format!("services of {application_id} after {:?}", query.continuation_token)))
    }

    async fn get_backup_policy_by_name(&self, name: String) -> Result<wire::BackupPolicyDescription, ApiError> {
        Err(ApiError::invalid(name))
    }

    async fn suspend_application_backup(&self, application_id: String) -> Result<(), ApiError> {
        Err(ApiError::invalid(application_id))
    }

    async fn suspend_service_backup(&self, service_id: String) -> Result<(), ApiError> {
        Err(ApiError::invalid(service_id))
    }

    async fn suspend_partition_backup(&self, _: Uuid) -> Result<(), ApiError> {
        Ok(())
    }

    async fn get_partition_backup_progress(&self, _: Uuid) -> Result<Option<wire::BackupProgressInfo>, ApiError> {
        Ok(None)
    }

    async fn get_partition_restore_progress(&self, _: Uuid) -> Result<Option<wire::RestoreProgressInfo>, ApiError> {
        Err(ApiError::internal(std::io::Error::other("a disk with s3cret on it")))
    }

    async fn get_partition_backup_list(
        &self,
        _: Uuid,
        _: GetPartitionBackupListQuery,
    ) -> Result<wire::PagedBackupInfoList, ApiError> {
        pending().await
    }
}

fn says() -> Edge {
    edge(Says, Clock::system(), || true)
}

async fn ask(method: &str, uri: &str) -> Response<Body> {
    send(says(), Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()).await
}

/// The status of an error and its message.
async fn error(method: &str, uri: &str) -> (StatusCode, String) {
    of(ask(method, uri).await).await
}

async fn of(response: Response<Body>) -> (StatusCode, String) {
    let status = response.status();
    assert_eq!(response.headers()["content-type"], "application/json");
    let body = json_of(response).await;
    assert!(body["Error"]["Code"].is_string(), "{body}");
    (status, body["Error"]["Message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn paths_reach_their_operation_however_they_are_written() {
    for (method, path, reached) in [
        ("POST", format!("/Partitions/{PARTITION}/$/Backup"), format!("{PARTITION} 10 false")),
        ("POST", format!("/partitions/{}/%24/backup/", PARTITION.to_uppercase()), format!("{PARTITION} 10 false")),
        ("POST", format!("/Partitions/%7B{PARTITION}%7D/$/Backup"), format!("{PARTITION} 10 false")),
        ("GET", "/BackupRestore/BackupPolicies/a%20b%2Fc%25d~e".to_owned(), "a b/c%d~e".to_owned()),
        ("POST", "/Applications/CalcApp/$/SuspendBackup".to_owned(), "CalcApp".to_owned()),
        ("POST", "/Applications/my%20app~%C3%A9/$/SuspendBackup".to_owned(), "my app/é".to_owned()),
        ("POST", "/Services/CalcApp/CalcService/$/SuspendBackup".to_owned(), "CalcApp/CalcService".to_owned()),
        ("POST", "/services/myapp~app1~svc1/%24/suspendbackup".to_owned(), "myapp/app1/svc1".to_owned()),
        ("GET", format!("/partitions/%7B{PARTITION}%7D/"), format!("info of {PARTITION}")),
        ("GET", "/APPLICATIONS/".to_owned(), "applications 0".to_owned()),
        ("GET", "/applications/myapp~app1/$/getservices".to_owned(), "services of myapp/app1 after None".to_owned()),
    ] {
        assert_eq!(
            error(method, &format!("{path}?api-version=6.4")).await,
            (StatusCode::BAD_REQUEST, reached),
            "{path}"
        );
    }
}

#[tokio::test]
async fn answers_have_the_status_of_the_document_and_its_body_or_none() {
    let response = ask("POST", &format!("/Partitions/{PARTITION}/$/SuspendBackup?api-version=6.4")).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(axum::body::to_bytes(response.into_body(), 9).await.unwrap(), "");
    let response = ask("GET", &format!("/Partitions/{PARTITION}/$/GetBackupProgress?api-version=6.4")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(json_of(response).await, Value::Null);
}

#[tokio::test]
async fn a_malformed_request_is_refused_in_words() {
    for (uri, message) in [
        ("/Partitions/xyz/$/SuspendBackup?api-version=6.4", "partitionId: \"xyz\" is not a GUID"),
        ("/Partitions/xyz/$/SuspendBackup", "api-version: is missing."),
        ("/Partitions/xyz/$/SuspendBackup?api-version=6.10", "api-version: \"6.10\" is not a number from 6.4 up."),
        ("/Partitions/xyz/$/SuspendBackup?api-version=6.4&timeout=0", "timeout: 0 is less than the minimum of 1."),
        ("/Partitions/xyz/$/Backup?api-version=6.4&backuptimeout=0", "BackupTimeout: 0 is less than the minimum of 1."),
    ] {
        let (status, said) = error("POST", uri).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{uri}");
        assert!(said.starts_with(message), "{uri}: {said}");
    }
}

#[tokio::test]
async fn the_inventory_is_told_to_callers_of_version_6_0_and_nothing_else_is() {
    let info = format!("/Partitions/{PARTITION}");
    for (version, said) in [
        ("6.0", "info of".to_owned()),
        ("6.4", "info of".to_owned()),
        ("5.9", "api-version: \"5.9\" is not a number from 6.0 up.".to_owned()),
    ] {
        let (_, message) = error("GET", &format!("{info}?api-version={version}")).await;
        assert!(message.starts_with(&said), "{version}: {message}");
    }
    let (_, message) = error("POST", &format!("{info}/$/Backup?api-version=6.0")).await;
    assert_eq!(message, "api-version: \"6.0\" is not a number from 6.4 up.");
}

#[tokio::test]
async fn what_the_official_client_sends_beyond_what_is_known_here_is_ignored() {
    let query = "api-version=6.1&ApplicationDefinitionKindFilter=0&ExcludeApplicationParameters=false&MaxResults=7";
    assert_eq!(error("GET", &format!("/Applications?{query}")).await.1, "applications 7");
}

/// What a backup is answered that is asked for with these values of the header.
async fn keyed(keys: &[&[u8]]) -> String {
    let mut request = Request::post(format!("/Partitions/{PARTITION}/$/Backup?api-version=6.4"));
    for key in keys {
        request = request.header("idempotency-key", *key);
    }
    let (status, message) = of(send(says(), request.body(Body::empty()).unwrap()).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    message
}

#[tokio::test]
async fn an_idempotency_key_reaches_the_operation_as_it_is() {
    let longest = "k".repeat(255);
    for key in ["9", "a/b=c~!\"", &longest] {
        assert_eq!(keyed(&[key.as_bytes()]).await, format!("{PARTITION} 10 false {key}"));
    }
    assert_eq!(keyed(&[]).await, format!("{PARTITION} 10 false"));
}

#[tokio::test]
async fn a_malformed_idempotency_key_is_refused_by_name() {
    let long = "k".repeat(256);
    for (keys, message) in [
        (&[&b""[..]][..], "Idempotency-Key: is empty; leave it out or give it a value."),
        (&[b"a", b"a"], "Idempotency-Key: is there 2 times, not once."),
        (&[b"a b"], "Idempotency-Key: \"a b\" has letters other than visible ASCII."),
        (&[b"a\xFF"], "Idempotency-Key: \"a\u{FFFD}\" has letters other than visible ASCII."),
        (&["sch\u{F6}n".as_bytes()], "Idempotency-Key: \"sch\u{F6}n\" has letters other than visible ASCII."),
    ] {
        assert_eq!(keyed(keys).await, message);
    }
    let message = keyed(&[long.as_bytes()]).await;
    assert!(
        message.starts_with("Idempotency-Key: \"kkk") && message.ends_with("has more than 255 letters."),
        "{message}"
    );
}

#[tokio::test]
async fn a_fault_of_the_body_is_told_before_one_of_the_version() {
    let uri = format!("/Partitions/{PARTITION}/$/Backup?api-version=1");
    let request = Request::post(uri).header("Content-Type", "application/json").body(Body::from("{")).unwrap();
    let (status, message) = of(send(says(), request).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(message.starts_with("body: is not JSON"), "{message}");
}

#[tokio::test]
async fn a_body_that_is_needed_is_asked_for() {
    let uri = format!("/Partitions/{PARTITION}/$/Restore?api-version=6.4");
    assert_eq!(
        error("POST", &uri).await,
        (StatusCode::BAD_REQUEST, "body: is missing; this operation needs one.".to_owned())
    );
}

#[tokio::test]
async fn what_has_no_route_is_404() {
    for path in [
        "/nothing",
        "/Partitions",
        "/Partitions/a/b",
        "/Partitions/a/b/$/Backup",
        "/Applications/a",
        "/BackupRestore/BackupPolicies/a/b",
        "/swagger-ui/nothing",
    ] {
        let response = ask("GET", path).await;
        assert_eq!(response.headers()["X-ServiceFabric"], "ResourceNotFound");
        let (status, message) = of(response).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(!message.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_and_options_answers_what_is_right() {
    let path = format!("/Partitions/{PARTITION}/$/GetBackupProgress");
    for method in ["DELETE", "PUT", "PATCH", "POST", "TRACE"] {
        let response = ask(method, &path).await;
        assert_eq!(response.headers()["Allow"], "GET,HEAD");
        assert_eq!(of(response).await.0, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    let response = ask("OPTIONS", &path).await;
    assert_eq!(
        (response.status(), &response.headers()["Allow"]),
        (StatusCode::NO_CONTENT, &"GET,HEAD".parse().unwrap())
    );
    let response = ask("HEAD", &format!("{path}?api-version=6.4")).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_failure_inside_says_nothing_of_the_inside() {
    let uri = format!("/Partitions/{PARTITION}/$/GetRestoreProgress?api-version=6.4");
    let panicking = format!("/Partitions/{PARTITION}/$/Backup?api-version=6.4&BackupTimeout=13");
    for (method, uri) in [("GET", uri), ("POST", panicking)] {
        let response = ask(method, &uri).await;
        let id = response.headers()["X-ServiceFabricRequestId"].clone();
        assert!(Uuid::parse_str(id.to_str().unwrap()).is_ok());
        let (status, message) = of(response).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!message.contains("s3cret"), "{message}");
    }
}

/// Where a test's log goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_failure_inside_is_logged_once_with_its_causes_under_the_request_id() {
    for (method, operation, query) in [("GET", "GetRestoreProgress", ""), ("POST", "Backup", "&BackupTimeout=13")] {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        let response = ask(method, &format!("/Partitions/{PARTITION}/$/{operation}?api-version=6.4{query}")).await;
        let id = response.headers()["X-ServiceFabricRequestId"].to_str().unwrap().to_owned();
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let [line] = log.lines().collect::<Vec<_>>()[..] else { panic!("not one line: {log}") };
        for part in ["ERROR", &id, "s3cret", method, operation] {
            assert!(line.contains(part), "no {part} in {line}");
        }
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_whoever_made_it() {
    let path = format!("/Partitions/{PARTITION}/$/GetBackupProgress?api-version=6.4");
    for (path, status) in [(&*path, 200), ("/nothing", 404), ("/swagger-ui/nothing", 404), ("/healthz", 200)] {
        let response = ask("HEAD", path).await;
        assert_eq!(response.status(), status, "{path}");
        let said: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
        let whole = to_bytes(ask("GET", path).await.into_body(), usize::MAX).await.unwrap();
        assert_eq!((said, whole.is_empty()), (whole.len(), false), "{path}");
        assert_eq!(to_bytes(response.into_body(), usize::MAX).await.unwrap(), "", "{path}");
    }
}

#[tokio::test]
async fn every_answer_has_the_callers_request_id_or_a_new_one() {
    for path in ["/", "/nothing", "/openapi.json", "/healthz", "/swagger-ui/"] {
        assert_eq!(request_id(path, Some("{1DAAE3F5-7fd6-42e9-b1ba-8c05f873994d}")).await, PARTITION, "{path}");
        let other = request_id(path, Some("not a guid")).await;
        assert!(Uuid::parse_str(&other).is_ok() && other != request_id(path, None).await, "{path}: {other}");
    }
}

async fn request_id(path: &str, given: Option<&str>) -> String {
    let mut request = Request::get(path);
    if let Some(given) = given {
        request = request.header("X-ServiceFabricRequestId", given);
    }
    let response = send(says(), request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["X-Content-Type-Options"], "nosniff");
    response.headers()["X-ServiceFabricRequestId"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_operation_that_does_not_finish_in_time_is_504() {
    let (clock, hand) = Clock::manual(DateTime::UNIX_EPOCH);
    let uri = format!("/Partitions/{PARTITION}/$/GetBackups?api-version=6.4&timeout=7");
    let asked = tokio::spawn(send(edge(Says, clock, || true), Request::get(uri).body(Body::empty()).unwrap()));
    tokio::task::yield_now().await;
    hand.advance(TimeDelta::seconds(6));
    tokio::task::yield_now().await;
    assert!(!asked.is_finished());
    hand.advance(TimeDelta::seconds(1));
    let response = asked.await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(json_of(response).await["Error"]["Code"], "FABRIC_E_TIMEOUT");
}

#[tokio::test]
async fn a_list_that_nobody_means_is_refused_before_it_costs_anything() {
    let body = format!(r#"{{"Schedule": {{"ScheduleKind": "TimeBased", "RunTimes": [{}0]}}}}"#, "0,".repeat(1_000_000));
    let request = Request::post("/BackupRestore/BackupPolicies/$/Create?api-version=6.4");
    let request = request.header("Content-Type", "application/json").body(Body::from(body)).unwrap();
    let (status, message) = of(send(says(), request).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(message, "Schedule.RunTimes: has 1000001 items, more than 1000.");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_in_time_is_504() {
    let uri = format!("/Partitions/{PARTITION}/$/Backup?api-version=6.4&timeout=7");
    let never = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let begun = tokio::time::Instant::now();
    let response = send(says(), Request::post(uri).body(never).unwrap()).await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(json_of(response).await["Error"]["Code"], "FABRIC_E_TIMEOUT");
    assert_eq!(begun.elapsed().as_secs(), 7);
}

#[tokio::test]
async fn swagger_ui_is_served_for_our_document() {
    let response = ask("GET", "/").await;
    assert_eq!(
        (response.status(), &response.headers()["Location"]),
        (StatusCode::TEMPORARY_REDIRECT, &"/swagger-ui/".parse().unwrap())
    );
    let page = text(ask("GET", "/swagger-ui/").await).await;
    assert!(page.contains("swagger-ui-bundle.js"), "{page}");
    let start = text(ask("GET", "/swagger-ui/swagger-initializer.js").await).await;
    assert!(start.contains("/openapi.json"), "{start}");
}

async fn text(response: Response<Body>) -> String {
    assert_eq!(response.status(), StatusCode::OK);
    String::from_utf8(axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn health_is_told_and_readiness_asked_for() {
    assert_eq!(ask("GET", "/healthz").await.status(), StatusCode::OK);
    assert_eq!(ask("GET", "/readyz").await.status(), StatusCode::OK);
    let starting = edge(Says, Clock::system(), || false);
    let (status, _) = of(send(starting, Request::get("/readyz").body(Body::empty()).unwrap()).await).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn what_is_not_built_is_501() {
    let uri = "/BackupRestore/BackupPolicies?api-version=6.4";
    let response = send(not_built(), Request::get(uri).body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::NOT_IMPLEMENTED);
    assert_eq!(json_of(response).await["Error"]["Code"], "E_NOTIMPL");
}
