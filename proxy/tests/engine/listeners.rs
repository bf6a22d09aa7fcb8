//! Many listeners: what each takes, whom it turns away, and how they change while the gateway runs.

use std::net::SocketAddr;
use std::time::Duration;

use portreeve_proxy::Gateway;
use portreeve_proxy::address::Address;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::client::{Client, limited};
use crate::origin::Origin;
use crate::stage::{config, everything, metric, parsed, start, with};

/// A gateway with these listeners beside `listen`.
async fn with_listeners(origin: &Origin, listeners: Value) -> Gateway {
    start(with(config(&[origin], everything()), "listeners", listeners)).await
}

/// Where the listener of this number is reached.
fn at(gateway: &Gateway, number: usize) -> SocketAddr {
    gateway.listeners()[number].socket().unwrap()
}

async fn refused(gateway: &Gateway, reason: &str) -> f64 {
    let reason = format!("reason=\"{reason}\"");
    metric(gateway.local_addrs().admin, "portreeve_connections_refused_total", &[&reason]).await
}

#[tokio::test]
async fn tcp_and_unix_listeners_serve_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.sock");
    let origin = Origin::saying("ok").await;
    let listeners = json!([{"address": "127.0.0.1:0"}, {"address": format!("unix:{}", path.display())}]);
    let gateway = with_listeners(&origin, listeners).await;
    assert_eq!(gateway.listeners().len(), 3);
    assert_eq!(gateway.listeners()[2], Address::Unix(path.as_path().into()));
    for number in [0, 1] {
        assert_eq!(Client::connect(at(&gateway, number)).await.get("/").await.text(), "ok");
    }
    // All workers share the one socket.
    for _ in 0..8 {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        limited(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"), "{answer}");
    }
    gateway.shutdown().await;
    assert!(!path.exists(), "its file goes with it");
}

#[tokio::test]
async fn a_client_and_a_listener_have_limits_of_their_own() {
    let origin = Origin::saying("ok").await;
    let listeners = json!([
        {"address": "127.0.0.1:0", "connections": 2},
        {"address": "[::1]:0"},
    ]);
    let settings = with(config(&[&origin], everything()), "listeners", listeners);
    let gateway = start(with(settings, "limits", json!({"connections_per_client": 3}))).await;
    let mut held = Vec::new();
    for number in [1, 1, 0] {
        let mut client = Client::connect(at(&gateway, number)).await;
        assert_eq!(client.get("/").await.status, 200);
        held.push(client);
    }
    assert!(Client::connect(at(&gateway, 1)).await.is_closed().await);
    assert!(Client::connect(at(&gateway, 0)).await.is_closed().await);
    assert_eq!((refused(&gateway, "listener").await, refused(&gateway, "client").await), (1.0, 1.0));
    assert_eq!(Client::connect(at(&gateway, 2)).await.get("/").await.status, 200, "another client");
    drop(held);
    drop(connected(at(&gateway, 1)).await);

    // Limits are those of the configuration in force.
    let settings = with(config(&[&origin], everything()), "limits", json!({"connections": 1}));
    gateway.reload(parsed(settings)).await.unwrap();
    let mut one = connected(at(&gateway, 0)).await;
    assert!(Client::connect(at(&gateway, 0)).await.is_closed().await);
    assert_eq!(one.get("/").await.status, 200);
    assert!(refused(&gateway, "connections").await >= 1.0);
    gateway.shutdown().await;
}

/// A connection that is served, however long places take to come free.
async fn connected(to: SocketAddr) -> Client {
    limited(async {
        loop {
            let mut client = Client::connect(to).await;
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            if client.answer_or_end("GET").await.is_some() {
                return client;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_proxy_header_is_required_of_balancers_and_of_nobody_else() {
    let origin = Origin::saying("ok").await;
    let from = |network: &str| json!({"address": "127.0.0.1:0", "proxy_protocol": {"from": [network]}});
    let limits = json!({"header_timeout": "300ms", "connections_per_client": 2});
    let settings = with(config(&[&origin], everything()), "limits", limits);
    let listeners = json!([from("127.0.0.0/8"), from("10.0.0.0/8")]);
    let gateway = start(with(settings, "listeners", listeners)).await;
    let request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let version2 =
        [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &[192, 0, 2, 7, 10, 0, 0, 1, 1, 2, 0, 80]]
            .concat();

    // Fragments, and the request in the same breath.
    let mut client = Client::connect(at(&gateway, 1)).await;
    client.send("PROXY TCP4 192.0.2.7 10").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    client.send(format!(".0.0.1 1 80\r\n{request}")).await;
    assert_eq!(client.answer("GET").await.status, 200);
    let forwarded = origin.last().field("x-forwarded-for").map(str::to_owned);
    assert_eq!(forwarded.as_deref(), Some("192.0.2.7"));
    let mut second = Client::connect(at(&gateway, 1)).await;
    second.send([version2.as_slice(), request.as_bytes()].concat()).await;
    assert_eq!(second.answer("GET").await.status, 200);

    // The third of the same client, whose address is the header's.
    let mut third = Client::connect(at(&gateway, 1)).await;
    third.send(&version2).await;
    assert!(third.is_closed().await);
    assert_eq!(refused(&gateway, "client").await, 1.0);
    // No header, another's header, and one that never ends.
    for bytes in [request.as_bytes(), b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n", b"PROXY TCP4 1"] {
        let mut client = Client::connect(at(&gateway, 1)).await;
        client.send(bytes).await;
        assert!(client.is_closed().await);
    }
    assert_eq!(refused(&gateway, "proxy_header").await, 3.0);
    let count = origin.count();
    let mut stranger = Client::connect(at(&gateway, 2)).await;
    stranger.send(format!("PROXY TCP4 192.0.2.7 10.0.0.1 1 80\r\n{request}")).await;
    assert!(stranger.answer_or_end("GET").await.is_none_or(|answer| answer.status == 400));
    assert_eq!(origin.count(), count);
    gateway.shutdown().await;
}

/// Answers each connection with a line that says what it is, and then with what it hears.
async fn echo(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                write.write_all(name.as_bytes()).await?;
                tokio::io::copy(&mut read, &mut write).await?;
                write.shutdown().await
            });
        }
    });
    address
}

#[tokio::test]
async fn bytes_are_passed_on_with_half_close_past_a_dead_instance() {
    let origin = Origin::saying("ok").await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut settings = config(&[&origin], everything());
    settings["services"]["raw"] = json!({"endpoints": [echo("raw ").await.to_string(), dead.to_string()]});
    let forward = |forward: Value| json!({"address": "127.0.0.1:0", "protocol": "tcp", "forward": forward});
    let listeners = json!([
        forward(json!([{"service": "raw"}])),
        forward(json!([{"sni": ["a.example"], "service": "raw"}])),
    ]);
    settings["listeners"] = listeners;
    let gateway = start(settings).await;
    for _ in 0..4 {
        let mut stream = TcpStream::connect(at(&gateway, 1)).await.unwrap();
        stream.write_all(b"to the end").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        limited(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("raw ") && answer.ends_with("to the end"), "{answer}");
    }
    // Nobody's name.
    let mut stream = TcpStream::connect(at(&gateway, 2)).await.unwrap();
    stream.write_all(b"plain\r\n").await.unwrap();
    assert!(Client::over(stream).is_closed().await);
    assert_eq!(refused(&gateway, "no_forward").await, 1.0);
    let admin = gateway.local_addrs().admin;
    assert_eq!(metric(admin, "portreeve_relays_total", &[]).await, 4.0);
    let direction = ["direction=\"from_clients\""];
    assert_eq!(metric(admin, "portreeve_relayed_bytes_total", &direction).await, 40.0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn listeners_open_and_close_while_others_stay_untouched() {
    let origin = Origin::saying("ok").await;
    let listeners = |list: Value| parsed(with(config(&[&origin], everything()), "listeners", list));
    let gateway = with_listeners(&origin, json!([{"address": "127.0.0.1:0"}])).await;
    let (first, gone) = (at(&gateway, 0), at(&gateway, 1));
    let mut kept = Client::connect(first).await;
    assert_eq!(kept.get("/").await.status, 200);
    let mut closing = Client::connect(gone).await;
    assert_eq!(closing.get("/").await.status, 200);

    // An address in use: nothing changes, and it is said where.
    let taken = origin.address.to_string();
    let bad = listeners(json!([{"address": "[::1]:0"}, {"address": taken}]));
    let faults = gateway.reload(bad).await.unwrap_err();
    assert_eq!(faults.0[0].path, "listeners[1]");
    assert!(faults.to_string().contains("in use"), "{faults}");
    assert_eq!(gateway.listeners().len(), 2);
    assert_eq!(Client::connect(gone).await.get("/").await.status, 200);

    gateway.reload(listeners(json!([{"address": "[::1]:0"}]))).await.unwrap();
    assert_eq!(at(&gateway, 0), first);
    assert_eq!(Client::connect(at(&gateway, 1)).await.get("/").await.status, 200);
    let refusal = async { while TcpStream::connect(gone).await.is_ok() {} };
    limited(refusal).await;
    // A client that is about to send loses nothing; it is told to go.
    let last = closing.get("/").await;
    assert_eq!((last.status, last.field("connection")), (200, Some("close")));
    assert!(closing.is_closed().await);
    let still = kept.get("/").await;
    assert_eq!((still.status, still.field("connection")), (200, None));
    gateway.shutdown().await;
}
