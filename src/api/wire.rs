//! The types of the wire, generated from `openapi/` by `codegen/schemas.rs`.

#![expect(clippy::doc_markdown, reason = "the descriptions are the contract's, for readers of Markdown")]

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use super::format;

/// A type that has a secret shows none of its fields.
macro_rules! hidden {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/wire.rs"));
