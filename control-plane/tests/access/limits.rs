//! How much one client may ask for, on each listener.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use portreeve_config::{ConfigServerConfig, ControlPlaneConfig, ControlPlaneLimits, EurekaConfig, Period};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{LIMIT, Plane, config, send_to};

async fn with(limits: ControlPlaneLimits) -> (tempfile::TempDir, Plane, [SocketAddr; 3]) {
    let folder = tempfile::tempdir().unwrap();
    let listen = || "127.0.0.1:0".to_owned();
    let config = ControlPlaneConfig {
        limits,
        eureka: Some(EurekaConfig { listen: listen(), ..Default::default() }),
        config_server: Some(ConfigServerConfig { listen: listen(), ..Default::default() }),
        ..config(folder.path())
    };
    let plane = Plane::with(config).await;
    let running = &plane.running;
    let addresses =
        [running.address(), running.eureka_address().unwrap(), running.config_server_address().unwrap()];
    (folder, plane, addresses)
}

/// What comes until the connection is closed.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut read)).await.expect("it stays open");
    read
}

#[tokio::test]
async fn requests_beyond_the_rate_are_told_to_come_later() {
    let limits = ControlPlaneLimits { request_rate: 1, request_burst: 5, ..Default::default() };
    let (_folder, _plane, addresses) = with(limits).await;
    for (address, kind) in addresses.into_iter().zip([
        "application/problem+json",
        "text/plain; charset=utf-8",
        "text/plain; charset=utf-8",
    ]) {
        let mut last = None;
        for _ in 0..20 {
            let request = http::Request::get("/livez").header("host", address.to_string());
            let answer = send_to(address, request.body(Bytes::new()).unwrap()).await.unwrap();
            if answer.status == 429 {
                last = Some(answer);
                break;
            }
        }
        let answer = last.expect("nobody was refused");
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(answer.headers["content-type"], kind);
    }
}

#[tokio::test]
async fn requests_at_one_time_are_bounded() {
    let limits = ControlPlaneLimits { requests: 1, ..Default::default() };
    let (_folder, _plane, [own, eureka, _]) = with(limits).await;
    for (address, writes, reads) in [
        (own, "PUT /v1/config/orders/default", "/v1/nodes"),
        (eureka, "POST /eureka/apps/ORDERS", "/eureka/apps"),
    ] {
        let mut slow = TcpStream::connect(address).await.unwrap();
        let head = format!("{writes} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n");
        slow.write_all(format!("{head}content-length: 9\r\n\r\n").as_bytes()).await.unwrap();
        until_status(address, reads, 503).await;
        drop(slow);
        until_status(address, reads, 200).await;
    }
}

async fn until_status(address: SocketAddr, path: &str, status: u16) {
    let began = Instant::now();
    loop {
        let request = http::Request::get(path).header("host", address.to_string());
        let answer = send_to(address, request.body(Bytes::new()).unwrap()).await.unwrap();
        if answer.status == status {
            return;
        }
        assert!(began.elapsed() < LIMIT, "{path} is answered with {}", answer.status);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections() {
    let limits = ControlPlaneLimits { connections_per_client: 3, ..Default::default() };
    let (_folder, _plane, addresses) = with(limits).await;
    for address in addresses {
        let mut kept = Vec::new();
        for _ in 0..3 {
            kept.push(ask(address).await.expect("within the limit"));
        }
        let mut more = TcpStream::connect(address).await.unwrap();
        assert_eq!(rest(&mut more).await, b"");
        drop(kept.pop());
        let began = Instant::now();
        while ask(address).await.is_none() {
            assert!(began.elapsed() < LIMIT, "one was closed, and nobody gets in");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A connection on which a request was answered.
async fn ask(address: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET /livez HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await.ok()?;
    let mut first = [0; 12];
    tokio::time::timeout(LIMIT, stream.read_exact(&mut first)).await.unwrap().ok()?;
    first.starts_with(b"HTTP/1.1 ").then_some(stream)
}

#[tokio::test]
async fn connections_in_all_wait_for_their_turn() {
    let limits = ControlPlaneLimits { connections: 2, ..Default::default() };
    let (_folder, _plane, [address, ..]) = with(limits).await;
    let kept = [ask(address).await.unwrap(), ask(address).await.unwrap()];
    let mut waiting = TcpStream::connect(address).await.unwrap();
    waiting.write_all(format!("GET /livez HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await.unwrap();
    let mut first = [0; 12];
    let early = tokio::time::timeout(Duration::from_millis(300), waiting.read_exact(&mut first)).await;
    assert!(early.is_err(), "it was answered beside two others");
    drop(kept);
    tokio::time::timeout(LIMIT, waiting.read_exact(&mut first)).await.unwrap().unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
}

#[tokio::test]
async fn a_head_that_comes_slowly_ends_before_a_connection_that_rests() {
    let limits = ControlPlaneLimits {
        header_timeout: Period::from_secs(1),
        idle_timeout: Period::from_secs(4),
        ..Default::default()
    };
    let (_folder, _plane, addresses) = with(limits).await;
    for address in addresses {
        let began = Instant::now();
        let (slow, idle) = tokio::join!(drip(address), rest_after_one(address));
        assert!(slow < Duration::from_secs(3), "a slow head was waited for: {slow:?}");
        assert!(idle > Duration::from_secs(3), "a resting connection was closed: {idle:?}");
        assert!(began.elapsed() < LIMIT);
    }
}

/// How long a head may take of which a piece comes again and again.
async fn drip(address: SocketAddr) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let began = Instant::now();
    stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    let mut byte = [0; 1];
    loop {
        let _ = stream.write_all(b"x: y\r\n").await;
        match tokio::time::timeout(Duration::from_millis(100), stream.read(&mut byte)).await {
            Ok(Ok(0) | Err(_)) => return began.elapsed(),
            _ => assert!(began.elapsed() < LIMIT, "it goes on"),
        }
    }
}

/// How long a connection may rest after a request.
async fn rest_after_one(address: SocketAddr) -> Duration {
    let mut stream = ask(address).await.unwrap();
    let began = Instant::now();
    rest(&mut stream).await;
    began.elapsed()
}

#[tokio::test]
async fn heads_and_bodies_have_a_size() {
    let (_folder, _plane, addresses) = with(ControlPlaneLimits::default()).await;
    for (address, path, most) in [
        (addresses[0], "/v1/routes", 1 << 20),
        (addresses[0], "/v1/desired-state", 8 << 20),
        (addresses[0], "/api/v2/spans", 10 << 20),
        (addresses[1], "/eureka/apps/ORDERS", 128 << 10),
        (addresses[1], "/eureka/peerreplication/batch/", 4 << 20),
        (addresses[2], "/monitor", 8 << 20),
    ] {
        let method = if path == "/v1/desired-state" { "PUT" } else { "POST" };
        let request = http::Request::builder().method(method).uri(path).header("host", address.to_string());
        let request = request.header("content-type", "application/json");
        let status = match send_to(address, request.body(vec![b' '; most + 1].into()).unwrap()).await {
            Ok(answer) => answer.status,
            // It was refused before all was sent, which hyper's client takes for a break.
            Err(_) => 413,
        };
        assert_eq!(status, 413, "{path}");
    }
    for address in addresses {
        let request =
            http::Request::get("/livez").header("host", address.to_string()).header("x", "x".repeat(70_000));
        assert_eq!(send_to(address, request.body(Bytes::new()).unwrap()).await.unwrap().status, 431);
    }
}
