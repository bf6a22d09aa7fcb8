//! How a connection becomes a stream, what may be under way on one, and what it takes up for as long as it lives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve_config::wire::{ControlMessage, NodeMessage};
use portreeve_config::{ControlPlaneConfig, ControlPlaneLimits, ControlPlaneTls};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::{LIMIT, Node, Plane, asking, config};

const HELLO: &str = r#"{"type":"hello","node":"n","kind":"sidecar","services":["orders"]}"#;
const FIELDS: &str = "connection: upgrade\r\nupgrade: portreeve-stream\r\n";

async fn start(limits: ControlPlaneLimits) -> (tempfile::TempDir, Plane) {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::with(ControlPlaneConfig { limits, ..config(folder.path()) }).await;
    (folder, plane)
}

fn request(version: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /v1/stream HTTP/{version}\r\nhost: localhost\r\n{fields}content-length: {length}\r\n\r\n{body}"
    )
}

/// Sends `bytes` as they are.
async fn sent(address: SocketAddr, bytes: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes.as_bytes()).await.unwrap();
    socket
}

/// What comes until `done`, or until there is no more.
async fn until(socket: &mut TcpStream, done: impl Fn(&str) -> bool) -> String {
    let mut came = Vec::new();
    let read = async {
        while !done(&String::from_utf8_lossy(&came)) {
            if !matches!(socket.read_buf(&mut came).await, Ok(1..)) {
                break;
            }
        }
    };
    tokio::time::timeout(LIMIT, read).await.expect("it did not come in time");
    String::from_utf8_lossy(&came).into_owned()
}

fn registration(id: &str, lease: u64) -> String {
    let line = json!({"type": "register", "service": "orders", "id": id, "address": "127.0.0.1:4001", "status": "up", "lease_ms": lease});
    format!("{line}\n")
}

async fn ids(plane: &Plane) -> Vec<String> {
    let instances = plane.get("/v1/instances").await.json()["instances"].clone();
    let id = |instance: &Value| instance["id"].as_str().unwrap().to_owned();
    instances.as_array().unwrap().iter().map(id).collect()
}

#[tokio::test]
async fn whoever_does_not_ask_for_the_upgrade_is_told_how() {
    let (_folder, plane) = start(ControlPlaneLimits::default()).await;
    for (version, fields) in [
        ("1.1", ""),
        ("1.1", "upgrade: portreeve-stream\r\n"),
        ("1.1", "connection: upgrade\r\nupgrade: websocket\r\n"),
        ("1.0", FIELDS),
    ] {
        let fields = format!("{fields}connection: close\r\n");
        let mut socket = sent(plane.running.address(), &request(version, &fields, HELLO)).await;
        let answer = until(&mut socket, |_| false).await;
        assert!(answer.starts_with(&format!("HTTP/{version} 426 ")), "{fields}: {answer}");
        assert!(answer.contains("upgrade: portreeve-stream\r\n"), "{answer}");
        assert!(
            answer.contains("application/problem+json") && answer.contains("`Upgrade: portreeve-stream`"),
            "{answer}"
        );
    }
    assert_eq!(plane.get("/v1/nodes").await.json()["nodes"], json!([]));
}

#[tokio::test]
async fn a_hello_has_its_time_and_its_size() {
    let (_folder, plane) = start(ControlPlaneLimits::default()).await;
    let long = format!("{HELLO}{}", " ".repeat(1 << 20));
    let mut socket = TcpStream::connect(plane.running.address()).await.unwrap();
    // It need not hear all of it.
    let _ = socket.write_all(request("1.1", FIELDS, &long).as_bytes()).await;
    let answer = until(&mut socket, |text| text.contains("1 MiB")).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let (begun, rest) = HELLO.split_at(20);
    let whole = request("1.1", FIELDS, HELLO);
    let began = Instant::now();
    let mut socket = sent(plane.running.address(), whole.strip_suffix(rest).unwrap()).await;
    let answer = until(&mut socket, |text| text.contains("within 5 s")).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{begun}: {answer}");
    assert!(began.elapsed() > Duration::from_secs(4));
}

#[tokio::test]
async fn what_comes_with_the_request_is_the_beginning_of_the_stream() {
    let (_folder, plane) = start(ControlPlaneLimits::default()).await;
    let early = registration("early", 60_000);
    let (most, rest) = early.split_at(early.len() - 5);
    let whole =
        request("1.1", "Connection: keep-alive, Upgrade\r\nUpgrade: h2c, Portreeve-Stream\r\n", HELLO);
    let mut socket = sent(plane.running.address(), &format!("{whole}{most}")).await;
    let answer = until(&mut socket, |text| text.contains("\"snapshot\"")).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(!answer.contains("content-length") && !answer.contains("transfer-encoding"), "{answer}");
    socket.write_all(rest.as_bytes()).await.unwrap();
    until(&mut socket, |text| text.contains("\"registered\"")).await;
    assert_eq!(ids(&plane).await, ["early"]);
}

#[tokio::test]
async fn many_steps_are_under_way_and_each_is_answered_in_its_turn() {
    let (_folder, plane) = start(ControlPlaneLimits::default()).await;
    let mut node = plane.node(serde_json::from_str(HELLO).unwrap()).await;
    let mut lines = String::new();
    for number in 0..300 {
        lines += &registration(&format!("i-{number}"), 60_000);
        if number % 100 == 50 {
            lines += "no message\n";
        }
    }
    for number in 1..300 {
        lines += &json!({"type": "deregister", "service": "orders", "id": format!("i-{number}")}).to_string();
        lines += "\n{\"type\":\"renew\"}\n";
    }
    lines += &registration("i-7", 60_000);
    node.say_raw(lines.trim_end());
    let mut newest = 0;
    for number in 0..300 {
        let revision = node.outcome().await.unwrap_or_else(|fault| panic!("{number}: {fault}"));
        assert!(revision > newest, "{revision} after {newest}");
        newest = revision;
        if number % 100 == 50 {
            assert!(node.outcome().await.unwrap_err().contains("no message"), "after {number}");
        }
    }
    for number in 1..=300 {
        assert_eq!(node.outcome().await, Ok(newest + number));
    }
    let mut left = ids(&plane).await;
    left.sort();
    assert_eq!(left, ["i-0", "i-7"]);
}

#[tokio::test]
async fn what_is_under_way_when_a_stream_breaks_gets_the_grace_only() {
    let (_folder, plane) = start(ControlPlaneLimits::default()).await;
    let mut lines = request("1.1", FIELDS, HELLO);
    (0..40).for_each(|number| lines += &registration(&format!("i-{number}"), 600_000));
    drop(sent(plane.running.address(), &lines).await);
    let began = Instant::now();
    let mut kept = plane.gateway("g").await;
    let mut seen = kept.snapshot().await;
    // What had come by then came; none of it may stay for its ten minutes.
    while began.elapsed() < Duration::from_secs(2) || !seen.instances.is_empty() {
        assert!(began.elapsed() < LIMIT, "{} have stayed", seen.instances.len());
        match kept.next_raw().await.unwrap() {
            ControlMessage::Change(change) => seen.apply(change),
            _ => continue,
        }
    }
}

#[tokio::test]
async fn a_line_that_is_too_long_ends_the_stream() {
    let (_folder, plane) = start(ControlPlaneLimits::default()).await;
    let mut node = plane.gateway("g").await;
    node.snapshot().await;
    node.say_raw(&" ".repeat(2 << 20));
    while node.next().await.is_some() {}
}

#[tokio::test]
async fn leases_are_renewed_while_a_snapshot_is_taken_slowly_and_who_takes_nothing_is_cut_off() {
    let (_folder, plane) = start(ControlPlaneLimits::default()).await;
    for layer in ["application/default", "application/prod", "orders/default", "orders/prod"] {
        let large = |key: u32| (format!("{layer}-{key}"), json!("x".repeat(60_000)));
        let values: serde_json::Map<String, Value> = (0..8).map(large).collect();
        assert_eq!(plane.put(&format!("/v1/config/{layer}"), Value::Object(values)).await.status, 200);
    }
    let hello =
        r#"{"type":"hello","node":"n","kind":"sidecar","config":{"application":"orders","profile":"prod"}}"#;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let mut socket = socket.connect(plane.running.address()).await.unwrap();
    socket.write_all(request("1.1", FIELDS, hello).as_bytes()).await.unwrap();
    until(&mut socket, |text| text.contains("\r\n\r\n")).await;
    socket.write_all(registration("i", 1_000).as_bytes()).await.unwrap();
    let began = Instant::now();
    let mut byte = [0; 512];
    while began.elapsed() < Duration::from_millis(2_500) {
        socket.write_all(b"{\"type\":\"renew\"}\n").await.unwrap();
        socket.read_exact(&mut byte).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ids(&plane).await, ["i"], "its lease ended while it was taking a snapshot");
    // It asks on and takes nothing of what it is told.
    let asked = async { while socket.write_all(&b"nonsense\n".repeat(1_000)).await.is_ok() {} };
    tokio::time::timeout(LIMIT, asked).await.expect("it is heard for ever");
}

#[tokio::test]
async fn a_stream_takes_up_its_place_until_it_ends() {
    let limits = ControlPlaneLimits { connections_per_client: 2, ..Default::default() };
    let (_folder, plane) = start(limits).await;
    let (first, _second) = (plane.gateway("a").await, plane.gateway("b").await);
    let mut refused = TcpStream::connect(plane.running.address()).await.unwrap();
    assert_eq!(until(&mut refused, |_| false).await, "", "a third one is let in");
    drop(first);
    let (address, began) = (plane.running.address(), Instant::now());
    loop {
        let mut socket = sent(address, "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        if until(&mut socket, |text| text.contains("\r\n\r\n")).await.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(began.elapsed() < LIMIT, "one has ended, and nobody is let in");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_stream_over_tls_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (chain, key_file) = (folder.path().join("plane.pem"), folder.path().join("plane.key"));
    std::fs::write(&chain, certificate.pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    let tls = json!({"certificate": chain, "key": key_file});
    let tls: ControlPlaneTls = serde_json::from_value(tls).unwrap();
    let plane =
        Plane::with(ControlPlaneConfig { tls: Some(tls), ..config(&folder.path().join("data")) }).await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = Arc::new(client.with_root_certificates(roots).with_no_client_auth());
    let address = plane.running.address();
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let socket = tokio_rustls::TlsConnector::from(client).connect(name, socket).await.unwrap();
    let hello = serde_json::from_str(HELLO).unwrap();
    let mut node = Node::open_on(socket, asking(address, None), hello).await.unwrap();
    node.snapshot().await;
    node.register("orders", "o-1", 4001, 60_000);
    node.outcome().await.unwrap();
    for _ in 0..200 {
        node.say(&NodeMessage::Renew);
    }
    assert!(matches!(node.next_raw().await, Some(ControlMessage::Ping { .. })));
    plane.running.shutdown().await;
    while node.next().await.is_some() {}
}
