//! The types of the wire: a struct, an enum or a union for each named schema.

use heck::ToUpperCamelCase;
use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::{
    fields::Field,
    spec::{Discriminator, Problem, Reference, Schema, Spec, component, ident, problem},
};

/// How the names of properties end that are secrets.
const SECRETS: [&str; 2] = ["Password", "ConnectionString"];

pub(super) fn all(spec: &Spec) -> Result<TokenStream, Problem> {
    spec.components.schemas.iter().map(|(name, schema)| one(spec, name, schema)).collect()
}

fn one(spec: &Spec, name: &str, schema: &Schema) -> Result<TokenStream, Problem> {
    let at = format!("components.schemas.{name}");
    let (doc, name) = (format!(" {}", schema.description.trim()), ident(name, &at)?);
    let item = match (schema.kind.as_deref(), &schema.values[..], &schema.one_of[..], &schema.discriminator) {
        (Some("object"), [], [], None) => structure(spec, &name, schema, &at)?,
        (Some("string"), values @ [_, ..], [], None) => enumeration(&name, values, &at)?,
        (None, [], variants, Some(by)) => union(spec, &name, variants, by, &at)?,
        _ => return problem(&at, "is none of: an object, a string with enum, oneOf with a discriminator"),
    };
    Ok(quote!(#[doc = #doc] #item))
}

/// A struct. The variant of a union writes its tag itself, so that it does so outside of the union as well.
fn structure(spec: &Spec, ident: &Ident, schema: &Schema, at: &str) -> Result<TokenStream, Problem> {
    if let Some(unknown) = schema.required.iter().find(|it| !schema.properties.contains_key(*it)) {
        return problem(&format!("{at}.required"), format!("{unknown} is not one of the properties"));
    }
    let (tag, name) = (schema.tag(), ident.to_string());
    let serde = tag.map(|(tag, value)| quote!(#[serde(tag = #tag, rename = #value)] #[schemars(rename = #name)]));
    if let Some((name, _)) = schema.properties.iter().skip(1).find(|(_, it)| it.values.is_some()) {
        return problem(&format!("{at}.properties.{name}"), "has one value but is not the first property, the tag");
    }
    let fields = schema.properties.iter().skip(usize::from(tag.is_some())).map(|(name, property)| {
        let (description, required) = (&property.description, schema.required.contains(name));
        let field = Field { name, schema: property, description, required, utoipa: "schema" };
        field.rust(spec, &format!("{at}.properties.{name}"))
    });
    let fields: TokenStream = fields.collect::<Result<_, _>>()?;
    let secret = schema.properties.keys().any(|name| SECRETS.iter().any(|secret| name.ends_with(secret)));
    let (debug, hidden) = if secret { (None, Some(quote!(hidden!(#ident);))) } else { (Some(quote!(Debug,)), None) };
    Ok(quote! {
        #[derive(Clone, #debug PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
        #serde
        pub struct #ident { #fields }
        #hidden
    })
}

fn enumeration(name: &Ident, values: &[String], at: &str) -> Result<TokenStream, Problem> {
    let variants = values.iter().map(|value| ident(&value.to_upper_camel_case(), at)).collect::<Result<Vec<_>, _>>()?;
    Ok(quote! {
        #[expect(missing_docs, reason = "the values are published names, described as a whole")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, JsonSchema)]
        pub enum #name { #(#[serde(rename = #values)] #variants,)* }
    })
}

/// A union. Read by its tag wherever that stands; written by the variant, which puts the tag first.
fn union(
    spec: &Spec,
    name: &Ident,
    one_of: &[Reference],
    by: &Discriminator,
    at: &str,
) -> Result<TokenStream, Problem> {
    let Discriminator { property_name: tag, mapping } = by;
    let at = format!("{at}.discriminator.mapping");
    if !mapping.values().eq(one_of.iter().map(|it| &it.target)) {
        return problem(&at, "does not name the same schemas as oneOf, in its order");
    }
    let cases = mapping.keys().map(|value| ident(value, &at)).collect::<Result<Vec<_>, _>>()?;
    let types = mapping.iter().map(|(value, to)| variant_of(spec, tag, value, to, &format!("{at}.{value}")));
    let types = types.collect::<Result<Vec<_>, _>>()?;
    let docs = mapping.keys().map(|value| format!(" `{tag}` is `{value}`."));
    Ok(quote! {
        #[derive(Clone, Debug, PartialEq, Deserialize, ToSchema, JsonSchema)]
        #[serde(tag = #tag)]
        pub enum #name { #(#[doc = #docs] #cases(#types),)* }

        impl Serialize for #name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { #(Self::#cases(variant) => variant.serialize(serializer),)* }
            }
        }
    })
}

fn variant_of(spec: &Spec, tag: &str, value: &str, reference: &str, at: &str) -> Result<Ident, Problem> {
    let (name, schema) = component("schemas", &spec.components.schemas, reference, at)?;
    if schema.tag() != Some((tag, value)) || !schema.required.iter().any(|it| it == tag) {
        return problem(at, format!("{name} does not start with a required {tag} of the one value {value}"));
    }
    ident(name, at)
}
