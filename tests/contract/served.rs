//! What is served is what is written: the document, and a route for each operation.
//!
//! Both documents are first brought to one way of writing: references to parameters and answers are followed, the order
//! in lists that are sets (`required`, `tags`, `parameters`, `oneOf`) is taken out, and so is what says nothing
//! (`required: false`, empty texts, `deprecated: false`).

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use fabric_backup::api::document;
use serde_json::Value;

use super::harness::{json_of, not_built, operations, send, written};

#[tokio::test]
async fn the_served_document_means_what_the_written_one_means() {
    let response = send(not_built(), Request::get("/openapi.json").body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let served = plain(&json_of(response).await);
    let mut differences = Vec::new();
    compare("", &plain(&written()), &served, &mut differences);
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn a_difference_is_found_and_named() {
    let mut changed = written();
    changed["components"]["schemas"]["Epoch"]["required"] = serde_json::json!(["DataLossVersion"]);
    changed["components"]["parameters"]["Timeout"]["schema"]["maximum"] = serde_json::json!(7);
    let mut differences = Vec::new();
    compare("", &plain(&written()), &plain(&changed), &mut differences);
    assert_eq!(differences.iter().filter(|it| it.contains("/Epoch/required")).count(), 1, "{differences:?}");
    assert!(differences.iter().any(|it| it.contains("/paths/") && it.contains("maximum")), "{differences:?}");
}

#[test]
fn examples_keep_their_order_since_swagger_ui_offers_the_first() {
    let keys = |value: &Value| value.as_object().map(|it| it.keys().cloned().collect::<Vec<_>>());
    for ((path, _, written), (_, _, served)) in operations(&written()).iter().zip(operations(document())) {
        let examples = "/requestBody/content/application~1json/examples";
        assert_eq!(written.pointer(examples).and_then(keys), served.pointer(examples).and_then(keys), "{path}");
    }
}

#[tokio::test]
async fn every_operation_has_its_route() {
    let operations = operations(&written());
    assert_eq!(operations.len(), 40);
    for (path, method, operation) in operations {
        let path = path.replace("{partitionId}", "1daae3f5-7fd6-42e9-b1ba-8c05f873994d").replace(['{', '}'], "");
        let request = Request::builder().method(method.to_uppercase().as_str()).uri(format!("{path}?api-version=6.4"));
        let response = send(not_built(), with_example(request, &operation)).await;
        let id = operation["operationId"].as_str().unwrap();
        assert_eq!(response.status(), StatusCode::NOT_IMPLEMENTED, "{id}");
        let message = json_of(response).await["Error"]["Message"].as_str().unwrap().to_owned();
        assert_eq!(message, format!("{id} is not built yet."));
    }
}

fn with_example(request: axum::http::request::Builder, operation: &Value) -> Request<Body> {
    let Some(media) = operation.pointer("/requestBody/content/application~1json") else {
        return request.body(Body::empty()).unwrap();
    };
    let (_, example) = media["examples"].as_object().unwrap().iter().next().unwrap();
    let body = Body::from(example["value"].to_string());
    request.header("Content-Type", "application/json; charset=utf-8").body(body).unwrap()
}

/// The document in one way of writing.
fn plain(document: &Value) -> Value {
    let mut plain = document.clone();
    follow(&mut plain["paths"], document);
    if let Some(components) = plain["components"].as_object_mut() {
        components.remove("parameters");
        components.remove("responses");
    }
    tidy(&mut plain);
    plain
}

fn follow(value: &mut Value, document: &Value) {
    if let Some(reference) = value["$ref"].as_str().and_then(|it| it.strip_prefix('#'))
        && !reference.starts_with("/components/schemas/")
    {
        *value = document.pointer(reference).unwrap_or_else(|| panic!("{reference} leads nowhere")).clone();
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| follow(item, document)),
        Value::Object(object) => object.values_mut().for_each(|value| follow(value, document)),
        _ => (),
    }
}

fn tidy(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(object) => {
            object.retain(|key, value| !says_nothing(key, value));
            for (key, value) in object {
                tidy(value);
                if let (true, Value::Array(items)) = (is_set(key), value) {
                    items.sort_by_key(|item| [&item["name"], &item["$ref"], item].map(ToString::to_string));
                }
            }
        }
        Value::String(text) => *text = text.trim().to_owned(),
        _ => (),
    }
}

fn says_nothing(key: &str, value: &Value) -> bool {
    match key {
        "required" | "deprecated" => *value == false,
        "description" => value == "",
        _ => false,
    }
}

fn is_set(key: &str) -> bool {
    matches!(key, "required" | "tags" | "parameters" | "oneOf")
}

fn compare(at: &str, written: &Value, served: &Value, differences: &mut Vec<String>) {
    match (written, served) {
        (Value::Object(left), Value::Object(right)) => {
            let mut keys: Vec<_> = left.keys().chain(right.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                compare(&format!("{at}/{key}"), &written[key], &served[key], differences);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{at}/{index}"), left, right, differences);
            }
        }
        _ if written == served => (),
        _ => differences.push(format!("{at}: written {written}, served {served}")),
    }
}
