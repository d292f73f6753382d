//! The types of the wire, generated from `openapi/` by `codegen/schemas.rs`.

#![expect(clippy::doc_markdown, reason = "the descriptions are the contract's, for readers of Markdown")]

include!(concat!(env!("OUT_DIR"), "/wire.rs"));
