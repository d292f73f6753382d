//! What surrounds every request: its id, the reading of its path, panics, and what has no route.

use std::{any::Any, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tower::Layer;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    ApiError, docs,
    error::Cause,
    operations::{Operations, routes},
    paths, schema,
    server::Server,
    wire::FabricErrorCodes,
};
use crate::{clock::Clock, domain::words};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-servicefabricrequestid");

/// Everything that is served. `ready` says whether requests can be answered yet.
pub fn router<S: Operations>(
    service: S,
    clock: Clock,
    ready: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> Router {
    let served = routes()
        .with_state(Server { service: Arc::new(service), clock: clock.clone() })
        .merge(docs::routes(ready))
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked));
    Router::new()
        .fallback_service(middleware::map_request(paths::normalise).layer(served))
        .layer(middleware::from_fn_with_state(clock, identify))
}

/// Gives the answer the request's id and logs, under that id, what the answer does not tell.
async fn identify(State(clock): State<Clock>, request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).and_then(|id| Uuid::parse_str(id.to_str().ok()?).ok());
    let id = given.unwrap_or_else(|| clock.uuid());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::error_span!("request", %id, %method, path);
    let mut response = in_shape(next.run(request).instrument(span.clone()).await);
    if let Some(Cause(cause)) = response.extensions().get() {
        span.in_scope(|| tracing::error!(error = words(&**cause), "a request failed"));
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.extend(HeaderValue::try_from(id.to_string()).ok().map(|id| (REQUEST_ID, id)));
    response
}

/// Errors of the libraries below are plain text; ours never are.
fn in_shape(response: Response) -> Response {
    let status = response.status();
    let json = response.headers().get(header::CONTENT_TYPE).is_some_and(|it| it == "application/json");
    if json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let code = if status.is_server_error() { FabricErrorCodes::EFail } else { FabricErrorCodes::EInvalidarg };
    ApiError::new(status, code, status.canonical_reason().unwrap_or_default()).into_response()
}

async fn no_route(uri: Uri) -> ApiError {
    let path = schema::shortened(uri.path());
    let message = format!("No operation has the path {path}. /swagger-ui/ shows all there are.");
    ApiError::new(StatusCode::NOT_FOUND, FabricErrorCodes::EInvalidarg, message)
}

/// axum adds the `Allow` header.
async fn wrong_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let message = format!("This path does not take {method}; the header Allow says what it takes.");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, FabricErrorCodes::EInvalidarg, message).into_response()
}

/// The hook that `app` sets has logged the panic already, inside the request's span.
fn panicked(_panic: Box<dyn Any + Send>) -> Response {
    ApiError::unexplained().into_response()
}
