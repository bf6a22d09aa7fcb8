//! Requests that are refused, and bytes that must never be read as a request: nothing here may reach an origin as
//! anything but what the client plainly asked for.

use serde_json::json;

use crate::client::{Client, get};
use crate::origin::Origin;
use crate::stage::{ask, before, config, start};

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
        b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10",
        b"SSH-2.0-client\r\n\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x01\x02\x03\x04\0\x01\0\x02GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let (statuses, reached) = outcome(bytes).await;
        assert!(reached == 0 && (statuses == [400] || statuses.is_empty()), "{bytes:?}: {statuses:?}");
    }
}

#[tokio::test]
async fn another_protocol_is_told_nothing_and_a_later_line_of_one_is_refused() {
    for line in ["INVALID CONNECTION PREFACE", "EHLO mail example"] {
        assert_eq!(outcome(format!("{line}\r\n\r\n").as_bytes()).await, (vec![], 0), "{line}");
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\n\r\n{line}\r\n\r\n");
        assert_eq!(outcome(request.as_bytes()).await, (vec![200, 400], 1), "{line}");
    }
    for line in
        ["GET /", "GET / http/1.1", "GET / HTTP/3.0", "HTTP/1.1 200 OK", "GET / ICAP/1.0", "PRI * SMTP/2.0"]
    {
        assert_eq!(outcome(format!("{line}\r\n\r\n").as_bytes()).await, (vec![400], 0), "{line}");
    }
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
