//! What a value on the wire is in Rust.

use proc_macro2::TokenStream;
use quote::quote;

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
    pub(super) fn format(&self, optional: bool, at: &str) -> Result<Option<&'static str>, Problem> {
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

impl Property {
    fn is_null(&self) -> bool {
        matches!(self.kind, Some(Kind::One(Primitive::Null)))
    }
}
