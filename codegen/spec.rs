//! The part of `OpenAPI` 3.1 that the contract may use. Whatever is not named here is refused with its path.

#![expect(dead_code, reason = "what only people read need not be understood, but must be where it belongs")]

use indexmap::IndexMap;
use proc_macro2::Ident;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

pub(super) type Map<T> = IndexMap<String, T>;

/// Served as it is written.
type AsWritten = IgnoredAny;

/// Why the contract cannot become code, after the path of the place in it.
pub(super) type Problem = String;

pub(super) fn problem<T>(path: &str, reason: impl std::fmt::Display) -> Result<T, Problem> {
    Err(format!("{path}: {reason}"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    openapi: Version,
    info: AsWritten,
    servers: AsWritten,
    tags: AsWritten,
    pub(super) paths: Map<Map<Operation>>,
    pub(super) components: Components,
}

#[derive(Deserialize)]
enum Version {
    #[serde(rename = "3.1.0")]
    V31,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Operation {
    #[serde(rename = "operationId")]
    pub(super) id: String,
    tags: AsWritten,
    pub(super) summary: String,
    description: AsWritten,
    pub(super) parameters: Vec<Reference>,
    pub(super) request_body: Option<RequestBody>,
    pub(super) responses: Responses,
    #[serde(rename = "x-extension")]
    extension: Option<AsWritten>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestBody {
    pub(super) required: bool,
    description: AsWritten,
    pub(super) content: Content,
}

/// One success, and what everything else is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Responses {
    #[serde(rename = "200")]
    pub(super) ok: Option<Success>,
    #[serde(rename = "201")]
    pub(super) created: Option<Success>,
    #[serde(rename = "202")]
    pub(super) accepted: Option<Success>,
    pub(super) default: Reference,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Success {
    description: AsWritten,
    pub(super) content: Option<Answer>,
}

/// What a success holds: JSON, and perhaps the same as it changes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    #[serde(rename = "application/json")]
    pub(super) json: Media,
    #[serde(rename = "text/event-stream")]
    pub(super) events: Option<Media>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content {
    #[serde(rename = "application/json")]
    pub(super) json: Media,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Media {
    pub(super) schema: Property,
    examples: Option<AsWritten>,
    #[serde(rename = "x-extension")]
    extension: Option<AsWritten>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Components {
    pub(super) parameters: Map<Parameter>,
    pub(super) responses: Map<AsWritten>,
    pub(super) schemas: Map<Schema>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameter {
    pub(super) name: String,
    #[serde(rename = "in")]
    pub(super) place: Place,
    pub(super) required: bool,
    pub(super) description: String,
    pub(super) schema: Property,
    example: Option<AsWritten>,
    #[serde(rename = "x-extension")]
    extension: Option<AsWritten>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reference {
    #[serde(rename = "$ref")]
    pub(super) target: String,
}

/// A named schema: a struct, a string enum or a union.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Schema {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) description: String,
    #[serde(default)]
    pub(super) required: Vec<String>,
    #[serde(default)]
    pub(super) properties: Map<Property>,
    #[serde(default, rename = "enum")]
    pub(super) values: Vec<String>,
    #[serde(default)]
    pub(super) one_of: Vec<Reference>,
    pub(super) discriminator: Option<Discriminator>,
    #[serde(rename = "x-extension")]
    extension: Option<AsWritten>,
    #[serde(rename = "x-extension-values")]
    extension_values: Option<AsWritten>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Discriminator {
    pub(super) property_name: String,
    pub(super) mapping: Map<String>,
}

/// A schema in place: of a property, a parameter, an item or a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Property {
    #[serde(rename = "$ref")]
    pub(super) reference: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<Kind>,
    #[serde(default)]
    pub(super) one_of: Vec<Property>,
    pub(super) items: Option<Box<Property>>,
    pub(super) format: Option<String>,
    pub(super) minimum: Option<i64>,
    pub(super) maximum: Option<i64>,
    pub(super) min_length: Option<usize>,
    pub(super) max_length: Option<usize>,
    pub(super) pattern: Option<String>,
    pub(super) default: Option<Default>,
    #[serde(rename = "enum")]
    pub(super) values: Option<[String; 1]>,
    #[serde(default)]
    pub(super) description: String,
    #[serde(rename = "x-extension")]
    extension: Option<AsWritten>,
}

/// `type`: one name, or a name and `null`.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Kind {
    One(String),
    OrNull(String, String),
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Default {
    Integer(i64),
    Boolean(bool),
    Text(AsWritten),
}

/// The identifier `name`, unless Rust has no such identifier.
pub(super) fn ident(name: &str, at: &str) -> Result<Ident, Problem> {
    syn::parse_str(name).or_else(|_| problem(at, format!("{name} is no name that Rust allows")))
}

/// Reads a contract: what is understood of it, and all of it.
pub(super) fn read(yaml: &str) -> Result<(Spec, Value), Problem> {
    let written: Value = yaml_serde::from_str(yaml).map_err(|error| error.to_string())?;
    match serde_path_to_error::deserialize(&written) {
        Ok(spec) => Ok((spec, written)),
        Err(error) => problem(&error.path().to_string(), error.inner()),
    }
}

impl Spec {
    /// Every operation with its path and method.
    pub(super) fn operations(&self) -> impl Iterator<Item = (&String, &String, &Operation)> {
        self.paths.iter().flat_map(|(path, methods)| methods.iter().map(move |(method, it)| (path, method, it)))
    }

    /// The parameters that every operation has in its query, by their names: the first of the components of each name.
    pub(super) fn common(&self) -> Vec<&Parameter> {
        let named = |it: &Reference| self.components.parameters.get(it.target.rsplit('/').next()?);
        let has = |operation: &Operation, name: &str| {
            operation.parameters.iter().filter_map(named).any(|it| it.place == Place::Query && it.name == name)
        };
        let mut common = Map::new();
        for it in self.components.parameters.values().filter(|it| it.place == Place::Query) {
            if self.operations().all(|(.., operation)| has(operation, &it.name)) {
                common.entry(it.name.clone()).or_insert(it);
            }
        }
        common.into_values().collect()
    }
}

/// A component with its name.
type Found<'a, T> = Result<(&'a String, &'a T), Problem>;

/// The component of a `section` that a reference like `#/components/schemas/Epoch` names.
pub(super) fn component<'a, T>(section: &str, all: &'a Map<T>, reference: &str, at: &str) -> Found<'a, T> {
    let name = reference.strip_prefix(&format!("#/components/{section}/"));
    match name.and_then(|name| all.get_key_value(name)) {
        Some(found) => Ok(found),
        None => problem(at, format!("{reference} is not one of the {section}")),
    }
}

impl Schema {
    /// The tag of a struct that is a variant of a union: its first property and the one value that it has.
    pub(super) fn tag(&self) -> Option<(&str, &str)> {
        let (name, property) = self.properties.first()?;
        property.values.as_ref().map(|[value]| (name.as_str(), value.as_str()))
    }
}
