//! Everything in the contract is built; what is malformed is refused by every operation, whatever it does.

use axum::http::Method;
use serde_json::{Value, json};

use crate::{
    app::TestApp,
    document::{Operation, body_examples, operations},
    world::CALC,
};

fn id(operation: &Operation) -> &'static str {
    operation.facts["operationId"].as_str().unwrap()
}

/// The operation's path with something in every hole.
fn filled(operation: &Operation) -> String {
    let path = operation.path.replace("{partitionId}", &CALC.to_string());
    let path = path.replace("{applicationId}", "CalcApp").replace("{serviceId}", "CalcApp~CalcService");
    path.replace("{backupPolicyName}", "Daily%2FAzure")
}

/// A query with the version just below what the operation takes.
fn too_old(operation: &Operation) -> String {
    let parameters = operation.facts["parameters"].as_array().unwrap();
    let version = parameters.iter().find(|parameter| parameter["name"] == "api-version").unwrap();
    let least: f64 = version["schema"]["enum"][0].as_str().unwrap().parse().unwrap();
    format!("?api-version={:.1}", least - 0.1)
}

/// The bodies that the document shows, or none for what takes none.
fn bodies(operation: &Operation) -> Vec<Option<Value>> {
    let examples = body_examples(operation.facts);
    if examples.is_empty() { vec![None] } else { examples.into_iter().map(|(_, body)| Some(body)).collect() }
}

async fn ask(app: &TestApp, operation: &Operation, query: &str, body: Option<&Value>) -> crate::answer::Answer {
    let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let path = format!("{}{query}", filled(operation));
    app.send(operation.method.clone(), &path, body, &[("content-type", "application/json")]).await
}

#[tokio::test]
async fn every_operation_is_built_for_every_documented_request() {
    let app = TestApp::new();
    let mut asked = 0;
    for operation in operations() {
        for body in bodies(&operation) {
            let answer = ask(&app, &operation, "", body.as_ref()).await;
            let text = body.map(|body| body.to_string()).unwrap_or_default();
            assert!(answer.status != 501, "{} {text}: {}", id(&operation), answer.status);
            asked += 1;
        }
    }
    assert!(asked > 40, "{asked}");
    app.leave_unfinished();
}

#[tokio::test]
async fn every_operation_refuses_what_is_malformed() {
    let app = TestApp::new();
    for operation in operations() {
        for query in [too_old(&operation), "?timeout=0".to_owned()] {
            let body = bodies(&operation).remove(0);
            ask(&app, &operation, &query, body.as_ref()).await.refused(400, "E_INVALIDARG");
        }
        if operation.facts.get("requestBody").is_some() {
            for body in ["{", "[]", "7"] {
                let json = [("content-type", "application/json")];
                let answer = app.send(Method::POST, &filled(&operation), body.into(), &json).await;
                answer.refused(400, "E_INVALIDARG");
            }
        }
        if operation.facts["requestBody"]["required"] == json!(true) {
            ask(&app, &operation, "", None).await.refused_with(400, "E_INVALIDARG", &["body"]);
            ask(&app, &operation, "", Some(&json!({}))).await.refused_with(400, "E_INVALIDARG", &["is missing"]);
        }
    }
}

#[tokio::test]
async fn a_partition_that_is_no_guid_is_refused_everywhere() {
    let app = TestApp::new();
    for operation in operations().into_iter().filter(|operation| operation.path.contains("{partitionId}")) {
        let body = bodies(&operation).remove(0).map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let path = operation.path.replace("{partitionId}", "first");
        let answer = app.send(operation.method, &path, body, &[("content-type", "application/json")]).await;
        answer.refused_with(400, "E_INVALIDARG", &["partitionId", "first"]);
    }
}

#[test]
fn the_page_about_the_api_lists_nothing_that_is_not_built() {
    assert!(!include_str!("../../docs/API.md").contains("not built"));
}
