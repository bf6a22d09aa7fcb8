//! The cache from outside: who gets which kept answer, what a write does, what is never kept.

use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portreeve_proxy::Gateway;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::client::{Client, get, until};
use crate::origin::{Origin, Reply, answer, ok};
use crate::stage::{ask, config, metric, start, with};

/// Routes of an order service: reading is cached, writing drops what it changed.
fn orders(share: &str, auth: &str) -> Value {
    json!([
        {"name": "read", "match": {"path": "/order/{id}", "methods": ["GET"]}, "service": "s", "auth": auth,
         "cache": {"ttl": "60s", "share": share, "tags": ["order:{id}"], "max_entry": "1KiB"}},
        {"name": "write", "match": {"path": "/order/{id}", "methods": ["PUT"]}, "service": "s", "auth": auth,
         "invalidates": ["order:{id}"]},
    ])
}

async fn open(origin: &Origin) -> Gateway {
    start(config(&[origin], orders("everyone", "none"))).await
}

/// Each answer differs from the one before.
async fn counting() -> Origin {
    Origin::start(|seen| {
        Reply::Keep(answer("200 OK", "etag: \"one\"\r\n", format!("answer {}", seen.number)))
    })
    .await
}

#[tokio::test]
async fn a_kept_answer_says_so_and_a_write_drops_it_at_once() {
    let origin = counting().await;
    let gateway = open(&origin).await;
    let first = get(gateway.local_addrs().listen, "/order/1").await;
    assert_eq!((first.text(), first.field("age")), ("answer 0", None));
    assert_eq!(first.field("cache-status"), Some("gateway; fwd=uri-miss; stored"));
    let kept = get(gateway.local_addrs().listen, "/order/1").await;
    assert_eq!(
        (kept.text(), kept.field("age"), kept.field("etag")),
        ("answer 0", Some("0"), Some("\"one\""))
    );
    assert!(kept.field("cache-status").unwrap().starts_with("gateway; hit; ttl="));
    for target in ["/order/2", "/order/1?x"] {
        assert_ne!(get(gateway.local_addrs().listen, target).await.text(), "answer 0", "{target}");
    }
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send("GET /order/1 HTTP/1.1\r\nhost: other\r\n\r\n").await;
    assert_ne!(client.answer("GET").await.text(), "answer 0", "another host's");
    assert_eq!(ask(&gateway, "PUT", "/order/1", "").await.status, 200);
    assert_eq!(get(gateway.local_addrs().listen, "/order/1").await.text(), "answer 5");
    assert_eq!(get(gateway.local_addrs().listen, "/order/2").await.text(), "answer 1", "another order stays");
    let admin = gateway.local_addrs().admin;
    assert_eq!(metric(admin, "portreeve_cache_lookups_total", &["outcome=\"hit\""]).await, 2.0);
    assert_eq!(metric(admin, "portreeve_cache_lookups_total", &["outcome=\"miss\""]).await, 5.0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn head_and_conditions_are_answered_from_memory() {
    let origin = counting().await;
    let gateway = open(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    assert_eq!(client.ask("HEAD", "/order/1", "", "").await.status, 200);
    assert_eq!(client.get("/order/1").await.text(), "answer 1", "an answer to HEAD is not kept");
    let head = client.ask("HEAD", "/order/1", "", "").await;
    assert_eq!((head.status, head.field("content-length"), head.body.len()), (200, Some("8"), 0));
    for (condition, status) in
        [("\"one\"", 304), ("W/\"one\"", 304), ("\"two\", \"one\"", 304), ("*", 304), ("\"two\"", 200)]
    {
        let given = client.ask("GET", "/order/1", &format!("if-none-match: {condition}\r\n"), "").await;
        assert_eq!(
            (given.status, given.body.len()),
            (status, if status == 304 { 0 } else { 8 }),
            "{condition}"
        );
    }
    for refusing in ["cache-control: no-cache\r\n", "cache-control: max-age=0\r\n", "range: bytes=0-1\r\n"] {
        let before = origin.count();
        client.ask("GET", "/order/1", refusing, "").await;
        assert_eq!(origin.count(), before + 1, "{refusing}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_must_not_be_kept_is_not() {
    let origin = Origin::start(|seen| {
        let large = "x".repeat(1025);
        Reply::Keep(match seen.line().split(' ').nth(1).unwrap() {
            "/order/no-store" => answer("200 OK", "cache-control: no-store\r\n", "a"),
            "/order/private" => answer("200 OK", "cache-control: private\r\n", "a"),
            "/order/cookie" => answer("200 OK", "set-cookie: a=b\r\n", "a"),
            "/order/vary" => answer("200 OK", "vary: *\r\n", "a"),
            "/order/expired" => answer("200 OK", "expires: 0\r\n", "a"),
            "/order/large" => ok(large),
            "/order/error" => answer("500 Internal Server Error", "", "a"),
            "/order/missing" => answer("404 Not Found", "", "a"),
            "/order/part" => answer("206 Partial Content", "content-range: bytes 0-0/2\r\n", "a"),
            "/order/cut" => return Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na".to_vec()),
            "/order/cut-chunk" => {
                return Reply::Close(
                    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n".to_vec(),
                );
            }
            _ => return Reply::Close(b"HTTP/1.1 200 OK\r\n\r\nwho knows whether this is all".to_vec()),
        })
    })
    .await;
    let gateway = open(&origin).await;
    for name in [
        "no-store",
        "private",
        "cookie",
        "vary",
        "expired",
        "large",
        "error",
        "missing",
        "part",
        "cut",
        "cut-chunk",
        "endless",
    ] {
        for _ in 0..2 {
            get(gateway.local_addrs().listen, &format!("/order/{name}")).await;
        }
        let asked = origin.seen().iter().filter(|seen| seen.line().contains(&format!("/{name} "))).count();
        assert_eq!(asked, 2, "{name}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_answer_is_kept_for_the_fields_it_varies_by() {
    let origin = Origin::start(|seen| {
        let language = seen.field("accept-language").unwrap_or("none").to_owned();
        Reply::Keep(answer("200 OK", "vary: accept-language\r\n", language))
    })
    .await;
    let gateway = open(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for (fields, expected, asked) in [
        ("accept-language: de\r\n", "de", 1),
        ("accept-language: de\r\n", "de", 1),
        ("accept-language: en\r\n", "en", 2),
        ("", "none", 3),
        ("", "none", 3),
    ] {
        assert_eq!(client.ask("GET", "/order/1", fields, "").await.text(), expected);
        assert_eq!(origin.count(), asked, "{fields:?}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_answer_is_kept_for_the_host_and_scheme_it_was_made_for_and_a_write_drops_them_all() {
    let origin = Origin::start(|seen| {
        let names =
            ["host", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-prefix"];
        Reply::Keep(ok(names.map(|name| seen.field(name).unwrap_or("-")).join(" ")))
    })
    .await;
    let settings = config(&[&origin], orders("everyone", "none"));
    let gateway = start(with(settings, "trusted_proxies", json!(["127.0.0.0/8"]))).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    let ways = [
        ("host: shop.example\r\n", "shop.example shop.example http - -"),
        ("host: shop.example:1337\r\n", "shop.example:1337 shop.example:1337 http - -"),
        ("host: shop.example.\r\n", "shop.example. shop.example. http - -"),
        ("host: shop.example\r\nx-forwarded-proto: https\r\n", "shop.example shop.example https - -"),
        ("host: shop.example\r\nx-forwarded-host: evil\r\n", "shop.example evil http - -"),
        ("host: shop.example\r\nx-forwarded-port: 1337\r\n", "shop.example shop.example http 1337 -"),
        ("host: shop.example\r\nx-forwarded-prefix: /evil\r\n", "shop.example shop.example http - /evil"),
    ];
    for _ in 0..2 {
        for is_kept in [false, true] {
            for (fields, told) in ways {
                client.send(format!("GET /order/1 HTTP/1.1\r\n{fields}\r\n")).await;
                let given = client.answer("GET").await;
                assert_eq!((given.text(), given.field("age").is_some()), (told, is_kept), "{fields}");
            }
        }
        assert_eq!(client.ask("PUT", "/order/1", "", "").await.status, 200);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_is_asked_with_a_body_is_neither_kept_nor_answered_from_memory() {
    let origin = Origin::start(|seen| Reply::Keep(ok(&seen.body))).await;
    let gateway = open(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    let chunked =
        "GET /order/1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n";
    let measured = "GET /order/1 HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nevil";
    let plain = "GET /order/1 HTTP/1.1\r\nhost: a\r\n\r\n";
    for (request, text, is_kept) in [
        (chunked, "evil", false),
        (measured, "evil", false),
        (plain, "", false),
        (plain, "", true),
        (chunked, "evil", false),
        (measured, "evil", false),
    ] {
        client.send(request).await;
        let given = client.answer("GET").await;
        assert_eq!((given.text(), given.field("age").is_some()), (text, is_kept), "{request}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_a_route_takes_from_an_answer_still_decides_who_gets_it() {
    let origin = Origin::start(|seen| {
        let language = seen.field("accept-language").unwrap_or("none").to_owned();
        Reply::Keep(match seen.line().contains("/private ") {
            true => answer("200 OK", "cache-control: no-store\r\n", language),
            false => answer("200 OK", "vary: accept-language\r\n", language),
        })
    })
    .await;
    let routes = json!([{
        "name": "all", "match": {"path": "/*"}, "service": "s", "cache": {"ttl": "60s"},
        "response_headers": {"remove": ["Vary"], "set": {"Cache-Control": "public"}},
    }]);
    let gateway = start(config(&[&origin], routes)).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for (target, language, is_kept) in [
        ("/public", "de", false),
        ("/public", "de", true),
        ("/public", "en", false),
        ("/private", "de", false),
        ("/private", "en", false),
    ] {
        let given = client.ask("GET", target, &format!("accept-language: {language}\r\n"), "").await;
        assert_eq!((given.text(), given.field("age").is_some()), (language, is_kept), "{target}");
        assert_eq!((given.field("vary"), given.field("cache-control")), (None, Some("public")));
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_was_under_way_during_a_write_is_not_kept() {
    let go = Arc::new(Notify::new());
    let held = Arc::clone(&go);
    let origin = Origin::start(move |seen| match seen.number {
        0 => Reply::Held(Arc::clone(&held), ok("old")),
        _ => Reply::Keep(ok("new")),
    })
    .await;
    let gateway = open(&origin).await;
    let mut reader = Client::connect(gateway.local_addrs().listen).await;
    reader.send("GET /order/1 HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
    until("the read is under way", || origin.count() == 1).await;
    assert_eq!(ask(&gateway, "PUT", "/order/1", "").await.status, 200);
    go.notify_one();
    assert_eq!(reader.answer("GET").await.text(), "old");
    assert_eq!(get(gateway.local_addrs().listen, "/order/1").await.text(), "new");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_write_whose_client_left_counts_as_done() {
    let origin = Origin::start(|seen| match seen.line().starts_with("PUT") {
        true => Reply::Silence,
        false => Reply::Keep(ok(format!("answer {}", seen.number))),
    })
    .await;
    let gateway = open(&origin).await;
    assert_eq!(get(gateway.local_addrs().listen, "/order/1").await.text(), "answer 0");
    let mut writer = Client::connect(gateway.local_addrs().listen).await;
    writer.send("PUT /order/1 HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
    until("the write is under way", || origin.count() == 2).await;
    drop(writer);
    until("the write is given up", || origin.open() == 1).await;
    assert_eq!(get(gateway.local_addrs().listen, "/order/1").await.text(), "answer 2");
    gateway.shutdown().await;
}

/// An issuer: its key, and where it publishes it.
struct Issuer {
    pair: Ed25519KeyPair,
    site: Origin,
}

impl Issuer {
    async fn start() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let keys = json!({"keys": [{"kty": "OKP", "kid": "k", "crv": "Ed25519", "alg": "EdDSA", "x": x}]})
            .to_string();
        Self { pair, site: Origin::start(move |_| Reply::Keep(ok(&keys))).await }
    }

    fn section(&self) -> Value {
        json!({"providers": [{
            "issuer": "http://issuer.example", "audiences": ["shop"], "algorithms": ["EdDSA"],
            "jwks_url": format!("http://{}/keys", self.site.address), "claims_to_headers": {"sub": "X-User-Id"},
        }]})
    }

    /// A header line with a token of this subject.
    fn bearer(&self, subject: &str) -> String {
        let claims =
            json!({"iss": "http://issuer.example", "aud": "shop", "sub": subject, "exp": 4_000_000_000_u64});
        let [header, claims] = [json!({"alg": "EdDSA", "kid": "k"}), claims]
            .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
        format!("authorization: Bearer {signed}.{signature}\r\n")
    }
}

#[tokio::test]
async fn nobody_is_given_what_was_kept_for_another() {
    let issuer = Issuer::start().await;
    let origin = Origin::start(|seen| {
        Reply::Keep(answer(
            "200 OK",
            "cache-control: private\r\n",
            format!("for {}", seen.field("x-user-id").unwrap()),
        ))
    })
    .await;
    let settings = with(config(&[&origin], orders("per_subject", "required")), "auth", issuer.section());
    let gateway = start(settings).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for (subject, expected, asked) in
        [("alice", "for alice", 1), ("alice", "for alice", 1), ("bob", "for bob", 2)]
    {
        let lie = format!("{}x-user-id: alice\r\nX_User_Id: alice\r\n", issuer.bearer(subject));
        assert_eq!(client.ask("GET", "/order/1", &lie, "").await.text(), expected);
        assert_eq!(origin.count(), asked);
    }
    let refused = client.ask("GET", "/order/1", "x-user-id: alice\r\n", "").await;
    refused.problem(401, "token");
    assert!(refused.field("www-authenticate").unwrap().starts_with("Bearer realm="));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_shared_answer_that_varies_by_identity_is_compared_by_the_verified_one() {
    let issuer = Issuer::start().await;
    let origin = Origin::start(|seen| {
        Reply::Keep(answer(
            "200 OK",
            "vary: x-user-id\r\n",
            format!("for {}", seen.field("x-user-id").unwrap()),
        ))
    })
    .await;
    let settings = with(config(&[&origin], orders("everyone", "required")), "auth", issuer.section());
    let gateway = start(settings).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    assert_eq!(client.ask("GET", "/order/1", &issuer.bearer("alice"), "").await.text(), "for alice");
    assert_eq!(client.ask("GET", "/order/1", &issuer.bearer("alice"), "").await.text(), "for alice");
    assert_eq!(origin.count(), 1);
    let lie = format!("{}x-user-id: alice\r\n", issuer.bearer("bob"));
    assert_eq!(client.ask("GET", "/order/1", &lie, "").await.text(), "for bob");
    gateway.shutdown().await;
}

#[tokio::test]
async fn credentials_of_another_kind_keep_the_cache_out() {
    let origin = counting().await;
    let routes = json!([{"name": "all", "match": {"path": "/*"}, "service": "s", "auth": "none", "cache": {"ttl": "60s"}}]);
    let gateway = start(config(&[&origin], routes)).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for fields in ["authorization: Basic eA==\r\n", "cookie: session=1\r\n"] {
        for _ in 0..2 {
            let before = origin.count();
            let given = client.ask("GET", "/", fields, "").await;
            assert_eq!((origin.count(), given.field("cache-status")), (before + 1, None), "{fields}");
        }
    }
    client.get("/").await;
    assert!(client.get("/").await.field("age").is_some());
    gateway.shutdown().await;
}
