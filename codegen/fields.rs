//! One field of a struct, with the attributes that tell serde, utoipa and schemars all that the contract says of it.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, format_ident, quote};
use serde_json::Value;

use super::{
    names,
    shape::Shape,
    spec::{Problem, Property, Spec},
};

/// A property of a schema or a parameter of a query.
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    pub(super) schema: &'a Property,
    pub(super) description: &'a str,
    pub(super) required: bool,
    /// What utoipa calls its attributes: `schema` or `param`.
    pub(super) utoipa: &'static str,
}

/// What goes into the attributes of each.
#[derive(Default)]
struct Attributes {
    serde: Vec<TokenStream>,
    utoipa: Vec<TokenStream>,
    schemars: Vec<TokenStream>,
}

impl Field<'_> {
    pub(super) fn rust(&self, spec: &Spec, at: &str) -> Result<TokenStream, Problem> {
        let (doc, name) = (format!(" {}", self.description.trim()), self.name);
        let ident = names::ident(&names::snake(name), at)?;
        let shape = Shape::of(spec, self.schema, at)?;
        let mut rust = shape.rust(at)?;
        if self.is_optional(&shape) {
            rust = quote!(Option<#rust>);
        }
        let mut attributes = Attributes { serde: vec![quote!(rename = #name)], ..Attributes::default() };
        self.presence(&shape, &mut attributes, at)?;
        self.format(&shape, &rust, &mut attributes, at)?;
        self.bounds(&mut attributes);
        let attributes = attributes.written(self.utoipa);
        Ok(quote!(#[doc = #doc] #attributes pub #ident: #rust,))
    }

    /// Left out where there is none. (What is nullable is written as null.)
    fn is_optional(&self, shape: &Shape) -> bool {
        !self.required && self.schema.default.is_none() && !matches!(shape, Shape::Nullable(_))
    }

    /// What a missing value means.
    fn presence(&self, shape: &Shape, attributes: &mut Attributes, at: &str) -> Result<(), Problem> {
        if let Some(value) = &self.schema.default {
            let literal = literal(value, at)?;
            attributes.utoipa.push(quote!(default = #literal));
            if !self.required {
                let function = default_function(value, at)?;
                attributes.serde.push(quote!(default = #function));
            }
        } else if self.is_optional(shape) {
            attributes.serde.push(quote!(default, skip_serializing_if = "Option::is_none"));
            attributes.utoipa.push(quote!(nullable = false));
        } else if self.required && matches!(shape, Shape::Nullable(_)) {
            attributes.utoipa.push(quote!(required = true));
        } else if !self.required {
            attributes.serde.push(quote!(default));
        }
        Ok(())
    }

    /// How it is written, where serde would write it differently.
    fn format(&self, shape: &Shape, rust: &TokenStream, attributes: &mut Attributes, at: &str) -> Result<(), Problem> {
        if self.schema.format.as_deref() == Some("duration") {
            attributes.utoipa.push(quote!(format = "duration"));
            attributes.schemars.push(quote!(extend("format" = "duration")));
        }
        let Some(module) = shape.format(self.is_optional(shape), at)? else { return Ok(()) };
        let written = rust.to_string().replace(' ', "").replace("i64", "String");
        attributes.serde.push(quote!(with = #module));
        attributes.schemars.push(quote!(with = #written));
        if written.contains("String") {
            let written: TokenStream = written.parse().unwrap_or_default();
            attributes.utoipa.push(quote!(value_type = #written, format = "int64"));
        }
        Ok(())
    }

    /// Every bound twice: utoipa documents it, schemars lets it be enforced.
    fn bounds(&self, attributes: &mut Attributes) {
        let Property { minimum, maximum, min_length, max_length, pattern, .. } = self.schema;
        let range = [("minimum", "min", minimum.map(integer)), ("maximum", "max", maximum.map(integer))];
        let length = [("min_length", "min", min_length.map(count)), ("max_length", "max", max_length.map(count))];
        attributes.bound("range", &range);
        attributes.bound("length", &length);
        if let Some(pattern) = pattern {
            attributes.utoipa.push(quote!(pattern = #pattern));
            attributes.schemars.push(quote!(regex(pattern = #pattern)));
        }
    }
}

impl Attributes {
    fn bound(&mut self, kind: &str, sides: &[(&str, &str, Option<Literal>); 2]) {
        let side = |name: &str, bound: &Literal| {
            let name = format_ident!("{name}");
            quote!(#name = #bound)
        };
        let given: Vec<_> = sides.iter().filter_map(|(utoipa, ours, it)| Some((utoipa, ours, it.as_ref()?))).collect();
        self.utoipa.extend(given.iter().map(|(utoipa, _, bound)| side(utoipa, bound)));
        if !given.is_empty() {
            let (kind, sides) = (format_ident!("{kind}"), given.iter().map(|(_, ours, bound)| side(ours, bound)));
            self.schemars.push(quote!(#kind(#(#sides),*)));
        }
    }

    fn written(&self, utoipa: &str) -> TokenStream {
        let all = [("serde", &self.serde), (utoipa, &self.utoipa), ("schemars", &self.schemars)];
        let written = all.into_iter().filter(|(_, parts)| !parts.is_empty()).map(|(name, parts)| {
            let name: Ident = format_ident!("{name}");
            quote!(#[#name(#(#parts),*)])
        });
        written.collect()
    }
}

fn default_function(value: &Value, at: &str) -> Result<String, Problem> {
    match value {
        Value::Number(number) => Ok(format!("format::integer::<{number}>")),
        Value::Bool(flag) => Ok(format!("format::boolean::<{flag}>")),
        _ => Err(Problem::at(at, "only an integer or a boolean can have a default and be left out")),
    }
}

/// A JSON value as Rust writes it.
pub(super) fn literal(value: &Value, at: &str) -> Result<TokenStream, Problem> {
    match value {
        Value::String(text) => Ok(text.to_token_stream()),
        Value::Bool(flag) => Ok(flag.to_token_stream()),
        Value::Number(number) if number.is_i64() => Ok(number.as_i64().map(integer).to_token_stream()),
        _ => Err(Problem::at(at, format!("{value} is none of: a string, a boolean, an integer"))),
    }
}

/// utoipa needs the suffix where the number does not fit 32 bits.
fn integer(bound: i64) -> Literal {
    Literal::i64_suffixed(bound)
}

fn count(bound: u64) -> Literal {
    Literal::u64_unsuffixed(bound)
}
