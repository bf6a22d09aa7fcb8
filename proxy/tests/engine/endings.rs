//! Where one message ends and the next begins: what breaks off, what never begins, and what another task still reads.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Client, limited};
use crate::http2::wire::{ACK, DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, WINDOW_UPDATE, frame};
use crate::origin::{Origin, Reply, ok};
use crate::stage::{before, config, start, with};

const PART: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789";

#[tokio::test]
async fn a_call_whose_time_is_over_ends_its_connection_when_a_length_was_announced() {
    let origin = Origin::start(|seen| match seen.line().contains("/part") {
        true => Reply::Keep(PART.to_vec()),
        false => Reply::Keep(ok("another's")),
    })
    .await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client
        .send(
            "POST /part HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ngrpc-timeout: 300m\r\n\
             content-length: 0\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        )
        .await;
    let answer = client.answer("POST").await;
    assert!(answer.is_cut, "the next answer is no part of this one: {answer:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_answer_of_unknown_length_ends_the_connection_of_a_client_of_1_0() {
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let origin = Origin::start(|_| Reply::Keep(chunked.to_vec())).await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send("GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n").await;
    let answer = client.answer("GET").await;
    assert_eq!((answer.text(), answer.is_cut), ("hello", false));
    gateway.shutdown().await;
}

#[tokio::test]
async fn answers_without_a_body_announce_none() {
    let origin = Origin::start(|seen| match seen.line().contains("/interim") {
        true => Reply::Keep(
            b"HTTP/1.1 103 Early Hints\r\ncontent-length: 5\r\nupgrade: x\r\nconnection: x-a\r\nx-a: b\r\nlink: c\r\n\r\n\
              HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
                .to_vec(),
        ),
        false => Reply::Keep(b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n".to_vec()),
    })
    .await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    assert_eq!(client.get("/").await.field("content-length"), None);
    client.send("GET /interim HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let hints = client.answer_or_end("GET").await.unwrap();
    assert_eq!(hints.head, "HTTP/1.1 103 Early Hints\r\nlink: c\r\n\r\n");
    assert_eq!(client.answer("GET").await.text(), "ok");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_request_that_ends_connections_does_not_end_all_of_them() {
    let origin = Origin::start(|seen| match seen.line().contains("/die") {
        true => Reply::Reset(Vec::new()),
        false => Reply::Late(Vec::new(), ok("ok")),
    })
    .await;
    let route = json!([{"name": "all", "match": {"path": "/*"}, "service": "s", "retry": {"attempts": 1}}]);
    let gateway = start(with(config(&[&origin], route), "workers", json!(1))).await;
    let to = gateway.local_addrs().listen;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(to).await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.answer("GET").await.status, 200);
    }
    assert!(origin.connections() > 5);
    clients[0].get("/die").await.problem(502, "reset");
    let died = origin.seen().iter().filter(|seen| seen.line().contains("/die")).count();
    assert!(died <= 2, "{died} connections were ended");
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_instance_that_reads_nothing_is_the_one_to_blame() {
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = json!({
        "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1, "access_log": "off",
        "services": {"s": {"endpoints": [deaf.local_addr().unwrap().to_string()]}},
        "routes": [{"name": "all", "match": {"path": "/*"}, "service": "s", "timeout": "1s", "max_body": "1GiB"}],
    });
    let gateway = start(config).await;
    let stream = TcpStream::connect(gateway.local_addrs().listen).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let sending = tokio::spawn(async move {
        let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 500000000\r\n\r\n";
        let mut outcome = writer.write_all(head).await;
        while outcome.is_ok() {
            outcome = writer.write_all(&[b'x'; 65536]).await;
        }
    });
    let mut answer = [0; 12];
    limited(reader.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 504");
    sending.abort();
    gateway.shutdown().await;
}

/// An instance that speaks HTTP/2 by prior knowledge, and the bytes that it lets a stream send at first.
async fn instance(window: u32) -> (TcpListener, Vec<u8>, serde_json::Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
    let greeting = [frame(SETTINGS, 0, 0, &settings), frame(SETTINGS, ACK, 0, b"")].concat();
    let config = json!({
        "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1, "access_log": "off",
        "limits": {"rate_window": "500ms"},
        "services": {"s": {
            "endpoints": [listener.local_addr().unwrap().to_string()], "protocol": "http2",
        }},
        "routes": [{"name": "all", "match": {"path": "/*"}, "service": "s", "timeout": "2s"}],
    });
    (listener, greeting, config)
}

/// The next frame that is neither SETTINGS nor empty DATA: its kind, stream and payload.
async fn next(stream: &mut TcpStream) -> (u8, u32, Vec<u8>) {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).await.unwrap();
        if head[3] == HEADERS || (head[3] == DATA && !payload.is_empty()) {
            return (head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload);
        }
    }
}

async fn greet(listener: &TcpListener, greeting: &[u8]) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.read_exact(&mut [0; 24]).await.unwrap();
    stream.write_all(greeting).await.unwrap();
    stream
}

#[tokio::test]
async fn a_silent_instance_of_http2_is_not_waited_for_after_the_body_has_come() {
    let (listener, greeting, config) = instance(65_535).await;
    let gateway = start(config).await;
    let silent = tokio::spawn(async move {
        let mut stream = greet(&listener, &greeting).await;
        loop {
            next(&mut stream).await;
        }
    });
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n").await;
    for part in ["hello", "hello"] {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.send(part).await;
    }
    client.answer("POST").await.problem(504, "timed_out");
    silent.abort();
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_call_that_was_answered_early_reads_nothing_of_the_next_request() {
    let (listener, greeting, config) = instance(0).await;
    let gateway = start(config).await;
    let origin = tokio::spawn(async move {
        let mut stream = greet(&listener, &greeting).await;
        // The first request's head comes before our settings; from then on nothing may be sent.
        next(&mut stream).await;
        stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x88")).await.unwrap();
        next(&mut stream).await;
        let early = [frame(HEADERS, END_HEADERS, 3, b"\x88"), frame(DATA, END_STREAM, 3, b"early")].concat();
        stream.write_all(&early).await.unwrap();
        next(&mut stream).await;
        let open = frame(WINDOW_UPDATE, 0, 3, &1000u32.to_be_bytes());
        stream.write_all(&open).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        stream.write_all(&frame(WINDOW_UPDATE, 0, 5, &1000u32.to_be_bytes())).await.unwrap();
        loop {
            let (_, number, payload) = next(&mut stream).await;
            if payload.ends_with(b"of the second") {
                return number;
            }
        }
    });
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.get("/").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    client
        .send("POST /1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n5\r\nother\r\n0\r\n\r\n")
        .await;
    assert_eq!(client.answer("POST").await.text(), "early");
    client.send("POST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 13\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.send("of the second").await;
    assert_eq!(limited(origin).await.unwrap(), 5, "the stream of the second request");
    gateway.shutdown().await;
}
