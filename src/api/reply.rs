//! Answers that are no errors.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::ApiError;

/// Most answers but lists are shorter, in bytes.
const USUAL: usize = 1 << 10;

/// An answer with a body.
pub(super) fn json(status: StatusCode, answer: impl Serialize) -> Response {
    let mut body = Vec::with_capacity(USUAL);
    if let Err(error) = serde_json::to_writer(&mut body, &answer) {
        return ApiError::internal(error).into_response();
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode, (): ()) -> Response {
    status.into_response()
}
