//! The table of refusals: no two share a word, and each says what belongs to its status.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::*;

fn all() -> Vec<Rejection> {
    let service = || Arc::<str>::from("orders");
    vec![
        Rejection::Path(PathFault::DotSegment),
        Rejection::Host,
        Rejection::Framing,
        Rejection::Malformed("a field name holds a space"),
        Rejection::BrokenBody,
        Rejection::HeadTimeout,
        Rejection::SlowBody,
        Rejection::BodyRate,
        Rejection::TooLarge { limit: 5 },
        Rejection::TargetTooLong,
        Rejection::Expectation,
        Rejection::Misdirected,
        Rejection::HeadTooLarge,
        Rejection::NotServed,
        Rejection::NoRoute,
        Rejection::MethodNotAllowed(vec![Method::GET, Method::PUT]),
        Rejection::Auth(AuthFault::Expired),
        Rejection::NoInstance(service()),
        Rejection::NotConnected(service()),
        Rejection::UpstreamTls(service()),
        Rejection::NoSwitch(service()),
        Rejection::UpstreamCertificate(service()),
        Rejection::Reset(service()),
        Rejection::Broken(service()),
        Rejection::TimedOut(service()),
        Rejection::RequestAge,
        Rejection::Overloaded,
    ]
}

fn answer(rejection: &Rejection) -> (StatusCode, HeaderMap, serde_json::Value) {
    let speaker = Speaker { proxy: "edge", realm: "shop", trace_id: "0af7" };
    let (status, headers, text) = rejection.answer(&speaker);
    (status, headers, serde_json::from_str(&text).unwrap())
}

#[test]
fn every_refusal_has_a_word_of_its_own_and_a_sound_answer() {
    let mut words = BTreeSet::new();
    for rejection in all() {
        let (status, headers, problem) = answer(&rejection);
        assert!(words.insert(rejection.reason()), "{rejection:?}");
        assert_eq!((status, &problem["status"]), (rejection.status(), &status.as_u16().into()));
        assert_eq!((&problem["reason"], &problem["trace_id"]), (&rejection.reason().into(), &"0af7".into()));
        let detail = problem["detail"].as_str().unwrap();
        let first = detail.chars().next().unwrap();
        assert!(detail.ends_with('.') && !first.is_lowercase(), "{detail}");
        assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
        if let Some(error) = headers.get("proxy-status") {
            let error = error.to_str().unwrap();
            let fits = match rejection.blame() {
                Blame::Client => error.starts_with("edge; error=http_request_"),
                Blame::Gateway => error == "edge; error=proxy_internal_error",
                Blame::Service => !error.contains("request_") && !error.contains("internal"),
            };
            assert!(fits, "{rejection:?}: {error}");
        }
    }
}

#[test]
fn who_is_at_fault_shows_in_the_status() {
    for rejection in all() {
        let status = rejection.status();
        match rejection.blame() {
            // A method that is not implemented is the client's to leave out.
            Blame::Client => assert!(status.is_client_error() || status == 501, "{rejection:?}"),
            Blame::Service => assert!(matches!(status.as_u16(), 502..=504), "{rejection:?}"),
            Blame::Gateway => assert_eq!(status, 503, "{rejection:?}"),
        }
    }
    let keys = Rejection::Auth(AuthFault::KeysUnavailable);
    assert_eq!((keys.status().as_u16(), keys.blame()), (503, Blame::Gateway));
}

#[test]
fn each_status_has_the_fields_that_belong_to_it() {
    for (rejection, name, value) in [
        (Rejection::Malformed("x"), "connection", "close"),
        (Rejection::HeadTooLarge, "connection", "close"),
        (Rejection::TargetTooLong, "connection", "close"),
        (Rejection::HeadTimeout, "connection", "close"),
        (Rejection::BodyRate, "connection", "close"),
        (Rejection::Expectation, "connection", "close"),
        (Rejection::Overloaded, "retry-after", "1"),
        (Rejection::NoInstance("s".into()), "retry-after", "1"),
        (Rejection::MethodNotAllowed(vec![Method::GET, Method::PUT]), "allow", "GET, PUT"),
        (Rejection::UpstreamTls("s".into()), "proxy-status", "edge; error=tls_protocol_error"),
        (Rejection::UpstreamCertificate("s".into()), "proxy-status", "edge; error=tls_certificate_error"),
    ] {
        let (_, headers, _) = answer(&rejection);
        assert_eq!(headers.get(name).and_then(|value| value.to_str().ok()), Some(value), "{rejection:?}");
    }
    for rejection in [Rejection::NoRoute, Rejection::Overloaded, Rejection::Misdirected] {
        assert!(!answer(&rejection).1.contains_key(header::CONNECTION), "{rejection:?}");
    }
}
