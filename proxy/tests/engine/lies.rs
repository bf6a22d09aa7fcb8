//! Origins that break the rules of HTTP: whatever they send, an answer belongs to its request, and nothing of it is
//! taken for the answer to another.

use std::time::Duration;

use serde_json::json;

use crate::client::{Client, get};
use crate::origin::{Origin, Reply, answer, ok};
use crate::stage::{before, config, everything, start, with};

/// What 20 requests on one connection are answered with, when every answer to `/lie` is `lie`.
async fn after_lies(lie: &'static [u8], method: &str) -> Vec<String> {
    let origin = Origin::start(move |seen| match seen.line().contains("/lie") {
        true => Reply::Keep(lie.to_vec()),
        false => Reply::Keep(ok(seen.line().split(' ').nth(1).unwrap())),
    })
    .await;
    let gateway = before(&origin).await;
    let mut given = Vec::new();
    for number in 0..20 {
        let mut client = Client::connect(gateway.local_addrs().listen).await;
        client.send(format!("{method} /lie HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        client.answer_or_end(method).await;
        given.push(get(gateway.local_addrs().listen, &format!("/{number}")).await.text().to_owned());
    }
    gateway.shutdown().await;
    given
}

#[tokio::test]
async fn bytes_beyond_an_answer_are_never_another_ones() {
    let truth: Vec<String> = (0..20).map(|number| format!("/{number}")).collect();
    const EXTRA: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    const AFTER_204: &[u8] =
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    const AFTER_304: &[u8] =
        b"HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    const TO_HEAD: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-length: 42\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    const AFTER_CHUNKS: &[u8] =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    for (lie, method) in
        [(EXTRA, "GET"), (AFTER_204, "GET"), (AFTER_304, "GET"), (TO_HEAD, "HEAD"), (AFTER_CHUNKS, "GET")]
    {
        assert_eq!(after_lies(lie, method).await, truth, "{}", String::from_utf8_lossy(lie));
    }
}

#[tokio::test]
async fn an_answer_with_two_ends_or_a_hidden_coding_is_no_answer() {
    let origin = Origin::start(|seen| {
        let fields = match seen.line().split(' ').nth(1).unwrap() {
            "/length-first" => "content-length: 3\r\ntransfer-encoding: chunked\r\n",
            "/chunks-first" => "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
            "/twice" => "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            _ => "transfer-encoding: gzip, chunked\r\n",
        };
        Reply::Close(format!("HTTP/1.1 200 OK\r\n{fields}\r\n5\r\nhello\r\n0\r\n\r\n").into_bytes())
    })
    .await;
    let gateway = before(&origin).await;
    for path in ["/length-first", "/chunks-first", "/twice", "/coded"] {
        get(gateway.local_addrs().listen, path).await.problem(502, "broken");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn endless_interim_answers_end_with_patience() {
    let origin = Origin::start(|_| Reply::Keep(b"HTTP/1.1 102 Processing\r\n\r\n".repeat(20_000))).await;
    let routes = json!([{"name": "all", "match": {"path": "/*"}, "service": "s", "timeout": "500ms"}]);
    let gateway = start(config(&[&origin], routes)).await;
    let given = get(gateway.local_addrs().listen, "/").await;
    assert!(matches!(given.status, 502 | 504), "{given:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_comes_on_an_idle_connection_answers_nobody() {
    const EVIL: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let origin = Origin::start(|seen| match seen.line().contains("/lie") {
        true => Reply::Late(ok("lie"), EVIL.to_vec()),
        false => Reply::Keep(ok(seen.line().split(' ').nth(1).unwrap())),
    })
    .await;
    let gateway = start(with(config(&[&origin], everything()), "workers", json!(1))).await;
    for number in 0..20 {
        assert_eq!(get(gateway.local_addrs().listen, "/lie").await.text(), "lie");
        // It has come by then: a request under way meanwhile could not tell it from its own answer, in any HTTP/1.
        tokio::time::sleep(Duration::from_millis(60 + 5 * number)).await;
        let path = format!("/{number}");
        assert_eq!(get(gateway.local_addrs().listen, &path).await.text(), path);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn fields_of_an_answer_cannot_steer_the_gateway() {
    let origin = Origin::start(|_| {
        let fields = "connection: close, x-gone\r\nx-gone: 1\r\nupgrade: h2c\r\nx-kept: a\r\nx-kept: b\r\n";
        Reply::Close(answer("200 OK", fields, "ok"))
    })
    .await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for _ in 0..3 {
        let given = client.get("/").await;
        assert_eq!((given.text(), given.field("connection"), given.field("x-gone")), ("ok", None, None));
        assert_eq!(given.field("upgrade"), None);
        assert_eq!(given.head.matches("x-kept").count(), 2);
    }
    gateway.shutdown().await;
}
