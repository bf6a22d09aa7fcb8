//! The client against small servers in this process: each way an errand can end, and what goes over the wire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Write};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;

const SMALL: Limit = Limit { bytes: 1024, timeout: Duration::from_secs(2) };

/// A server that gives every connection the same bytes after its request's head, and notes the heads.
async fn canned(answer: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let noted = heads.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = read_head(&mut stream).await;
            noted.lock().unwrap().push(head);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, heads)
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut chunk = [0; 512];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(read) => head.extend_from_slice(&chunk[..read]),
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn client() -> Client {
    Client::new(Arc::new(|_: &str| Vec::new())).unwrap()
}

/// An address on which nothing listens, and what keeps it from being given to someone else.
fn dead() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test]
async fn a_get_gives_the_body_and_is_never_traced() {
    let (address, heads) = canned("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
    let body = client().get(&format!("http://{address}/keys?x=1"), SMALL).await.unwrap();
    assert_eq!(body, "hi");
    let head = heads.lock().unwrap()[0].to_lowercase();
    assert!(head.starts_with("get /keys?x=1 http/1.1\r\n"), "{head}");
    assert!(head.contains("b3: 0\r\n"), "{head}");
}

#[tokio::test]
async fn a_post_says_what_it_carries() {
    let (address, heads) = canned("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await;
    let json = HeaderValue::from_static("application/json");
    let url = format!("http://{address}/api/v2/spans");
    assert_eq!(client().post(&url, json, Bytes::from("[]"), SMALL).await.unwrap(), "");
    let head = heads.lock().unwrap()[0].to_lowercase();
    assert!(head.starts_with("post /api/v2/spans http/1.1\r\n"), "{head}");
    assert!(
        head.contains("content-type: application/json\r\n") && head.contains("content-length: 2\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn each_bad_answer_has_its_fault() {
    let redirect = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let cases = [
        (redirect, "answered 302 Found; redirects are not followed"),
        ("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n", "answered 500"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\nabc", "broke"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", "broke"),
        ("SSH-2.0-OpenSSH\r\n", "broke"),
        ("", "broke"),
    ];
    for (answer, expected) in cases {
        let (address, _) = canned(answer).await;
        let url = format!("http://{address}/keys?token=hidden");
        let fault = client().get(&url, SMALL).await.unwrap_err().to_string();
        assert!(fault.contains(expected), "{answer:?} gave {fault}");
        assert!(!fault.contains("hidden"), "{fault}");
    }
}

#[tokio::test]
async fn a_body_is_read_no_further_than_its_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        let mut sent = 0_usize;
        // Ends with an error as soon as the client lets go; 100 MB would mean that it reads on.
        while sent < 100_000_000 && stream.write_all(b"400\r\n").await.is_ok() {
            let _ = stream.write_all(&[b'a'; 1026]).await;
            sent += 1024;
        }
        sent
    });
    let fault = client().get(&format!("http://{address}/"), SMALL).await.unwrap_err();
    assert!(matches!(fault, FetchError::TooLarge { limit: 1024, .. } | FetchError::Broken { .. }), "{fault}");
    assert!(server.await.unwrap() < 100_000_000);
}

#[tokio::test]
async fn a_silent_server_costs_no_more_than_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let limit = Limit { bytes: 10, timeout: Duration::from_millis(50) };
    let fault = client().get(&url, limit).await.unwrap_err();
    assert!(matches!(fault, FetchError::Timeout { .. }), "{fault}");
}

#[tokio::test]
async fn a_service_is_reached_through_its_first_instance_that_answers() {
    let (failing, _) = canned("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n").await;
    let (working, heads) = canned("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
    let (_held, dead) = dead();
    let addresses = vec![dead, failing, working];
    let client = Client::new(Arc::new(
        move |service: &str| {
            if service == "auth" { addresses.clone() } else { Vec::new() }
        },
    ));
    let client = client.unwrap();
    assert_eq!(client.get("lb://auth/jwks", SMALL).await.unwrap(), "hi");
    assert!(heads.lock().unwrap()[0].to_lowercase().contains("host: auth\r\n"));
    let fault = client.get("lb://nobody/jwks", SMALL).await.unwrap_err();
    assert!(matches!(fault, FetchError::NoInstance { .. }), "{fault}");
}

#[tokio::test]
async fn an_instance_that_hangs_leaves_time_for_the_next() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (working, _) = canned("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
    let addresses = vec![silent.local_addr().unwrap(), working];
    let client = Client::new(Arc::new(move |_: &str| addresses.clone())).unwrap();
    let limit = Limit { bytes: 10, timeout: Duration::from_secs(1) };
    assert_eq!(client.get("lb://auth/jwks", limit).await.unwrap(), "hi");
}

#[tokio::test]
async fn addresses_that_cannot_work_are_refused_without_their_secrets() {
    let cases = [
        ("ftp://host/", "scheme"),
        ("/only/a/path", "names no host"),
        ("http://user:hidden@host/", "credentials"),
        ("http://ho st/?hidden", "malformed"),
        ("", "malformed"),
    ];
    for (url, expected) in cases {
        let fault = client().get(url, SMALL).await.unwrap_err().to_string();
        assert!(fault.contains(expected) && !fault.contains("hidden"), "{url} gave {fault}");
    }
    let (_held, dead) = dead();
    let fault = client().get(&format!("http://{dead}/"), SMALL).await.unwrap_err();
    assert!(matches!(fault, FetchError::Connect { .. }), "{fault}");
}

#[tokio::test]
async fn a_token_is_read_anew_and_shown_to_the_control_plane_only() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
    let ((address, heads), (other, others)) = (canned(answer).await, canned(answer).await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let link = ControlPlaneLink {
        url: format!("http://{address}/"),
        token_file: Some(file.clone()),
        ..ControlPlaneLink::default()
    };
    let client = client().toward(&link).unwrap();
    for token in ["first", "second\n"] {
        std::fs::write(&file, token).unwrap();
        client.get(&format!("http://{address}/x"), SMALL).await.unwrap();
        client.get(&format!("http://{other}/x"), SMALL).await.unwrap();
        let shown = heads.lock().unwrap().pop().unwrap();
        assert!(shown.contains(&format!("authorization: Bearer {}\r\n", token.trim())), "{shown}");
    }
    for head in others.lock().unwrap().iter() {
        assert!(!head.contains("authorization"), "{head}");
    }
    for bad in ["", "two words", "line\nline", "\u{fc}"] {
        std::fs::write(&file, bad).unwrap();
        let fault = client.get(&format!("http://{address}/x"), SMALL).await.unwrap_err();
        assert!(matches!(fault, FetchError::Token { .. }), "{fault}");
        assert!(bad.is_empty() || !fault.to_string().contains(bad), "{fault}");
    }
}

#[tokio::test]
async fn the_head_arrives_while_the_request_is_still_being_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/stream", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"second\n\r\n") {
            heard.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"5\r\nheard\r\n0\r\n\r\n").await.unwrap();
    });
    let (lines, queue) = tokio::sync::mpsc::channel(4);
    lines.send(Bytes::from("first\n")).await.unwrap();
    let answer = client().open(Request::post(&url).body(Lines(queue)).unwrap()).await.unwrap();
    lines.send(Bytes::from("second\n")).await.unwrap();
    let heard = timeout(Duration::from_secs(5), answer.into_body().collect()).await.unwrap().unwrap();
    assert_eq!(heard.to_bytes(), "heard");
}

/// A request body that grows for as long as its sender lives.
struct Lines(tokio::sync::mpsc::Receiver<Bytes>);

impl Body for Lines {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(context).map(|line| line.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[test]
fn a_connection_of_a_runtime_that_is_gone_is_not_used_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        for stream in listener.incoming().take(3) {
            let mut lines = BufReader::new(stream.unwrap());
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                if line == "\r\n" {
                    lines.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap();
                }
                line.clear();
            }
        }
    });
    let client = client();
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for _ in 0..2 {
            assert_eq!(runtime.block_on(client.get(&url, SMALL)).unwrap(), "hi");
        }
    }
    // Three runtimes, three connections: each was used twice and ended with its runtime.
    server.join().unwrap();
}

#[tokio::test]
async fn a_connection_goes_over_to_what_was_asked_for_and_to_nothing_else() {
    let ask = |address: SocketAddr| {
        let request = Request::post(format!("http://{address}/stream")).body(Bytes::from("hello")).unwrap();
        async move { timeout(Duration::from_secs(5), client().upgrade(request, "ours")).await.unwrap() }
    };
    let head = |protocol: &str| {
        format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\nhi\n")
    };
    let (address, heads) = canned(head("OURS").leak()).await;
    let (answer, socket) = ask(address).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut said = String::new();
    socket.unwrap().read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "hi\n");
    let asked = heads.lock().unwrap()[0].to_lowercase();
    for field in ["connection: upgrade\r\n", "upgrade: ours\r\n", "content-length: 5\r\n"] {
        assert!(asked.contains(field), "{asked}");
    }
    let (address, _) = canned(head("theirs").leak()).await;
    assert!(ask(address).await.unwrap_err().to_string().contains("another protocol"));
    let (address, _) = canned("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    let (answer, socket) = ask(address).await.unwrap();
    assert!(answer.status() == 403 && socket.is_none());
}
