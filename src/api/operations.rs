//! The operations, generated from `openapi/` by `codegen/operations.rs`: what a service implements, and its routes.

#![expect(clippy::unreadable_literal, reason = "the bounds are the contract's")]
#![expect(clippy::too_many_lines, reason = "one line for each route is still one list")]

use std::future::{Future, ready};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi};
use uuid::Uuid;

use super::{
    ApiError,
    call::Call,
    events::{self, Events},
    format, reply,
    server::Server,
};

/// An operation of the contract.
pub struct Operation {
    /// Its published name.
    pub id: &'static str,
    /// The template of its path.
    pub path: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/operations.rs"));
