//! The web page that shows the latest traces. Everything of it is in the binary, and it may load nothing else.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

const PAGE: &str = include_str!("traces.html");
const SCRIPT: &str = include_str!("traces.js");
const STYLE: &str = include_str!("traces.css");

/// Only what this origin serves, nothing inline, and in nobody's frame: what a span says can never run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Where the page is.
pub(crate) async fn to_page() -> Response {
    (StatusCode::FOUND, [(header::LOCATION, "/zipkin/")]).into_response()
}

pub(crate) async fn page() -> Response {
    file("text/html; charset=utf-8", PAGE)
}

pub(crate) async fn script() -> Response {
    file("text/javascript; charset=utf-8", SCRIPT)
}

pub(crate) async fn style() -> Response {
    file("text/css; charset=utf-8", STYLE)
}

fn file(kind: &'static str, content: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, content).into_response()
}
