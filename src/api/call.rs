//! One request, read piece by piece in the order in which its faults are reported: body, query, headers, version, path.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequestParts, RawPathParams, Request},
    http::{HeaderValue, request::Parts},
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::timeout;
use uuid::Uuid;

use super::{ApiError, body, events, operations::CommonQuery, query, schema};

/// A request that is being read.
pub(super) struct Call {
    parts: Parts,
    body: Body,
}

impl Call {
    pub(super) fn new(request: Request) -> Self {
        let (parts, body) = request.into_parts();
        Self { parts, body }
    }

    /// The body, which must be there.
    pub(super) async fn body<T: DeserializeOwned + JsonSchema + 'static>(&mut self) -> Result<T, ApiError> {
        self.optional_body().await?.ok_or_else(|| ApiError::invalid("body: is missing; this operation needs one."))
    }

    /// The body; an empty one and `null` are none.
    pub(super) async fn optional_body<T: DeserializeOwned + JsonSchema + 'static>(
        &mut self,
    ) -> Result<Option<T>, ApiError> {
        let patience = self.patience();
        let read = body::read(&self.parts.headers, std::mem::take(&mut self.body));
        let late = |_| Err(ApiError::timed_out(patience));
        timeout(Duration::from_secs(patience.unsigned_abs()), read).await.unwrap_or_else(late)
    }

    /// How many seconds a body may take to arrive: the caller's `timeout`, or what it would be if it is not a good one. The query is
    /// judged only after the body.
    fn patience(&self) -> i64 {
        query::common(self.asked()).map_or(60, |common| common.timeout)
    }

    /// The operation's own part of the query.
    pub(super) fn query<T: DeserializeOwned + JsonSchema + 'static>(&self) -> Result<T, ApiError> {
        query::read(self.asked())
    }

    fn asked(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// The header `name`, which is all there is in a `T`. One that is there must say something, and only once.
    pub(super) fn header<T: DeserializeOwned + JsonSchema + 'static>(&self, name: &str) -> Result<T, ApiError> {
        let given: Vec<_> = self.parts.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        let value = match given[..] {
            [] => None,
            [b""] => return Err(ApiError::invalid(format!("{name}: is empty; leave it out or give it a value."))),
            [value] => Some((name.to_owned(), Value::from(String::from_utf8_lossy(value)))),
            _ => return Err(ApiError::invalid(format!("{name}: is there {} times, not once.", given.len()))),
        };
        schema::read(Value::Object(Map::from_iter(value)))
    }

    /// Whether the caller asks for the answer as it changes.
    pub(super) fn wants_events(&self) -> bool {
        events::wanted(&self.parts.headers)
    }

    /// The part of the query that all operations have, of a version from `oldest` up.
    pub(super) fn common(&self, oldest: f64) -> Result<CommonQuery, ApiError> {
        let common = query::common(self.asked())?;
        query::check_version(&common.api_version, oldest)?;
        Ok(common)
    }

    /// The value of the parameter `name` in the path.
    pub(super) async fn path<T: PathValue>(&mut self, name: &str) -> Result<T, ApiError> {
        let values = RawPathParams::from_request_parts(&mut self.parts, &()).await;
        let values = values.map_err(|_| ApiError::invalid(format!("{name}: is not UTF-8 once it is decoded.")))?;
        let value = values.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
        T::read(name, value.unwrap_or_default())
    }
}

/// What can stand in a path.
pub(super) trait PathValue: Sized {
    fn read(name: &str, text: &str) -> Result<Self, ApiError>;
}

impl PathValue for String {
    fn read(_: &str, text: &str) -> Result<Self, ApiError> {
        Ok(text.to_owned())
    }
}

impl PathValue for Uuid {
    fn read(name: &str, text: &str) -> Result<Self, ApiError> {
        Self::parse_str(text).map_err(|_| {
            let given = schema::shortened(text);
            ApiError::invalid(format!(
                "{name}: {given} is not a GUID; write it as 1daae3f5-7fd6-42e9-b1ba-8c05f873994d."
            ))
        })
    }
}
