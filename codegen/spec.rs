//! The part of `OpenAPI` 3.1 that the contract may use. Whatever is not named here is refused with its path.

use std::fmt;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) type Map<T> = IndexMap<String, T>;

/// Why the contract cannot become code, and where in it.
#[derive(Debug)]
pub(crate) struct Problem {
    path: String,
    reason: String,
}

impl Problem {
    pub(super) fn at(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// A whole document. `raw` is the same as plain JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    #[serde(skip)]
    pub(super) raw: Value,
    #[serde(rename = "openapi")]
    _version: Version,
    #[serde(rename = "info")]
    _info: Value,
    pub(super) servers: Vec<Server>,
    pub(super) tags: Vec<Tag>,
    pub(super) paths: Map<Methods>,
    pub(super) components: Components,
}

#[derive(Deserialize)]
enum Version {
    #[serde(rename = "3.1.0")]
    V31,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Methods {
    get: Option<Operation>,
    post: Option<Operation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Operation {
    #[serde(rename = "operationId")]
    pub(super) id: String,
    pub(super) tags: [String; 1],
    pub(super) summary: String,
    pub(super) description: String,
    pub(super) parameters: Vec<Reference>,
    pub(super) request_body: Option<RequestBody>,
    pub(super) responses: Map<Response>,
    #[serde(default, rename = "x-extension")]
    pub(super) extension: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestBody {
    pub(super) required: bool,
    pub(super) description: String,
    pub(super) content: Content,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Response {
    #[serde(rename = "$ref")]
    pub(super) reference: Option<String>,
    #[serde(default)]
    pub(super) description: String,
    pub(super) content: Option<Content>,
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
    #[serde(default)]
    pub(super) examples: Map<Example>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Example {
    pub(super) summary: String,
    pub(super) value: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Components {
    pub(super) parameters: Map<Parameter>,
    #[serde(rename = "responses")]
    _responses: Map<Response>,
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
    pub(super) example: Option<Value>,
    #[serde(default, rename = "x-extension")]
    pub(super) extension: bool,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    Path,
    Query,
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
    pub(super) kind: Option<Primitive>,
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
    #[serde(default, rename = "x-extension")]
    pub(super) extension: bool,
    #[serde(rename = "x-extension-values")]
    pub(super) extension_values: Option<Value>,
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
    #[serde(default, rename = "type")]
    pub(super) kind: Option<Kind>,
    #[serde(default)]
    pub(super) one_of: Vec<Property>,
    pub(super) items: Option<Box<Property>>,
    pub(super) format: Option<String>,
    pub(super) minimum: Option<i64>,
    pub(super) maximum: Option<i64>,
    pub(super) min_length: Option<u64>,
    pub(super) max_length: Option<u64>,
    pub(super) pattern: Option<String>,
    pub(super) default: Option<Value>,
    #[serde(rename = "enum")]
    pub(super) values: Option<[String; 1]>,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default, rename = "x-extension")]
    pub(super) extension: bool,
}

/// `type`: one name, or a name and `null`.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Kind {
    One(Primitive),
    OrNull(Primitive, Primitive),
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Primitive {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    Null,
}

/// Reads a contract.
pub(super) fn read(yaml: &str) -> Result<Spec, Problem> {
    let raw: Value = yaml_serde::from_str(yaml).map_err(|error| Problem::at("", error.to_string()))?;
    let mut spec: Spec = serde_path_to_error::deserialize(&raw)
        .map_err(|error| Problem::at(error.path().to_string(), error.inner().to_string()))?;
    spec.raw = raw;
    Ok(spec)
}

impl Spec {
    /// The name in a reference like `#/components/schemas/Epoch`, if there is such a component.
    pub(super) fn resolve<'a>(&self, section: &str, reference: &'a str, at: &str) -> Result<&'a str, Problem> {
        let name = reference.strip_prefix(&format!("#/components/{section}/"));
        let known = |name: &&str| self.raw["components"][section].get(*name).is_some();
        name.filter(known).ok_or_else(|| Problem::at(at, format!("{reference} is not one of the {section}")))
    }

    /// Every operation with its path and method.
    pub(super) fn operations(&self) -> impl Iterator<Item = (&str, &'static str, &Operation)> {
        self.paths.iter().flat_map(|(path, methods)| {
            let methods = [("get", &methods.get), ("post", &methods.post)];
            methods.into_iter().filter_map(move |(method, it)| Some((path.as_str(), method, it.as_ref()?)))
        })
    }

    /// Whether every operation has the parameter.
    pub(super) fn is_everywhere(&self, parameter: &str) -> bool {
        self.operations().all(|(.., operation)| operation.parameters.iter().any(|it| it.target == parameter))
    }
}

impl Schema {
    /// The tag of a struct that is a variant of a union: its first property and the one value that it has.
    pub(super) fn tag(&self) -> Option<(&str, &str)> {
        let (name, property) = self.properties.first()?;
        property.values.as_ref().map(|[value]| (name.as_str(), value.as_str()))
    }
}
