//! One answer, read.

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Response, StatusCode, header},
};
use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Value>,
}

impl Answer {
    /// Reads the whole answer. What has a body has it as JSON, says so, and lets nobody guess.
    pub(crate) async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        assert_eq!(parts.headers["x-content-type-options"], "nosniff");
        assert!(parts.headers.contains_key("x-servicefabricrequestid"));
        let body = (!bytes.is_empty()).then(|| {
            assert_eq!(parts.headers[header::CONTENT_TYPE], "application/json");
            serde_json::from_slice(&bytes).unwrap()
        });
        let not_found = parts.status == StatusCode::NOT_FOUND;
        let mark = parts.headers.get("x-servicefabric").map(|mark| mark.to_str().unwrap());
        assert_eq!(mark, not_found.then_some("ResourceNotFound"), "every 404 says so in its header, nothing else does");
        Self { status: parts.status, headers: parts.headers, body }
    }

    /// The body of a 200.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{:?}", self.body);
        self.body.unwrap()
    }

    /// A 202, which says nothing.
    #[track_caller]
    pub(crate) fn accepted(&self) {
        assert_eq!((self.status.as_u16(), &self.body), (202, &None));
    }

    /// An error with this status and code; its message.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> String {
        let error = &self.body.as_ref().unwrap()["Error"];
        assert_eq!((self.status.as_u16(), error["Code"].as_str()), (status, Some(code)), "{error}");
        error["Message"].as_str().unwrap().to_owned()
    }

    /// An error with this status and code whose message has all of these words.
    #[track_caller]
    pub(crate) fn refused_with(&self, status: u16, code: &str, words: &[&str]) {
        let message = self.refused(status, code);
        for word in words {
            assert!(message.contains(word), "no '{word}' in: {message}");
        }
    }
}
