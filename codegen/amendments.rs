//! What the contract says and utoipa has no attribute for, as pointers into the served document and what stands there.
//!
//! These are: extensions (`x-`), unions and the tags of their variants, what a nullable reference is, bodies that may be
//! left out, parameters with one value, integers without a format, examples in their order, what the API is, and references to shared answers.

use proc_macro2::TokenStream;
use quote::quote;
use serde_json::{Value, json};

use super::{
    calls::Call,
    spec::{Content, Kind, Primitive, Property, Schema, Spec},
};

/// A place in the document, and what belongs there (`null`: nothing).
struct Amendment {
    pointer: String,
    value: Value,
}

pub(super) fn all(spec: &Spec, calls: &[Call]) -> TokenStream {
    let mut all = vec![
        Amendment { pointer: "/info".into(), value: spec.raw["info"].clone() },
        Amendment { pointer: "/components/responses".into(), value: spec.raw["components"]["responses"].clone() },
    ];
    for (name, schema) in &spec.components.schemas {
        all.extend(of_schema(spec, name, schema));
    }
    for call in calls {
        all.extend(of_call(call));
    }
    let pairs = all.iter().map(|Amendment { pointer, value }| {
        let value = value.to_string();
        quote!((#pointer, #value))
    });
    quote! {
        /// What the document says beyond utoipa's attributes: a pointer and the JSON that belongs there.
        pub(super) const AMENDMENTS: &[(&str, &str)] = &[#(#pairs),*];
    }
}

fn of_schema(spec: &Spec, name: &str, schema: &Schema) -> Vec<Amendment> {
    let raw = &spec.raw["components"]["schemas"][name];
    let at = format!("/components/schemas/{name}");
    if schema.discriminator.is_some() {
        return vec![Amendment { pointer: at, value: raw.clone() }];
    }
    let mut found = extension(&at, schema.extension);
    let values = schema.extension_values.clone();
    found.extend(values.map(|value| Amendment { pointer: format!("{at}/x-extension-values"), value }));
    for (name, property) in &schema.properties {
        let at = format!("{at}/properties/{name}");
        found.extend(extension(&at, property.extension));
        found.extend(number_format(&at, property));
        if !property.one_of.is_empty() {
            found.push(Amendment { pointer: at, value: raw["properties"][name].clone() });
        }
    }
    if let Some((tag, _)) = schema.tag() {
        let value = raw["properties"][tag].clone();
        found.push(Amendment { pointer: format!("{at}/properties/{tag}"), value });
        found.push(Amendment { pointer: format!("{at}/required"), value: raw["required"].clone() });
    }
    found
}

fn of_call(call: &Call) -> Vec<Amendment> {
    let at = format!("/paths/{}/{}", call.path.replace('/', "~1"), call.method);
    let mut found = extension(&at, call.operation.extension);
    for (index, parameter) in call.parameters().enumerate() {
        let at = format!("{at}/parameters/{index}");
        found.extend(extension(&at, parameter.extension));
        found.extend(number_format(&format!("{at}/schema"), &parameter.schema));
        let values = parameter.schema.values.as_ref();
        found.extend(values.map(|value| Amendment { pointer: format!("{at}/schema/enum"), value: json!(value) }));
    }
    if call.operation.request_body.as_ref().is_some_and(|body| !body.required) {
        found.push(Amendment { pointer: format!("{at}/requestBody/required"), value: json!(false) });
    }
    if let Some(body) = &call.operation.request_body {
        found.extend(examples(&format!("{at}/requestBody"), &body.content));
    }
    for (status, response) in &call.operation.responses {
        let content = response.content.as_ref();
        found.extend(content.and_then(|content| examples(&format!("{at}/responses/{status}"), content)));
        let reference = response.reference.as_ref().map(|reference| json!({ "$ref": reference }));
        found.extend(reference.map(|value| Amendment { pointer: format!("{at}/responses/{status}"), value }));
    }
    found
}

/// utoipa sorts examples; what the contract puts first is what Swagger UI offers first.
fn examples(at: &str, content: &Content) -> Option<Amendment> {
    let pointer = format!("{at}/content/application~1json/examples");
    (!content.json.examples.is_empty()).then(|| Amendment { pointer, value: json!(content.json.examples) })
}

fn extension(at: &str, extension: bool) -> Vec<Amendment> {
    let amendment = extension.then(|| Amendment { pointer: format!("{at}/x-extension"), value: json!(true) });
    amendment.into_iter().collect()
}

/// utoipa gives every number a format.
fn number_format(at: &str, property: &Property) -> Option<Amendment> {
    let number = matches!(property.kind, Some(Kind::One(Primitive::Integer | Primitive::Number)));
    let same = property.format.as_deref() == Some("int64");
    (number && !same).then(|| Amendment { pointer: format!("{at}/format"), value: json!(property.format) })
}
