//! What clients and instances of HTTP/2 leave lying about counts as memory for data on its way: above the limit new work
//! is turned away, and let in again when they have gone.

use std::time::Duration;

use http::Request;
use portreeve_proxy::Gateway;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use super::wire::{WINDOW_UPDATE, Wire, frame, setting, whole};
use crate::client::{Client, LIMIT, get, limited};
use crate::foreign::{Caller, Foreign, Speaks, written};
use crate::origin::{Origin, Reply, ok};
use crate::stage::{config, everything, start, with};

pub(super) fn small(settings: Value) -> Value {
    let limits = json!({"buffers": "128KiB", "min_rate": "0B", "idle_timeout": "60s", "http2": {"stream_window": "512KiB", "streams": 2000}});
    with(with(settings, "limits", limits), "workers", json!(1))
}

/// Asks by new connections until the status is this one.
pub(super) async fn becomes(gateway: &Gateway, status: u16) -> crate::client::Answer {
    let end = tokio::time::Instant::now() + LIMIT;
    loop {
        let given = get(gateway.local_addrs().listen, "/small").await;
        if given.status == status {
            return given;
        }
        assert!(tokio::time::Instant::now() < end, "it stays {}", given.status);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whoever asks now is turned away, and is not when `cause` is gone.
pub(super) async fn is_full_until_gone<T>(gateway: Gateway, cause: T) {
    let given = becomes(&gateway, 503).await;
    given.problem(503, "overloaded");
    assert!(given.field("retry-after").is_some());
    drop(cause);
    becomes(&gateway, 200).await;
    limited(gateway.shutdown()).await;
}

#[tokio::test]
async fn by_clients_that_send_what_no_instance_takes() {
    // It answers what has no body, and reads of no other.
    let origin = Foreign::start(Speaks::Http2, |request| async move {
        if request.uri().path() == "/large" {
            std::future::pending::<()>().await;
        }
        http::Response::new(crate::foreign::whole("ok"))
    })
    .await;
    let gateway = start(small(origin.config())).await;
    let mut caller = Caller::connect(Speaks::Http2, gateway.local_addrs().listen).await;
    let (pen, body) = written();
    let sending = tokio::spawn(async move {
        let _ = caller.send(Request::post("/large").body(body).unwrap()).await;
    });
    let writing = tokio::spawn(async move {
        // More than the origin's own windows take, 1 MiB.
        for _ in 0..256 {
            pen.write(vec![b'x'; 16 * 1024]).await;
        }
    });
    struct Both(tokio::task::JoinHandle<()>, tokio::task::JoinHandle<()>);
    impl Drop for Both {
        fn drop(&mut self) {
            self.0.abort();
            self.1.abort();
        }
    }
    is_full_until_gone(gateway, Both(sending, writing)).await;
}

/// A client with little room in the kernel.
pub(super) async fn narrow(gateway: &Gateway) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    Client::over(limited(socket.connect(gateway.local_addrs().listen)).await.unwrap())
}

#[tokio::test]
async fn by_clients_that_take_no_answers() {
    // Small ones, by one connection: nothing of them is left at the instance's side.
    let origin = Foreign::start(Speaks::Http2, |_| async move {
        http::Response::new(crate::foreign::whole(vec![b'x'; 12 * 1024]))
    })
    .await;
    let gateway = start(small(origin.config())).await;
    let mut client = narrow(&gateway).await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // Its windows are as wide as they can be; only it reads nothing.
    bytes.extend(frame(super::wire::SETTINGS, 0, 0, &setting(4, 0x7fff_ffff)));
    bytes.extend(frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes()));
    for round in 0..20 {
        bytes.extend((60 * round..60 * (round + 1)).flat_map(|number| whole(2 * number + 1, "GET", "/")));
        client.send(std::mem::take(&mut bytes)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    is_full_until_gone(gateway, client).await;
}

#[tokio::test]
async fn by_instances_whose_answers_nobody_takes() {
    let origin = Foreign::start(Speaks::Http2, |request| async move {
        let length = if request.uri().path() == "/large" { 32 << 20 } else { 2 };
        http::Response::new(crate::foreign::whole(vec![b'x'; length]))
    })
    .await;
    let gateway = start(small(origin.config())).await;
    let mut client = narrow(&gateway).await;
    client.send("GET /large HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
    is_full_until_gone(gateway, client).await;
}

#[tokio::test]
async fn for_no_longer_than_the_idle_time_also_without_a_least_rate() {
    let origin = Origin::start(|_| Reply::Keep(ok(vec![b'x'; 8 << 20]))).await;
    let limits = json!({"min_rate": "0B", "idle_timeout": "2s", "rate_window": "1s"});
    let gateway = start(with(config(&[&origin], everything()), "limits", limits)).await;
    let mut wire = Wire::with_settings(gateway.local_addrs().listen, &[setting(4, 0)]).await;
    wire.keep_windows_shut();
    wire.send(whole(1, "GET", "/")).await;
    crate::client::until("the answer is under way", || origin.count() == 1).await;
    crate::client::until("the origin is let go", || origin.open() == 0).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_is_ended_can_read_why() {
    let origin = super::origin().await;
    let gateway = super::gateway(&origin).await;
    for _ in 0..5 {
        let mut client = Client::connect(gateway.local_addrs().listen).await;
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(super::wire::SETTINGS, 0, 0, &[]));
        // Far more than may come, in one go: most of it is unread when the connection ends.
        bytes.extend((0..10_000).flat_map(|_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])));
        let _ = limited(client.stream.write_all(&bytes)).await;
        let mut rest = Vec::new();
        limited(tokio::io::AsyncReadExt::read_to_end(&mut client.stream, &mut rest)).await.unwrap();
        let calm_down = [0, 0, 8, 7, 0];
        assert!(rest.windows(5).any(|five| five == calm_down), "no GOAWAY came");
    }
    gateway.shutdown().await;
}
