//! Services that speak more than requests and answers of HTTP/1.1: gRPC's way, by HTTP/2 without TLS, and WebSocket. Each
//! call goes from one service by its own sidecar and that of the other to the other service.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use stage::{App, LIMIT, Plane, Running, beside};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A body that is written while it is sent.
struct Written(mpsc::Receiver<Frame<Bytes>>);

impl Body for Written {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// A service as a server of gRPC is one: HTTP/2 by prior knowledge only, messages both ways at once, and the outcome in
/// trailers.
async fn greeter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(greet)));
        }
    });
    address
}

async fn greet(request: Request<Incoming>) -> Result<Response<Written>, Infallible> {
    assert_eq!(request.headers()["content-type"], "application/grpc");
    assert_eq!(request.headers()["te"], "trailers");
    let (answers, written) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut body = request.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            let message = frame.into_data().unwrap();
            // A stream may end with a frame that holds nothing else.
            if message.is_empty() {
                continue;
            }
            answers.send(Frame::data([b"hello ", message.as_ref()].concat().into())).await.unwrap();
        }
        let outcome = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from(0))]);
        answers.send(Frame::trailers(outcome)).await.unwrap();
    });
    let mut answer = Response::new(Written(written));
    answer.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(answer)
}

/// A call of `service` at this address, in messages that answer each other.
async fn converses(to: SocketAddr, service: &str) {
    let stream = TokioIo::new(TcpStream::connect(to).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let (messages, written) = mpsc::channel(1);
    let request = Request::post(format!("http://{service}/hello.Greeter/SayHello"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    messages.send(Frame::data("0".into())).await.unwrap();
    let answer = sender.send_request(request.body(Written(written)).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200, "{:?}", answer.headers());
    let mut body = answer.into_body();
    for number in 0..50 {
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), format!("hello {number}"));
        // The next question comes after the answer.
        messages.send(Frame::data((number + 1).to_string().into())).await.unwrap();
    }
    drop(messages);
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello 50");
    let outcome = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(outcome["grpc-status"], "0");
}

/// A service that switches to WebSocket and sends back what comes.
async fn chat() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let head = head_of(&mut stream).await.to_ascii_lowercase();
                if !head.contains("upgrade: websocket\r\n") {
                    return stream
                        .write_all(b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n\r\n")
                        .await;
                }
                let agreed =
                    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                stream.write_all(agreed).await?;
                let (mut reads, mut writes) = stream.split();
                tokio::io::copy(&mut reads, &mut writes).await.map(drop)
            });
        }
    });
    address
}

async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Whether a socket comes about; the answer's head when it does not.
async fn switches(to: SocketAddr, host: &str) -> Result<TcpStream, String> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let asked = format!(
        "GET /room HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(asked.as_bytes()).await.unwrap();
    let head = head_of(&mut stream).await;
    if head.starts_with("HTTP/1.1 101 ") { Ok(stream) } else { Err(head) }
}

async fn echoes(mut stream: TcpStream) {
    for message in ["one", "two", "three"] {
        stream.write_all(message.as_bytes()).await.unwrap();
        let mut back = vec![0; message.len()];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, message.as_bytes());
    }
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

/// A sidecar beside a service at this address.
async fn sidecar(service: &str, app: SocketAddr, plane: &Plane, more: Value) -> Running {
    let mut config = beside(&App::closed("nobody"), service, Some(plane));
    config["app"] = json!(app.to_string());
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Running::start(config, None).await
}

async fn limited<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it took too long")
}

#[tokio::test]
async fn a_service_serves_and_calls_grpc() {
    let plane = Plane::start().await;
    let serving = sidecar("greeter", greeter().await, &plane, json!({"protocol": "http2"})).await;
    let caller = App::start("caller").await;
    let calling = Running::start(beside(&caller, "caller", Some(&plane)), None).await;
    limited(converses(serving.inbound, "greeter")).await;
    plane.registered("greeter", 1).await;
    stage::eventually(|| async {
        let (status, _) = stage::fetch(calling.outbound, "/", Some("greeter")).await;
        (status != 404 && status != 503).then_some(())
    })
    .await;
    limited(converses(calling.outbound, "greeter")).await;
    assert_eq!(calling.stopped().await, 0);
    assert_eq!(serving.stopped().await, 0);
}

#[tokio::test]
async fn a_service_serves_and_opens_web_sockets() {
    let plane = Plane::start().await;
    let serving = sidecar("chat", chat().await, &plane, json!({})).await;
    let caller = App::start("caller").await;
    let calling = Running::start(beside(&caller, "caller", Some(&plane)), None).await;
    limited(echoes(switches(serving.inbound, "chat").await.unwrap())).await;
    plane.registered("chat", 1).await;
    let stream = stage::eventually(|| async { switches(calling.outbound, "chat").await.ok() }).await;
    limited(echoes(stream)).await;
    assert_eq!(calling.stopped().await, 0);
    assert_eq!(serving.stopped().await, 0);
}
