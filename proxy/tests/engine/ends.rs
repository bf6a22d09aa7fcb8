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
