//! The operations, generated from `openapi/` by `codegen/operations.rs`: what a service implements, and its routes.

#![expect(clippy::unreadable_literal, reason = "the bounds are the contract's")]

include!(concat!(env!("OUT_DIR"), "/operations.rs"));
