//! Where spans go once a request is finished. The data plane knows [`SpanSink`] alone; which protocol carries the
//! spans away is decided here, and a sink that can't keep up loses spans, never a request's time.

mod document;
mod zipkin;

use std::borrow::Cow;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::policy::trace::TraceContext;

pub use zipkin::{TelemetryFault, ZipkinExport, ZipkinSink};

/// Takes the spans of sampled requests.
pub trait SpanSink: Send + Sync {
    /// Takes one span. Returns at once; when there is no room the span is dropped and counted.
    fn record(&self, span: Span);

    /// How many spans were lost so far: for want of room, or because they could not be delivered.
    fn dropped(&self) -> u64;

    /// Waits until every span recorded before was delivered or dropped, but no longer than `limit`.
    /// False when the limit came first.
    fn flush(&self, limit: Duration) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;
}

/// One finished span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its place in the trace.
    pub context: TraceContext,
    /// Which side of a call it is.
    pub kind: SpanKind,
    /// What was done: a method and a route, never a raw path (names are indexed).
    pub name: Cow<'static, str>,
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// What went wrong, for a span that failed.
    pub error: Option<Cow<'static, str>>,
    /// Further facts, such as `http.status_code`. Names must differ from each other.
    pub attributes: Vec<(&'static str, Cow<'static, str>)>,
    /// The other side of the call.
    pub remote: Remote,
}

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// It answers a request.
    Server,
    /// It makes one.
    Client,
}

/// The other side of a call, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    /// Its service.
    pub service: Option<Arc<str>>,
    /// Its address.
    pub address: Option<SocketAddr>,
}

#[cfg(test)]
mod tests;
