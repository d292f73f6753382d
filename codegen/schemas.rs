//! The types of the wire: a struct, an enum or a union for each named schema.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

use super::{
    fields::Field,
    names::{ident, variant},
    spec::{Discriminator, Primitive, Problem, Schema, Spec},
};

/// How the names of properties end that are secrets.
const SECRETS: [&str; 2] = ["Password", "ConnectionString"];

pub(super) fn all(spec: &Spec) -> Result<TokenStream, Problem> {
    let types: Vec<_> =
        spec.components.schemas.iter().map(|(name, schema)| one(spec, name, schema)).collect::<Result<_, _>>()?;
    Ok(quote! {
        use std::fmt;

        use chrono::{DateTime, Utc};
        use schemars::JsonSchema;
        use serde::{Deserialize, Serialize, Serializer};
        use utoipa::ToSchema;
        use uuid::Uuid;

        use super::format;

        #(#types)*
    })
}

fn one(spec: &Spec, name: &str, schema: &Schema) -> Result<TokenStream, Problem> {
    let at = format!("components.schemas.{name}");
    match (schema.kind, &schema.discriminator) {
        (Some(Primitive::Object), None) if schema.one_of.is_empty() && schema.values.is_empty() => {
            structure(spec, name, schema, &at)
        }
        (Some(Primitive::String), None) if !schema.values.is_empty() => enumeration(name, schema, &at),
        (None, Some(discriminator)) if !schema.one_of.is_empty() => union(spec, name, schema, discriminator, &at),
        _ => Err(Problem::at(at, "is none of: an object, a string with enum, oneOf with a discriminator")),
    }
}

/// A struct. The variant of a union writes its tag itself, so that it does so outside of the union as well.
fn structure(spec: &Spec, name: &str, schema: &Schema, at: &str) -> Result<TokenStream, Problem> {
    let doc = format!(" {}", schema.description.trim());
    let ident = ident(name, at)?;
    if let Some(unknown) = schema.required.iter().find(|it| !schema.properties.contains_key(*it)) {
        return Err(Problem::at(format!("{at}.required"), format!("{unknown} is not one of the properties")));
    }
    let tag = schema.tag();
    let serde = tag.map(|(tag, value)| quote!(#[serde(tag = #tag, rename = #value)] #[schemars(rename = #name)]));
    let fields = schema.properties.iter().skip(usize::from(tag.is_some())).map(|(name, property)| {
        let (description, required) = (&property.description, schema.required.contains(name));
        let field = Field { name, schema: property, description, required, utoipa: "schema" };
        field.rust(spec, &format!("{at}.properties.{name}"))
    });
    let fields: Vec<_> = fields.collect::<Result<_, _>>()?;
    let (debug, hidden) = debug(&ident, schema);
    Ok(quote! {
        #[doc = #doc]
        #[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
        #debug
        #serde
        pub struct #ident { #(#fields)* }
        #hidden
    })
}

/// A type that has a secret shows none of its fields.
fn debug(name: &Ident, schema: &Schema) -> (TokenStream, TokenStream) {
    if !schema.properties.keys().any(|name| SECRETS.iter().any(|secret| name.ends_with(secret))) {
        return (quote!(#[derive(Debug)]), quote!());
    }
    let text = name.to_string();
    let hidden = quote! {
        impl fmt::Debug for #name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(#text).finish_non_exhaustive()
            }
        }
    };
    (quote!(), hidden)
}

fn enumeration(name: &str, schema: &Schema, at: &str) -> Result<TokenStream, Problem> {
    let doc = format!(" {}", schema.description.trim());
    let name = ident(name, at)?;
    let values = &schema.values;
    let variants: Vec<_> = values.iter().map(|value| ident(&variant(value), at)).collect::<Result<_, _>>()?;
    Ok(quote! {
        #[doc = #doc]
        #[expect(missing_docs, reason = "the values are published names, described as a whole")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, JsonSchema)]
        pub enum #name { #(#[serde(rename = #values)] #variants,)* }
    })
}

/// A union. Read by its tag wherever that stands; written by the variant, which puts the tag first.
fn union(spec: &Spec, name: &str, schema: &Schema, by: &Discriminator, at: &str) -> Result<TokenStream, Problem> {
    let doc = format!(" {}", schema.description.trim());
    let name = ident(name, at)?;
    let tag = &by.property_name;
    let mut variants = Vec::new();
    for (value, reference) in &by.mapping {
        variants.push((value, checked_variant(spec, tag, value, reference, at)?));
    }
    if by.mapping.len() != schema.one_of.len()
        || !schema.one_of.iter().all(|it| by.mapping.values().any(|to| *to == it.target))
    {
        return Err(Problem::at(format!("{at}.discriminator.mapping"), "does not name the same schemas as oneOf"));
    }
    let cases = variants.iter().map(|(value, to)| {
        let case = format_ident!("{value}");
        let doc = format!(" `{tag}` is `{value}`.");
        quote!(#[doc = #doc] #case(#to),)
    });
    let arms = by.mapping.keys().map(|value| format_ident!("{value}"));
    Ok(quote! {
        #[doc = #doc]
        #[derive(Clone, Debug, PartialEq, Deserialize, ToSchema, JsonSchema)]
        #[serde(tag = #tag)]
        pub enum #name { #(#cases)* }

        impl Serialize for #name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { #(Self::#arms(variant) => variant.serialize(serializer),)* }
            }
        }
    })
}

fn checked_variant(spec: &Spec, tag: &str, value: &str, reference: &str, at: &str) -> Result<Ident, Problem> {
    let at = format!("{at}.discriminator.mapping.{value}");
    let name = spec.resolve("schemas", reference, &at)?;
    let schema = &spec.components.schemas[name];
    if schema.tag() != Some((tag, value)) || !schema.required.iter().any(|it| it == tag) {
        return Err(Problem::at(at, format!("{name} does not start with a required {tag} of the one value {value}")));
    }
    ident(value, &at)?;
    ident(name, &at)
}
