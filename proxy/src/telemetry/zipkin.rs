//! Spans to a Zipkin collector: a bounded queue, one task that posts batches, and the OpenTelemetry exporter in
//! between. Workers only ever try to put a span into the queue.
#![expect(
    deprecated,
    reason = "upstream points to OTLP, but Zipkin's own format is what collectors here speak"
)]

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind as OtelKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter, SpanLinks};
use opentelemetry_zipkin::ZipkinExporter;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::document::{self, PEER_ADDRESS, PEER_PORT, PEER_SERVICE};
use super::{Remote, Span, SpanKind, SpanSink};
use crate::client::{Client, Limit};

/// Spans that may wait, some 4 MiB of them; further ones are dropped.
const QUEUE: usize = 4096;
/// The most spans in one post.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const LINGER: Duration = Duration::from_millis(200);
/// What one post may cost.
const LIMIT: Limit = Limit { bytes: 64 * 1024, timeout: Duration::from_secs(5) };
/// How often a collector that is not there is worth a log line.
const REMINDER: Duration = Duration::from_secs(60);

/// Where a process's spans go, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZipkinExport {
    /// The URL spans are posted to, such as `http://127.0.0.1:9411/api/v2/spans`; `lb://` works too.
    pub endpoint: String,
    /// The service this process is in traces.
    pub service: String,
    /// The address this process is reached at.
    pub address: Option<SocketAddr>,
}

/// Why spans can't be exported.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryFault {
    /// The endpoint is no URL spans could be posted to.
    #[error(
        "the Zipkin endpoint is no http, https or lb URL: write one such as http://127.0.0.1:9411/api/v2/spans"
    )]
    Endpoint,
    /// The exporter could not be made.
    #[error("the Zipkin exporter cannot be made: {0}")]
    Exporter(#[from] opentelemetry_zipkin::ExporterBuildError),
}

/// Sends spans to a Zipkin collector.
pub struct ZipkinSink {
    queue: mpsc::Sender<Item>,
    dropped: Arc<AtomicU64>,
}

enum Item {
    // Boxed, so that the queue's room is small while it is empty.
    Span(Box<Span>),
    Flush(oneshot::Sender<()>),
}

impl ZipkinSink {
    /// Starts the task that exports, on `runtime`. It ends when the sink is gone and its queue is empty.
    ///
    /// # Errors
    /// [`TelemetryFault::Endpoint`] for an endpoint that can't be one. Whether something answers there shows later:
    /// spans are then dropped, and a log line a minute says so.
    pub fn start(
        export: ZipkinExport,
        client: Client,
        runtime: &Handle,
    ) -> Result<Arc<Self>, TelemetryFault> {
        let endpoint: Uri = export.endpoint.parse().map_err(|_| TelemetryFault::Endpoint)?;
        if !matches!(endpoint.scheme_str(), Some("http" | "https" | "lb")) || endpoint.host().is_none() {
            return Err(TelemetryFault::Endpoint);
        }
        let courier = Courier { client, service: export.service };
        let mut builder =
            ZipkinExporter::builder().with_http_client(courier).with_collector_endpoint(export.endpoint);
        // `0.0.0.0` is where a process listens, not where it is.
        if let Some(address) = export.address.filter(|address| !address.ip().is_unspecified()) {
            builder = builder.with_service_address(address);
        }
        let exporter = builder.build()?;
        let (queue, spans) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        runtime.spawn(Export { spans, exporter, dropped: dropped.clone(), told: None, known: 0 }.run());
        Ok(Arc::new(Self { queue, dropped }))
    }
}

impl SpanSink for ZipkinSink {
    fn record(&self, span: Span) {
        if self.queue.try_send(Item::Span(Box::new(span))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn flush(&self, limit: Duration) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        let through = async {
            let (done, told) = oneshot::channel();
            self.queue.send(Item::Flush(done)).await.is_ok() && told.await.is_ok()
        };
        Box::pin(async move { timeout(limit, through).await.unwrap_or(false) })
    }
}

/// The exporting task.
struct Export {
    spans: mpsc::Receiver<Item>,
    exporter: ZipkinExporter,
    dropped: Arc<AtomicU64>,
    /// When the last log line about lost spans was written, and how many were lost by then.
    told: Option<Instant>,
    known: u64,
}

impl Export {
    async fn run(mut self) {
        while let Some(first) = self.spans.recv().await {
            let (batch, flush) = self.gather(first).await;
            self.post(batch).await;
            if let Some(flush) = flush {
                // Whoever waited may have given up.
                let _ = flush.send(());
            }
        }
    }

    /// Takes what comes within [`LINGER`] after `first`, or until the batch is full or someone waits for it.
    async fn gather(&mut self, first: Item) -> (Vec<SpanData>, Option<oneshot::Sender<()>>) {
        let deadline = Instant::now() + LINGER;
        let mut batch = Vec::new();
        let mut item = Some(first);
        while let Some(next) = item {
            match next {
                Item::Span(span) => batch.push(span_data(*span)),
                Item::Flush(done) => return (batch, Some(done)),
            }
            if batch.len() >= BATCH {
                break;
            }
            item = timeout_at(deadline, self.spans.recv()).await.unwrap_or_default();
        }
        (batch, None)
    }

    async fn post(&mut self, batch: Vec<SpanData>) {
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        let outcome = self.exporter.export(batch).await;
        if outcome.is_err() {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > self.known && self.told.is_none_or(|told| told.elapsed() >= REMINDER) {
            let reason =
                outcome.err().map_or_else(|| "the collector is too slow".to_owned(), |f| f.to_string());
            tracing::warn!(
                dropped = dropped - self.known,
                reason,
                "spans are lost; check the Zipkin endpoint"
            );
            (self.told, self.known) = (Some(Instant::now()), dropped);
        }
    }
}

fn span_data(span: Span) -> SpanData {
    let (trace_id, span_id) = (TraceId::from(span.context.trace_id()), SpanId::from(span.context.span_id()));
    SpanData {
        span_context: SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, TraceState::default()),
        parent_span_id: span.context.parent_id().map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: span.kind == SpanKind::Server,
        span_kind: match span.kind {
            SpanKind::Server => OtelKind::Server,
            SpanKind::Client => OtelKind::Client,
        },
        name: span.name,
        start_time: span.start,
        // Zipkin takes a duration of zero for none at all.
        end_time: span.start + span.duration.max(Duration::from_micros(1)),
        attributes: attributes(span.attributes, span.remote),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: span.error.map_or(Status::Unset, |description| Status::Error { description }),
        instrumentation_scope: InstrumentationScope::default(),
    }
}

/// The span's own attributes, and the other side of the call under the names that [`document`] looks for.
fn attributes(own: Vec<(&'static str, Cow<'static, str>)>, remote: Remote) -> Vec<KeyValue> {
    let mut attributes: Vec<KeyValue> =
        own.into_iter().map(|(name, value)| KeyValue::new(name, StringValue::from(value))).collect();
    if let Some(service) = remote.service {
        attributes.push(KeyValue::new(PEER_SERVICE, StringValue::from(service)));
    }
    if let Some(address) = remote.address {
        attributes.push(KeyValue::new(PEER_ADDRESS, address.ip().to_string()));
        attributes.push(KeyValue::new(PEER_PORT, i64::from(address.port())));
    }
    attributes
}

/// Carries the exporter's posts, completed, over the gateway's own client.
struct Courier {
    client: Client,
    service: String,
}

impl fmt::Debug for Courier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Courier({})", self.service)
    }
}

impl HttpClient for Courier {
    fn send_bytes<'client, 'sending>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sending>>
    where
        'client: 'sending,
        Self: 'sending,
    {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = document::complete(&body, &self.service)?;
            let request = Request::from_parts(parts, Bytes::from(body));
            Ok(self.client.send(request, LIMIT).await?)
        })
    }
}
