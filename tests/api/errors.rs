//! What every operation answers alike when it cannot answer.

use axum::http::Method;
use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;

use crate::{
    answer::Answer,
    app::TestApp,
    observed::{Seen, Verdict},
    world::{CALC, UNKNOWN},
};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn progress() -> String {
    format!("/Partitions/{CALC}/$/GetBackupProgress")
}

fn backup() -> String {
    format!("/Partitions/{CALC}/$/Backup")
}

#[tokio::test]
async fn what_has_no_route_is_404_and_what_has_another_method_405() {
    let app = TestApp::new();
    for path in ["/nothing", "/Partitions", "/Applications/CalcApp", &format!("/Partitions/{CALC}/$/Nothing")] {
        let answer = app.get(path).await;
        answer.refused_with(404, "E_INVALIDARG", &[path]);
    }
    let answer = app.get(&backup()).await;
    answer.refused_with(405, "E_INVALIDARG", &["GET"]);
    assert_eq!(answer.headers["allow"], "POST");
    app.send(Method::DELETE, &progress(), Vec::new(), &[]).await.refused(405, "E_INVALIDARG");
}

#[tokio::test]
async fn the_body_is_judged_before_the_query_and_the_query_before_the_path() {
    let app = TestApp::new();
    let path = |query: &str| format!("/Partitions/first/$/Backup{query}");
    let answer = app.send(Method::POST, &path("?timeout=0&api-version=1"), b"{".into(), &JSON).await;
    answer.refused_with(400, "E_INVALIDARG", &["body"]);
    app.post(&path("?timeout=0&api-version=1"), &json!({})).await.refused_with(400, "E_INVALIDARG", &["timeout"]);
    app.post(&path("?api-version=1"), &json!({})).await.refused_with(400, "E_INVALIDARG", &["api-version"]);
    app.post(&path(""), &json!({})).await.refused_with(400, "E_INVALIDARG", &["partitionId"]);
}

#[tokio::test]
async fn the_version_is_a_number_from_6_4_up() {
    let app = TestApp::new();
    for version in ["6.4", "6.5", "9.1", "999"] {
        app.get(&format!("{}?api-version={version}", progress())).await.ok();
    }
    for version in ["", "6.3", "6.10", "6.4-preview", "six"] {
        let answer = app.get(&format!("{}?api-version={version}", progress())).await;
        answer.refused_with(400, "E_INVALIDARG", &["api-version"]);
    }
}

#[tokio::test]
async fn the_timeout_is_held_to_its_bounds() {
    let app = TestApp::new();
    for timeout in ["1", "4294967295", ""] {
        app.get(&format!("{}?timeout={timeout}", progress())).await.ok();
    }
    for timeout in ["0", "-1", "4294967296", "1.5", "soon"] {
        let answer = app.get(&format!("{}?timeout={timeout}", progress())).await;
        answer.refused_with(400, "E_INVALIDARG", &["timeout"]);
    }
}

#[tokio::test]
async fn a_body_of_another_type_is_415_and_one_that_is_too_large_413() {
    let app = TestApp::new();
    for headers in [[("content-type", "text/plain")].as_slice(), &[]] {
        let answer = app.send(Method::POST, &backup(), b"{}".into(), headers).await;
        answer.refused_with(415, "E_INVALIDARG", &["application/json"]);
    }
    let mut large = br#"{"Other":""#.to_vec();
    large.resize(4 << 20, b'x');
    large.extend(br#""}"#);
    let answer = app.send(Method::POST, &backup(), large.clone(), &JSON).await;
    answer.refused_with(413, "FABRIC_E_VALUE_TOO_LARGE", &["4194304"]);
    large.drain(10..20);
    app.send(Method::POST, &backup(), large, &JSON).await.accepted();
    app.work().await;
}

#[tokio::test]
async fn the_callers_request_id_comes_back_if_it_is_a_guid() {
    let app = TestApp::new();
    let id = "0b1d6a52-7c59-4cf1-9d5a-4f0f0a5c7a11";
    let answer = app.send(Method::GET, &progress(), Vec::new(), &[("X-ServiceFabricRequestId", id)]).await;
    assert_eq!(answer.headers["x-servicefabricrequestid"], id);
    let answer = app.send(Method::GET, &progress(), Vec::new(), &[("X-ServiceFabricRequestId", "mine")]).await;
    let made = answer.headers["x-servicefabricrequestid"].to_str().unwrap();
    assert!(made.parse::<uuid::Uuid>().is_ok(), "{made}");
    app.get(&format!("/Partitions/{UNKNOWN}/$/GetBackupProgress")).await.refused(404, "FABRIC_E_PARTITION_NOT_FOUND");
}

#[tokio::test]
async fn a_500_says_nothing_of_the_inside() {
    let app = TestApp::new();
    app.store.observe(|_| Verdict::Fail);
    for path in [progress(), format!("/Partitions/{CALC}/$/GetRestoreProgress")] {
        let message = app.get(&path).await.refused(500, "E_FAIL");
        assert!(!message.contains("secret") && !message.contains("ledger"), "{message}");
        assert!(message.contains("log"), "{message}");
    }
    app.store.observe(|_| Verdict::Go);
}

/// Sends a request with a timeout of five seconds that gets stuck where `stuck` says, and lets the time pass.
async fn sent_and_stuck(app: &TestApp, method: Method, path: String, stuck: fn(&Seen<'_>) -> bool) -> Answer {
    let (reached, mut reports) = unbounded_channel();
    let (go_on, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    app.store.observe(move |seen| {
        if stuck(&seen) {
            let _ = reached.send(());
            // Ends when the test lets go of the other side.
            let _ = gate.lock().unwrap().recv();
        }
        Verdict::Go
    });
    let path = format!("{path}?timeout=5");
    let time_passes = async {
        reports.recv().await.unwrap();
        app.advance(TimeDelta::seconds(4));
        tokio::task::yield_now().await;
        app.advance(TimeDelta::seconds(1));
    };
    let (answer, ()) = tokio::join!(app.send(method, &path, Vec::new(), &[]), time_passes);
    drop(go_on);
    app.store.observe(|_| Verdict::Go);
    answer
}

#[tokio::test]
async fn an_answer_that_takes_longer_than_its_timeout_is_504() {
    let app = TestApp::new();
    let answer = sent_and_stuck(&app, Method::GET, progress(), |seen| matches!(seen, Seen::Reading)).await;
    answer.refused_with(504, "FABRIC_E_TIMEOUT", &["5 s"]);
    assert_eq!(app.backup_progress(CALC).await, Value::Null);
}

#[tokio::test]
async fn what_was_accepted_before_its_caller_gave_up_stands() {
    let app = TestApp::new();
    let answer = sent_and_stuck(&app, Method::POST, backup(), |seen| matches!(seen, Seen::Written(_))).await;
    answer.refused(504, "FABRIC_E_TIMEOUT");
    assert_eq!(app.backup_progress(CALC).await["BackupState"], "Accepted");
    app.work().await;
    assert_eq!(app.backup_progress(CALC).await["BackupState"], "Success");
}
