//! Reads an openapi document into the facts of its wire, in the layout of `published.json`.
//!
//! Words (descriptions, summaries, examples, tags) are no facts, and what is marked `x-extension` is left out. Every
//! other keyword becomes a fact, also one that this reader has never heard of: nothing can be added to the document
//! unseen.

use serde_json::{Map, Value, json};

type Facts = Map<String, Value>;

pub(super) fn facts(document: &Value) -> Value {
    let mut facts = json!({
        "parameters": parameters(document),
        "operations": operations(document),
        "schemas": {}, "unions": {}, "enums": {},
    });
    for (name, schema) in entries(&document["components"]["schemas"]).filter(|(_, schema)| is_published(schema)) {
        let (group, fact) = component(schema);
        facts[group][name] = fact;
    }
    facts
}

/// The members of an object; none of anything else.
pub(super) fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Whether the publication has it, too: an enum may be published and only some of its values ours.
fn is_published(item: &Value) -> bool {
    item["x-extension"] != json!(true) || !item["x-extension-values"].is_null()
}

fn parameters(document: &Value) -> Facts {
    let mut facts = Facts::new();
    for (component, parameter) in entries(&document["components"]["parameters"]).filter(|(_, item)| is_published(item))
    {
        let name = text(&parameter["name"]);
        let taken = facts.contains_key(name);
        facts.insert(if taken { format!("{name} ({component})") } else { name.to_owned() }, parameter_facts(parameter));
    }
    facts
}

fn parameter_facts(parameter: &Value) -> Value {
    let mut facts = shape(&parameter["schema"]);
    for (keyword, value) in entries(parameter) {
        match keyword.as_str() {
            "name" | "description" | "example" | "schema" => {}
            "required" if *value == json!(false) => {}
            _ => put(&mut facts, keyword, value.clone()),
        }
    }
    facts.into()
}

fn operations(document: &Value) -> Facts {
    let items = entries(&document["paths"]);
    let all = items.flat_map(|(path, item)| entries(item).map(move |(method, operation)| (path, method, operation)));
    all.filter(|(_, _, operation)| is_published(operation))
        .map(|(path, method, operation)| {
            let mut facts = operation_facts(document, operation);
            put(&mut facts, "path", json!(path));
            put(&mut facts, "method", json!(method));
            (text(&operation["operationId"]).to_owned(), facts.into())
        })
        .collect()
}

fn operation_facts(document: &Value, operation: &Value) -> Facts {
    let mut facts = Facts::new();
    for (keyword, value) in entries(operation) {
        match keyword.as_str() {
            "operationId" | "tags" | "summary" | "description" => {}
            "parameters" => put(&mut facts, "parameters", parameter_names(document, value)),
            "requestBody" => put(&mut facts, "body", message(value).into()),
            "responses" => put(&mut facts, "answers", answers(document, value)),
            _ => put(&mut facts, keyword, value.clone()),
        }
    }
    facts
}

fn parameter_names(document: &Value, parameters: &Value) -> Value {
    let listed = parameters.as_array().into_iter().flatten().map(|parameter| resolve(document, parameter));
    let mut names: Vec<_> = listed.filter(|item| is_published(item)).map(|item| text(&item["name"])).collect();
    names.sort_unstable();
    json!(names)
}

fn answers(document: &Value, responses: &Value) -> Value {
    entries(responses)
        .map(|(status, response)| (status.clone(), Value::from(message(resolve(document, response)))))
        .collect::<Facts>()
        .into()
}

/// A request body or a response.
fn message(message: &Value) -> Facts {
    let mut facts = Facts::new();
    for (keyword, value) in entries(message) {
        match keyword.as_str() {
            "description" => {}
            "required" if *value == json!(false) => {}
            "content" => facts.extend(content(value)),
            _ => put(&mut facts, keyword, value.clone()),
        }
    }
    facts
}

fn content(content: &Value) -> Facts {
    let mut facts = Facts::new();
    for (media_type, media) in entries(content).filter(|(_, media)| is_published(media)) {
        match media_type.as_str() {
            "application/json" => facts.extend(shape(&media["schema"])),
            other => put(&mut facts, other, json!(true)),
        }
    }
    facts
}

/// A named schema: which table it belongs into, and what to write there.
fn component(schema: &Value) -> (&'static str, Value) {
    if !schema["discriminator"].is_null() {
        ("unions", union(schema).into())
    } else if is_enum(schema) {
        ("enums", published_values(schema))
    } else {
        ("schemas", structure(schema))
    }
}

fn is_enum(schema: &Value) -> bool {
    let known = ["type", "description", "enum", "x-extension", "x-extension-values"];
    schema["type"] == json!("string")
        && !schema["enum"].is_null()
        && entries(schema).all(|(keyword, _)| known.contains(&keyword.as_str()))
}

fn published_values(schema: &Value) -> Value {
    let ours = schema["x-extension-values"].as_array().cloned().unwrap_or_default();
    schema["enum"].as_array().into_iter().flatten().filter(|value| !ours.contains(value)).cloned().collect()
}

fn union(schema: &Value) -> Facts {
    let discriminator = &schema["discriminator"];
    let variants: Facts = entries(&discriminator["mapping"]).map(|(kind, to)| (kind.clone(), reference(to))).collect();
    let listed: Vec<Value> =
        schema["oneOf"].as_array().into_iter().flatten().map(|to| reference(&to["$ref"])).collect();
    let mut facts = Facts::new();
    if !variants.values().eq(&listed) {
        put(&mut facts, "oneOf", listed.into());
    }
    put(&mut facts, "variants", variants.into());
    put(&mut facts, "discriminator", discriminator["propertyName"].clone());
    let known = ["description", "oneOf", "discriminator"];
    facts.extend(entries(schema).filter(|(k, _)| !known.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())));
    facts
}

fn structure(schema: &Value) -> Value {
    let mut facts = json!({});
    for (keyword, value) in entries(schema) {
        match keyword.as_str() {
            "description" | "required" => {}
            "type" if *value == json!("object") => {}
            "properties" => {
                for (name, property) in entries(value).filter(|(_, property)| is_published(property)) {
                    facts[name] = shape(property).into();
                }
            }
            other => facts[format!("({other})")] = value.clone(),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        facts[text(name)]["required"] = json!(true);
    }
    facts
}

/// A schema in place: a property, a parameter, an item, a body.
fn shape(schema: &Value) -> Facts {
    let mut facts = Facts::new();
    for (keyword, value) in entries(schema) {
        match keyword.as_str() {
            "description" | "example" => {}
            "$ref" => put(&mut facts, "ref", reference(value)),
            "items" => put(&mut facts, "items", shape(value).into()),
            "type" if value.is_array() => facts.extend(nullable(value, &json!("null"), |one| json!({ "type": one }))),
            "oneOf" => facts.extend(nullable(value, &json!({ "type": "null" }), Value::clone)),
            _ => put(&mut facts, keyword, value.clone()),
        }
    }
    facts
}

/// "This one thing or null", said as a list of alternatives.
fn nullable(alternatives: &Value, null: &Value, schema: impl Fn(&Value) -> Value) -> Facts {
    match alternatives.as_array().map(Vec::as_slice) {
        Some([one, other]) if other == null => {
            let mut facts = shape(&schema(one));
            put(&mut facts, "nullable", json!(true));
            facts
        }
        _ => Facts::from_iter([("alternatives".to_owned(), alternatives.clone())]),
    }
}

fn put(facts: &mut Facts, name: &str, value: Value) {
    facts.insert(name.to_owned(), value);
}

/// The last part of a reference: a name in published.json.
fn reference(to: &Value) -> Value {
    json!(text(to).rsplit('/').next())
}

fn resolve<'a>(document: &'a Value, item: &'a Value) -> &'a Value {
    let pointer = text(&item["$ref"]).trim_start_matches('#');
    if pointer.is_empty() { item } else { document.pointer(pointer).unwrap_or(item) }
}
