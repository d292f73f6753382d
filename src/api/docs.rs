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

use super::{
    ApiError,
    operations::{AMENDMENTS, Document},
    wire::FabricErrorCodes,
};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = json!(Document::openapi());
    for (pointer, value) in AMENDMENTS {
        amend(&mut document, pointer, value);
    }
    document
});

/// The document as it is served.
pub fn document() -> &'static Value {
    &DOCUMENT
}

/// Puts `value` where `pointer` points (first in its object if it is new), or nothing if it is `null`.
fn amend(document: &mut Value, pointer: &str, value: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    let key = key.replace("~1", "/");
    let value: Value = serde_json::from_str(value).unwrap_or_default();
    match document.pointer_mut(parent) {
        Some(Value::Object(object)) if value.is_null() => drop(object.shift_remove(&key)),
        Some(Value::Object(object)) if object.contains_key(&key) => drop(object.insert(key, value)),
        Some(Value::Object(object)) => drop(object.shift_insert(0, key, value)),
        _ => (),
    }
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
