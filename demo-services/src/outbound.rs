//! Calls to other services by their name: one request to the sidecar's outbound proxy with that name as
//! `Host`, a limit on its time, and a client span around it. Retries and balancing are the sidecar's.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::uri::PathAndQuery;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;
use tokio::time::timeout;

use crate::problem::Problem;
use crate::trace::{OpenSpan, Reporter, SpanKind, SpanStart, TraceContext};

/// The longest answer that is read.
const MAX_ANSWER: usize = 1024 * 1024;

/// The way to other services.
#[derive(Clone)]
pub(crate) struct Outbound {
    proxy: Option<Uri>,
    client: Client<HttpConnector, Full<Bytes>>,
    reporter: Reporter,
}

/// One request to another service.
pub(crate) struct Call<'a> {
    pub(crate) service: &'a str,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    /// How long it may take in all.
    pub(crate) limit: Duration,
}

/// What the other service said.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// Null when the answer holds no JSON.
    pub(crate) body: Value,
}

/// Why there is no answer. The request may still have been carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the service `{0}` is out of reach: no outbound proxy is set (PORTREEVE_OUTBOUND)")]
    NoProxy(String),
    #[error("the service `{service}` is out of reach: {detail}")]
    Unreachable { service: String, detail: String },
    #[error("the service `{0}` did not answer in time")]
    TimedOut(String),
    #[error("the service `{service}` answered {status}")]
    Failed { service: String, status: StatusCode },
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        tracing::warn!(%error, "a call to another service failed");
        let service = match &error {
            CallError::NoProxy(service) | CallError::TimedOut(service) => service,
            CallError::Unreachable { service, .. } | CallError::Failed { service, .. } => service,
        };
        Self::unavailable(format!("the service `{service}` is not available at the moment"))
    }
}

impl Outbound {
    pub(crate) fn new(proxy: Option<Uri>, reporter: Reporter) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .build(connector);
        Self { proxy, client, reporter }
    }

    /// The answer of another service; a 5xx counts as none.
    pub(crate) async fn call(&self, trace: &TraceContext, call: Call<'_>) -> Result<Reply, CallError> {
        let context = trace.child();
        let start = SpanStart {
            kind: SpanKind::Client,
            name: format!("{} {}", call.method, call.service),
            method: &call.method,
            path: &call.path,
            remote: Some(call.service),
        };
        let span = OpenSpan::begin(&self.reporter, &context, start);
        let result = match timeout(call.limit, self.exchange(&context, &call)).await {
            Ok(result) => result,
            Err(_) => Err(CallError::TimedOut(call.service.to_owned())),
        };
        match &result {
            Ok(reply) => span.close(reply.status),
            Err(CallError::Failed { status, .. }) => span.close(*status),
            Err(error) => span.fail(error.to_string()),
        }
        result
    }

    async fn exchange(&self, context: &TraceContext, call: &Call<'_>) -> Result<Reply, CallError> {
        let unreachable =
            |detail: String| CallError::Unreachable { service: call.service.to_owned(), detail };
        let request = self.request(context, call)?;
        let response = self.client.request(request).await.map_err(|error| unreachable(error.to_string()))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|error| unreachable(error.to_string()))?
            .to_bytes();
        if status.is_server_error() {
            return Err(CallError::Failed { service: call.service.to_owned(), status });
        }
        Ok(Reply { status, body: serde_json::from_slice(&body).unwrap_or_default() })
    }

    fn request(&self, context: &TraceContext, call: &Call<'_>) -> Result<Request<Full<Bytes>>, CallError> {
        let unreachable = |error: http::Error| CallError::Unreachable {
            service: call.service.to_owned(),
            detail: error.to_string(),
        };
        let proxy = self.proxy.clone().ok_or_else(|| CallError::NoProxy(call.service.to_owned()))?;
        let path = call.path.parse::<PathAndQuery>().map_err(|error| unreachable(error.into()))?;
        let mut parts = proxy.into_parts();
        parts.path_and_query = Some(path);
        let uri = Uri::from_parts(parts).map_err(|error| unreachable(error.into()))?;
        let mut request = Request::builder().method(&call.method).uri(uri).header(HOST, call.service);
        if let Some(headers) = request.headers_mut() {
            context.inject(headers);
        }
        match &call.body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(Full::from(body.to_string())),
            None => request.body(Full::default()),
        }
        .map_err(unreachable)
    }
}
