//! Which requests share an answer, whose word decides that it is kept, and what answers on their way take up.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::task::{Context, Poll, Waker};

use http::{HeaderName, Request, request};
use portreeve_config::{Networks, RouteConfig};
use serde_json::{Value, json};

use super::*;
use crate::metrics::{PlaneStats, RouteStats};
use crate::pipeline::Admission;
use crate::plane::{Pinned, Settings, TrustedProxies};
use crate::policy::cache::ResponseCache;
use crate::policy::headers::{ClientCertificate, Forwarding, Peer, Scheme};
use crate::snapshot::Snapshot;

const PLENTY: u64 = 1 << 20;

/// A gateway with one route, which has these sections too, and with so much memory for answers.
fn gateway(sections: &Value, memory: u64) -> Arc<Pinned> {
    let plane = Plane {
        role: "gateway",
        forwarding: Forwarding::Replace,
        cache: ResponseCache::new(memory),
        stats: Arc::new(PlaneStats::default()),
        unrouted: Arc::new(RouteStats::new(1)),
        log: None,
    };
    let mut route = json!({
        "name": "all", "match": {"path": "/*"}, "service": "s", "cache": {"ttl": "60s", "tags": ["a"]},
    });
    for (name, section) in sections.as_object().unwrap() {
        route[name] = section.clone();
    }
    let route: RouteConfig = serde_json::from_value(route).unwrap();
    let trusted = TrustedProxies::new(Networks::parse(&["10.0.0.0/8".to_owned()]).unwrap());
    let settings = Settings { trusted_proxies: trusted, ..Settings::named("edge") };
    let snapshot = Snapshot::empty(1).with_settings(Arc::new(settings));
    let snapshot = snapshot.with_routes(&[route], None).unwrap();
    Arc::new(Pinned::new(Arc::new(plane), Arc::new(snapshot), 0))
}

fn peer(address: &str, scheme: Scheme) -> Peer {
    Peer::new(address.parse().ok(), scheme)
}

fn client() -> Peer {
    peer("192.0.2.1", Scheme::Http)
}

fn asking(method: &str, fields: &[(&str, &str)]) -> request::Parts {
    let request = Request::builder().method(method).uri("/a").header("host", "shop.example");
    let mut head = request.body(()).unwrap().into_parts().0;
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        let value = HeaderValue::from_str(value).unwrap();
        if name == header::HOST {
            head.headers.insert(name, value);
        } else {
            head.headers.append(name, value);
        }
    }
    head
}

/// A request as far as the cache, and what it was given there.
fn ask(
    gateway: &Arc<Pinned>,
    peer: &Peer,
    head: &mut request::Parts,
    body_length: Option<u64>,
) -> (Exchange, Option<Arc<StoredResponse>>) {
    let mut exchange = Exchange::begin(Arc::clone(gateway), head, peer);
    let mut waiting = Box::pin(exchange.admit(head, body_length));
    let admission = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(waiting);
    match admission {
        Poll::Ready(Ok(Admission::Hit(stored))) => (exchange, Some(stored)),
        Poll::Ready(Ok(Admission::Forward)) => (exchange, None),
        Poll::Ready(Err(rejection)) => panic!("{rejection:?}"),
        Poll::Pending => panic!("nothing here waits"),
    }
}

/// The service's answer on its way to the client.
fn answered(
    exchange: &mut Exchange,
    head: &request::Parts,
    fields: &[(&str, &str)],
) -> (response::Parts, Option<Box<Fill>>) {
    let mut answer = http::Response::new(()).into_parts().0;
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        answer.headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    let fill = exchange.inbound(&head.headers, &mut answer);
    (answer, fill)
}

/// Whether a request is answered from memory. Where it is not, an empty answer of the service is kept, if it may be.
fn is_hit(gateway: &Arc<Pinned>, peer: &Peer, mut head: request::Parts, body_length: Option<u64>) -> bool {
    let (mut exchange, found) = ask(gateway, peer, &mut head, body_length);
    if found.is_none()
        && let Some(fill) = answered(&mut exchange, &head, &[("content-length", "0")]).1
    {
        fill.complete();
    }
    found.is_some()
}

/// The same for a plain GET.
fn gets_kept(gateway: &Arc<Pinned>, peer: &Peer, fields: &[(&str, &str)]) -> bool {
    is_hit(gateway, peer, asking("GET", fields), Some(0))
}

#[test]
fn an_answer_is_kept_for_the_way_that_the_service_was_told() {
    let gateway = gateway(&json!({}), PLENTY);
    let (client, secure) = (client(), peer("192.0.2.1", Scheme::Https));
    let proxy = peer("10.0.0.1", Scheme::Http);
    let through = ("x-forwarded-for", "192.0.2.7");
    let elsewhere = ("forwarded", "for=192.0.2.7;host=evil.example");
    let ways: [(&Peer, &[(&str, &str)]); 11] = [
        (&client, &[]),
        (&client, &[("host", "shop.example:1337")]),
        (&client, &[("host", "shop.example.")]),
        (&client, &[("host", "shop.example:80")]),
        (&secure, &[]),
        (&proxy, &[through]),
        (&proxy, &[through, ("x-forwarded-proto", "https")]),
        (&proxy, &[through, ("x-forwarded-host", "evil.example")]),
        (&proxy, &[through, ("x-forwarded-port", "1337")]),
        (&proxy, &[through, ("x-forwarded-prefix", "/evil")]),
        (&proxy, &[through, elsewhere]),
    ];
    for (peer, fields) in ways {
        assert!(!gets_kept(&gateway, peer, fields), "{fields:?}");
    }
    for (peer, fields) in ways {
        assert!(gets_kept(&gateway, peer, fields), "{fields:?}");
    }
    let another = peer("198.51.100.1", Scheme::Http);
    assert!(gets_kept(&gateway, &another, &[("host", "SHOP.example")]), "who asks is nothing to it");
    assert!(gets_kept(&gateway, &another, &[("x-forwarded-host", "evil.example")]), "nobody is told that");
    assert!(gets_kept(&gateway, &proxy, &[("x-forwarded-for", "192.0.2.8")]));
    gateway.plane.cache.clock.invalidate("a");
    for (peer, fields) in ways {
        assert!(!gets_kept(&gateway, peer, fields), "a write drops it: {fields:?}");
    }
}

#[test]
fn a_certificate_is_a_credential() {
    let certificate = ClientCertificate::new("CN=alice", ["DNS:alice.example"], "ab12");
    let alice = peer("192.0.2.1", Scheme::Https).with_certificate(certificate);
    let anybody = peer("192.0.2.1", Scheme::Https);
    let silent = gateway(&json!({}), PLENTY);
    assert!(!gets_kept(&silent, &alice, &[]));
    assert!(!gets_kept(&silent, &anybody, &[]), "hers is nobody else's");
    assert!(gets_kept(&silent, &anybody, &[]));
    assert!(!gets_kept(&silent, &alice, &[]), "and she gets her own");
    let shared = gateway(&json!({"cache": {"ttl": "60s", "share": "everyone"}}), PLENTY);
    assert!(!gets_kept(&shared, &alice, &[]));
    assert!(gets_kept(&shared, &anybody, &[]), "the route says so");
}

#[test]
fn what_is_asked_with_a_body_is_neither_looked_up_nor_kept() {
    let gateway = gateway(&json!({}), PLENTY);
    for method in ["GET", "HEAD"] {
        for length in [Some(3), None] {
            assert!(!is_hit(&gateway, &client(), asking(method, &[]), length), "{method} {length:?}");
        }
    }
    assert!(!gets_kept(&gateway, &client(), &[]), "nothing was kept");
    for method in ["GET", "HEAD"] {
        for (length, expected) in [(Some(3), false), (None, false), (Some(0), true)] {
            let found = is_hit(&gateway, &client(), asking(method, &[]), length);
            assert_eq!(found, expected, "{method} {length:?}");
        }
    }
    let mut head = asking("GET", &[]);
    let (mut exchange, _) = ask(&gateway, &client(), &mut head, None);
    let (answer, _) = answered(&mut exchange, &head, &[("content-length", "0")]);
    assert_eq!(answer.headers[CACHE_STATUS], "edge; fwd=request");
}

#[test]
fn the_services_own_fields_say_whether_an_answer_is_kept() {
    let changes = json!({"response_headers": {
        "remove": ["Vary", "Set-Cookie", "Expires"],
        "set": {"Cache-Control": "public, max-age=31536000"},
    }});
    for (name, value) in [
        ("cache-control", "no-store"),
        ("cache-control", "private"),
        ("cache-control", "max-age=0"),
        ("vary", "*"),
        ("set-cookie", "a=b"),
        ("expires", "0"),
        ("connection", "cache-control"),
    ] {
        let gateway = gateway(&changes, PLENTY);
        let mut head = asking("GET", &[]);
        let (mut exchange, _) = ask(&gateway, &client(), &mut head, Some(0));
        let own = [(name, value), ("content-length", "0"), ("cache-control", "no-cache")];
        let own = if name == "connection" { &own[..] } else { &own[..2] };
        let (answer, fill) = answered(&mut exchange, &head, own);
        assert!(fill.is_none(), "{name}: {value}");
        assert_eq!(answer.headers[header::CACHE_CONTROL], "public, max-age=31536000");
        assert_eq!(answer.headers[CACHE_STATUS], "edge; fwd=uri-miss");
    }
    let gateway = gateway(&changes, PLENTY);
    let varies = |accept: &str| {
        let mut head = asking("GET", &[("accept", accept)]);
        let (mut exchange, found) = ask(&gateway, &client(), &mut head, Some(0));
        if found.is_none() {
            let (_, fill) =
                answered(&mut exchange, &head, &[("vary", "accept"), ("transfer-encoding", "chunked")]);
            fill.unwrap().complete();
        }
        found
    };
    assert!(varies("text/html").is_none());
    let kept = varies("text/html").unwrap();
    assert_eq!(kept.headers[header::CACHE_CONTROL], "public, max-age=31536000", "as the client got it");
    assert!(!kept.headers.contains_key(header::VARY));
    assert!(varies("application/json").is_none(), "made for another, though nobody is told");
}

#[test]
fn what_a_route_adds_to_vary_is_heeded_too() {
    let gateway = gateway(&json!({"response_headers": {"add": {"Vary": "Accept-Language"}}}), PLENTY);
    for (language, expected) in [("de", false), ("de", true), ("en", false)] {
        assert_eq!(gets_kept(&gateway, &client(), &[("accept-language", language)]), expected, "{language}");
    }
}

#[test]
fn an_answer_is_held_to_the_length_that_the_service_announced() {
    let gateway = gateway(&json!({"cache": {"ttl": "60s", "max_entry": "16KiB"}}), PLENTY);
    let begun = |length: &str| {
        let mut head = asking("GET", &[]);
        let (mut exchange, found) = ask(&gateway, &client(), &mut head, Some(0));
        assert!(found.is_none());
        answered(&mut exchange, &head, &[("content-length", length)])
    };
    let (answer, fill) = begun("16385");
    assert!(fill.is_none(), "it would be collected in vain");
    assert_eq!(answer.headers[CACHE_STATUS], "edge; fwd=uri-miss");
    let (answer, fill) = begun("16384");
    assert_eq!(answer.headers[CACHE_STATUS], "edge; fwd=uri-miss; stored");
    let mut short = fill.unwrap();
    assert!(short.push(b"not all"));
    short.complete();
    let mut whole = begun("3").1.unwrap();
    assert!(whole.push(b"all"));
    whole.complete();
    assert!(gets_kept(&gateway, &client(), &[]));
}

#[test]
fn answers_on_their_way_take_up_no_more_than_kept_ones_may() {
    let gateway = gateway(&json!({"cache": {"ttl": "60s", "max_entry": "16KiB"}}), 32 << 10);
    let begun = || {
        // What is kept meanwhile is of no interest to it.
        let mut head = asking("GET", &[("cache-control", "no-cache")]);
        let (mut exchange, _) = ask(&gateway, &client(), &mut head, Some(0));
        answered(&mut exchange, &head, &[("transfer-encoding", "chunked")]).1
    };
    let text = "x".repeat(16 << 10);
    let mut slow = begun().unwrap();
    assert!(slow.push(text.as_bytes()));
    let mut second = begun().unwrap();
    assert!(!second.push(text.as_bytes()), "a client that does not read has half of it");
    assert!(second.push(b"little"));
    drop((slow, second));

    // However an answer ends, its room is free again.
    for number in 0..12 {
        let (mut fill, mut other) = (begun().unwrap(), begun().unwrap());
        assert!(fill.push(text.as_bytes()), "{number}");
        match number % 4 {
            0 => fill.complete(),
            1 => assert!(!fill.push(b"beyond max_entry")),
            2 => assert!(!other.push(text.as_bytes())),
            _ => drop(fill),
        }
    }
    let mut pieces = begun().unwrap();
    assert!(text.as_bytes().chunks(100).all(|piece| pieces.push(piece)));
    pieces.complete();
    let (_, kept) = ask(&gateway, &client(), &mut asking("GET", &[]), Some(0));
    assert_eq!(kept.unwrap().body, text);

    let mut waiting = Vec::new();
    while let Some(fill) = begun() {
        waiting.push(fill);
    }
    assert!((8..128).contains(&waiting.len()), "heads count: {}", waiting.len());
    waiting.clear();
    assert!(begun().is_some());
}
