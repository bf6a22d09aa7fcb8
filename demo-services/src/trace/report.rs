//! Spans on their way to the collector: a bounded queue that never makes a request wait, and one task that
//! posts what is in it in small batches. Where the collector cannot keep up, spans are lost, not requests.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::span::{Endpoint, Span};

/// Spans waiting for their batch; about 1 KiB each.
const QUEUE: usize = 2048;
/// Spans in one post.
const BATCH: usize = 256;
/// How long the first span of a batch waits for others.
const GATHER: Duration = Duration::from_millis(100);
/// How long the collector may take for one batch.
const POST_LIMIT: Duration = Duration::from_secs(1);

/// The way from a finished span to the collector; without a collector it leads nowhere and costs nothing.
#[derive(Clone)]
pub(crate) struct Reporter {
    to: Option<(Sender<Span>, Arc<Endpoint>)>,
}

impl Reporter {
    /// A reporter, and the task that ends once every clone of it is gone and the queue is posted.
    pub(crate) fn start(
        collector: Option<Uri>,
        service_name: &str,
        address: SocketAddr,
    ) -> (Self, Option<JoinHandle<()>>) {
        let Some(collector) = collector else { return (Self { to: None }, None) };
        let ipv4 = match address.ip() {
            IpAddr::V4(ip) if !ip.is_unspecified() => Some(ip.to_string()),
            _ => None,
        };
        let endpoint = Endpoint { service_name: service_name.to_owned(), ipv4, port: Some(address.port()) };
        let (sender, receiver) = mpsc::channel(QUEUE);
        let task = tokio::spawn(post_batches(receiver, collector));
        (Self { to: Some((sender, Arc::new(endpoint))) }, Some(task))
    }

    /// This service as spans name it; `None` when no spans are wanted.
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        self.to.as_ref().map(|(_, endpoint)| &**endpoint)
    }

    /// Hands a span over, or loses it when the queue is full.
    pub(super) fn report(&self, span: Span) {
        if let Some((sender, _)) = &self.to {
            _ = sender.try_send(span);
        }
    }
}

async fn post_batches(mut spans: Receiver<Span>, collector: Uri) {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut batch = Vec::new();
    let mut reached = true;
    while spans.recv_many(&mut batch, BATCH).await > 0 {
        gather(&mut spans, &mut batch).await;
        let posted = post(&client, &collector, &batch).await;
        // One line when it goes wrong and one when it is well again, not one for each batch.
        if let (Err(problem), true) = (&posted, reached) {
            tracing::warn!(%collector, problem, "spans are lost: the collector does not take them");
        } else if posted.is_ok() && !reached {
            tracing::info!(%collector, "the collector takes spans again");
        }
        reached = posted.is_ok();
        batch.clear();
    }
}

/// Waits for more spans until the batch is full, [`GATHER`] has passed or no more can come.
async fn gather(spans: &mut Receiver<Span>, batch: &mut Vec<Span>) {
    let more = async {
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            if spans.recv_many(batch, room).await == 0 {
                return;
            }
        }
    };
    _ = timeout(GATHER, more).await;
}

async fn post(
    client: &Client<HttpConnector, Full<Bytes>>,
    collector: &Uri,
    batch: &[Span],
) -> Result<(), String> {
    let body = serde_json::to_vec(batch).map_err(|error| error.to_string())?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(collector)
        .header(CONTENT_TYPE, "application/json")
        // The collector must not trace the reporting of traces.
        .header("b3", "0")
        .body(Full::from(body))
        .map_err(|error| error.to_string())?;
    match timeout(POST_LIMIT, client.request(request)).await {
        Ok(Ok(response)) if response.status().is_success() => Ok(()),
        Ok(Ok(response)) => Err(format!("it answered {}", response.status())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it did not answer within a second".to_owned()),
    }
}
