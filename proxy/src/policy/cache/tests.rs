//! Who gets which kept answer, and what a write does to answers that are under way.
#![allow(clippy::unwrap_used)]

use std::time::SystemTime;

use http::{HeaderValue, Method, StatusCode};

use super::*;

fn rule(json: serde_json::Value) -> CacheRule {
    let route = serde_json::from_value(
        serde_json::json!({"name": "r", "match": {"path": "/order/{id}"}, "service": "s", "cache": json}),
    )
    .unwrap();
    CacheRule::compile(&route, &["id".into()], true).unwrap().unwrap()
}

fn fields(written: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in written {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    headers
}

fn look(rule: &CacheRule, cache: &ResponseCache, path: &str, subject: Option<&str>) -> Lookup {
    let mut captures = Captures::default();
    captures.push_segment("/order/".len()..path.len());
    let identity = subject.map(|subject| ("issuer", subject));
    let asked = Asked { route: "r", path, query: None, identity, fields: &fields(&[("host", "h")]) };
    rule.lookup(asked, &captures, &cache.clock)
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
    let certificate = HeaderName::from_static("x-client-cert-fingerprint");
    for name in [header::AUTHORIZATION, header::COOKIE, certificate] {
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
    let key_of = |route, path, query, identity, written: &[(&str, &str)]| {
        let fields = fields(written);
        key::key(Asked { route, path, query, identity: None, fields: &fields }, Some(identity))
    };
    let host = [("host", "h")];
    let plain = key_of("r", "/a", None, ("", ""), &host);
    assert_eq!(plain, key_of("r", "/a", None, ("", ""), &[("accept", "*/*"), ("host", "H")]));
    for other in [
        key_of("ra", "/", None, ("", ""), &host),
        key_of("r", "/a", Some(""), ("", ""), &host),
        key_of("r", "/a", None, ("a", ""), &host),
        key_of("r", "/a", None, ("", "a"), &host),
        key_of("r", "/a", None, ("", ""), &[]),
        key_of("r", "/a", None, ("", ""), &[("host", "h"), ("x-forwarded-host", "h")]),
    ] {
        assert_ne!(other, plain);
    }
    assert_ne!(key_of("r", "/a", None, ("x", "yz"), &host), key_of("r", "/a", None, ("xy", "z"), &host));
    let (one, two) = (("x-forwarded-a", "1"), ("x-forwarded-a", "2"));
    assert_ne!(
        key_of("r", "/a", None, ("", ""), &[one, two]),
        key_of("r", "/a", None, ("", ""), &[two, one]),
        "two lines are a list"
    );
    let (one, two) = (("x-forwarded-a", "1"), ("x-forwarded-b", "2"));
    assert_eq!(
        key_of("r", "/a", None, ("", ""), &[one, two]),
        key_of("r", "/a", None, ("", ""), &[two, one]),
        "two fields have no order"
    );
}

#[test]
fn what_is_said_of_the_way_is_in_the_key_but_no_address() {
    let key_of = |forwarded: &str| {
        let fields = fields(&[("forwarded", forwarded), ("x-forwarded-for", "192.0.2.1")]);
        key::key(Asked { route: "r", path: "/", query: None, identity: None, fields: &fields }, None)
    };
    let usual = key_of("for=192.0.2.1;host=a.example;proto=https");
    for same in [
        "for=192.0.2.9;host=a.example;proto=https",
        "For=\"[2001:db8::1]:4711\"; Host=A.example; proto=https",
        "by=_x;for=unknown;host=a.example;proto=https",
    ] {
        assert_eq!(key_of(same), usual, "{same}");
    }
    for other in [
        "for=192.0.2.1;host=b.example;proto=https",
        "for=192.0.2.1;host=a.example;proto=http",
        "for=192.0.2.1, host=a.example;proto=https",
        "for=192.0.2.1;host=a.example, proto=https",
        "for=\"x;host=a.example;by=\";proto=https",
        "for=\"192.0.2.1;host=a.example;proto=https",
        "for=x y;host=a.example;proto=https",
        "for=192.0.2.1",
    ] {
        assert_ne!(key_of(other), usual, "{other}");
    }
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
    assert_eq!(seconds(&everyone, 200, &[("content-length", "1048576")]), 60);
    assert_eq!(seconds(&everyone, 200, &[("content-length", "1048577")]), 0, "it would be collected in vain");
}

#[test]
fn an_answer_is_not_kept_beyond_its_expiry() {
    let rule = rule(serde_json::json!({"ttl": "60s", "share": "everyone"}));
    let at = |seconds: i64| {
        let offset = Duration::from_secs(seconds.unsigned_abs());
        let now = SystemTime::now();
        httpdate::fmt_http_date(if seconds < 0 { now - offset } else { now + offset })
    };
    // Dates are whole seconds, and the clock goes on.
    let about = |expected: u64| expected.saturating_sub(2)..=expected;
    for (written, expected) in [
        (vec![("expires", at(30))], 30),
        (vec![("expires", at(600))], 60),
        (vec![("expires", at(-30))], 0),
        (vec![("expires", "0".to_owned())], 0),
        (vec![("expires", "soon".to_owned())], 0),
        (vec![("expires", at(30)), ("expires", at(30))], 0),
        (vec![("expires", at(-30)), ("cache-control", "public".to_owned())], 0),
        (vec![("expires", at(-30)), ("cache-control", "max-age=20".to_owned())], 20),
        (vec![("expires", at(30)), ("cache-control", "s-maxage=0".to_owned())], 0),
        (vec![("expires", at(30)), ("date", at(-20))], 30),
        (vec![("expires", at(30)), ("date", at(0)), ("age", "10".to_owned())], 20),
        (vec![("expires", at(3620)), ("date", at(3600))], 20),
    ] {
        let written: Vec<(&str, &str)> =
            written.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let plan = rule.plan(StatusCode::OK, &HeaderMap::new(), &fields(&written));
        let fresh_for = plan.map_or(0, |plan| plan.fresh_for.as_secs());
        assert!(about(expected).contains(&fresh_for), "{written:?}: {fresh_for}");
    }
}

#[test]
fn a_route_can_add_to_what_an_answer_varies_by_and_take_nothing_from_it() {
    let rule = rule(serde_json::json!({"ttl": "60s", "share": "everyone"}));
    let request = fields(&[("accept", "text/html"), ("accept-language", "de")]);
    let plan = || rule.plan(StatusCode::OK, &request, &fields(&[("vary", "accept")])).unwrap();
    let names = |plan: StorePlan| plan.vary.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
    let changed = |written: &[(&str, &str)]| plan().changed(&request, &fields(written)).map(names);
    assert_eq!(changed(&[]).unwrap(), ["accept"]);
    assert_eq!(changed(&[("vary", "Accept-Language, Accept")]).unwrap(), ["accept", "accept-language"]);
    assert_eq!(changed(&[("vary", "*")]), None);
}

#[test]
fn answers_that_come_in_have_no_more_room_than_kept_ones() {
    let rule = rule(serde_json::json!({"ttl": "60s", "share": "everyone"}));
    let cache = ResponseCache::new(2000);
    let lookup = look(&rule, &cache, "/order/1", None);
    let mut first = cache.room(&lookup, &stored()).unwrap();
    assert!(first.widen(1000) && !first.widen(1000) && first.widen(100));
    let mut second = cache.room(&lookup, &stored()).unwrap();
    assert!(!second.widen(1000), "the first has it");
    drop(first);
    assert!(second.widen(1000), "as soon as it is gone");
    drop(second);
    assert!(ResponseCache::new(100).room(&lookup, &stored()).is_none());
    let mut all = cache.room(&lookup, &stored()).unwrap();
    assert!(all.widen(1500) && !all.widen(500) && all.widen(200), "what was refused is not missing");
}

#[test]
fn what_a_request_wants_of_the_cache() {
    let rule = |method: Method, written: &[(&str, &str)]| {
        let rule = RequestRule::of(&method, &fields(written), false);
        (rule.bypass.is_none(), rule.may_store)
    };
    assert_eq!(rule(Method::GET, &[]), (true, true));
    assert_eq!(rule(Method::HEAD, &[]), (true, false));
    assert_eq!(rule(Method::POST, &[]), (false, false));
    assert_eq!(rule(Method::GET, &[("cache-control", "no-cache")]), (false, true));
    assert_eq!(rule(Method::GET, &[("cache-control", "no-store")]), (false, false));
    assert_eq!(rule(Method::GET, &[("range", "bytes=0-1")]), (false, false));
    for method in [Method::GET, Method::HEAD] {
        let with_body = RequestRule::of(&method, &HeaderMap::new(), true);
        assert_eq!(with_body, RequestRule { bypass: Some(Bypass::Request), may_store: false });
    }
}
