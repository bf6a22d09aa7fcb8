//! One span: begun when its work begins, reported when it is closed or dropped, in Zipkin's JSON (v2).

use std::collections::BTreeMap;
use std::time::Instant;

use http::{Method, StatusCode};
use serde::Serialize;

use super::{Reporter, TraceContext};
use crate::clock;

/// Which side of a request a span shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum SpanKind {
    Server,
    Client,
}

/// A span as Zipkin takes it (`POST /api/v2/spans`).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Span {
    trace_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    id: String,
    kind: SpanKind,
    name: String,
    /// Microseconds since 1970.
    timestamp: u64,
    /// Microseconds; at least 1, since 0 stands for unknown.
    duration: u64,
    local_endpoint: Endpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_endpoint: Option<Endpoint>,
    tags: BTreeMap<&'static str, String>,
}

/// One end of a request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Endpoint {
    pub(crate) service_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ipv4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
}

/// What is known of a span when it begins.
pub(crate) struct SpanStart<'a> {
    pub(crate) kind: SpanKind,
    pub(crate) name: String,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    /// The service at the other end, for client spans.
    pub(crate) remote: Option<&'a str>,
}

/// A span whose work is going on. Dropped without [`OpenSpan::close`] (its request was given up), it is
/// reported as an error.
pub(crate) struct OpenSpan {
    // None for a trace that is not recorded, and once reported.
    open: Option<(Box<Span>, Reporter)>,
    began: Instant,
}

impl OpenSpan {
    pub(crate) fn begin(reporter: &Reporter, context: &TraceContext, start: SpanStart<'_>) -> Self {
        let began = Instant::now();
        let Some(local_endpoint) = reporter.endpoint().filter(|_| context.is_recorded()).cloned() else {
            return Self { open: None, began };
        };
        let remote = |name: &str| Endpoint { service_name: name.to_owned(), ipv4: None, port: None };
        let span = Span {
            trace_id: context.trace_id.clone(),
            parent_id: context.parent_id.clone(),
            id: context.span_id.clone(),
            kind: start.kind,
            name: start.name,
            timestamp: clock::microseconds(),
            duration: 1,
            local_endpoint,
            remote_endpoint: start.remote.map(remote),
            tags: BTreeMap::from([
                ("http.method", start.method.to_string()),
                ("http.path", start.path.to_owned()),
            ]),
        };
        Self { open: Some((Box::new(span), reporter.clone())), began }
    }

    /// The work ended with an answer.
    pub(crate) fn close(mut self, status: StatusCode) {
        if let Some((span, _)) = &mut self.open {
            span.tags.insert("http.status_code", status.as_u16().to_string());
            if status.is_server_error() {
                span.tags.insert("error", status.as_u16().to_string());
            }
        }
        self.report();
    }

    /// The work ended without an answer.
    pub(crate) fn fail(mut self, error: String) {
        if let Some((span, _)) = &mut self.open {
            span.tags.insert("error", error);
        }
        self.report();
    }

    fn report(&mut self) {
        if let Some((mut span, reporter)) = self.open.take() {
            let elapsed = self.began.elapsed().as_micros();
            span.duration = u64::try_from(elapsed).unwrap_or(u64::MAX).max(1);
            reporter.report(*span);
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if let Some((span, _)) = &mut self.open {
            span.tags.insert("error", "given up".to_owned());
        }
        self.report();
    }
}
