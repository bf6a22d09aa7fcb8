//! What stands around every service's own routes: `/health`, `/config`, the problem for what is not there, a
//! limit on size and time, the trace, and the port in each answer.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde_json::json;
use tokio::time::timeout;

use crate::body::MAX_BODY;
use crate::configuration::Configuration;
use crate::problem::Problem;
use crate::trace::{OpenSpan, Reporter, SpanKind, SpanStart, TraceContext};

const SERVER_PORT: HeaderName = HeaderName::from_static("server-port");

/// The longest any request may take, its body's arrival included. Every answer comes far earlier.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// The service's routes with everything around them.
pub(crate) fn around(
    routes: Router,
    configuration: Configuration,
    reporter: Reporter,
    address: SocketAddr,
) -> Router {
    let outside = Outside { reporter, port: HeaderValue::from(address.port()) };
    routes
        .route("/health", get(async || Json(json!({ "status": "UP" }))))
        .route("/config", get(effective).with_state(configuration))
        .fallback(nothing_here)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(outside, serve))
}

async fn effective(State(configuration): State<Configuration>) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(json!(*configuration.all()))).into_response()
}

async fn nothing_here(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at `{}`", uri.path()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("`{}` does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

#[derive(Clone)]
struct Outside {
    reporter: Reporter,
    port: HeaderValue,
}

async fn serve(State(outside): State<Outside>, mut request: Request, next: Next) -> Response {
    let mut response = if request.uri().path() == "/health" {
        next.run(request).await
    } else {
        let context = TraceContext::of_request(request.headers());
        let span = OpenSpan::begin(&outside.reporter, &context, server_span(&request));
        request.extensions_mut().insert(context);
        let response = timeout(REQUEST_LIMIT, next.run(request)).await.unwrap_or_else(|_| too_slow());
        span.close(response.status());
        response
    };
    response.headers_mut().insert(SERVER_PORT, outside.port);
    response
}

fn server_span(request: &Request) -> SpanStart<'_> {
    let method = request.method();
    // A path nobody knows is left out of the name: names are listed, and there must not be endless ones.
    let name = match request.extensions().get::<MatchedPath>() {
        Some(route) => format!("{method} {}", route.as_str()),
        None => method.to_string(),
    };
    SpanStart { kind: SpanKind::Server, name, method, path: request.uri().path(), remote: None }
}

fn too_slow() -> Response {
    Problem::unavailable("the request took longer than 10 seconds").into_response()
}
