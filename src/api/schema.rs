//! Holds what a caller sent to the schema of the type it is read as, and says what is wrong in terms of the contract.
//!
//! First `normal` forgives what the published service forgives, then the schema (from schemars, as the bounds in
//! `openapi/` put it there) is enforced, then serde builds the value. A secret is never repeated in a message.

use std::{
    any::TypeId,
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use jsonschema::{
    ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind},
};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::{ApiError, format, normal};

/// A message names at most so many faults.
const MOST_FAULTS: usize = 5;
const MOST_LETTERS: usize = 80;
/// How the contract writes that only visible ASCII will do.
const VISIBLE: &str = "^[!-~]+$";

/// Reads `value` as a `T`.
pub(super) fn read<T: DeserializeOwned + JsonSchema + 'static>(value: Value) -> Result<T, ApiError> {
    let schema = Schema::of::<T>()?;
    let value = normal::normal(&schema.json, value)?;
    schema.check(&value)?;
    serde_json::from_value(value).map_err(ApiError::internal)
}

/// The schema of a type, ready to be applied.
struct Schema {
    json: Value,
    validator: Validator,
}

static SCHEMAS: LazyLock<Mutex<HashMap<TypeId, Arc<Schema>>>> = LazyLock::new(Mutex::default);

impl Schema {
    fn of<T: JsonSchema + 'static>() -> Result<Arc<Self>, ApiError> {
        let mut schemas = SCHEMAS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(schema) = schemas.get(&TypeId::of::<T>()) {
            return Ok(Arc::clone(schema));
        }
        let schema = Arc::new(Self::make::<T>()?);
        schemas.insert(TypeId::of::<T>(), Arc::clone(&schema));
        Ok(schema)
    }

    fn make<T: JsonSchema>() -> Result<Self, ApiError> {
        let mut json = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
        normal::forbid_null(&mut json);
        let options = jsonschema::options().should_validate_formats(true);
        let options = options.with_format("date-time", |text: &str| format::parse_date_time(text).is_some());
        let options = options.with_format("uuid", |text: &str| Uuid::parse_str(text).is_ok());
        let validator = options.build(&json).map_err(ApiError::internal)?;
        Ok(Self { json, validator })
    }

    fn check(&self, value: &Value) -> Result<(), ApiError> {
        let mut faults: Vec<String> = Vec::new();
        for error in self.validator.iter_errors(value) {
            collect(&error, &mut faults);
        }
        faults.dedup_by_key(|fault| fault.split(':').next().unwrap_or_default().to_owned());
        faults.truncate(MOST_FAULTS);
        if faults.is_empty() { Ok(()) } else { Err(ApiError::invalid(faults.join(" "))) }
    }
}

/// Says what is wrong; of a union, only with the variant that its tag names.
fn collect(error: &ValidationError<'_>, faults: &mut Vec<String>) {
    match error.kind() {
        ValidationErrorKind::OneOfNotValid { context } if error.instance().is_object() => {
            let other_variant =
                |error: &ValidationError<'_>| matches!(error.kind(), ValidationErrorKind::Constant { .. });
            let meant = context.iter().filter(|errors| !errors.iter().any(other_variant));
            meant.flatten().for_each(|error| collect(error, faults));
        }
        _ => faults.push(fault(error)),
    }
}

fn fault(error: &ValidationError<'_>) -> String {
    let at = dotted(error.instance_path().as_str());
    let given = given(&at, error.instance());
    let wrong = match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            return format!("{}: is missing.", if at == "body" { name.to_owned() } else { format!("{at}.{name}") });
        }
        ValidationErrorKind::Minimum { limit } => format!("{given} is less than the minimum of {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("{given} is more than the maximum of {limit}"),
        ValidationErrorKind::MinLength { limit: 1 } => "is empty".to_owned(),
        ValidationErrorKind::MinLength { limit } => format!("{given} has fewer than {limit} letters"),
        ValidationErrorKind::MaxLength { limit } => format!("{given} has more than {limit} letters"),
        ValidationErrorKind::Pattern { pattern } if pattern == r"\S" => "is blank".to_owned(),
        ValidationErrorKind::Pattern { pattern } if pattern == VISIBLE => {
            format!("{given} has letters other than visible ASCII")
        }
        ValidationErrorKind::Pattern { pattern } => format!("{given} does not match {pattern}"),
        ValidationErrorKind::Format { format } => format!("{given} is not a {}", name_of_format(format)),
        ValidationErrorKind::Enum { options } => format!("{given} is not one of {}", listed(options)),
        ValidationErrorKind::Type { kind: TypeKind::Single(kind) } => {
            format!("{given} is not {}", name_of_type(&kind.to_string()))
        }
        ValidationErrorKind::OneOfNotValid { .. } => format!("{given} is not an object"),
        _ => error.masked().to_string(),
    };
    format!("{at}: {wrong}.")
}

/// `/Schedule/RunDays/0` as `Schedule.RunDays[0]`; the whole is called the body.
fn dotted(pointer: &str) -> String {
    let segments = pointer.split('/').skip(1).map(|segment| match segment.parse::<usize>() {
        Ok(index) => format!("[{index}]"),
        Err(_) => format!(".{segment}"),
    });
    let dotted: String = segments.collect();
    if dotted.is_empty() { "body".to_owned() } else { dotted.trim_start_matches('.').to_owned() }
}

/// What was given, unless it is long or a secret.
pub(super) fn given(at: &str, value: &Value) -> String {
    let name = at.rsplit('.').next().unwrap_or_default().to_lowercase();
    match value {
        _ if name.contains("password") || name.contains("connectionstring") => "what was given".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::String(text) => shortened(text),
        other => other.to_string(),
    }
}

/// Quoted, and cut where it goes on for too long.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn listed(options: &Value) -> String {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    // The published enumerations begin with a placeholder that no operation takes.
    options.iter().filter_map(Value::as_str).filter(|option| *option != "Invalid").collect::<Vec<_>>().join(", ")
}

fn name_of_format(format: &str) -> &str {
    match format {
        "uuid" => "GUID",
        "date-time" => "date-time like 2018-01-01T09:00:55Z",
        "duration" => "duration like PT4H5M",
        other => other,
    }
}

fn name_of_type(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {kind}")
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
