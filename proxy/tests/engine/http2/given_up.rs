//! What a client or the gateway gives up is held by nobody: it does not count as memory for data on its way, and hides
//! nothing that does, also while its connection goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portreeve_proxy::Gateway;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::held::{becomes, is_full_until_gone, narrow, small};
use super::wire::{
    DATA, END_HEADERS, END_STREAM, End, HEADERS, RST_STREAM, WINDOW_UPDATE, Wire, block, frame, request,
    setting, whole,
};
use crate::client::{Client, get, limited, until};
use crate::foreign::{self, Foreign, Speaks, written};
use crate::origin::{Origin, Reply, ok};
use crate::stage::{config, start, with};

/// What has passed by a stream that does not end.
const LONG: usize = 2 << 20;
/// An answer that is kept, and is handed over whole before the client has room for it.
const KEPT: usize = 48 << 10;

/// One worker, and so much memory for what is on its way.
fn within(settings: Value, buffers: &str) -> Value {
    with(with(settings, "limits", json!({"buffers": buffers})), "workers", json!(1))
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// A client that gives answers no room, but for the first stream, which it begins with `first`.
async fn shut(gateway: &Gateway, first: Vec<u8>) -> Wire {
    let mut wire = Wire::with_settings(gateway.local_addrs().listen, &[setting(4, 0)]).await;
    wire.keep_windows_shut();
    let room = 0x00ff_ffff_u32.to_be_bytes();
    let windows = [frame(WINDOW_UPDATE, 0, 0, &room), frame(WINDOW_UPDATE, 0, 1, &room)].concat();
    wire.send([first, windows].concat()).await;
    wire
}

/// Reads so many bytes of data.
async fn takes(wire: &mut Wire, mut bytes: usize) {
    while bytes > 0 {
        let received = limited(wire.next()).await.expect("the connection ended");
        if received.kind == DATA {
            bytes -= received.payload.len();
        }
    }
}

/// Reads on to the head of the answer by this stream.
async fn has_head(wire: &mut Wire, stream: u32) {
    loop {
        let received = limited(wire.next()).await.expect("the connection ended");
        if (received.kind, received.stream) == (HEADERS, stream) {
            return;
        }
    }
}

/// A gateway whose cache has `/kept`, before an origin that answers `/socket` as it is told to.
async fn keeping(socket: Vec<u8>) -> (Origin, Gateway) {
    let origin = Origin::start(move |seen| match seen.line() {
        line if line.contains("/socket") => Reply::Keep(socket.clone()),
        line if line.contains("/kept") => Reply::Keep(ok(vec![b'x'; KEPT])),
        _ => Reply::Keep(ok("ok")),
    })
    .await;
    let routes = json!([
        {"name": "kept", "match": {"path": "/kept", "methods": ["GET"]}, "service": "s", "auth": "none",
         "cache": {"ttl": "60s", "share": "everyone"}},
        {"name": "socket", "match": {"path": "/socket"}, "service": "s", "upgrade": ["websocket"]},
        {"name": "all", "match": {"path": "/*"}, "service": "s"},
    ]);
    let gateway = start(small(config(&[&origin], routes))).await;
    // What is kept is kept for those who come the same way.
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    for stream in [1, 3] {
        wire.send(whole(stream, "GET", "/kept")).await;
        let end = limited(wire.end_of(stream)).await;
        assert!(matches!(&end, End::Answer(200, body) if body.len() == KEPT));
    }
    drop(wire);
    let asked = origin.seen().iter().filter(|seen| seen.line().contains("/kept")).count();
    assert_eq!(asked, 1, "it is kept");
    (origin, gateway)
}

#[tokio::test]
async fn bodies_that_nobody_wants() {
    // One is read over before it is refused, the other is reset.
    for length in [Some("16384"), None] {
        let origin = super::origin().await;
        let routes = json!([{"name": "silent", "match": {"path": "/silent"}, "service": "s"}]);
        let gateway = start(within(config(&[&origin], routes), "512KiB")).await;
        let mut wire = Wire::connect(gateway.local_addrs().listen).await;
        // Without any stream everything is forgotten.
        wire.send(whole(1, "GET", "/silent")).await;
        until("a stream stays open", || origin.count() == 1).await;
        for number in 1..=100 {
            let stream = 2 * number + 1;
            let mut head = request("POST", "/nowhere");
            head.extend(length.map(|length| block(&[("content-length", length)])).unwrap_or_default());
            let flags = if length.is_some() { END_STREAM } else { 0 };
            let body = frame(DATA, flags, stream, &[b'x'; 16 * 1024]);
            wire.send([frame(HEADERS, END_HEADERS, stream, &head), body].concat()).await;
            let end = limited(wire.end_of(stream)).await;
            assert!(matches!(end, End::Answer(404, _)), "{stream}: {end:?}");
        }
        drop(wire);
        limited(gateway.shutdown()).await;
    }
}

#[tokio::test]
async fn answers_that_came_for_clients_who_left() {
    let origin = Foreign::start(Speaks::Http2, |request| async move {
        if request.uri().path() == "/silent" {
            std::future::pending::<()>().await;
        }
        let length = if request.uri().path() == "/large" { 8 << 20 } else { 2 };
        http::Response::new(foreign::whole(vec![b'x'; length]))
    })
    .await;
    let gateway = start(within(origin.config(), "2MiB")).await;
    // Without any call everything is forgotten.
    let mut silent = Client::connect(gateway.local_addrs().listen).await;
    silent.send("GET /silent HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
    for _ in 0..4 {
        let mut clients = Vec::new();
        for _ in 0..6 {
            let mut client = narrow(&gateway).await;
            client.send("GET /large HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
            clients.push(client);
        }
        // Long enough for the instance to fill whatever takes its answers.
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(clients);
    }
    becomes(&gateway, 200).await;
    drop(silent);
    limited(gateway.shutdown()).await;
}

#[tokio::test]
async fn answers_that_were_in_one_piece() {
    let (_origin, gateway) = keeping(Vec::new()).await;
    let mut wire = shut(&gateway, whole(1, "GET", "/small")).await;
    for number in 1..=64 {
        let stream = 2 * number + 1;
        wire.send(whole(stream, "GET", "/kept")).await;
        // The body was handed over with it.
        has_head(&mut wire, stream).await;
        wire.send(reset(stream)).await;
    }
    becomes(&gateway, 200).await;
    drop(wire);
    limited(gateway.shutdown()).await;
}

#[tokio::test]
async fn one_answer_takes_no_other_with_it() {
    const OTHERS: u32 = 60;
    let (go, gone, asked) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let notes = (Arc::clone(&go), Arc::clone(&gone), Arc::clone(&asked));
    let origin = Foreign::start(Speaks::Http2, move |request| {
        let (go, gone, asked) = notes.clone();
        async move {
            let path = request.uri().path().to_owned();
            http::Response::new(match path.as_str() {
                "/long" => {
                    let (pen, body) = written();
                    tokio::spawn(async move {
                        for _ in 0..LONG / (16 * 1024) {
                            pen.write(vec![b'x'; 16 * 1024]).await;
                        }
                        pen.closed().await;
                        gone.notify_one();
                    });
                    body
                }
                "/held" => {
                    let told = go.notified();
                    asked.fetch_add(1, Ordering::SeqCst);
                    told.await;
                    foreign::whole(vec![b'x'; 12 * 1024])
                }
                _ => foreign::whole("ok"),
            })
        }
    })
    .await;
    let gateway = start(small(origin.config())).await;
    let mut wire = shut(&gateway, whole(1, "GET", "/long")).await;
    takes(&mut wire, LONG).await;
    let others = (1..=OTHERS).flat_map(|number| whole(2 * number + 1, "GET", "/held"));
    wire.send(others.collect::<Vec<u8>>()).await;
    until("all were asked for", || asked.load(Ordering::SeqCst) == OTHERS as usize).await;
    go.notify_waiters();
    becomes(&gateway, 503).await;
    wire.send(reset(1)).await;
    limited(gone.notified()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    get(gateway.local_addrs().listen, "/small").await.problem(503, "overloaded");
    is_full_until_gone(gateway, wire).await;
}

#[tokio::test]
async fn nothing_is_hidden_by_a_tunnel() {
    let mut switch =
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n".to_vec();
    switch.resize(switch.len() + 4 * LONG, b'x');
    let (_origin, gateway) = keeping(switch).await;
    let head = block(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/socket"),
        ("sec-websocket-version", "13"),
    ]);
    let mut wire = shut(&gateway, frame(HEADERS, END_HEADERS, 1, &head)).await;
    takes(&mut wire, 4 * LONG).await;
    for stream in [3, 5, 7, 9] {
        wire.send(whole(stream, "GET", "/kept")).await;
        has_head(&mut wire, stream).await;
    }
    is_full_until_gone(gateway, wire).await;
}
