//! HTTP/2 as it should be, by prior knowledge on the plain listener: what the other files bend stands here straight.

use super::wire::{
    DATA, END_HEADERS, END_STREAM, End, HEADERS, SETTINGS, Wire, block, frame, request, whole,
};
use super::{gateway, origin};

#[tokio::test]
async fn requests_of_one_connection_are_answered() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    assert_eq!(wire.next().await.map(|frame| frame.kind), Some(SETTINGS), "its own settings come first");
    for number in 0..50 {
        let stream = 2 * number + 1;
        wire.send(whole(stream, "GET", &format!("/{number}"))).await;
        assert_eq!(wire.end_of(stream).await, End::Answer(200, b"ok".to_vec()));
        let seen = origin.last();
        assert_eq!(seen.line(), format!("GET /{number} HTTP/1.1"));
        assert_eq!((seen.field("host"), seen.field("x-forwarded-host")), (Some("a"), Some("a")));
        assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
        assert!(!seen.head.contains(":method") && !seen.head.contains(":path"), "{}", seen.head);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn bodies_and_their_ends_are_kept() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    for (stream, length) in [(1, None), (3, Some("10"))] {
        let mut head = request("POST", "/");
        head.extend(length.map(|length| block(&[("content-length", length)])).unwrap_or_default());
        wire.send(frame(HEADERS, END_HEADERS, stream, &head)).await;
        wire.send(frame(DATA, 0, stream, b"hello")).await;
        wire.send(frame(DATA, END_STREAM, stream, b"hello")).await;
        assert_eq!(wire.end_of(stream).await, End::Answer(200, b"ok".to_vec()));
        assert_eq!(
            (origin.last().body, origin.last().field("content-length")),
            (b"hellohello".to_vec(), length)
        );
    }
    wire.send(whole(5, "HEAD", "/")).await;
    assert_eq!(wire.end_of(5).await, End::Answer(200, Vec::new()));
    wire.send(whole(7, "GET", "/x/..")).await;
    let End::Answer(400, problem) = wire.end_of(7).await else { panic!("no refusal") };
    assert!(String::from_utf8(problem).unwrap().contains("\"path\""));
    gateway.shutdown().await;
}

/// HTTP/1 leaves it out in any case; here it would be a fault of the gateway (RFC 9113, 8.1.1).
#[tokio::test]
async fn head_is_never_answered_with_a_body() {
    let origin = origin().await;
    let routes = serde_json::json!([
        {"name": "kept", "match": {"path": "/kept"}, "service": "s", "cache": {"ttl": "60s", "share": "everyone"}},
    ]);
    let gateway = crate::stage::start(crate::stage::config(&[&origin], routes)).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    wire.send(whole(1, "HEAD", "/nowhere")).await;
    assert_eq!(wire.end_of(1).await, End::Answer(404, Vec::new()));
    wire.send(whole(3, "GET", "/kept")).await;
    assert_eq!(wire.end_of(3).await, End::Answer(200, b"ok".to_vec()));
    wire.send(whole(5, "HEAD", "/kept")).await;
    assert_eq!(wire.end_of(5).await, End::Answer(200, Vec::new()));
    assert_eq!(origin.count(), 1, "it was kept");
    gateway.shutdown().await;
}

#[tokio::test]
async fn trailers_pass_without_what_steers() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    wire.send(frame(HEADERS, END_HEADERS, 1, &request("POST", "/"))).await;
    wire.send(frame(DATA, 0, 1, b"hello")).await;
    let trailers =
        block(&[("x-late", "7"), ("host", "evil"), ("content-length", "99"), ("authorization", "evil")]);
    wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers)).await;
    match wire.end_of(1).await {
        End::Answer(200, _) => {
            let trailers = origin.last().trailers.to_ascii_lowercase();
            assert_eq!(trailers, "x-late: 7\r\n");
        }
        end => assert!(matches!(end, End::Answer(400, _) | End::Reset(1)) && origin.count() == 0, "{end:?}"),
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn crumbs_of_a_cookie_are_put_together() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    let crumbs = block(&[("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f")]);
    let head = [request("GET", "/"), crumbs].concat();
    wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await;
    assert_eq!(wire.end_of(1).await, End::Answer(200, b"ok".to_vec()));
    assert_eq!(origin.last().field("cookie"), Some("a=b; c=d; e=f"), "RFC 9113, 8.2.3");
    gateway.shutdown().await;
}
