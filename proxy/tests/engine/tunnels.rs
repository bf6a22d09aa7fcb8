//! WebSocket through the gateway, over HTTP/1.1 (RFC 6455) and HTTP/2 (RFC 8441). To the gateway it is bytes; frames are
//! written here as a client would, so that a byte too many or too few is seen.

use std::convert::Infallible;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portreeve_proxy::Gateway;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::client::{Client, find_end, limited};
use crate::foreign::{AnyBody, Caller, Speaks, nothing};
use crate::loris::raise_the_limit_of_descriptors;
use crate::stage::{config, metric, parsed, start, with};

const SOCKETS: usize = 1_000;
const RELOADS: usize = 100;
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const MASK: [u8; 4] = [7, 99, 200, 31];
const HANDSHAKE: &str = "GET /socket HTTP/1.1\r\nhost: shop.example\r\nconnection: keep-alive, Upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    sec-websocket-protocol: chat\r\n\r\n";

/// Switches to WebSocket and sends each message back, until a close frame, which it answers.
pub(crate) async fn service() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream));
        }
    });
    address
}

async fn converse(mut stream: tokio::net::TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while find_end(&head).is_none() {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /socket http/1.1\r\n"), "{head}");
    for line in ["upgrade: websocket\r\n", "sec-websocket-version: 13\r\n", "sec-websocket-key: "] {
        assert!(head.contains(line), "{head}");
    }
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
    stream.write_all(agreed.as_bytes()).await?;
    loop {
        let (kind, message) = receive(&mut stream).await?;
        send(&mut stream, kind, &message, None).await?;
        if kind == CLOSE {
            return stream.shutdown().await;
        }
    }
}

/// Reads a frame of up to 64 KiB.
async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(u8, Vec<u8>)> {
    let (kind, length) = (stream.read_u8().await?, stream.read_u8().await?);
    let is_masked = length & 0x80 != 0;
    let length = match length & 0x7f {
        126 => usize::from(stream.read_u16().await?),
        length => usize::from(length),
    };
    let mut mask = [0; 4];
    if is_masked {
        stream.read_exact(&mut mask).await?;
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    message.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok((kind, message))
}

/// Writes a frame; what clients send is masked.
async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    kind: u8,
    message: &[u8],
    mask: Option<[u8; 4]>,
) -> std::io::Result<()> {
    let flag = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![kind];
    match u8::try_from(message.len()) {
        Ok(length @ 0..126) => frame.push(flag | length),
        _ => {
            frame.push(flag | 126);
            frame.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend(mask.unwrap_or_default().iter().take(if mask.is_some() { 4 } else { 0 }));
    frame.extend(message.iter().zip(mask.unwrap_or_default().iter().cycle()).map(|(byte, mask)| byte ^ mask));
    stream.write_all(&frame).await
}

/// Sends a message and gets it back.
pub(crate) async fn echoes(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), message: &[u8]) {
    limited(send(stream, TEXT, message, Some(MASK))).await.unwrap();
    let (kind, back) = limited(receive(stream)).await.unwrap();
    assert!(
        (kind, back.as_slice()) == (TEXT, message),
        "{} bytes came back for {}",
        back.len(),
        message.len()
    );
}

/// Says goodbye and sees the end.
pub(crate) async fn closes(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let goodbye = [0x03, 0xe8, b'b', b'y', b'e'];
    limited(send(&mut stream, CLOSE, &goodbye, Some(MASK))).await.unwrap();
    assert_eq!(limited(receive(&mut stream)).await.unwrap(), (CLOSE, goodbye.to_vec()));
    let mut rest = Vec::new();
    limited(stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
}

pub(crate) fn settings(service: std::net::SocketAddr) -> Value {
    let routes =
        json!([{"name": "sockets", "match": {"path": "/socket"}, "service": "s", "upgrade": ["websocket"]}]);
    let mut settings = config(&[], routes);
    settings["services"]["s"]["endpoints"] = json!([service.to_string()]);
    settings
}

/// A connection that has switched.
pub(crate) async fn socket(gateway: &Gateway) -> Client {
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send(HANDSHAKE).await;
    let given = client.answer_or_end("GET").await.expect("no answer");
    assert_eq!((given.status, given.field("upgrade")), (101, Some("websocket")));
    assert_eq!(given.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(given.field("sec-websocket-protocol"), Some("chat"));
    client
}

#[tokio::test]
async fn messages_go_both_ways_over_http_1() {
    let gateway = start(settings(service().await)).await;
    let mut client = socket(&gateway).await;
    for length in [0, 1, 125, 126, 4_096, 65_535] {
        echoes(&mut client.stream, &vec![b'm'; length]).await;
    }
    closes(client.stream).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn messages_go_both_ways_over_http_2() {
    let gateway = start(settings(service().await)).await;
    let mut caller = Caller::connect(Speaks::Http2, gateway.local_addrs().listen).await;
    let mut tunnels = Vec::new();
    for _ in 0..3 {
        let mut request = Request::builder().method(Method::CONNECT).uri("/socket");
        for (name, value) in [("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")] {
            request = request.header(name, value);
        }
        let request = request.extension(hyper::ext::Protocol::from_static("websocket"));
        let response = caller.send(request.body(nothing()).unwrap()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
        assert!(
            !response.headers().contains_key("upgrade") && !response.headers().contains_key("connection")
        );
        tunnels.push(TokioIo::new(limited(hyper::upgrade::on(response)).await.unwrap()));
    }
    for length in [0, 1, 125, 126, 4_096, 65_535] {
        for tunnel in &mut tunnels {
            echoes(tunnel, &vec![b'm'; length]).await;
        }
    }
    for tunnel in tunnels {
        closes(tunnel).await;
    }
    gateway.shutdown().await;
}

/// An instance of HTTP/2 by prior knowledge that sends back what comes by its tunnels, if it takes any.
async fn service_of_http_2(takes_tunnels: bool) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            if takes_tunnels {
                server.enable_connect_protocol();
            }
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(echoing)));
        }
    });
    address
}

async fn echoing(mut request: Request<Incoming>) -> Result<Response<AnyBody>, Infallible> {
    let mut answer = Response::new(nothing());
    if request.uri().path() == "/refused" {
        *answer.status_mut() = http::StatusCode::FORBIDDEN;
        return Ok(answer);
    }
    let protocol = request.extensions().get::<hyper::ext::Protocol>().cloned();
    assert_eq!((request.method(), protocol.unwrap().as_str()), (&Method::CONNECT, "websocket"));
    for field in ["sec-websocket-key", "upgrade", "connection"] {
        assert!(!request.headers().contains_key(field), "{field}");
    }
    assert_eq!(request.headers()["sec-websocket-version"], "13");
    answer
        .headers_mut()
        .insert("sec-websocket-protocol", request.headers()["sec-websocket-protocol"].clone());
    tokio::spawn(async move {
        let stream = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
        let (mut reads, mut writes) = tokio::io::split(stream);
        let _ = tokio::io::copy(&mut reads, &mut writes).await;
        let _ = writes.shutdown().await;
    });
    Ok(answer)
}

fn by_http_2(mut settings: Value) -> Value {
    settings["services"]["s"]["protocol"] = json!("http2");
    settings["routes"][0]["match"]["path"] = json!("/*");
    settings
}

/// A tunnel by HTTP/2, or why there is none.
async fn tunnel(caller: &mut Caller, path: &str) -> Response<Incoming> {
    let request = Request::builder().method(Method::CONNECT).uri(path);
    let request = request.header("sec-websocket-version", "13").header("sec-websocket-protocol", "chat");
    let request = request.extension(hyper::ext::Protocol::from_static("websocket"));
    caller.send(request.body(nothing()).unwrap()).await
}

/// A message to somebody who sends back all that comes, as it comes.
async fn comes_back(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), length: usize) {
    let message = vec![b'm'; length];
    let mut back = vec![0; length];
    let (mut reads, mut writes) = tokio::io::split(stream);
    let both = async { tokio::join!(writes.write_all(&message), reads.read_exact(&mut back)) };
    let (written, read) = limited(both).await;
    written.unwrap();
    read.unwrap();
    assert!(back == message);
}

#[tokio::test]
async fn an_instance_of_http_2_is_asked_for_a_tunnel() {
    let gateway = start(by_http_2(settings(service_of_http_2(true).await))).await;
    for _ in 0..2 {
        let mut client = socket(&gateway).await;
        comes_back(&mut client.stream, 1_000_000).await;
        client.stream.shutdown().await.unwrap();
        assert!(client.is_closed().await);
    }
    let mut caller = Caller::connect(Speaks::Http2, gateway.local_addrs().listen).await;
    let response = tunnel(&mut caller, "/socket").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    let mut stream = TokioIo::new(limited(hyper::upgrade::on(response)).await.unwrap());
    comes_back(&mut stream, 1_000_000).await;
    assert_eq!(tunnel(&mut caller, "/refused").await.status(), 403);
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send(HANDSHAKE.replace("/socket", "/refused")).await;
    assert_eq!(client.answer("GET").await.status, 403);
    drop(stream);
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_instance_of_http_2_without_tunnels_is_named() {
    let gateway = start(by_http_2(settings(service_of_http_2(false).await))).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for _ in 0..2 {
        client.send(HANDSHAKE).await;
        let given = client.answer("GET").await;
        given.problem(502, "no_switch");
        assert_eq!(given.field("proxy-status"), Some("gateway; error=http_upgrade_failed"));
    }
    let mut caller = Caller::connect(Speaks::Http2, gateway.local_addrs().listen).await;
    assert_eq!(tunnel(&mut caller, "/socket").await.status(), 502);
    gateway.shutdown().await;
}

#[tokio::test]
async fn open_sockets_survive_reloads_of_other_routes() {
    raise_the_limit_of_descriptors();
    let service = service().await;
    let gateway = start(settings(service)).await;
    let mut clients = Vec::with_capacity(SOCKETS);
    for number in 0..SOCKETS {
        let mut client = socket(&gateway).await;
        echoes(&mut client.stream, format!("{number} before").as_bytes()).await;
        clients.push(client);
    }
    for round in 0..RELOADS {
        let mut fresh = settings(service);
        let other = json!({"name": "other", "match": {"path": format!("/{round}")}, "service": "other"});
        fresh["services"]["other"] = json!({"endpoints": [format!("127.0.0.1:{}", 1 + round)]});
        fresh["routes"].as_array_mut().unwrap().push(other);
        gateway.reload(parsed(fresh)).await.unwrap();
        echoes(&mut clients[round * SOCKETS / RELOADS].stream, b"meanwhile").await;
    }
    assert_eq!(metric(gateway.local_addrs().admin, "portreeve_reloads_total", &[]).await, RELOADS as f64);
    for (number, client) in clients.iter_mut().enumerate() {
        echoes(&mut client.stream, format!("{number} after").as_bytes()).await;
    }
    for client in clients {
        closes(client.stream).await;
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_silent_or_old_tunnel_ends_and_a_busy_one_does_not() {
    let limits = json!({"idle_timeout": "500ms", "tunnel_age": "3s"});
    let gateway = start(with(settings(service().await), "limits", limits)).await;
    let mut silent = socket(&gateway).await;
    let mut busy = socket(&gateway).await;
    echoes(&mut silent.stream, b"one").await;
    let began = std::time::Instant::now();
    let mut rounds = 0;
    while send(&mut busy.stream, TEXT, b"again", Some(MASK)).await.is_ok()
        && limited(receive(&mut busy.stream)).await.is_ok()
    {
        rounds += 1;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() >= std::time::Duration::from_secs(2), "it ended after {:?}", began.elapsed());
    assert!(rounds > 10, "{rounds} messages");
    assert!(silent.is_closed().await);
    gateway.shutdown().await;
}
