//! What arrives at a collector, and what happens without one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::UNIX_EPOCH;

use http::HeaderMap;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use portreeve_config::Propagation;

use super::*;
use crate::client::Client;
use crate::policy::trace::Sampler;

const LIMIT: Duration = Duration::from_secs(5);

/// A collector: takes posts and hands on each one's head and body.
async fn collector() -> (String, mpsc::UnboundedReceiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/api/v2/spans", listener.local_addr().unwrap());
    let (posts, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, posts.clone()));
        }
    });
    (endpoint, seen)
}

async fn serve(mut stream: TcpStream, posts: mpsc::UnboundedSender<(String, Value)>) {
    let mut heard = Vec::new();
    while stream.read_buf(&mut heard).await.is_ok_and(|read| read > 0) {
        let Some(end) = heard.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(heard[..end].to_vec()).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let length: usize = length.parse().unwrap();
        if heard.len() < end + 4 + length {
            continue;
        }
        let body = serde_json::from_slice(&heard[end + 4..end + 4 + length]).unwrap();
        heard.drain(..end + 4 + length);
        let _ = posts.send((head, body));
        stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    }
}

fn sink(endpoint: &str, address: Option<&str>) -> Arc<ZipkinSink> {
    let export = ZipkinExport {
        endpoint: endpoint.to_owned(),
        service: "gateway".to_owned(),
        address: address.map(|text| text.parse().unwrap()),
    };
    let client = Client::new(Arc::new(|_: &str| Vec::new())).unwrap();
    ZipkinSink::start(export, client, &Handle::current()).unwrap()
}

fn root() -> TraceContext {
    TraceContext::from_headers(&HeaderMap::new(), &Sampler::new(1.0), Propagation::W3c)
}

fn span(context: TraceContext, kind: SpanKind) -> Span {
    Span {
        context,
        kind,
        name: "GET products".into(),
        start: UNIX_EPOCH + Duration::from_micros(1_751_000_000_123_456),
        duration: Duration::from_micros(41_000),
        error: None,
        attributes: vec![("http.status_code", "200".into())],
        remote: Remote::default(),
    }
}

fn by_kind<'a>(spans: &'a Value, kind: &str) -> &'a Value {
    spans.as_array().unwrap().iter().find(|span| span["kind"] == kind).unwrap()
}

#[tokio::test]
async fn a_collector_gets_both_sides_of_a_call_whole() {
    let (endpoint, mut seen) = collector().await;
    let sink = sink(&endpoint, Some("10.1.0.2:19091"));
    let context = root();
    let mut server = span(context, SpanKind::Server);
    server.remote.address = Some("[2001:db8::9]:51000".parse().unwrap());
    let mut client = span(context.child(), SpanKind::Client);
    client.remote =
        Remote { service: Some("products".into()), address: Some("127.0.0.1:19093".parse().unwrap()) };
    client.error = Some("connection \"refused\"".into());
    client.duration = Duration::ZERO;
    sink.record(client.clone());
    sink.record(server);
    assert!(sink.flush(LIMIT).await);

    let (head, spans) = seen.recv().await.unwrap();
    assert!(head.starts_with("post /api/v2/spans http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json") && head.contains("\r\nb3: 0"), "{head}");
    let expected_server = json!({
        "traceId": format!("{:032x}", context.trace_id()),
        "id": format!("{:016x}", context.span_id()),
        "kind": "SERVER",
        "name": "GET products",
        "timestamp": 1_751_000_000_123_456_u64,
        "duration": 41_000,
        "localEndpoint": {"serviceName": "gateway", "ipv4": "10.1.0.2", "port": 19091},
        "remoteEndpoint": {"ipv6": "2001:db8::9", "port": 51000},
        "tags": {"http.status_code": "200"},
    });
    assert_eq!(*by_kind(&spans, "SERVER"), expected_server);
    let expected_client = json!({
        "traceId": format!("{:032x}", context.trace_id()),
        "parentId": format!("{:016x}", context.span_id()),
        "id": format!("{:016x}", client.context.span_id()),
        "kind": "CLIENT",
        "name": "GET products",
        "timestamp": 1_751_000_000_123_456_u64,
        "duration": 1,
        "localEndpoint": {"serviceName": "gateway", "ipv4": "10.1.0.2", "port": 19091},
        "remoteEndpoint": {"serviceName": "products", "ipv4": "127.0.0.1", "port": 19093},
        "tags": {"http.status_code": "200", "error": "connection \"refused\"", "otel.status_code": "ERROR"},
    });
    assert_eq!(*by_kind(&spans, "CLIENT"), expected_client);
    assert_eq!(sink.dropped(), 0);
}

#[tokio::test]
async fn spans_leave_by_themselves_and_in_batches_of_512_at_most() {
    let (endpoint, mut seen) = collector().await;
    let sink = sink(&endpoint, Some("0.0.0.0:80"));
    for _ in 0..1200 {
        sink.record(span(root(), SpanKind::Server));
    }
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 1200 {
        let (_, spans) = tokio::time::timeout(LIMIT, seen.recv()).await.unwrap().unwrap();
        assert_eq!(spans[0]["localEndpoint"], json!({"serviceName": "gateway"}));
        sizes.push(spans.as_array().unwrap().len());
    }
    assert_eq!(sizes, [512, 512, 176]);
}

#[tokio::test]
async fn without_a_collector_spans_are_dropped_and_counted() {
    // Bound and not listening: no one answers there, and no one else gets the port.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let sink = sink(&format!("http://{}/api/v2/spans", nobody.local_addr().unwrap()), None);
    sink.record(span(root(), SpanKind::Server));
    assert!(sink.flush(LIMIT).await);
    assert_eq!(sink.dropped(), 1);
}

#[tokio::test]
async fn a_silent_collector_costs_a_bounded_queue_and_no_waiting() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = sink(&format!("http://{}/", silent.local_addr().unwrap()), None);
    for _ in 0..6000 {
        sink.record(span(root(), SpanKind::Server));
    }
    // Nothing ran in between, so the queue took what it holds and no more.
    assert_eq!(sink.dropped(), 6000 - 4096);
    assert!(!sink.flush(Duration::from_millis(20)).await);
}

#[tokio::test]
async fn an_endpoint_that_can_be_none_is_refused() {
    for endpoint in ["", "127.0.0.1:9411", "ftp://host/", "/api/v2/spans", "http://ho st/"] {
        let export =
            ZipkinExport { endpoint: endpoint.to_owned(), service: "gateway".to_owned(), address: None };
        let client = Client::new(Arc::new(|_: &str| Vec::new())).unwrap();
        let fault = ZipkinSink::start(export, client, &Handle::current()).err().unwrap();
        assert!(fault.to_string().contains("http://127.0.0.1:9411/api/v2/spans"), "{endpoint}: {fault}");
    }
}
