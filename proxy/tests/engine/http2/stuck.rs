//! Clients of HTTP/2 that hold on to what they were given: each is ended by a limit, and holds little until then.

use http_body_util::BodyExt;
use serde_json::json;

use super::wire::{
    DATA, END_HEADERS, END_STREAM, End, HEADERS, Over, Wire, frame, literal, request, setting, whole,
};
use super::{gateway, gateway_with, origin};
use crate::client::{Client, get, limited, until};
use crate::foreign::{self, Foreign, Speaks};
use crate::origin::{Origin, Reply, ok};

#[tokio::test]
async fn windows_that_are_never_opened() {
    let origin = Origin::start(|_| Reply::Keep(ok(vec![b'x'; 8 << 20]))).await;
    let gateway = gateway(&origin).await;
    // INITIAL_WINDOW_SIZE 0: not a byte of any answer can be sent.
    let mut wire = Wire::with_settings(gateway.local_addrs().listen, &[setting(4, 0)]).await;
    wire.keep_windows_shut();
    wire.send((0..50).flat_map(|number| whole(2 * number + 1, "GET", "/")).collect::<Vec<u8>>()).await;
    until("the answers are under way", || origin.count() == 50).await;
    until("the origin is let go", || origin.open() == 0).await;
    assert_eq!(limited(get(gateway.local_addrs().listen, "/")).await.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_reads_nothing() {
    let origin = Origin::start(|_| Reply::Keep(ok(vec![b'x'; 64 << 20]))).await;
    let gateway = gateway(&origin).await;
    let widest = 0x7fff_ffff;
    let mut wire = Wire::with_settings(gateway.local_addrs().listen, &[setting(4, widest)]).await;
    let room = (widest - 65_535).to_be_bytes();
    wire.send(frame(super::wire::WINDOW_UPDATE, 0, 0, &room)).await;
    wire.send(whole(1, "GET", "/")).await;
    until("the answer is under way", || origin.count() == 1).await;
    until("the origin is let go", || origin.open() == 0).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_preface_and_nothing_more() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    let mut silent = Client::connect(gateway.local_addrs().listen).await;
    silent.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let mut half = Client::connect(gateway.local_addrs().listen).await;
    half.send("PRI * HTTP/2.0\r\n\r\nSM").await;
    let mut idle = Wire::connect(gateway.local_addrs().listen).await;
    assert_ne!(idle.end().await, Over::Not);
    for mut client in [silent, half] {
        let mut rest = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut client.stream, &mut rest);
        let _ = limited(reading).await;
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_head_that_does_not_end() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    wire.send(frame(HEADERS, 0, 1, &request("GET", "/"))).await;
    assert_ne!(wire.end().await, Over::Not);
    assert_eq!(origin.count(), 0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_that_trickles_is_told_of_and_a_call_may_rest() {
    let origin = origin().await;
    let routes = json!([{"name": "all", "match": {"path": "/*"}, "service": "s", "timeout": "5m"}]);
    let settings = crate::stage::config(&[&origin], routes);
    let limits = json!({"idle_timeout": "60s", "rate_window": "1s", "min_rate": "1KiB"});
    let gateway = crate::stage::start(crate::stage::with(settings, "limits", limits)).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    wire.send(frame(HEADERS, END_HEADERS, 1, &request("POST", "/"))).await;
    let call = [request("POST", "/"), literal("content-type", "application/grpc")].concat();
    wire.send(frame(HEADERS, END_HEADERS, 3, &call)).await;
    let end = limited(wire.end_of(1)).await;
    assert!(matches!(end, End::Answer(408, _)), "{end:?}");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    wire.send(frame(DATA, END_STREAM, 3, b"at last")).await;
    let end = limited(wire.end_of(3)).await;
    assert!(matches!(&end, End::Answer(200, body) if body == b"ok"), "{end:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_that_trickles_to_an_instance_of_http_2() {
    let origin = Foreign::start(Speaks::Http2, |request| async move {
        let _ = request.into_body().collect().await;
        http::Response::new(foreign::whole("ok"))
    })
    .await;
    let mut settings = origin.config();
    settings["routes"][0]["timeout"] = json!("5m");
    let limits = json!({"idle_timeout": "60s", "rate_window": "1s", "min_rate": "1KiB"});
    let gateway = crate::stage::start(crate::stage::with(settings, "limits", limits)).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    wire.send(frame(HEADERS, END_HEADERS, 1, &request("POST", "/"))).await;
    let end = limited(wire.end_of(1)).await;
    assert!(matches!(end, End::Answer(408, _)), "{end:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_that_trickles() {
    let origin = origin().await;
    let limits =
        json!({"header_timeout": "10s", "idle_timeout": "10s", "rate_window": "1s", "min_rate": "1KiB"});
    let gateway = gateway_with(&origin, limits).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    wire.send(frame(HEADERS, END_HEADERS, 1, &request("POST", "/"))).await;
    let trickle = async {
        for _ in 0..100 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            if !wire.send(frame(DATA, 0, 1, b"x")).await {
                break;
            }
        }
        wire.end_of(1).await
    };
    let end = limited(trickle).await;
    assert!(matches!(end, End::Answer(408, _) | End::Reset(_) | End::GoAway(_) | End::Closed), "{end:?}");
    assert_eq!(origin.count(), 0, "no whole request came through");
    gateway.shutdown().await;
}
