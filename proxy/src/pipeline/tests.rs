//! What **begin** makes of a request's fields, and what every answer carries.

#![allow(clippy::unwrap_used, clippy::panic)]

use http::{Request, StatusCode, Version};
use portreeve_config::{Networks, RouteConfig};
use proptest::prelude::*;

use super::*;
use crate::metrics::{PlaneStats, RouteStats};
use crate::plane::{Plane, Settings, TrustedProxies};
use crate::policy::cache::ResponseCache;
use crate::policy::headers::{ClientCertificate, Scheme};
use crate::snapshot::Snapshot;

fn pinned(forwarding: Forwarding) -> Arc<Pinned> {
    let plane = Plane {
        role: "gateway",
        forwarding,
        cache: ResponseCache::new(1 << 20),
        stats: Arc::new(PlaneStats::default()),
        unrouted: Arc::new(RouteStats::new(1)),
        log: None,
    };
    let mut route = RouteConfig::new("all", "/*", "s");
    route.cache = serde_json::from_value(serde_json::json!({"ttl": "60s"})).unwrap();
    let trusted = TrustedProxies::new(Networks::parse(&["10.0.0.0/8".to_owned()]).unwrap());
    let settings = Settings { trusted_proxies: trusted, ..Settings::named("edge") };
    let snapshot = Snapshot::empty(1).with_settings(Arc::new(settings));
    let snapshot = snapshot.with_routes(&[route], None).unwrap();
    Arc::new(Pinned::new(Arc::new(plane), Arc::new(snapshot), 0))
}

fn head(fields: &[(&str, &str)]) -> request::Parts {
    let mut head = Request::get("/a").header("host", "shop.example:8080").body(()).unwrap().into_parts().0;
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        head.headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    head
}

fn peer(address: &str) -> Peer {
    Peer::new(address.parse().ok(), Scheme::Http)
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

/// The fields after **begin**, and the client.
fn begun(forwarding: Forwarding, fields: &[(&str, &str)], peer: &Peer) -> (HeaderMap, Option<String>) {
    let mut head = head(fields);
    let exchange = Exchange::begin(pinned(forwarding), &mut head, peer);
    (head.headers, exchange.client().map(|client| client.to_string()))
}

#[test]
fn a_service_is_told_where_a_request_came_from() {
    for (peer, list, element) in [
        (peer("192.0.2.1"), "192.0.2.1", "for=192.0.2.1;host=\"shop.example:8080\";proto=http"),
        (peer("::ffff:192.0.2.1"), "192.0.2.1", "for=192.0.2.1;host=\"shop.example:8080\";proto=http"),
        (peer("2001:db8::1"), "2001:db8::1", "for=\"[2001:db8::1]\";host=\"shop.example:8080\";proto=http"),
        (Peer::new(None, Scheme::Https), "unknown", "for=unknown;host=\"shop.example:8080\";proto=https"),
    ] {
        let (fields, client) = begun(Forwarding::Replace, &[("via", "1.0 fred")], &peer);
        assert_eq!(field(&fields, "x-forwarded-for"), [list]);
        assert_eq!(field(&fields, "forwarded"), [element]);
        assert_eq!(field(&fields, "x-forwarded-host"), ["shop.example:8080"]);
        assert_eq!(field(&fields, "x-forwarded-proto"), [element.rsplit('=').next().unwrap()]);
        assert_eq!(field(&fields, "via"), ["1.0 fred", "1.1 edge"]);
        assert_eq!(client.as_deref(), Some(list).filter(|list| *list != "unknown"));
    }
}

#[test]
fn each_request_of_a_connection_has_its_own_host() {
    let peer = peer("192.0.2.1");
    for host in ["a.example", "b.example:1", "a.example"] {
        let mut head = head(&[]);
        head.headers.insert("host", HeaderValue::from_str(host).unwrap());
        drop(Exchange::begin(pinned(Forwarding::Replace), &mut head, &peer));
        let element = field(&head.headers, "forwarded")[0].replace('"', "");
        assert_eq!(element, format!("for=192.0.2.1;host={host};proto=http"));
        assert_eq!(field(&head.headers, "x-forwarded-host"), [host]);
    }
}

#[test]
fn a_trusted_proxy_is_believed_and_its_word_kept() {
    let sent = [
        ("x-forwarded-for", "6.6.6.6, 192.0.2.1"),
        ("x-forwarded-for", "10.0.0.2"),
        ("forwarded", "for=192.0.2.1, for=10.0.0.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "public.example"),
        ("x-forwarded-port", "443"),
        ("x-request-id", "abc-1"),
        ("x_forwarded_for", "6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
        ("x-client-cert-subject", "CN=admin"),
    ];
    let (fields, client) = begun(Forwarding::Replace, &sent, &peer("10.0.0.1"));
    assert_eq!(client.as_deref(), Some("192.0.2.1"));
    assert_eq!(field(&fields, "x-forwarded-for"), ["6.6.6.6, 192.0.2.1, 10.0.0.2, 10.0.0.1"]);
    let own = "for=10.0.0.1;host=\"shop.example:8080\";proto=http";
    assert_eq!(field(&fields, "forwarded"), [format!("for=192.0.2.1, for=10.0.0.2, {own}")]);
    assert_eq!(field(&fields, "x-forwarded-proto"), ["https"]);
    assert_eq!(field(&fields, "x-forwarded-host"), ["public.example"]);
    assert_eq!(field(&fields, "x-forwarded-port"), ["443"]);
    assert_eq!(field(&fields, "x-request-id"), ["abc-1"]);
    for name in ["x_forwarded_for", "x-real-ip", "x-client-cert-subject"] {
        assert_eq!(field(&fields, name), [""; 0], "{name}");
    }

    let (fields, client) = begun(Forwarding::Replace, &sent, &peer("192.0.2.9"));
    assert_eq!(client.as_deref(), Some("192.0.2.9"));
    assert_eq!(field(&fields, "x-forwarded-for"), ["192.0.2.9"]);
    assert_eq!(field(&fields, "x-forwarded-proto"), ["http"]);
    assert_eq!(field(&fields, "x-forwarded-port"), [""; 0]);
    assert_ne!(field(&fields, "x-request-id"), ["abc-1"]);
}

#[test]
fn a_proxy_that_says_nothing_or_nonsense_is_corrected() {
    let sent = [
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "a"),
        ("x-forwarded-host", "b"),
        ("x-request-id", "not sound"),
    ];
    let (fields, client) = begun(Forwarding::Replace, &sent, &peer("10.0.0.1"));
    assert_eq!(client.as_deref(), Some("10.0.0.1"));
    assert_eq!(field(&fields, "x-forwarded-for"), ["10.0.0.1"]);
    assert_eq!(field(&fields, "x-forwarded-proto"), ["http"]);
    assert_eq!(field(&fields, "x-forwarded-host"), ["shop.example:8080"]);
    assert_eq!(field(&fields, "x-request-id")[0].len(), 32);
}

#[test]
fn a_clients_certificate_reaches_the_service() {
    let names = ["DNS:a.example", "URI:spiffe://x/a,b"];
    let certificate = ClientCertificate::new("CN=J\u{f6}rg,O=100%", names, "ab12");
    let peer = Peer::new("192.0.2.1".parse().ok(), Scheme::Https).with_certificate(certificate);
    let sent = [("x-client-cert-subject", "CN=admin"), ("X_Client_Cert_San", "DNS:admin")];
    let (fields, _) = begun(Forwarding::Replace, &sent, &peer);
    assert_eq!(field(&fields, "x-client-cert-subject"), ["CN=J%C3%B6rg,O=100%25"]);
    assert_eq!(field(&fields, "x-client-cert-san"), ["DNS:a.example,URI:spiffe://x/a%2Cb"]);
    assert_eq!(field(&fields, "x-client-cert-fingerprint"), ["ab12"]);
    assert_eq!(field(&fields, "x_client_cert_san"), [""; 0]);
}

#[test]
fn a_sidecar_passes_on_what_it_gets() {
    let sent = [
        ("x-forwarded-for", "192.0.2.1"),
        ("x-client-cert-subject", "CN=a"),
        ("x-request-id", "abc"),
        ("connection", "x-client-cert-subject"),
    ];
    let (fields, _) = begun(Forwarding::Keep, &sent, &peer("10.0.0.1"));
    for (name, value) in &sent[..3] {
        assert_eq!(field(&fields, name), [*value]);
    }
    assert_eq!((field(&fields, "forwarded"), field(&fields, "via")), (vec![], vec!["1.1 edge"]));
    let (fields, _) = begun(Forwarding::Keep, &[], &peer("10.0.0.1"));
    assert_eq!(field(&fields, "x-request-id"), [""; 0]);
}

#[test]
fn an_id_is_that_of_a_trace_which_begins_here() {
    let mut fresh = head(&[]);
    let exchange = Exchange::begin(pinned(Forwarding::Replace), &mut fresh, &peer("192.0.2.1"));
    assert_eq!(field(&fresh.headers, "x-request-id"), [exchange.trace.trace_id_text().as_str()]);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("00-{trace}-b7ad6b7169203331-01");
    let mut joined = head(&[("traceparent", &traceparent)]);
    let exchange = Exchange::begin(pinned(Forwarding::Replace), &mut joined, &peer("192.0.2.1"));
    assert_eq!(exchange.trace.trace_id_text().as_str(), trace);
    let id = field(&joined.headers, "x-request-id")[0];
    assert!(id.len() == 32 && id != trace, "{id}");
}

#[test]
fn the_wish_for_trailers_survives_alone() {
    let mut head = head(&[("te", "gzip, trailers")]);
    head.version = Version::HTTP_2;
    drop(Exchange::begin(pinned(Forwarding::Replace), &mut head, &peer("192.0.2.1")));
    assert_eq!(field(&head.headers, "te"), ["trailers"]);
    assert_eq!(field(&head.headers, "via"), ["2.0 edge"]);
}

#[test]
fn every_answer_says_when_by_whom_and_to_which_request() {
    let mut head = head(&[]);
    let mut exchange = Exchange::begin(pinned(Forwarding::Replace), &mut head, &peer("192.0.2.1"));
    let id = field(&head.headers, "x-request-id")[0].to_owned();
    let mut answer = http::Response::builder().header("via", "1.0 app").header("x-request-id", "theirs");
    answer = answer.version(Version::HTTP_10).header("connection", "date, via");
    let mut answer = answer.body(()).unwrap().into_parts().0;
    exchange.inbound(&head.headers, &mut answer);
    assert_eq!(field(&answer.headers, "via"), ["1.0 app", "1.0 edge"]);
    assert_eq!(field(&answer.headers, "x-request-id"), [id.as_str()]);
    assert!(field(&answer.headers, "date")[0].ends_with(" GMT"));

    let (status, fields, _) = exchange.reject(&Rejection::Overloaded);
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(field(&fields, "x-request-id"), [id.as_str()]);
    assert_eq!((field(&fields, "retry-after"), field(&fields, "date").len()), (vec!["1"], 1));

    let mut exchange = Exchange::unreadable(pinned(Forwarding::Replace), &peer("192.0.2.1"));
    let (status, fields, text) = exchange.reject(&Rejection::Malformed("a field name holds a space"));
    assert_eq!((status, field(&fields, "connection")), (StatusCode::BAD_REQUEST, vec!["close"]));
    assert!(text.contains("A field name holds a space.") && field(&fields, "x-request-id")[0].len() == 32);
}

#[test]
fn a_kept_answer_has_the_id_of_each_request_it_is_given_to() {
    let pinned = pinned(Forwarding::Replace);
    let mut ids = Vec::new();
    for is_kept in [false, true, true] {
        let mut head = head(&[]);
        let mut exchange = Exchange::begin(Arc::clone(&pinned), &mut head, &peer("192.0.2.1"));
        ids.push(field(&head.headers, "x-request-id")[0].to_owned());
        let mut waiting = Box::pin(exchange.admit(&mut head, Some(0)));
        let std::task::Poll::Ready(admission) =
            waiting.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
        else {
            panic!("nothing here waits")
        };
        drop(waiting);
        let given = match admission {
            Ok(Admission::Hit(stored)) => from_cache(&mut exchange, &stored, &head.headers).1,
            Ok(Admission::Forward) => {
                let answer = http::Response::builder().header("content-length", "0").body(()).unwrap();
                let mut answer = answer.into_parts().0;
                exchange.inbound(&head.headers, &mut answer).unwrap().complete();
                answer.headers
            }
            Err(rejection) => panic!("{rejection:?}"),
        };
        assert_eq!(given.contains_key("age"), is_kept);
        assert_eq!(field(&given, "x-request-id"), [ids.last().unwrap().as_str()]);
        assert_eq!((field(&given, "via"), field(&given, "date").len()), (vec!["1.1 edge"], 1));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

/// A field that a client may not set, in a spelling that some server takes for it.
fn claims() -> impl Strategy<Value = String> {
    let names = vec![
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-prefix",
        "forwarded",
        "x-real-ip",
        "x-request-id",
        "x-client-cert-subject",
        "x-client-cert-san",
        "x-client-cert-fingerprint",
    ];
    let separators = proptest::collection::vec(proptest::sample::select(vec!["-", "_", ".", "~"]), 3);
    (proptest::sample::select(names), separators, any::<bool>()).prop_map(|(name, separators, upper)| {
        let mut separators = separators.iter();
        let spelled: String = name
            .split_inclusive('-')
            .map(|part| part.replace('-', separators.next().unwrap_or(&"-")))
            .collect();
        if upper { spelled.to_ascii_uppercase() } else { spelled }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_claim_of_a_client_gets_through_in_any_spelling(claims in proptest::collection::vec(claims(), 0..8)) {
        let sent: Vec<(&str, &str)> = claims.iter().map(|name| (name.as_str(), "evil")).collect();
        let (fields, client) = begun(Forwarding::Replace, &sent, &peer("192.0.2.1"));
        prop_assert!(fields.values().all(|value| value != "evil"), "{:?}", fields);
        prop_assert_eq!(client.as_deref(), Some("192.0.2.1"));
        let named: Vec<&str> = sent.iter().map(|(name, _)| *name).collect();
        let named = named.join(",");
        let (fields, _) = begun(Forwarding::Replace, &[("connection", &named)], &peer("192.0.2.1"));
        prop_assert_eq!(field(&fields, "x-forwarded-for"), ["192.0.2.1"]);
    }
}
