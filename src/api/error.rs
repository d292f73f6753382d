//! Errors as every caller sees them: a status, a code and a message, as `{"Error":{"Code","Message"}}`.
//!
//! A cause never reaches the caller. It travels with the answer to the edge, which logs it under the request's id.

use std::{error::Error, sync::Arc};

use axum::{
    Json,
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};

use super::wire::{FabricError, FabricErrorCodes, FabricErrorError};

/// An answer that is an error.
#[derive(Clone, Debug)]
pub struct ApiError {
    status: StatusCode,
    code: FabricErrorCodes,
    message: String,
    cause: Option<Cause>,
}

/// What lies behind an answer, for the log.
#[derive(Clone, Debug)]
pub(super) struct Cause(pub(super) Arc<dyn Error + Send + Sync>);

impl ApiError {
    /// An error whose message says what the caller can do.
    pub fn new(status: StatusCode, code: FabricErrorCodes, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), cause: None }
    }

    /// 400: the request itself is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, FabricErrorCodes::EInvalidarg, message)
    }

    /// 500: the caller learns nothing, the log learns everything.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { cause: Some(Cause(cause.into().into())), ..Self::unexplained() }
    }

    fn unexplained() -> Self {
        let message =
            "Something went wrong inside the service. Its log has the cause, under the request id of this answer.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, FabricErrorCodes::EFail, message)
    }

    /// 501: `operation` is in the contract, but not built yet.
    pub fn not_implemented(operation: &str) -> Self {
        let message = format!("{operation} is not built yet.");
        Self::new(StatusCode::NOT_IMPLEMENTED, FabricErrorCodes::ENotimpl, message)
    }

    /// 504: the caller's own `timeout`, in seconds, has passed.
    pub(super) fn timed_out(seconds: i64) -> Self {
        let message =
            format!("The request was not finished within its timeout of {seconds} s. Ask again, or for longer.");
        Self::new(StatusCode::GATEWAY_TIMEOUT, FabricErrorCodes::FabricETimeout, message)
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The code.
    pub fn code(&self) -> FabricErrorCodes {
        self.code
    }

    /// What lies behind it, if the caller is not told.
    pub(super) fn cause(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|Cause(cause)| -> &(dyn Error + 'static) { &**cause })
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = FabricErrorError { code: self.code, message: Some(self.message) };
        let mut response = (self.status, Json(FabricError { error })).into_response();
        if self.status == StatusCode::NOT_FOUND {
            response.headers_mut().insert("X-ServiceFabric", HeaderValue::from_static("ResourceNotFound"));
        }
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}
