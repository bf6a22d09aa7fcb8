//! Switches to another protocol: nothing is passed on before the origin has agreed, and without its word everything
//! is HTTP as before.

use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::{Family, get};
use crate::client::{Client, limited};
use crate::origin::{Origin, Reply, answer, ok};
use crate::stage::{config, start, with};

const WISH: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                      sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn tunnel() -> serde_json::Value {
    json!([{"name": "all", "match": {"path": "/*"}, "service": "s", "upgrade": ["websocket"]}])
}

#[tokio::test]
async fn what_a_route_does_not_take_is_not_passed_on() {
    let mut family = Family::new().await;
    for (name, lines) in [
        ("websocket", WISH),
        (
            "h2c",
            "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
        ),
        (
            "h2c and another",
            "connection: upgrade, http2-settings\r\nupgrade: websocket, h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
        ),
        ("h2c not named", "upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"),
        ("TLS", "connection: upgrade\r\nupgrade: TLS/1.3\r\n"),
        ("h2c twice", "connection: upgrade\r\nupgrade: h2c\r\nupgrade: h2c\r\n"),
    ] {
        let holds = |seen: &crate::origin::Seen| {
            let head = seen.head.to_ascii_lowercase();
            !head.contains("upgrade") && !head.contains("http2-settings")
        };
        family.served(name, get(lines), holds).await;
    }
    family.end().await;
}

#[tokio::test]
async fn a_switch_before_the_body_has_come_is_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hasty = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while crate::client::find_end(&head).is_none() {
            stream.read_buf(&mut head).await.unwrap();
        }
        stream.write_all(AGREED.as_bytes()).await.unwrap();
        // Whatever comes now was meant for the request's body.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        rest
    });
    let mut settings = config(&[], tunnel());
    settings["services"]["s"]["endpoints"] = json!([address.to_string()]);
    let gateway = start(settings).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send(format!("POST / HTTP/1.1\r\nhost: a\r\n{WISH}content-length: 10\r\n\r\n12345")).await;
    client.answer("POST").await.problem(502, "broken");
    client.send("67890").await;
    limited(client.is_closed()).await;
    assert!(!String::from_utf8_lossy(&limited(hasty).await.unwrap()).contains("67890"));
    gateway.shutdown().await;
}

#[tokio::test]
async fn only_the_protocol_that_a_route_names_is_passed_on() {
    let mut family = Family::with_routes(tunnel()).await;
    for (name, lines) in [
        (
            "h2c",
            "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
        ),
        ("both", "connection: upgrade\r\nupgrade: websocket, h2c\r\n"),
        ("a longer word", "connection: upgrade\r\nupgrade: websocketx\r\n"),
        ("no connection field", "upgrade: websocket\r\n"),
    ] {
        let holds = |seen: &crate::origin::Seen| {
            let upgrade = seen.field("upgrade").map(str::to_ascii_lowercase);
            matches!(upgrade.as_deref(), None | Some("websocket")) && !seen.head.contains("http2-settings")
        };
        let bytes = get(lines);
        let outcome = family.outcome(&bytes).await;
        let is_refused = matches!(outcome.statuses()[..], [400]) && outcome.reached.is_empty();
        if !is_refused && !outcome.reached.first().is_some_and(holds) {
            family.note(name, &bytes, "nothing but `websocket` to pass", &outcome);
        }
    }
    family.end().await;
}

#[tokio::test]
async fn nothing_is_passed_on_before_the_origin_agrees() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = listener.local_addr().unwrap();
    let mut settings = config(&[], tunnel());
    settings["services"]["s"]["endpoints"] = json!([origin.to_string()]);
    let gateway = start(settings).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send([get(WISH), b"GET /early HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()].concat()).await;
    let (mut stream, _) = limited(listener.accept()).await.unwrap();
    let mut received = Vec::new();
    // Long enough for anything that was sent along with the head.
    let reading = async {
        loop {
            let mut piece = [0; 4096];
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(count) => received.extend_from_slice(&piece[..count]),
            }
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_millis(300), reading).await;
    let text = String::from_utf8_lossy(&received).into_owned();
    assert!(!text.contains("/early"), "{text}");
    if !text.is_empty() {
        // Had it a mind to pass the wish on, the answer of an origin that wants no tunnel ends all thought of one.
        stream.write_all(&answer("200 OK", "connection: close\r\n", "no")).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(client.answer_or_end("GET").await.map(|given| given.status), Some(200));
    }
    drop((stream, client));
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_origin_that_does_not_switch_leaves_a_plain_connection() {
    for status in ["200 OK", "403 Forbidden", "426 Upgrade Required", "204 No Content"] {
        let origin = Origin::start(move |seen| match seen.line().contains("/next") {
            true => Reply::Keep(ok("next")),
            false if status.starts_with("204") => Reply::Keep(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
            false => Reply::Keep(answer(status, "", "plain")),
        })
        .await;
        let gateway = start(config(&[&origin], tunnel())).await;
        let mut client = Client::connect(gateway.local_addrs().listen).await;
        client.send([&get(WISH)[..], super::NEXT].concat()).await;
        assert_eq!(client.answer("GET").await.head[9..12], status[..3]);
        if let Some(next) = client.answer_or_end("GET").await {
            assert_eq!(next.text(), "next");
            let seen = origin.last();
            assert_eq!(seen.line(), "GET /next HTTP/1.1");
            assert!(seen.field("x-forwarded-for").is_some(), "raw bytes reached the origin: {}", seen.head);
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_tunnel_is_only_bytes_and_its_end_is_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = listener.local_addr().unwrap();
    let done = Arc::new(Notify::new());
    let finished = Arc::clone(&done);
    let echo = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while crate::client::find_end(&head).is_none() {
            let mut piece = [0; 4096];
            let count = stream.read(&mut piece).await.unwrap();
            head.extend_from_slice(&piece[..count]);
        }
        stream.write_all(AGREED.as_bytes()).await.unwrap();
        let mut piece = [0; 16];
        stream.read_exact(&mut piece[..5]).await.unwrap();
        stream.write_all(&piece[..5]).await.unwrap();
        finished.notified().await;
        String::from_utf8(head).unwrap()
    });
    let mut settings = with(config(&[], tunnel()), "access_log", json!("off"));
    settings["services"]["s"]["endpoints"] = json!([origin.to_string()]);
    let gateway = start(settings).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send(get(WISH)).await;
    let given = client.answer_or_end("GET").await.unwrap();
    assert_eq!((given.status, given.field("upgrade")), (101, Some("websocket")));
    client.send("hello").await;
    let mut back = [0; 5];
    limited(client.stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"hello");
    done.notify_one();
    let head = limited(echo).await.unwrap();
    assert_eq!(crate::client::field(&head, "upgrade"), Some("websocket"));
    assert!(client.is_closed().await, "the tunnel ended, and is no HTTP connection again");
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_origin_cannot_switch_when_nobody_asked() {
    let origin = Origin::start(|_| Reply::Close(AGREED.as_bytes().to_vec())).await;
    let gateway = start(config(&[&origin], tunnel())).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send(get("")).await;
    client.answer_or_end("GET").await.unwrap().problem(502, "broken");
    gateway.shutdown().await;
}
