//! The types of the wire, generated from `openapi/` by `codegen/schemas.rs`.

include!(concat!(env!("OUT_DIR"), "/wire.rs"));
