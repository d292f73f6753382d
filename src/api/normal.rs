//! Forgives in a request what the published service forgives, guided by the schema of the type it will be read as.
//!
//! Unknown properties go; `null` and an empty optional string are the same as missing; names match in any case, exactly
//! written ones first; numbers and booleans may come as strings. What remains wrong is for `schema` to refuse, all but
//! the tag of a union, without which there is nothing to hold the rest to.

use serde_json::{Map, Number, Value};

use super::{ApiError, schema::given};

/// No list of the contract is meant to be longer, and each wrong item costs a message.
const MOST_ITEMS: usize = 1000;

/// `value` as it would be had its sender been careful.
pub(super) fn normal(root: &Value, value: Value) -> Result<Value, ApiError> {
    Walk { root }.value(root, value, "")
}

/// Takes `null` out of a schema: `normal` leaves none in a value.
pub(super) fn forbid_null(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(forbid_null),
        Value::Object(schema) => {
            schema.values_mut().for_each(forbid_null);
            if let Some(Value::Array(kinds)) = schema.get_mut("type") {
                kinds.retain(|kind| kind != "null");
            }
            if let Some(Value::Array(mut choices)) = schema.remove("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                schema.extend(choices.into_iter().filter_map(|choice| choice.as_object().cloned()).flatten());
            }
        }
        _ => (),
    }
}

struct Walk<'a> {
    root: &'a Value,
}

impl<'a> Walk<'a> {
    fn value(&self, schema: &'a Value, value: Value, at: &str) -> Result<Value, ApiError> {
        let schema = self.resolved(schema);
        match value {
            Value::Object(object) => self.object(schema, object, at).map(Value::Object),
            Value::Array(items) => self.items(schema, items, at),
            Value::String(text) => Ok(scalar(schema, text)),
            Value::Number(number) if is(schema, "integer") => whole(&number, at),
            other => Ok(other),
        }
    }

    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let pointer = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        pointer.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }

    fn items(&self, schema: &'a Value, items: Vec<Value>, at: &str) -> Result<Value, ApiError> {
        if items.len() > MOST_ITEMS {
            let at = if at.is_empty() { "body" } else { at };
            return Err(ApiError::invalid(format!("{at}: has {} items, more than {MOST_ITEMS}.", items.len())));
        }
        let items = items.into_iter().enumerate();
        items.map(|(index, item)| self.value(&schema["items"], item, &format!("{at}[{index}]"))).collect()
    }

    fn object(
        &self,
        schema: &'a Value,
        mut object: Map<String, Value>,
        at: &str,
    ) -> Result<Map<String, Value>, ApiError> {
        let Some(variants) = schema["oneOf"].as_array() else { return self.properties(schema, object, at) };
        let tag = Tag::of(variants);
        let kind = tag.taken_from(&mut object, at)?;
        let variant = variants.iter().find(|variant| variant["properties"][tag.name]["const"] == kind);
        let variant = self.resolved(variant.unwrap_or(schema));
        let mut whole = Map::from_iter([(tag.name.to_owned(), Value::String(kind))]);
        whole.extend(self.properties(variant, object, at)?);
        Ok(whole)
    }

    fn properties(
        &self,
        schema: &'a Value,
        mut object: Map<String, Value>,
        at: &str,
    ) -> Result<Map<String, Value>, ApiError> {
        let Some(known) = schema["properties"].as_object() else { return Ok(object) };
        let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut kept = Map::new();
        for (name, property) in known {
            let Some(value) = taken(&mut object, name) else { continue };
            let optional = !required.iter().any(|required| required == name);
            if !(optional && value == "" && self.is_scalar(property)) {
                kept.insert(name.clone(), self.value(property, value, &joined(at, name))?);
            }
        }
        Ok(kept)
    }

    fn is_scalar(&self, schema: &'a Value) -> bool {
        ["string", "integer", "number", "boolean"].iter().any(|kind| is(self.resolved(schema), kind))
    }
}

/// The property that tells the variants of a union apart.
struct Tag<'a> {
    name: &'a str,
    kinds: Vec<&'a str>,
}

impl<'a> Tag<'a> {
    fn of(variants: &'a [Value]) -> Self {
        let tags = variants.iter().filter_map(|variant| variant["properties"].as_object()?.iter().next());
        let tags: Vec<_> = tags.collect();
        let name = tags.first().map_or("", |(name, _)| name.as_str());
        Self { name, kinds: tags.iter().filter_map(|(_, schema)| schema["const"].as_str()).collect() }
    }

    fn taken_from(&self, object: &mut Map<String, Value>, at: &str) -> Result<String, ApiError> {
        let at = joined(at, self.name);
        let kinds = self.kinds.join(", ");
        match taken(object, self.name) {
            Some(Value::String(kind)) if self.kinds.contains(&kind.as_str()) => Ok(kind),
            Some(value) => Err(ApiError::invalid(format!("{at}: {} is not one of {kinds}.", given(&at, &value)))),
            None => Err(ApiError::invalid(format!("{at}: is missing; it is one of {kinds}."))),
        }
    }
}

/// Takes the value of `name` out: as written, else in another case.
fn taken(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let key = if object.contains_key(name) {
        Some(name)
    } else {
        object.keys().map(String::as_str).find(|key| key.eq_ignore_ascii_case(name))
    };
    let key = key?.to_owned();
    object.remove(&key).filter(|value| !value.is_null())
}

fn joined(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn is(schema: &Value, kind: &str) -> bool {
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(|it| it == kind),
        it => it == kind,
    }
}

fn scalar(schema: &Value, text: String) -> Value {
    let trimmed = text.trim();
    let read = match trimmed.to_ascii_lowercase().as_str() {
        "true" if is(schema, "boolean") => Some(Value::Bool(true)),
        "false" if is(schema, "boolean") => Some(Value::Bool(false)),
        _ if is(schema, "integer") => trimmed.parse::<i64>().ok().map(Value::from),
        _ => None,
    };
    read.unwrap_or(Value::String(text))
}

/// An integer that fits 64 bits; `3.0` is one too.
fn whole(number: &Number, at: &str) -> Result<Value, ApiError> {
    let float = number.as_f64().unwrap_or(f64::NAN);
    if number.is_i64() || float.fract() != 0.0 {
        return Ok(Value::Number(number.clone()));
    }
    let integer = format!("{float:.0}").parse::<i64>();
    integer.map(Value::from).map_err(|_| ApiError::invalid(format!("{at}: {number} does not fit into 64 bits.")))
}
