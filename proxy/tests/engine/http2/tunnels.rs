//! Tunnels in streams of HTTP/2 (RFC 8441), however much passes through them: what was passed on is held no longer.

use std::convert::Infallible;
use std::net::SocketAddr;

use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portreeve_proxy::Gateway;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use crate::client::{get, limited};
use crate::foreign::{AnyBody, Caller, Speaks, nothing};
use crate::stage::{start, with};
use crate::tunnels::{echoes, service, settings, socket};

/// One worker, with less memory for what is on its way than goes through a tunnel.
fn small(settings: Value) -> Value {
    with(with(settings, "limits", json!({"buffers": "512KiB"})), "workers", json!(1))
}

/// Sends 2 MiB and gets them back; other requests are still let in then, as far as their route, which there is not.
async fn passes(gateway: &Gateway, tunnel: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    for _ in 0..32 {
        echoes(tunnel, &[b'm'; 65_535]).await;
    }
    assert_eq!(get(gateway.local_addrs().listen, "/nowhere").await.status, 404);
}

#[tokio::test]
async fn from_a_client() {
    let gateway = start(small(settings(service().await))).await;
    let mut caller = Caller::connect(Speaks::Http2, gateway.local_addrs().listen).await;
    let request = Request::builder().method(Method::CONNECT).uri("/socket");
    let request = request.header("sec-websocket-version", "13").header("sec-websocket-protocol", "chat");
    let request = request.extension(hyper::ext::Protocol::from_static("websocket"));
    let response = caller.send(request.body(nothing()).unwrap()).await;
    assert_eq!(response.status(), 200);
    let mut tunnel = TokioIo::new(limited(hyper::upgrade::on(response)).await.unwrap());
    passes(&gateway, &mut tunnel).await;
    drop(tunnel);
    gateway.shutdown().await;
}

#[tokio::test]
async fn to_an_instance() {
    let mut settings = settings(echo().await);
    settings["services"]["s"]["protocol"] = json!("http2");
    let gateway = start(small(settings)).await;
    let mut client = socket(&gateway).await;
    passes(&gateway, &mut client.stream).await;
    drop(client);
    gateway.shutdown().await;
}

/// An instance that sends back what comes by its tunnels.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.enable_connect_protocol();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(echoing)));
        }
    });
    address
}

async fn echoing(mut request: Request<Incoming>) -> Result<Response<AnyBody>, Infallible> {
    tokio::spawn(async move {
        let tunnel = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
        let (mut reads, mut writes) = tokio::io::split(tunnel);
        let _ = tokio::io::copy(&mut reads, &mut writes).await;
    });
    let mut answer = Response::new(nothing());
    answer.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("chat"));
    Ok(answer)
}
