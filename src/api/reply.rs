//! Answers that are no errors.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// An answer with a body.
pub(super) fn json(status: StatusCode, answer: impl Serialize) -> Response {
    (status, Json(answer)).into_response()
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode, (): ()) -> Response {
    status.into_response()
}
