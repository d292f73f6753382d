//! The edge over a service that is not built, spoken to without a network.

use axum::{
    body::{Body, to_bytes},
    http::{Request, Response},
};
use fabric_backup::{
    api::{Edge, Operations, edge},
    clock::Clock,
};
use serde_json::Value;
use tower::ServiceExt;

pub(crate) const CONTRACT: &str = include_str!("../../openapi/backup-restore.yaml");

/// Answers 501 to every operation.
#[derive(Clone)]
pub(crate) struct NotBuilt;

impl Operations for NotBuilt {}

/// openapi/ as it is written.
pub(crate) fn written() -> Value {
    yaml_serde::from_str(CONTRACT).unwrap()
}

pub(crate) fn not_built() -> Edge {
    edge(NotBuilt, Clock::system(), || true)
}

pub(crate) async fn send(edge: Edge, request: Request<Body>) -> Response<Body> {
    edge.oneshot(request).await.unwrap()
}

pub(crate) async fn json_of(response: Response<Body>) -> Value {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{error}: {bytes:?}"))
}

/// The operations of a document: path, method and what is said about them.
pub(crate) fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let methods = paths.flat_map(|(path, methods)| methods.as_object().unwrap().iter().map(move |it| (path, it)));
    methods.map(|(path, (method, operation))| (path.clone(), method.clone(), operation.clone())).collect()
}
