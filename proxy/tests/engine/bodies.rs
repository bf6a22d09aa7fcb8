//! Bodies of every framing and size, both ways, and what a body that breaks off looks like from the other side.

use crate::client::{Client, LIMIT, get, request};
use crate::origin::{Origin, Reply, answer, ok};
use crate::stage::{before, config, start};
use serde_json::json;

const MEGABYTES: usize = 8 << 20;

fn chunked(pieces: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// Bytes in which a lost or doubled piece shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[tokio::test]
async fn eight_mebibytes_pass_both_ways_in_either_framing() {
    let origin = Origin::start(|seen| match seen.line().contains("/chunked") {
        true => {
            let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            bytes.extend(chunked(&seen.body.chunks(100_000).collect::<Vec<_>>()));
            Reply::Keep(bytes)
        }
        false => Reply::Keep(ok(&seen.body)),
    })
    .await;
    let gateway = before(&origin).await;
    let body = pattern(MEGABYTES);
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for path in ["/length", "/chunked"] {
        client
            .send(format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len()))
            .await;
        client.send(&body).await;
        let given = client.answer("POST").await;
        assert!(given.status == 200 && given.body == body, "{path} with a length");

        client.send(format!("POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")).await;
        client.send(chunked(&body.chunks(70_001).collect::<Vec<_>>())).await;
        let given = client.answer("POST").await;
        assert!(given.status == 200 && given.body == body, "{path} in chunks");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn answers_without_a_body_keep_the_connection_in_step() {
    let origin = Origin::start(|seen| {
        Reply::Keep(match seen.line().split(' ').nth(1).unwrap() {
            "/head" => b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\netag: \"a\"\r\n\r\n".to_vec(),
            "/head-chunked" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
            "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            "/304" => b"HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n".to_vec(),
            "/304-length" => b"HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n".to_vec(),
            "/empty-chunked" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
            _ => ok(""),
        })
    })
    .await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for (method, path, status) in [
        ("HEAD", "/head", 200),
        ("HEAD", "/head-chunked", 200),
        ("GET", "/204", 204),
        ("GET", "/304", 304),
        ("GET", "/304-length", 304),
        ("GET", "/empty-chunked", 200),
        ("GET", "/empty", 200),
        ("POST", "/empty", 200),
    ] {
        let given = client.ask(method, path, "", "").await;
        assert_eq!((given.status, given.body.len()), (status, 0), "{path}");
        if path == "/head" {
            assert_eq!((given.field("content-length"), given.field("etag")), (Some("1234"), Some("\"a\"")));
        }
    }
    assert_eq!(origin.connections(), 1, "each answer left its connection usable");
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_visible_break() {
    let origin = Origin::start(|seen| {
        Reply::Close(match seen.line().contains("/length") {
            true => b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this".to_vec(),
            false => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nonly this\r\n".to_vec(),
        })
    })
    .await;
    let gateway = before(&origin).await;
    for path in ["/length", "/chunked"] {
        let given = get(gateway.local_addrs().listen, path).await;
        assert!(given.is_cut, "{path}: {given:?}");
    }
    let admin = gateway.local_addrs().admin;
    assert_eq!(crate::stage::metric(admin, "portreeve_requests_total", &["status=\"2xx\""]).await, 2.0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let origin = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut piece = [0; 4096];
        let _ = stream.read(&mut piece).await.unwrap();
        stream.write_all(&answer("403 Forbidden", "connection: close\r\n", "enough")).await.unwrap();
        stream.shutdown().await.unwrap();
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok();
    });
    let routes = json!([{"name": "all", "match": {"path": "/*"}, "service": "s"}]);
    let mut settings = config(&[], routes);
    settings["services"]["s"]["endpoints"] = json!([address.to_string()]);
    let gateway = start(settings).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nbeginning").await;
    let given = client.answer("POST").await;
    assert_eq!((given.status, given.text()), (403, "enough"));
    gateway.shutdown().await;
    origin.abort();
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_however_it_is_framed() {
    let origin = Origin::saying("ok").await;
    let routes = json!([{"name": "all", "match": {"path": "/*"}, "service": "s", "max_body": "10B"}]);
    let gateway = start(config(&[&origin], routes)).await;
    let declared = request("POST", "/", "", &"x".repeat(11));
    let chunks = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n6\r\nabcdef\r\n6\r\nabcdef\r\n0\r\n\r\n";
    for bytes in [declared.as_str(), chunks] {
        let mut client = Client::connect(gateway.local_addrs().listen).await;
        client.send(bytes).await;
        client.answer("POST").await.problem(413, "body_too_large");
    }
    assert!(!origin.seen().iter().any(|seen| seen.body.len() > 10), "no whole body came through");
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    assert_eq!(client.ask("POST", "/", "", "0123456789").await.status, 200, "exactly the limit is taken");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_goes_on_sending() {
    let origin = Origin::saying("ok").await;
    let routes = json!([{"name": "all", "match": {"path": "/*"}, "service": "s", "max_body": "1KiB"}]);
    let gateway = start(config(&[&origin], routes)).await;
    let body = vec![b'x'; 1 << 20];
    for _ in 0..20 {
        let mut client = Client::connect(gateway.local_addrs().listen).await;
        client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len())).await;
        // A client that writes all of its body before it reads, as many do.
        let sent =
            tokio::time::timeout(LIMIT, tokio::io::AsyncWriteExt::write_all(&mut client.stream, &body)).await;
        sent.expect("the gateway neither reads nor closes").ok();
        client.answer("POST").await.problem(413, "body_too_large");
        assert!(client.is_closed().await);
    }
    assert_eq!(origin.count(), 0);
    gateway.shutdown().await;
}
