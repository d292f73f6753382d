//! One value on the wire: its type in Rust, and as a field the attributes that tell serde, utoipa and schemars of it.

use heck::ToSnakeCase;
use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};

use super::spec::{Default, Kind, Problem, Property, Spec, component, ident, problem};

/// What a value is in Rust.
pub(super) struct Type {
    pub(super) rust: TokenStream,
    /// What it is by its schema, if `src/api/format.rs` reads and writes it.
    pub(super) written: Option<TokenStream>,
}

impl Type {
    pub(super) fn of(spec: &Spec, schema: &Property, at: &str) -> Result<Self, Problem> {
        let Property { reference, one_of, kind, items, .. } = schema;
        match (reference, &one_of[..], kind, items) {
            (Some(target), [], None, None) => {
                let (name, _) = component("schemas", &spec.components.schemas, target, at)?;
                Ok(Self { rust: ident(name, at)?.to_token_stream(), written: None })
            }
            (None, [value, Property { kind: Some(Kind::One(null)), .. }], None, None) if null == "null" => {
                Ok(Self::of(spec, value, &format!("{at}.oneOf[0]"))?.within("Option"))
            }
            (None, [], Some(Kind::One(kind)), Some(items)) if kind == "array" => {
                Ok(Self::of(spec, items, &format!("{at}.items"))?.within("Vec"))
            }
            (None, [], Some(Kind::One(kind)), None) => Self::scalar(kind, schema, at),
            (None, [], Some(Kind::OrNull(kind, null)), None) if null == "null" => {
                Ok(Self::scalar(kind, schema, at)?.within("Option"))
            }
            _ => problem(at, "is none of: a $ref, one type, a type and null, oneOf a $ref and null"),
        }
    }

    fn scalar(kind: &str, schema: &Property, at: &str) -> Result<Self, Problem> {
        let (rust, written) = match (kind, schema.format.as_deref()) {
            ("string", None | Some("duration")) => (quote!(String), None),
            ("string", Some("date-time")) => (quote!(DateTime<Utc>), Some(quote!(DateTime<Utc>))),
            ("string", Some("uuid")) => (quote!(Uuid), None),
            ("string", Some("int64")) => (quote!(i64), Some(quote!(String))),
            ("integer", None | Some("int64")) => (quote!(i64), None),
            ("boolean", None) => (quote!(bool), None),
            (kind, format) => return problem(at, format!("a value of type {kind} and format {format:?}")),
        };
        Ok(Self { rust, written })
    }

    fn within(self, outer: &str) -> Self {
        let (outer, Self { rust, written }) = (format_ident!("{outer}"), self);
        Self { rust: quote!(#outer<#rust>), written: written.map(|written| quote!(#outer<#written>)) }
    }
}

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
        let Self { name, schema, .. } = self;
        let mut value = Type::of(spec, schema, at)?;
        let mut attributes = Attributes { serde: vec![quote!(rename = #name)], ..Attributes::default() };
        if self.presence(&mut attributes, at)? {
            value = value.within("Option");
        }
        attributes.format(value.written.as_ref());
        attributes.keyword("format", &schema.format.to_token_stream());
        attributes.bounds(schema, at)?;
        let (doc, ident, rust) =
            (format!(" {}", self.description.trim()), ident(&name.to_snake_case(), at)?, value.rust);
        let Attributes { serde, utoipa, schemars } = attributes;
        let name = format_ident!("{}", self.utoipa);
        let utoipa = (!utoipa.is_empty()).then(|| quote!(#[#name(#(#utoipa),*)]));
        Ok(quote!(#[doc = #doc] #[serde(#(#serde),*)] #utoipa #(#[schemars(#schemars)])* pub #ident: #rust,))
    }

    /// What a missing value means. Whether it is left out where there is none. (What is nullable is written as null.)
    fn presence(&self, Attributes { serde, utoipa, .. }: &mut Attributes, at: &str) -> Result<bool, Problem> {
        let nullable = !self.schema.one_of.is_empty() || matches!(self.schema.kind, Some(Kind::OrNull(..)));
        match (self.required, &self.schema.default, nullable) {
            (true, None, false) => (),
            // What has one value is in the document as it is written.
            (true, Some(Default::Text(_)), false) if self.schema.values.is_some() => (),
            (false, Some(default), false) => {
                let (function, value) = match default {
                    Default::Integer(value) => (format!("format::integer::<{value}>"), quote!(#value)),
                    Default::Boolean(value) => (format!("format::boolean::<{value}>"), quote!(#value)),
                    Default::Text(_) => return problem(at, "only an integer or a boolean can have a default"),
                };
                serde.push(quote!(default = #function));
                utoipa.push(quote!(default = #value));
            }
            (false, None, true) => serde.push(quote!(default)),
            (false, None, false) => {
                serde.push(quote!(default, skip_serializing_if = "Option::is_none"));
                utoipa.push(quote!(nullable = false));
                return Ok(true);
            }
            _ => return problem(at, "is more than one of: required, nullable, with a default"),
        }
        Ok(false)
    }
}

impl Attributes {
    fn format(&mut self, written: Option<&TokenStream>) {
        let Some(written) = written else { return };
        let text = written.to_string();
        self.serde.push(quote!(with = "format"));
        self.utoipa.push(quote!(value_type = #written));
        self.schemars.push(quote!(with = #text));
    }

    fn bounds(&mut self, schema: &Property, at: &str) -> Result<(), Problem> {
        for (name, of, bound) in [
            ("minimum", "integer", schema.minimum.to_token_stream()),
            ("maximum", "integer", schema.maximum.to_token_stream()),
            ("minLength", "string", schema.min_length.to_token_stream()),
            ("maxLength", "string", schema.max_length.to_token_stream()),
            ("pattern", "string", schema.pattern.to_token_stream()),
        ] {
            if !bound.is_empty() && !matches!(&schema.kind, Some(Kind::One(kind)) if kind == of) {
                return problem(at, format!("{name} is for type {of}"));
            }
            self.keyword(name, &bound);
        }
        Ok(())
    }

    /// Every keyword twice: utoipa documents it, schemars lets it be enforced.
    fn keyword(&mut self, name: &str, value: &TokenStream) {
        if !value.is_empty() {
            let attribute = format_ident!("{}", name.to_snake_case());
            self.utoipa.push(quote!(#attribute = #value));
            self.schemars.push(quote!(extend(#name = #value)));
        }
    }
}
