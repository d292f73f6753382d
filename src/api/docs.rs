//! The document, Swagger UI, and whether the service lives and is ready.

use std::sync::LazyLock;

use axum::{
    Json, Router,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{ApiError, complete::complete, operations::Document, wire::FabricErrorCodes};

/// The contract as it is written in `openapi/`.
const CONTRACT: &str = include_str!(concat!(env!("OUT_DIR"), "/contract.json"));

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let contract: Value = serde_json::from_str(CONTRACT).unwrap_or_default();
    let mut document = json!(Document::openapi());
    for whole in ["info", "servers", "tags"] {
        document[whole] = contract[whole].clone();
    }
    document["components"]["responses"] = contract["components"]["responses"].clone();
    complete(&mut document, &contract, &contract);
    document
});

/// The document as it is served.
pub fn document() -> &'static Value {
    &DOCUMENT
}

pub(super) fn routes(ready: impl Fn() -> bool + Clone + Send + Sync + 'static) -> Router {
    let ui = Config::new(["/openapi.json"]).try_it_out_enabled(true).display_request_duration(true);
    Router::new()
        .route("/", get(async || Redirect::temporary("/swagger-ui/")))
        .route("/openapi.json", get(async || Json(document())))
        .route("/healthz", get(async || Json(Map::from_iter([("Status".to_owned(), json!("Healthy"))]))))
        .route("/readyz", get(async move || readiness(ready())))
        .merge(SwaggerUi::new("/swagger-ui").config(ui))
}

fn readiness(ready: bool) -> Response {
    if ready {
        return Json(json!({ "Status": "Ready" })).into_response();
    }
    let message = "The service is starting or stopping. Try again.";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, FabricErrorCodes::FabricENotReady, message).into_response()
}
