//! What of a message reaches the other side, and in which form.

use crate::client::{Client, get};
use crate::origin::{Origin, Reply, answer, ok};
use crate::stage::{ask, before};

#[tokio::test]
async fn method_path_query_fields_and_body_arrive() {
    let origin =
        Origin::start(|_| Reply::Keep(answer("201 Created", "x-made: yes\r\nlocation: /a/1\r\n", "made")))
            .await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "REPORT"] {
        let given = client.ask(method, "/a/b?x=1&y=%2F&z", "x-mine: 7\r\ncookie: a=b\r\n", "hello").await;
        assert_eq!((given.status, given.text()), (201, "made"));
        assert_eq!((given.field("x-made"), given.field("location")), (Some("yes"), Some("/a/1")));
        let seen = origin.last();
        assert_eq!(seen.line(), format!("{method} /a/b?x=1&y=%2F&z HTTP/1.1"));
        assert_eq!((seen.field("x-mine"), seen.field("cookie")), (Some("7"), Some("a=b")));
        assert_eq!((seen.field("host"), seen.body.as_slice()), (Some("shop.example"), b"hello".as_slice()));
        assert_eq!((seen.field("content-length"), seen.field("transfer-encoding")), (Some("5"), None));
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn fields_of_one_connection_end_at_the_gateway() {
    let origin = Origin::start(|_| {
        let fields = "connection: x-back\r\nx-back: 1\r\nkeep-alive: timeout=5\r\nproxy-authenticate: Basic\r\nx-kept: 1\r\n";
        Reply::Keep(answer("200 OK", fields, "ok"))
    })
    .await;
    let gateway = before(&origin).await;
    let fields = "connection: keep-alive, X-Secret\r\nx-secret: 1\r\nte: trailers\r\nupgrade: h2c\r\n\
                  http2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nproxy-authorization: Basic eA==\r\nkeep-alive: 1\r\n\
                  proxy-connection: close\r\nexpect: 100-continue\r\nx-kept: 1\r\n";
    let given = ask(&gateway, "GET", "/", fields).await;
    let seen = origin.last();
    for name in ["connection", "x-secret", "te", "upgrade", "http2-settings", "proxy-authorization"] {
        assert_eq!(seen.field(name), None, "{name} in {}", seen.head);
    }
    for name in ["keep-alive", "proxy-connection", "expect"] {
        assert_eq!(seen.field(name), None, "{name} in {}", seen.head);
    }
    for name in ["connection", "x-back", "keep-alive", "proxy-authenticate"] {
        assert_eq!(given.field(name), None, "{name} in {}", given.head);
    }
    assert_eq!((seen.field("x-kept"), given.field("x-kept")), (Some("1"), Some("1")));
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_every_request_needs_cannot_be_named_away() {
    let origin = Origin::saying("ok").await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    let fields =
        "connection: host, authorization, content-length, x-forwarded-for\r\nauthorization: Basic eA==\r\n";
    assert_eq!(client.ask("POST", "/", fields, "body").await.status, 200);
    let seen = origin.last();
    assert_eq!((seen.field("host"), seen.field("authorization")), (Some("shop.example"), Some("Basic eA==")));
    assert_eq!(
        (seen.field("x-forwarded-for"), seen.body.as_slice()),
        (Some("127.0.0.1"), b"body".as_slice())
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn nobody_can_claim_to_have_been_forwarded() {
    let origin = Origin::saying("ok").await;
    let gateway = before(&origin).await;
    let fields = "x-forwarded-for: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nx-forwarded-host: evil\r\nx-forwarded-proto: https\r\n\
                  x-forwarded-port: 1\r\nx-forwarded-prefix: /evil\r\nforwarded: for=1.1.1.1\r\nx-real-ip: 1.1.1.1\r\n\
                  x_forwarded_for: 1.1.1.1\r\nX-Forwarded_Host: evil\r\n";
    assert_eq!(ask(&gateway, "GET", "/", fields).await.status, 200);
    let seen = origin.last();
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-host"), Some("shop.example"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert!(!seen.head.contains("evil") && !seen.head.contains("1.1.1.1"), "{}", seen.head);
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_canonical_target_is_what_is_forwarded() {
    let origin = Origin::saying("ok").await;
    let gateway = before(&origin).await;
    for (written, forwarded) in [
        ("/%70roducts/%7Ealice?q=%70", "/products/~alice?q=%70"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("http://shop.example/x?y", "/x?y"),
        ("http://shop.example", "/"),
    ] {
        assert_eq!(get(gateway.local_addrs().listen, written).await.status, 200, "{written}");
        assert_eq!(origin.last().line(), format!("GET {forwarded} HTTP/1.1"), "{written}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn old_clients_and_old_origins_are_understood() {
    let origin = Origin::start(|_| Reply::Close(b"HTTP/1.0 200 OK\r\n\r\nto the end".to_vec())).await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send("GET /old HTTP/1.0\r\n\r\n").await;
    let given = client.answer("GET").await;
    assert_eq!((given.status, given.text()), (200, "to the end"));
    assert_eq!((given.field("transfer-encoding"), given.is_cut), (None, false));
    assert_eq!(origin.last().field("host"), Some("s"), "HTTP/1.1 needs a host");
    let given = get(gateway.local_addrs().listen, "/new").await;
    assert_eq!((given.text(), given.field("transfer-encoding")), ("to the end", Some("chunked")));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_connection_to_an_origin_is_used_again() {
    let origin = Origin::saying("ok").await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for _ in 0..50 {
        assert_eq!(client.get("/").await.text(), "ok");
    }
    assert_eq!(origin.connections(), 1);
    gateway.shutdown().await;
}

#[tokio::test]
async fn calls_alternate_strictly_over_connections_and_workers() {
    let (left, right) = (Origin::saying("left").await, Origin::saying("right").await);
    let gateway =
        crate::stage::start(crate::stage::config(&[&left, &right], crate::stage::everything())).await;
    let mut given = Vec::new();
    for _ in 0..40 {
        given.push(get(gateway.local_addrs().listen, "/").await.text().to_owned());
    }
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for _ in 0..10 {
        given.push(client.get("/").await.text().to_owned());
    }
    assert!(given.windows(2).all(|two| two[0] != two[1]), "{given:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn interim_answers_reach_those_who_know_them() {
    let origin = Origin::start(|_| {
        let mut bytes =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".to_vec();
        bytes.extend(ok("done"));
        Reply::Keep(bytes)
    })
    .await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let first = client.answer_or_end("GET").await.unwrap();
    assert_eq!((first.status, first.field("link")), (103, Some("</a>")), "nobody asked to be told to go on");
    let given = client.answer_or_end("GET").await.unwrap();
    assert_eq!((given.status, given.text()), (200, "done"));

    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    let given = client.answer_or_end("GET").await.unwrap();
    assert_eq!((given.status, given.text()), (200, "done"), "HTTP/1.0 has none");
    gateway.shutdown().await;
}
