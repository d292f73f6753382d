//! What a property is in Rust: its type, and the attributes that carry its bounds to serde, utoipa and schemars.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use serde_json::Value;

use super::{
    names,
    spec::{Kind, Primitive, Problem, Property, Spec},
};

/// The kinds of value that the wire has.
pub(super) enum Shape {
    Named(String),
    Text,
    DateTime,
    Uuid,
    Int64Text,
    Integer,
    Number,
    Boolean,
    List(Box<Shape>),
    Nullable(Box<Shape>),
}

/// Whose attributes a field carries: a schema's or a parameter's.
#[derive(Clone, Copy)]
pub(super) enum Role {
    Schema,
    Param,
}

impl Shape {
    pub(super) fn of(spec: &Spec, property: &Property, at: &str) -> Result<Self, Problem> {
        match (&property.reference, property.one_of.as_slice(), &property.kind) {
            (Some(reference), [], None) => Ok(Self::Named(spec.resolve("schemas", reference, at)?.to_owned())),
            (None, [of, null], None) if null.is_null() => {
                Ok(Self::Nullable(Box::new(Self::of(spec, of, &format!("{at}.oneOf[0]"))?)))
            }
            (None, [], Some(Kind::OrNull(kind, Primitive::Null))) => {
                Ok(Self::Nullable(Box::new(Self::plain(spec, *kind, property, at)?)))
            }
            (None, [], Some(Kind::One(kind))) => Self::plain(spec, *kind, property, at),
            _ => Err(Problem::at(at, "is none of: a $ref, one type, a type and null, oneOf a $ref and null")),
        }
    }

    fn plain(spec: &Spec, kind: Primitive, property: &Property, at: &str) -> Result<Self, Problem> {
        match (kind, property.format.as_deref(), &property.items) {
            (Primitive::Array, None, Some(items)) => {
                Ok(Self::List(Box::new(Self::of(spec, items, &format!("{at}.items"))?)))
            }
            (Primitive::String, None | Some("duration"), None) => Ok(Self::Text),
            (Primitive::String, Some("date-time"), None) => Ok(Self::DateTime),
            (Primitive::String, Some("uuid"), None) => Ok(Self::Uuid),
            (Primitive::String, Some("int64"), None) => Ok(Self::Int64Text),
            (Primitive::Integer, None | Some("int32" | "int64"), None) => Ok(Self::Integer),
            (Primitive::Number, None, None) => Ok(Self::Number),
            (Primitive::Boolean, None, None) => Ok(Self::Boolean),
            (kind, format, _) => Err(Problem::at(at, format!("a value of type {kind:?} and format {format:?}"))),
        }
    }

    /// The type in Rust.
    pub(super) fn rust(&self, at: &str) -> Result<TokenStream, Problem> {
        Ok(match self {
            Self::Named(name) => {
                let name = names::ident(name, at)?;
                quote!(#name)
            }
            Self::Text => quote!(String),
            Self::DateTime => quote!(DateTime<Utc>),
            Self::Uuid => quote!(Uuid),
            Self::Int64Text | Self::Integer => quote!(i64),
            Self::Number => quote!(f64),
            Self::Boolean => quote!(bool),
            Self::List(item) => {
                let item = item.rust(at)?;
                quote!(Vec<#item>)
            }
            Self::Nullable(shape) => {
                let shape = shape.rust(at)?;
                quote!(Option<#shape>)
            }
        })
    }

    /// The module of `src/api/format.rs` that reads and writes it, where serde's own way is not the wire's.
    fn format(&self, optional: bool, at: &str) -> Result<Option<&'static str>, Problem> {
        match (self, optional) {
            (Self::DateTime, false) => Ok(Some("format::date_time")),
            (Self::DateTime, true) => Ok(Some("format::optional_date_time")),
            (Self::Int64Text, false) => Ok(Some("format::int64_text")),
            (Self::Int64Text, true) => Ok(Some("format::optional_int64_text")),
            (Self::Nullable(shape), _) => shape.format(true, at),
            (Self::List(item), false) if matches!(**item, Self::DateTime) => Ok(Some("format::date_times")),
            (Self::List(item), _) if item.format(false, at)?.is_some() => {
                Err(Problem::at(at, "a list of such values must be required, and of date-times"))
            }
            _ => Ok(None),
        }
    }
}

/// One field of a struct, with everything the contract says about it.
pub(super) fn field(
    spec: &Spec,
    name: &str,
    property: &Property,
    description: Option<&str>,
    required: bool,
    role: Role,
    at: &str,
) -> Result<TokenStream, Problem> {
    let shape = Shape::of(spec, property, at)?;
    let ident = names::ident(&names::snake(name), at)?;
    let doc = format!(" {}", description.unwrap_or(&property.description).trim());
    let optional = !required && property.default.is_none() && !matches!(shape, Shape::Nullable(_));
    let mut rust = shape.rust(at)?;
    if optional {
        rust = quote!(Option<#rust>);
    }
    let presence = presence(property, &shape, required, role, at)?;
    let format = format_attributes(&shape, optional, &rust, role, at)?;
    let bounds = bounds(property, role);
    Ok(quote! {
        #[doc = #doc]
        #[serde(rename = #name)]
        #presence #format #bounds
        pub #ident: #rust,
    })
}

/// What serde and the document make of a missing value.
fn presence(property: &Property, shape: &Shape, required: bool, role: Role, at: &str) -> Result<TokenStream, Problem> {
    let role = role.attribute();
    match (&property.default, shape) {
        (Some(value), _) => {
            let serde = (!required).then(|| default_function(value, at)).transpose()?;
            let serde = serde.map(|function| quote!(#[serde(default = #function)]));
            let value = literal(value, at)?;
            Ok(quote!(#serde #[#role(default = #value)]))
        }
        (None, Shape::Nullable(_)) if required => Ok(quote!(#[#role(required = true)])),
        (None, Shape::Nullable(_)) => Ok(quote!(#[serde(default)])),
        (None, _) if required => Ok(quote!()),
        (None, _) => Ok(quote!(#[serde(default, skip_serializing_if = "Option::is_none")] #[#role(nullable = false)])),
    }
}

fn default_function(value: &Value, at: &str) -> Result<String, Problem> {
    match value {
        Value::Number(number) => Ok(format!("format::integer::<{number}>")),
        Value::Bool(flag) => Ok(format!("format::boolean::<{flag}>")),
        _ => Err(Problem::at(at, "only an integer or a boolean can have a default and be left out")),
    }
}

fn literal(value: &Value, at: &str) -> Result<TokenStream, Problem> {
    let text = value.to_string();
    text.parse().map_err(|_| Problem::at(at, format!("{text} cannot be written in Rust")))
}

fn format_attributes(
    shape: &Shape,
    optional: bool,
    rust: &TokenStream,
    role: Role,
    at: &str,
) -> Result<TokenStream, Problem> {
    let Some(module) = shape.format(optional, at)? else { return Ok(quote!()) };
    let with = rust.to_string().replace("i64", "String");
    let schemars = quote!(#[serde(with = #module)] #[schemars(with = #with)]);
    if with == rust.to_string() {
        return Ok(schemars);
    }
    let role = role.attribute();
    let with: TokenStream = with.parse().map_err(|_| Problem::at(at, "no type"))?;
    Ok(quote!(#schemars #[#role(value_type = #with, format = "int64")]))
}

/// Every bound twice: utoipa documents it, schemars lets it be enforced.
fn bounds(property: &Property, role: Role) -> TokenStream {
    let role = role.attribute();
    let both = |ours: &str, bound: Option<TokenStream>| {
        let ours = format_ident!("{ours}");
        bound.map(|bound| quote!(#[#role(#ours = #bound)]))
    };
    let minimum = both("minimum", property.minimum.map(|bound| quote!(#bound)));
    let maximum = both("maximum", property.maximum.map(|bound| quote!(#bound)));
    let min_length = both("min_length", property.min_length.map(number));
    let max_length = both("max_length", property.max_length.map(number));
    let pattern = both("pattern", property.pattern.as_ref().map(|pattern| quote!(#pattern)));
    let duration =
        both("format", property.format.as_ref().filter(|format| *format == "duration").map(|it| quote!(#it)));
    let enforced = enforced(property);
    quote!(#minimum #maximum #min_length #max_length #pattern #duration #enforced)
}

fn enforced(property: &Property) -> TokenStream {
    let side = |name: &str, bound: Option<TokenStream>| {
        let name = format_ident!("{name}");
        bound.map(|bound| quote!(#name = #bound))
    };
    let range =
        [side("min", property.minimum.map(|it| quote!(#it))), side("max", property.maximum.map(|it| quote!(#it)))];
    let length = [side("min", property.min_length.map(number)), side("max", property.max_length.map(number))];
    let [range, length] = [("range", range), ("length", length)].map(|(name, sides)| {
        let name = format_ident!("{name}");
        let sides: Vec<_> = sides.into_iter().flatten().collect();
        (!sides.is_empty()).then(|| quote!(#[schemars(#name(#(#sides),*))]))
    });
    let pattern = property.pattern.as_ref().map(|pattern| quote!(#[schemars(regex(pattern = #pattern))]));
    let duration =
        (property.format.as_deref() == Some("duration")).then(|| quote!(#[schemars(extend("format" = "duration"))]));
    quote!(#range #length #pattern #duration)
}

fn number(bound: u64) -> TokenStream {
    let bound = proc_macro2::Literal::u64_unsuffixed(bound);
    quote!(#bound)
}

impl Role {
    fn attribute(self) -> proc_macro2::Ident {
        match self {
            Self::Schema => format_ident!("schema"),
            Self::Param => format_ident!("param"),
        }
    }
}

impl Property {
    fn is_null(&self) -> bool {
        matches!(self.kind, Some(Kind::One(Primitive::Null)))
    }
}
