//! Completes the served document with what the contract says and the types behind the document cannot.
//!
//! That is what only people read (texts, examples, what is an extension), how unions are told apart, values of which
//! there is one only, and that a body may be left out. All that programs depend on besides stays what the types say, so
//! that holding the served document against the contract proves that the types keep to it.

use serde_json::{Map, Value};

/// Keywords that are served as they are written.
const AS_WRITTEN: [&str; 8] =
    ["summary", "description", "tags", "example", "examples", "x-extension", "x-extension-values", "discriminator"];

/// Completes `served` with `written`, the same place in the `contract`.
pub(super) fn complete(served: &mut Value, written: &Value, contract: &Value) {
    match (served, written) {
        (Value::Object(served), Value::Object(written)) => object(served, written, contract),
        (Value::Array(served), Value::Array(written)) => {
            let written: Vec<_> = written.iter().map(|it| followed(it, contract)).collect();
            for served in served {
                if let Some(written) = written.iter().find(|it| is_same(it, served)) {
                    complete(served, written, contract);
                }
            }
        }
        _ => (),
    }
}

fn object(served: &mut Map<String, Value>, written: &Map<String, Value>, contract: &Value) {
    // utoipa gives every number a format.
    served.retain(|key, _| written.contains_key(key) || !(key == "format" || AS_WRITTEN.contains(&key.as_str())));
    for (index, (key, value)) in written.iter().enumerate() {
        let as_written = AS_WRITTEN.contains(&key.as_str()) || is_as_written(value);
        match served.get_mut(key) {
            Some(served) if as_written => *served = value.clone(),
            Some(served) => complete(served, value, contract),
            None if as_written => drop(served.shift_insert(index.min(served.len()), key.clone(), value.clone())),
            None => (),
        }
    }
    let tagged = written.get("properties").and_then(Value::as_object).and_then(|it| it.values().next());
    let may_be_left_out = written.contains_key("content");
    if tagged.is_some_and(has_one_value) || may_be_left_out && served.contains_key("required") {
        served.insert("required".to_owned(), written["required"].clone());
    }
}

/// A union, what has one value, and a reference to an answer.
fn is_as_written(value: &Value) -> bool {
    let reference = value["$ref"].as_str().unwrap_or_default();
    value.get("discriminator").is_some() || has_one_value(value) || reference.starts_with("#/components/responses/")
}

fn has_one_value(schema: &Value) -> bool {
    schema["enum"].as_array().is_some_and(|values| values.len() == 1)
}

fn is_same(left: &Value, right: &Value) -> bool {
    left["name"] == right["name"] && left["$ref"] == right["$ref"]
}

/// What a reference to a parameter leads to.
fn followed<'a>(value: &'a Value, contract: &'a Value) -> &'a Value {
    let parameter = value["$ref"].as_str().and_then(|it| it.strip_prefix("#/components/parameters/"));
    parameter.map_or(value, |name| &contract["components"]["parameters"][name])
}
