//! Which fields get through, in whatever spelling, and what is added to them.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

#[test]
fn fields_of_one_connection_end_here() {
    let mut headers = HeaderMap::new();
    headers.insert("connection", HeaderValue::from_static("close, X-Secret , authorization, bad name"));
    for name in ["x-secret", "te", "upgrade", "http2-settings", "keep-alive", "authorization", "x-kept"] {
        headers.insert(name, HeaderValue::from_static("value"));
    }
    remove_hop_by_hop(&mut headers, |_| false);
    let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["authorization", "x-kept"]);
}

#[test]
fn every_spelling_of_a_claimed_origin_is_known() {
    for (name, expected) in [
        ("forwarded", true),
        ("x-forwarded-for", true),
        ("x-forwarded-anything", true),
        ("x_forwarded_for", true),
        ("x-real-ip", true),
        ("x_real-ip", true),
        ("x-real-ips", false),
        ("x-forwarded", false),
        ("forwarded-for", false),
        ("xxforwarded-for", false),
        ("x.forwarded.for", true),
        ("x-forwarded_for", true),
        ("x-client-cert", true),
        ("x_client_cert_subject", true),
        ("x-client-certificate", true),
        ("x-client-id", false),
        ("x-request-id", true),
        ("x_request~id", true),
        ("x-request-ids", false),
        ("via", false),
    ] {
        assert_eq!(is_about_origin(&HeaderName::from_static(name)), expected, "{name}");
    }
}

#[test]
fn a_proxy_is_believed_by_the_usual_spelling_only() {
    for (name, expected) in [
        ("forwarded", true),
        ("x-forwarded-for", true),
        ("x-forwarded-prefix", true),
        ("x-request-id", true),
        ("x-forwarded_for", false),
        ("x_forwarded-for", false),
        ("x-forwarded-f.r", false),
        ("x_request_id", false),
        ("x-real-ip", false),
        ("x-client-cert-subject", false),
    ] {
        assert_eq!(is_believable(&HeaderName::from_static(name)), expected, "{name}");
    }
}

#[test]
fn what_says_where_a_request_came_from_cannot_be_named_away() {
    let kept = ["via", "forwarded", "x-forwarded-for", "x-request-id", "x-client-cert-subject", "host"];
    let mut headers = HeaderMap::new();
    headers.insert("connection", HeaderValue::from_str(&kept.join(",")).unwrap());
    for name in kept {
        headers.insert(name, HeaderValue::from_static("value"));
    }
    remove_hop_by_hop(&mut headers, |_| false);
    assert_eq!(headers.len(), kept.len());
}

#[test]
fn trailers_are_wanted_by_the_very_word() {
    for (te, connection, version, expected) in [
        ("trailers", "", Version::HTTP_2, true),
        ("Trailers", "", Version::HTTP_2, true),
        ("gzip;q=0.5, trailers", "", Version::HTTP_2, true),
        ("trailers;q=0.5", "", Version::HTTP_2, false),
        ("xtrailers", "", Version::HTTP_2, false),
        ("", "", Version::HTTP_2, false),
        ("trailers", "", Version::HTTP_11, false),
        ("trailers", "close, TE", Version::HTTP_11, true),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::TE, HeaderValue::from_static(te));
        headers.insert(header::CONNECTION, HeaderValue::from_static(connection));
        assert_eq!(wants_trailers(&headers, version), expected, "{te} {connection} {version:?}");
    }
    assert!(!wants_trailers(&HeaderMap::new(), Version::HTTP_2));
}

const OF_ONE_CONNECTION: [&str; 9] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(OF_ONE_CONNECTION.to_vec()).prop_map(str::to_owned),
        proptest::sample::select(vec!["host", "authorization", "cookie", "x-a", "x-b", "forwarded"])
            .prop_map(str::to_owned),
        "[a-z][a-z0-9_-]{0,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_of_a_connection_survives(
        fields in proptest::collection::vec((names(), "[ -~]{0,12}"), 0..12),
        named in proptest::collection::vec(names(), 0..6),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        for line in named.chunks(2) {
            headers.append(header::CONNECTION, HeaderValue::from_str(&line.join(" ,\t")).unwrap());
        }
        let before = headers.clone();
        remove_hop_by_hop(&mut headers, |_| false);
        for name in headers.keys() {
            prop_assert!(!OF_ONE_CONNECTION.contains(&name.as_str()), "{name}");
            prop_assert!(stays(name) || !named.iter().any(|other| other == name.as_str()), "{name}");
            prop_assert!(headers.get_all(name).iter().eq(before.get_all(name)), "{name}");
        }
        let mut needed = before.keys().filter(|name| stays(name));
        prop_assert!(needed.all(|name| headers.contains_key(name)));
    }
}
