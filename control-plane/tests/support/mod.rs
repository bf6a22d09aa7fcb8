//! A control plane in the test's own process, a small HTTP client, and a node that speaks the stream.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use portreeve_config::wire::{ControlMessage, NodeMessage, STREAM_PATH, STREAM_PROTOCOL, Snapshot};
use portreeve_config::{ControlPlaneConfig, SeedConfig, StoreConfig};
use portreeve_control_plane::{ControlPlane, RunningControlPlane};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// The longest any step of a test may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

pub(crate) struct Plane {
    pub(crate) running: RunningControlPlane,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|fault| panic!("{fault}: {}", self.text))
    }

    /// The revision in the body.
    pub(crate) fn revision(&self) -> u64 {
        self.json()["revision"].as_u64().unwrap_or_else(|| panic!("no revision: {}", self.text))
    }
}

pub(crate) fn config(data_dir: &Path) -> ControlPlaneConfig {
    ControlPlaneConfig {
        listen: "127.0.0.1:0".to_owned(),
        tls: None,
        plain_text: false,
        data_dir: data_dir.to_owned(),
        store: StoreConfig::default(),
        seed: SeedConfig::default(),
        trace_spans: 1_000,
        config_server: None,
        eureka: None,
        tokens: Vec::new(),
        anonymous_spans: false,
        audit: Default::default(),
        limits: Default::default(),
    }
}

pub(crate) fn route(name: &str, path: &str, service: &str) -> Value {
    json!({"name": name, "match": {"path": path}, "service": service})
}

impl Plane {
    pub(crate) async fn start(data_dir: &Path) -> Self {
        Self::with(config(data_dir)).await
    }

    pub(crate) async fn with(config: ControlPlaneConfig) -> Self {
        Self { running: ControlPlane::start(config).await.unwrap() }
    }

    pub(crate) async fn send(&self, request: http::Request<Bytes>) -> Answer {
        Self::send_to(self.running.address(), request).await
    }

    pub(crate) async fn send_to(address: SocketAddr, request: http::Request<Bytes>) -> Answer {
        send_to(address, request).await.unwrap()
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let host = self.running.address().to_string();
        http::Request::builder().method(method).uri(path).header("host", host)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path).body(Bytes::new()).unwrap()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request("DELETE", path).body(Bytes::new()).unwrap()).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.json("PUT", path, body).await
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        let request = self.request(method, path).header("content-type", "application/json");
        self.send(request.body(body.to_string().into()).unwrap()).await
    }

    pub(crate) async fn register(&self, service: &str, id: &str, port: u16) -> Answer {
        let body = json!({"address": format!("127.0.0.1:{port}"), "lease_ms": 60_000});
        self.put(&format!("/v1/services/{service}/instances/{id}"), body).await
    }

    pub(crate) async fn node(&self, hello: Value) -> Node {
        Node::open(self, hello).await.unwrap_or_else(|answer| panic!("{}", answer.text))
    }

    pub(crate) async fn gateway(&self, name: &str) -> Node {
        self.node(json!({"type": "hello", "node": name, "kind": "gateway"})).await
    }

    pub(crate) async fn sidecar(&self, name: &str, application: &str, profile: &str) -> Node {
        let scope = json!({"application": application, "profile": profile});
        self.node(json!({"type": "hello", "node": name, "kind": "sidecar", "config": scope})).await
    }
}

/// Sends one request on a connection of its own.
pub(crate) async fn send_to(
    address: SocketAddr,
    request: http::Request<Bytes>,
) -> Result<Answer, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let answer = tokio::time::timeout(LIMIT, sender.send_request(request.map(Full::new))).await;
    let (head, body) = answer.expect("no answer in time")?.into_parts();
    let body = body.collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, text, bytes: body })
}

/// The node's end of one stream.
#[derive(Debug)]
pub(crate) struct Node {
    lines: Option<mpsc::UnboundedSender<Bytes>>,
    socket: ReadHalf<TokioIo<Upgraded>>,
    buffer: BytesMut,
}

/// A request that asks for a stream.
pub(crate) fn asking(address: SocketAddr, token: Option<&str>) -> http::request::Builder {
    let request = http::Request::post(STREAM_PATH).header("host", address.to_string());
    let request = request.header("connection", "upgrade").header("upgrade", STREAM_PROTOCOL);
    match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    }
}

impl Node {
    pub(crate) async fn open(plane: &Plane, hello: Value) -> Result<Self, Answer> {
        Self::open_at(plane.running.address(), hello).await
    }

    pub(crate) async fn open_at(address: SocketAddr, hello: Value) -> Result<Self, Answer> {
        Self::open_with(address, None, hello).await
    }

    /// With a token, where there is one.
    pub(crate) async fn open_with(
        address: SocketAddr,
        token: Option<&str>,
        hello: Value,
    ) -> Result<Self, Answer> {
        let stream = TcpStream::connect(address).await.unwrap();
        Self::open_on(stream, asking(address, token), hello).await
    }

    /// On a connection that is there.
    pub(crate) async fn open_on(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        request: http::request::Builder,
        hello: Value,
    ) -> Result<Self, Answer> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let request = request.body(Full::new(Bytes::from(hello.to_string()))).unwrap();
        let answer = tokio::time::timeout(LIMIT, sender.send_request(request)).await.unwrap().unwrap();
        if answer.status() != 101 {
            let (head, body) = answer.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            return Err(Answer { status: head.status.as_u16(), headers: head.headers, text, bytes });
        }
        assert_eq!(answer.headers()["upgrade"], STREAM_PROTOCOL);
        let upgraded = hyper::upgrade::on(answer).await.unwrap();
        let (socket, mut out) = tokio::io::split(TokioIo::new(upgraded));
        let (lines, mut said) = mpsc::unbounded_channel::<Bytes>();
        tokio::spawn(async move {
            while let Some(line) = said.recv().await {
                if out.write_all(&line).await.is_err() {
                    return;
                }
            }
            let _ = out.shutdown().await;
        });
        Ok(Self { lines: Some(lines), socket, buffer: BytesMut::new() })
    }

    pub(crate) fn say(&self, message: &NodeMessage) {
        self.say_raw(&serde_json::to_string(message).unwrap());
    }

    /// As [`Node::say`], for when the stream may have ended.
    pub(crate) fn try_say(&self, message: &NodeMessage) {
        let line = serde_json::to_string(message).unwrap();
        let _ = self.lines.as_ref().unwrap().send(format!("{line}\n").into());
    }

    pub(crate) fn say_raw(&self, line: &str) {
        self.lines.as_ref().unwrap().send(format!("{line}\n").into()).unwrap();
    }

    pub(crate) fn register(&self, service: &str, id: &str, port: u16, lease_ms: u64) {
        let address = format!("127.0.0.1:{port}");
        self.say_raw(
            &json!({"type": "register", "service": service, "id": id, "address": address, "status": "up", "lease_ms": lease_ms})
                .to_string(),
        );
    }

    /// The next message, pings included; `None` at the end of the stream.
    pub(crate) async fn next_raw(&mut self) -> Option<ControlMessage> {
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(at + 1);
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let read = self.socket.read_buf(&mut self.buffer);
            match tokio::time::timeout(LIMIT, read).await.expect("nothing came in time") {
                Ok(1..) => {}
                _ => return None,
            }
        }
    }

    /// The next message that is no ping.
    pub(crate) async fn next(&mut self) -> Option<ControlMessage> {
        loop {
            match self.next_raw().await {
                Some(ControlMessage::Ping { .. }) => {}
                other => return other,
            }
        }
    }

    pub(crate) async fn snapshot(&mut self) -> Snapshot {
        match self.next().await {
            Some(ControlMessage::Snapshot(snapshot)) => snapshot,
            other => panic!("no snapshot: {other:?}"),
        }
    }

    /// Applies what comes until `done` holds.
    pub(crate) async fn follow(
        &mut self,
        snapshot: &mut Snapshot,
        done: impl Fn(&Snapshot) -> bool,
    ) -> Duration {
        let start = Instant::now();
        while !done(snapshot) {
            assert!(start.elapsed() < LIMIT, "did not happen: {snapshot:?}");
            match self.next_raw().await {
                Some(ControlMessage::Change(change)) => {
                    assert_eq!(change.revision, snapshot.revision + 1, "a revision was left out");
                    snapshot.apply(change);
                }
                Some(ControlMessage::Snapshot(whole)) => *snapshot = whole,
                Some(_) => {}
                None => panic!("the stream ended"),
            }
        }
        start.elapsed()
    }

    /// The revision of the next `registered`, or the faults of the next `refused`.
    pub(crate) async fn outcome(&mut self) -> Result<u64, String> {
        loop {
            match self.next().await.expect("the stream ended") {
                ControlMessage::Registered { revision } => return Ok(revision),
                ControlMessage::Refused { faults } => {
                    return Err(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
                }
                _ => {}
            }
        }
    }

    /// Ends the node's half in order.
    pub(crate) fn end(&mut self) {
        self.lines = None;
    }
}
