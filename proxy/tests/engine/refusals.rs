//! Requests that are refused, and bytes that must never be read as a request: nothing here may reach an origin as
//! anything but what the client plainly asked for.

use serde_json::json;

use crate::client::{Client, get, request};
use crate::origin::Origin;
use crate::stage::{ask, before, config, everything, start, with};

#[tokio::test]
async fn refusals_say_why() {
    let origin = Origin::saying("ok").await;
    let routes = json!([
        {"name": "read", "match": {"path": "/products", "methods": ["GET"]}, "service": "s"},
        {"name": "write", "match": {"path": "/products", "methods": ["POST"]}, "service": "s"},
    ]);
    let gateway = start(config(&[&origin], routes)).await;
    get(gateway.local_addrs().listen, "/nothing").await.problem(404, "no_route");
    let given = ask(&gateway, "DELETE", "/products", "").await;
    given.problem(405, "method");
    assert_eq!(given.field("allow"), Some("GET, HEAD, POST"));
    for (target, reason) in [
        ("/a/../products", "path"),
        ("//products", "path"),
        ("/a%2f..", "path"),
        ("/%zz", "path"),
        ("*", "path"),
    ] {
        let given = ask(&gateway, "OPTIONS", target, "").await;
        given.problem(400, reason);
        assert_eq!(given.field("connection"), Some("close"), "{target}");
    }
    assert_eq!(origin.count(), 0);
    gateway.shutdown().await;
}

/// Sends bytes and gives the statuses of all answers until the connection ends, and how often the origin was asked.
async fn outcome(bytes: &[u8]) -> (Vec<u16>, usize) {
    let origin = Origin::saying("ok").await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send(bytes).await;
    let mut statuses = Vec::new();
    while let Some(answer) = client.answer_or_end("GET").await {
        statuses.push(answer.status);
    }
    gateway.shutdown().await;
    (statuses, origin.count())
}

/// A request that no route takes.
const NEXT: &str = "GET /none HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// A second request behind the first one's end; whoever misjudges the end shows it.
const SECOND: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn framing_that_has_two_readings_is_refused_and_the_connection_ends() {
    for fields in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 6\r\n",
        "content-length: 5, 5\r\n",
        "content-length: +5\r\n",
        "content-length: 0x5\r\n",
        "content-length: 5 5\r\n",
        "content-length: -1\r\n",
        "content-length: \r\n",
        "content-length: 18446744073709551616\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: \"chunked\"\r\n",
        "transfer-encoding: chunked;a=b\r\n",
        "transfer-encoding: \x0bchunked\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding\r\n : chunked\r\n",
        "content-length : 5\r\n",
        "x: a\r\n b\r\n",
        "x: a\rb\r\n",
        "x: a\0b\r\n",
        ": empty\r\n",
        "x y: z\r\n",
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n0\r\n\r\n{SECOND}");
        assert_eq!(outcome(bytes.as_bytes()).await, (vec![400], 0), "{fields:?}");
    }
}

#[tokio::test]
async fn length_and_chunks_together_are_refused() {
    for fields in [
        "content-length: 6\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 6\r\n",
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n0\r\n\r\n{SECOND}");
        assert_eq!(outcome(bytes.as_bytes()).await, (vec![400], 0), "{fields:?}");
    }
}

#[tokio::test]
async fn chunks_that_are_not_plain_break_the_request() {
    for chunks in [
        "5\nhello\n0\n\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "5_\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5;a=\nb\r\nhello\r\n0\r\n\r\n",
        "zz\r\n\r\n",
    ] {
        let bytes =
            format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}{SECOND}");
        let (statuses, reached) = outcome(bytes.as_bytes()).await;
        assert!(statuses == [400] || statuses.is_empty(), "{chunks:?}: {statuses:?}");
        assert_eq!(reached, 0, "{chunks:?}: no whole request came through");
    }
}

#[tokio::test]
async fn hosts_with_two_readings_are_refused() {
    for head in [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nHost: b\r\n",
        "GET / HTTP/1.1\r\nhost: \r\n",
        "GET / HTTP/1.1\r\nhost: a, b\r\n",
        "GET / HTTP/1.1\r\nhost: user@a\r\n",
        "GET / HTTP/1.1\r\nhost: a/b\r\n",
        "GET / HTTP/1.1\r\nhost: a:b\r\n",
        "GET / HTTP/1.1\r\nhost: [::1\r\n",
        "GET http://user@a/ HTTP/1.1\r\nhost: a\r\n",
        "GET http://a/ HTTP/1.1\r\n",
        "GET ftp://a/ HTTP/1.1\r\nhost: a\r\n",
        "GET a:80 HTTP/1.1\r\nhost: a\r\n",
        "GET nothing HTTP/1.1\r\nhost: a\r\n",
    ] {
        let bytes = format!("{head}\r\n{SECOND}");
        assert_eq!(outcome(bytes.as_bytes()).await, (vec![400], 0), "{head:?}");
    }
}

#[tokio::test]
async fn tunnels_and_echoes_are_not_served() {
    for line in ["CONNECT a:443", "CONNECT /", "TRACE /"] {
        let bytes = format!("{line} HTTP/1.1\r\nhost: a\r\n\r\n{SECOND}");
        assert_eq!(outcome(bytes.as_bytes()).await, (vec![501], 0), "{line}");
    }
}

#[tokio::test]
async fn what_is_no_request_at_all_ends_the_connection() {
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let garbage: Vec<u8> = (0..=255).cycle().take(5000).collect();
    for bytes in [
        hello.as_slice(),
        garbage.as_slice(),
        b"GET / HTTP/3.0\r\nhost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nhost: a\r\n\r\n",
        b"G\0T / HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let (statuses, reached) = outcome(bytes).await;
        assert!(reached == 0 && (statuses == [400] || statuses.is_empty()), "{bytes:?}: {statuses:?}");
    }
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let many = "x-a: 1\r\n".repeat(101);
    let long = format!("x-a: {}\r\n", "x".repeat(1 << 20));
    let wide = format!("x-a: {}\r\n", "x".repeat(900)).repeat(50);
    for fields in [&many, &long, &wide] {
        let origin = Origin::saying("ok").await;
        let gateway =
            start(with(config(&[&origin], everything()), "limits", json!({"header_bytes": "16KiB"}))).await;
        let mut client = Client::connect(gateway.local_addrs().listen).await;
        let bytes = format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        // The gateway may close before all of it was taken.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut client.stream, bytes.as_bytes()).await;
        if let Some(given) = client.answer_or_end("GET").await {
            assert_eq!(given.status, 431);
        }
        assert_eq!(origin.count(), 0);
        assert_eq!(get(gateway.local_addrs().listen, "/").await.status, 200, "others are served");
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_body_nobody_read_is_never_the_next_request() {
    let origin = Origin::saying("ok").await;
    let routes = json!([
        {"name": "kept", "match": {"path": "/kept"}, "service": "s", "cache": {"ttl": "60s"}, "auth": "none"},
        {"name": "small", "match": {"path": "/small"}, "service": "s", "max_body": "1B"},
    ]);
    let gateway = start(config(&[&origin], routes)).await;
    assert_eq!(get(gateway.local_addrs().listen, "/kept").await.status, 200);
    for (path, status) in [("/kept", 200), ("/small", 413), ("/none", 404), ("/..", 400)] {
        for (method, status) in [("GET", status), ("POST", status)] {
            if (method, path) == ("POST", "/kept") {
                continue;
            }
            let before = origin.count();
            let mut client = Client::connect(gateway.local_addrs().listen).await;
            client.send(request(method, path, "", SECOND)).await;
            assert_eq!(client.answer(method).await.status, status, "{method} {path}");
            // What follows is a request only if the connection still counts.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut client.stream, NEXT.as_bytes()).await;
            let next = client.answer_or_end("GET").await.map(|given| given.status);
            assert!(matches!(next, None | Some(404)), "{method} {path}: the body was answered: {next:?}");
            assert!(client.answer_or_end("GET").await.is_none(), "{method} {path}");
            assert_eq!(origin.count(), before, "{method} {path}");
        }
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_refused_request_without_a_body_leaves_the_next_one_intact() {
    let origin = Origin::saying("ok").await;
    let routes = json!([{"name": "one", "match": {"path": "/here"}, "service": "s"}]);
    let gateway = start(config(&[&origin], routes)).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send("GET /none HTTP/1.1\r\nhost: a\r\n\r\nGET /here?1 HTTP/1.1\r\nhost: a\r\n\r\nGET /here?2 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.answer("GET").await.status, 404);
    assert_eq!((client.answer("GET").await.status, client.answer("GET").await.status), (200, 200));
    let lines: Vec<String> = origin.seen().iter().map(|seen| seen.line().to_owned()).collect();
    assert_eq!(lines, ["GET /here?1 HTTP/1.1", "GET /here?2 HTTP/1.1"]);
    gateway.shutdown().await;
}
