//! The operations, generated from `openapi/` by `codegen/operations.rs`: what a service implements, and its routes.

include!(concat!(env!("OUT_DIR"), "/operations.rs"));
