//! What surrounds every request: its id, the reading of its path, panics, and what has no route.

use std::{
    any::Any,
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures::{FutureExt, future::BoxFuture};
use tower::Service;
use tracing::{Instrument, debug_span};
use uuid::{Uuid, fmt::Hyphenated};

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

/// Answers every request. Cheap to clone.
#[derive(Clone)]
pub struct Edge {
    routes: Router,
    clock: Clock,
}

/// Everything that is served. `ready` says whether requests can be answered yet.
pub fn edge<S: Operations>(service: S, clock: Clock, ready: impl Fn() -> bool + Clone + Send + Sync + 'static) -> Edge {
    let served = routes()
        .with_state(Server { service: Arc::new(service), clock: clock.clone() })
        .merge(docs::routes(ready))
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method);
    Edge { routes: served, clock }
}

impl Service<Request> for Edge {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let edge = self.clone();
        Box::pin(async move { Ok(edge.answer(request).await) })
    }
}

impl Edge {
    /// Gives the answer the request's id and logs, under that id, what the answer does not tell.
    async fn answer(mut self, request: Request) -> Response {
        let (id, method, uri) = (self.id(&request), request.method().clone(), request.uri().clone());
        let routed = async { self.routes.call(paths::normalised(request)).await };
        let answered = AssertUnwindSafe(routed).catch_unwind();
        let answered = answered.instrument(debug_span!("request", %id, %method, path = uri.path())).await;
        let mut response = match answered {
            Ok(Ok(response)) => in_shape(&method, response),
            Err(panic) => made_here(&method, ApiError::internal(panicked(&*panic))),
        };
        if let Some(Cause(cause)) = response.extensions().get() {
            tracing::error!(%id, %method, path = uri.path(), error = words(&**cause), "a request failed");
        }
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.extend(written(id).map(|id| (REQUEST_ID, id)));
        response
    }

    /// The caller's, if it gave a good one.
    fn id(&self, request: &Request) -> Uuid {
        let given = request.headers().get(REQUEST_ID).and_then(|id| Uuid::parse_str(id.to_str().ok()?).ok());
        given.unwrap_or_else(|| self.clock.uuid())
    }
}

fn written(id: Uuid) -> Option<HeaderValue> {
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH])).ok()
}

/// Errors of the libraries below are plain text; ours never are.
fn in_shape(method: &Method, response: Response) -> Response {
    let status = response.status();
    let json = response.headers().get(header::CONTENT_TYPE).is_some_and(|it| it == "application/json");
    if json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let code = if status.is_server_error() { FabricErrorCodes::EFail } else { FabricErrorCodes::EInvalidarg };
    made_here(method, ApiError::new(status, code, status.canonical_reason().unwrap_or_default()))
}

/// An answer that no route has made. As those of routes it has no body for HEAD, but says how long that would be.
fn made_here(method: &Method, error: ApiError) -> Response {
    let mut response = error.into_response();
    if method == Method::HEAD {
        let len = response.body().size_hint().exact().map(HeaderValue::from);
        response.headers_mut().extend(len.map(|len| (header::CONTENT_LENGTH, len)));
        *response.body_mut() = Body::empty();
    }
    response
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

/// What a panic says; the hook that `app` sets has logged the place.
fn panicked(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", said.unwrap_or("without a word"))
}
