//! Who gets which kept answer, and what a write does to answers that are under way.
#![allow(clippy::unwrap_used)]

use http::{HeaderValue, Method, StatusCode};

use super::*;

fn rule(json: serde_json::Value) -> CacheRule {
    let route = serde_json::from_value(
        serde_json::json!({"name": "r", "match": {"path": "/order/{id}"}, "service": "s", "cache": json}),
    )
    .unwrap();
    CacheRule::compile(&route, &["id".into()], true).unwrap().unwrap()
}

fn asked<'a>(path: &'a str, subject: Option<&'a str>) -> Asked<'a> {
    Asked { route: "r", host: "h", path, query: None, identity: subject.map(|subject| ("issuer", subject)) }
}

fn look(rule: &CacheRule, cache: &ResponseCache, path: &str, subject: Option<&str>) -> Lookup {
    let mut captures = Captures::default();
    captures.push_segment("/order/".len()..path.len());
    rule.lookup(asked(path, subject), &captures, &cache.clock)
}

fn stored() -> StoredResponse {
    StoredResponse {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: bytes::Bytes::from_static(b"{}"),
        born: Instant::now(),
        expires: Instant::now() + Duration::from_secs(60),
        vary: Vec::new(),
        stamp: Stamp::default(),
    }
}

#[test]
fn a_subjects_answer_is_never_given_to_another() {
    let rule = rule(serde_json::json!({"ttl": "60s", "share": "per_subject"}));
    let cache = ResponseCache::new(1 << 20);
    cache.keep(&look(&rule, &cache, "/order/1", Some("alice")), stored());
    let none = HeaderMap::new();
    assert!(cache.find(&look(&rule, &cache, "/order/1", Some("alice")), &none).is_some());
    for (path, subject) in [("/order/1", Some("bob")), ("/order/1", None), ("/order/2", Some("alice"))] {
        assert!(cache.find(&look(&rule, &cache, path, subject), &none).is_none(), "{path} {subject:?}");
    }
}

#[test]
fn credentials_keep_a_request_away_unless_the_route_says_otherwise() {
    let none = HeaderMap::new();
    for name in [header::AUTHORIZATION, header::COOKIE] {
        let shown = HeaderMap::from_iter([(name, HeaderValue::from_static("secret"))]);
        let silent =
            CacheRule { share: None, ..rule(serde_json::json!({"ttl": "60s", "share": "everyone"})) };
        assert!(silent.covers(&none, false) && !silent.covers(&shown, false));
        let everyone = rule(serde_json::json!({"ttl": "60s", "share": "everyone"}));
        assert!(everyone.covers(&shown, false));
        let per_subject = rule(serde_json::json!({"ttl": "60s", "share": "per_subject"}));
        assert!(per_subject.covers(&shown, true) && !per_subject.covers(&shown, false));
    }
}

#[test]
fn no_choice_of_parts_makes_two_requests_one() {
    let key_of = |route, host, path, issuer, subject| {
        key(Asked { route, host, path, query: None, identity: None }, Some((issuer, subject)))
    };
    assert_ne!(key_of("r", "h", "/a", "x", "yz"), key_of("r", "h", "/a", "xy", "z"));
    assert_ne!(key_of("r", "h", "/a", "", "h"), key_of("r", "hh", "/a", "", ""));
}

#[test]
fn a_write_drops_what_was_kept_and_what_is_under_way() {
    let rule = rule(serde_json::json!({"ttl": "60s", "share": "everyone", "tags": ["order:{id}"]}));
    let cache = ResponseCache::new(1 << 20);
    let none = HeaderMap::new();
    let first = look(&rule, &cache, "/order/1", None);
    cache.keep(&first, stored());
    cache.keep(&look(&rule, &cache, "/order/2", None), stored());
    let under_way = look(&rule, &cache, "/order/1", None);
    assert!(cache.find(&under_way, &none).is_some());

    cache.clock.invalidate("order:1");
    assert!(cache.find(&look(&rule, &cache, "/order/1", None), &none).is_none());
    cache.keep(&under_way, stored());
    assert!(
        cache.find(&look(&rule, &cache, "/order/1", None), &none).is_none(),
        "asked for before the write"
    );
    assert!(cache.find(&look(&rule, &cache, "/order/2", None), &none).is_some(), "another order stays");

    let after = look(&rule, &cache, "/order/1", None);
    cache.keep(&after, stored());
    assert!(cache.find(&after, &none).is_some());
}

#[test]
fn vary_expiry_and_sharing_are_compared() {
    let rule = rule(serde_json::json!({"ttl": "60s", "share": "everyone"}));
    let cache = ResponseCache::new(1 << 20);
    let look = look(&rule, &cache, "/order/1", None);
    let accept: http::HeaderName = "accept".parse().unwrap();
    let json = HeaderValue::from_static("application/json");
    cache.keep(&look, StoredResponse { vary: vec![(accept.clone(), Some(json.clone()))], ..stored() });
    let mut headers = HeaderMap::new();
    assert!(cache.find(&look, &headers).is_none());
    headers.insert(accept.clone(), json);
    assert!(cache.find(&look, &headers).is_some());
    headers.append(accept, HeaderValue::from_static("text/html"));
    assert!(cache.find(&look, &headers).is_none(), "another value beside the one it was made for");
    cache.keep(&look, StoredResponse { expires: Instant::now(), ..stored() });
    assert!(cache.find(&look, &headers).is_none());
}

#[test]
fn what_may_be_kept_and_for_how_long() {
    let per_subject = rule(serde_json::json!({"ttl": "60s", "share": "per_subject"}));
    let everyone = rule(serde_json::json!({"ttl": "60s", "share": "everyone"}));
    let seconds = |rule: &CacheRule, status: u16, fields: &[(&'static str, &'static str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let plan = rule.plan(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), &headers);
        plan.map_or(0, |plan| plan.fresh_for.as_secs())
    };
    for (status, fields, expected) in [
        (200, vec![], 60),
        (404, vec![], 0),
        (206, vec![], 0),
        (200, vec![("cache-control", "max-age=10, public")], 10),
        (200, vec![("cache-control", "max-age=10"), ("age", "4")], 6),
        (200, vec![("cache-control", "S-MaxAge=\"5\", max-age=100")], 5),
        (200, vec![("cache-control", "max-age=600")], 60),
        (200, vec![("cache-control", "max-age=nonsense")], 0),
        (200, vec![("cache-control", "max-age=0")], 0),
        (200, vec![("cache-control", "public"), ("cache-control", "no-store")], 0),
        (200, vec![("cache-control", "private=\"x\"")], 0),
        (200, vec![("set-cookie", "a=b")], 0),
        (200, vec![("vary", "accept, *")], 0),
        (200, vec![("vary", "accept, accept-encoding")], 60),
    ] {
        assert_eq!(seconds(&everyone, status, &fields), expected, "{status} {fields:?}");
    }
    assert_eq!(seconds(&per_subject, 200, &[("cache-control", "private")]), 60);
}

#[test]
fn what_a_request_wants_of_the_cache() {
    let rule = |method: Method, fields: &[(&'static str, &'static str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let rule = RequestRule::of(&method, &headers);
        (rule.bypass.is_none(), rule.may_store)
    };
    assert_eq!(rule(Method::GET, &[]), (true, true));
    assert_eq!(rule(Method::HEAD, &[]), (true, false));
    assert_eq!(rule(Method::POST, &[]), (false, false));
    assert_eq!(rule(Method::GET, &[("cache-control", "no-cache")]), (false, true));
    assert_eq!(rule(Method::GET, &[("cache-control", "no-store")]), (false, false));
    assert_eq!(rule(Method::GET, &[("range", "bytes=0-1")]), (false, false));
}
