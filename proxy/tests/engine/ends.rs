//! How a client's HTTP/1 connection and its requests end: in good order where the client is not at fault, with a word
//! where it is.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Client, LIMIT, limited, until};
use crate::foreign::{Caller, Foreign, PAIRS, Speaks, take, written};
use crate::origin::{Origin, Reply, ok};
use crate::stage::{config, everything, start, with};

async fn gateway(origin: &Origin, limits: Value) -> portreeve_proxy::Gateway {
    start(with(config(&[origin], everything()), "limits", limits)).await
}

#[tokio::test]
async fn an_old_connection_has_one_more_request_and_not_none() {
    let origin = Origin::saying("ok").await;
    let gateway = gateway(&origin, json!({"connection_age": "300ms"})).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    let began = Instant::now();
    let young = client.get("/").await;
    assert!(young.field("connection").is_none() || began.elapsed() > Duration::from_millis(200));
    // Older than it may become, a tenth more included. Closing it now would lose what the client is about to send.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let last = client.get("/").await;
    assert_eq!((last.text(), last.field("connection")), ("ok", Some("close")));
    assert!(client.is_closed().await);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_left_is_noticed_behind_all_that_it_has_sent() {
    let origin = Origin::start(|_| Reply::Silence).await;
    let gateway = gateway(&origin, json!({})).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    let one = "GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    client.send(one.repeat(2_000)).await;
    until("the first is asked", || origin.count() == 1).await;
    drop(client);
    until("the origin is let go", || origin.open() == 0).await;
    assert_eq!(origin.count(), 1);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_connection_is_told_to_go_with_its_last_answer() {
    let origin = Origin::saying("ok").await;
    let gateway = gateway(&origin, json!({"requests_per_connection": 3})).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for expected in [None, None, Some("close")] {
        assert_eq!(client.get("/").await.field("connection"), expected);
    }
    assert!(client.is_closed().await);
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_upload_that_is_too_slow_is_refused() {
    let origin = Origin::saying("ok").await;
    let gateway = gateway(&origin, json!({"min_rate": "1KiB", "rate_window": "500ms"})).await;
    let upload = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nbegin";
    let mut silent = Client::connect(gateway.local_addrs().listen).await;
    silent.send(upload).await;
    let mut slow = Client::connect(gateway.local_addrs().listen).await;
    slow.send(upload).await;
    silent.answer("POST").await.problem(408, "body_rate");
    assert!(silent.is_closed().await);
    let (mut reading, mut writing) = slow.stream.into_split();
    let trickle = tokio::spawn(async move {
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut start = [0; 12];
    limited(reading.read_exact(&mut start)).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 408");
    trickle.abort();
    assert_eq!(origin.count(), 0, "no whole request came through");
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_upload_that_is_fast_enough_takes_its_time() {
    let origin = Origin::saying("ok").await;
    let gateway = gateway(&origin, json!({"min_rate": "1KiB", "rate_window": "1s"})).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 240000\r\n\r\n").await;
    for _ in 0..60 {
        client.send([b'x'; 4_000]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(client.answer("POST").await.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended_wherever_it_is() {
    let origin = Origin::start(|_| Reply::Silence).await;
    let gateway = gateway(&origin, json!({"request_age": "400ms"})).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.get("/").await.problem(504, "request_age");
    assert_eq!(origin.count(), 1, "it was not begun again");
    gateway.shutdown().await;
    for (front, behind) in PAIRS {
        let (pen, body) = written();
        let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
        let origin = Foreign::start(behind, move |_| {
            let body = body.lock().unwrap().take().unwrap();
            async move { http::Response::new(body) }
        })
        .await;
        let gateway = start(with(origin.config(), "limits", json!({"request_age": "1500ms"}))).await;
        let mut body = Caller::connect(front, gateway.local_addrs().listen).await.get("/").await.into_body();
        pen.write("some").await;
        assert_eq!(take(&mut body, 4).await, b"some");
        let end = limited(body.frame()).await;
        assert!(end.is_some_and(|end| end.is_err()), "{front:?} {behind:?}: it looked whole");
        pen.closed().await;
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended_while_its_client_reads_slowly() {
    let origin = Origin::start(|_| Reply::Keep(ok(vec![b'x'; 32 << 20]))).await;
    let gateway = gateway(&origin, json!({"request_age": "1s"})).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // Faster than `min_rate` asks for, and slower than the instance.
    let reading = tokio::spawn(async move {
        let mut piece = [0; 1024];
        while client.stream.read(&mut piece).await.is_ok_and(|count| count > 0) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    until("the instance is asked", || origin.open() == 1).await;
    until("the instance is let go", || origin.open() == 0).await;
    reading.abort();
    gateway.shutdown().await;
}

/// An instance that begins its answer before it was asked to the end, and says no more; ready when its connection ends.
async fn early() -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answering = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).await.unwrap();
            head.push(byte[0]);
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            .await
            .unwrap();
        while stream.read(&mut byte).await.is_ok_and(|count| count > 0) {}
    });
    (address, answering)
}

#[tokio::test]
async fn a_client_that_leaves_its_upload_is_noticed_while_the_answer_rests() {
    for leaves in [true, false] {
        let (address, instance) = early().await;
        let settings = json!({
            "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "access_log": "off", "workers": 1,
            "services": {"s": {"endpoints": [address.to_string()]}}, "routes": everything(),
            "limits": {"min_rate": "1KiB", "rate_window": "500ms"},
        });
        let gateway = start(settings).await;
        let mut client = Client::connect(gateway.local_addrs().listen).await;
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345").await;
        let mut begin = Vec::new();
        while !begin.ends_with(b"first\r\n") {
            let mut byte = [0];
            limited(client.stream.read_exact(&mut byte)).await.unwrap();
            begin.push(byte[0]);
        }
        // Either it goes, or it says nothing more: in both cases nobody is left to answer.
        let kept = (!leaves).then_some(client);
        until("the instance is let go", || instance.is_finished()).await;
        if let Some(mut client) = kept {
            assert!(client.is_closed().await);
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn without_memory_new_requests_are_told_to_come_again() {
    let origin = Origin::start(|seen| {
        Reply::Keep(ok(match seen.line().contains("/large") {
            true => vec![b'x'; 32 << 20],
            false => vec![b'x'],
        }))
    })
    .await;
    let limits = json!({"buffers": "48KiB"});
    let settings = with(config(&[&origin], everything()), "limits", limits);
    let gateway = start(with(settings, "workers", json!(1))).await;
    let address = gateway.local_addrs().listen;
    assert_eq!(crate::client::get(address, "/").await.status, 200);
    let mut holding = Client::connect(address).await;
    // It reads nothing: what comes from the origin is held.
    holding.send("GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the answer is under way", || origin.count() == 2).await;
    let refused = async {
        loop {
            let given = crate::client::get(address, "/").await;
            if given.status != 200 {
                return given;
            }
        }
    };
    let refused = limited(refused).await;
    refused.problem(503, "overloaded");
    assert_eq!(refused.field("retry-after"), Some("1"));
    let mut stream = Caller::connect(Speaks::Http2, address).await;
    assert_eq!(stream.get("/").await.status(), 503);
    drop(holding);
    let end = tokio::time::Instant::now() + LIMIT;
    while crate::client::get(address, "/").await.status != 200 {
        assert!(tokio::time::Instant::now() < end, "the memory is never given back");
    }
    gateway.shutdown().await;
}
