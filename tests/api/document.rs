//! The served document as a judge: what an operation may answer with, and whether an answer is that.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use axum::http::{Method, StatusCode};
use fabric_backup::api;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// An operation of the document.
pub(crate) struct Operation {
    pub(crate) path: &'static str,
    pub(crate) method: Method,
    pub(crate) facts: &'static Value,
}

/// All operations.
pub(crate) fn operations() -> Vec<Operation> {
    let paths = api::document()["paths"].as_object().unwrap();
    let methods = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, facts)| (path, method.to_uppercase().parse().unwrap(), facts))
    });
    methods.map(|(path, method, facts)| Operation { path, method, facts }).collect()
}

/// Fails the test unless the answer to this request is what the document says: the status is written down or an error,
/// the body has the schema of that status and nothing beyond it.
pub(crate) fn judge(method: &Method, path: &str, status: StatusCode, body: Option<&Value>) {
    let asked = operations().into_iter().find(|operation| operation.method == method && fits(operation.path, path));
    let schema = match asked.map(|operation| &operation.facts["responses"]) {
        Some(responses) if !responses[status.as_str()].is_null() => json_schema(&responses[status.as_str()]),
        Some(responses) if !status.is_success() => json_schema(&responses["default"]),
        Some(_) => panic!("{method} {path} answered {status}, which the document does not know"),
        None if status.is_success() => panic!("{method} {path} is no operation and answered {status}"),
        None => Some(json!({ "$ref": "#/components/schemas/FabricError" })),
    };
    match (schema, body) {
        (Some(schema), Some(body)) => check(&schema, body),
        (None, None) => (),
        (schema, body) => panic!("{method} {path} {status}: documented {schema:?}, answered {body:?}"),
    }
}

fn json_schema(response: &Value) -> Option<Value> {
    let response = match response["$ref"].as_str() {
        Some(reference) => api::document().pointer(&reference[1..]).unwrap(),
        None => response,
    };
    response.get("content").map(|content| content["application/json"]["schema"].clone())
}

fn check(schema: &Value, body: &Value) {
    let validator = validator(schema);
    let faults: Vec<String> =
        validator.iter_errors(body).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "not what the document says: {faults:#?}\n{body:#}");
}

static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

fn validator(schema: &Value) -> Arc<Validator> {
    let mut validators = VALIDATORS.lock().unwrap();
    let make = || {
        let mut whole = schema.clone();
        whole["components"] = closed(&api::document()["components"]);
        let options = jsonschema::options().should_validate_formats(true);
        let options = options.with_format("date-time", is_second);
        let options = options.with_format("int64", |text: &str| text.parse::<i64>().is_ok());
        Arc::new(options.build(&whole).unwrap())
    };
    Arc::clone(validators.entry(schema.to_string()).or_insert_with(make))
}

/// As we write instants: in UTC, to the second.
fn is_second(text: &str) -> bool {
    chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%SZ").is_ok() && text.len() == 20
}

/// The schemas, with no property allowed that they do not name: an answer must not say more than is documented.
fn closed(components: &Value) -> Value {
    let mut components = components.clone();
    for schema in components["schemas"].as_object_mut().unwrap().values_mut() {
        if schema.get("properties").is_some() {
            schema["additionalProperties"] = json!(false);
        }
    }
    components
}

/// Whether a path, perhaps with other case and escapes, is one of a template.
fn fits(template: &str, path: &str) -> bool {
    let plain = path.replace("%24", "$").to_lowercase();
    let template: Vec<&str> = template.split('/').collect();
    let path: Vec<&str> = plain.trim_end_matches('/').split('/').collect();
    let same = |wanted: &str, given: &str| wanted.starts_with('{') || wanted.eq_ignore_ascii_case(given);
    template.len() == path.len() && template.iter().zip(path).all(|(wanted, given)| same(wanted, given))
}

/// The examples of an operation's body, by name.
pub(crate) fn body_examples(facts: &Value) -> Map<String, Value> {
    let examples = facts["requestBody"]["content"]["application/json"]["examples"].as_object();
    let value = |(name, example): (&String, &Value)| (name.clone(), example["value"].clone());
    examples.map(|examples| examples.iter().map(value).collect()).unwrap_or_default()
}

/// The judge itself on trial: one that passes everything would prove nothing.
#[test]
fn the_judge_refuses_what_the_document_does_not_say() {
    let progress = "/Partitions/1daae3f5-7fd6-42e9-b1ba-8c05f873994d/$/GetBackupProgress";
    let refused = |status: u16, body: Option<Value>| {
        let judged = || judge(&Method::GET, progress, StatusCode::from_u16(status).unwrap(), body.as_ref());
        std::panic::catch_unwind(judged).is_err()
    };
    assert!(!refused(200, Some(json!({ "BackupState": "Accepted" }))));
    assert!(!refused(200, Some(Value::Null)));
    assert!(refused(200, None), "a body is missing");
    assert!(refused(202, Some(Value::Null)), "another success");
    assert!(refused(200, Some(json!({ "BackupState": "Done" }))), "a state that is none");
    assert!(refused(200, Some(json!({ "backupState": "Accepted" }))), "a property that is none");
    assert!(refused(200, Some(json!({ "LsnOfLastBackupRecord": 7 }))), "a number that travels as a string");
    assert!(refused(200, Some(json!({ "TimeStampUtc": "2026-03-04T12:05:09.250Z" }))), "a fraction of a second");
    assert!(refused(404, Some(json!({ "Code": "E_FAIL" }))), "an error of another shape");
}
