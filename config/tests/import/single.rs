//! Each predicate and filter by the smallest route that has it.

use portreeve_config::import::{Choices, Effect, spring};
use portreeve_config::{Document, RouteConfig, load_document};
use serde_json::{Value, json};

use crate::{imported, imported_with, strict};

/// A file with one route.
fn file(predicates: &str, filters: &str) -> String {
    format!(
        "spring.cloud.gateway.server.webflux:\n  routes:\n  - id: r\n    uri: http://shop.internal:8080\n    \
         predicates:\n{predicates}    filters:\n{filters}"
    )
}

fn list(items: &[&str]) -> String {
    items.iter().map(|item| format!("    - {item}\n")).collect()
}

fn routes(text: &str) -> Vec<RouteConfig> {
    let imported = imported(text);
    match load_document("gateway.yaml", &imported.yaml).unwrap() {
        Document::Gateway(config) => config.into_inner().routes,
        other => panic!("{other:?}"),
    }
}

/// Why the one route of a file is left out.
fn refusal(text: &str) -> String {
    let report = imported(text).report;
    assert_eq!((report.imported, report.left_out), (0, 1), "{report}");
    let reasons = report.entries.iter().filter(|entry| entry.effect == Effect::LeftOut);
    reasons.map(|entry| format!("{}: {}", entry.line, entry.what)).collect::<Vec<_>>().join("; ")
}

/// What a route says beside its defaults.
fn said(route: &RouteConfig, part: &str) -> Value {
    serde_json::to_value(route).unwrap()[part].clone()
}

#[test]
fn predicates_become_conditions() {
    for (predicates, expected) in [
        (&["Path=/a/**"][..], json!([{"path": "/a/*"}])),
        (&["Path=/a/*/b"], json!([{"path": "/a/{segment2}/b"}])),
        (&["Path=/a/{id}, /b/{*rest}"], json!([{"path": "/a/{id}"}, {"path": "/b/*"}])),
        (&["Path=/a,false"], json!([{"path": "/a"}])),
        (&["Path=/a", "Method=GET,post"], json!([{"path": "/a", "methods": ["GET", "POST"]}])),
        (
            &["Host=Shop.Example,*.shop.example"],
            json!([{"host": "shop.example", "path": "/*"}, {"host": "*.shop.example", "path": "/*"}]),
        ),
        (&["Host={sub}.shop.example"], json!([{"host": "*.shop.example", "path": "/*"}])),
        (&["Header=X-Tier"], json!([{"path": "/*", "headers": {"X-Tier": {"present": true}}}])),
        (&["Header=X-Tier, .*"], json!([{"path": "/*", "headers": {"X-Tier": {"present": true}}}])),
        (&["Header=X-Tier, ^gold$"], json!([{"path": "/*", "headers": {"X-Tier": "gold"}}])),
        (
            &["Header=X-Tier, gold|silver"],
            json!([{"path": "/*", "headers": {"X-Tier": "gold"}}, {"path": "/*", "headers": {"X-Tier": "silver"}}]),
        ),
        (&["Query=debug"], json!([{"path": "/*", "query": {"debug": {"present": true}}}])),
        (&["Query=v, 1\\.0"], json!([{"path": "/*", "query": {"v": "1.0"}}])),
        (&["After=2020-01-01T00:00:00+02:00[Europe/Berlin]"], json!([{"path": "/*"}])),
        (&["After=0"], json!([{"path": "/*"}])),
        (&["{name: Path, args: {pattern: /a}}"], json!([{"path": "/a"}])),
        (
            &["{name: Path, args: {patterns: [/a, /b], matchTrailingSlash: false}}"],
            json!([{"path": "/a"}, {"path": "/b"}]),
        ),
        (&["{name: Query, args: {param: code, regexp: x}}"], json!([{"path": "/*", "query": {"code": "x"}}])),
        (
            &["{name: Header, args: {_genkey_0: X-A, _genkey_1: b}}"],
            json!([{"path": "/*", "headers": {"X-A": "b"}}]),
        ),
    ] {
        let found: Vec<Value> =
            routes(&file(&list(predicates), "")).iter().map(|route| said(route, "match")).collect();
        assert_eq!(Value::Array(found), expected, "{predicates:?}");
    }
}

#[test]
fn a_route_that_would_take_more_is_left_out_with_its_line() {
    for (predicate, words) in [
        ("Cookie=chocolate, ch.p", "`Cookie` has no equivalent"),
        ("Weight=group1, 8", "`Weight` has no equivalent"),
        ("RemoteAddr=10.0.0.0/8", "`RemoteAddr` has no equivalent"),
        ("XForwardedRemoteAddr=10.0.0.0/8", "`XForwardedRemoteAddr` has no equivalent"),
        ("Version=1.2+", "`Version` has no equivalent"),
        ("CloudFoundryRouteService", "`CloudFoundryRouteService` has no equivalent"),
        ("TeamOnly=blue", "`TeamOnly` has no equivalent"),
        ("Path=/a/*.html", "`*.html` has no equivalent"),
        ("Path=/a/{id:[0-9]+}", "`{id:[0-9]+}` has no equivalent"),
        ("Path=/a/**/b", "`**` has no equivalent"),
        ("Path=/a?", "`a?` has no equivalent"),
        ("Host=**.shop.example", "a wildcard here is one label"),
        ("Host=shop.example:8443", "the port of a host is not compared"),
        ("Host=a*.example", "only the first label"),
        ("Header=X-Id, \\d+", "no regular expressions"),
        ("Header=X-Id, .+", "no regular expressions"),
        ("Query=a, b.c", "no regular expressions"),
        ("After=2031-05-01T08:00:00+02:00[Europe/Berlin]", "routes have no dates"),
        ("Before=2031-05-01T08:00:00Z", "routes have no dates"),
        ("Before=2020-05-01T08:00:00Z", "has passed"),
        ("\"Between=2020-05-01T08:00:00Z, 2031-05-01T08:00:00Z\"", "routes have no dates"),
        ("After=yesterday", "is no date"),
        (
            "\"{name: Query, args: {param: a, predicate: x}}\"",
            "`{name: Query, args: {param: a, predicate: x}}` has no equivalent",
        ),
        ("Path=${nowhere}", "`${nowhere}` is set nowhere"),
    ] {
        let reason = refusal(&file(&list(&[predicate]), ""));
        assert!(reason.starts_with("6: ") && reason.contains(words), "{predicate}: {reason}");
    }
    let twice = refusal(&file(&list(&["Path=/a/**", "Path=/a/b"]), ""));
    assert!(twice.contains("7: a second `Path`"), "{twice}");
    assert!(refusal(&file("", "")).contains("no predicates"));
}

#[test]
fn paths_are_rewritten_as_there() {
    for (path, filters, expected) in [
        ("/a/b/**", &["StripPrefix=1"][..], json!({"strip_segments": 1})),
        ("/a/b/**", &["StripPrefix"], json!({"strip_segments": 1})),
        ("/a/**", &["StripPrefix=3"], json!({"strip_segments": 3})),
        ("/a/b", &["StripPrefix=2"], json!({"path": "/"})),
        ("/a/b", &["StripPrefix=5"], json!({"path": "/"})),
        ("/a/**", &["PrefixPath=/v2"], json!({"add_prefix": "/v2"})),
        ("/a/{id}", &["PrefixPath=/v2/{id}"], json!({"path": "/v2/{id}/a/{id}"})),
        ("/a/**", &["StripPrefix=1", "PrefixPath=/v2"], json!({"path": "/v2/{*}"})),
        ("/a/{id}/x", &["SetPath=/orders/{id}"], json!({"path": "/orders/{id}"})),
        ("/a/{*rest}", &["SetPath=/b/{rest}"], json!({"path": "/b/{*}"})),
        ("/red/**", &["\"RewritePath=/red/?(?<segment>.*), /$\\\\{segment}\""], json!({"path": "/{*}"})),
        ("/cart/**", &["\"RewritePath=/cart/(?<rest>.*), /v2/$\\\\{rest}\""], json!({"path": "/v2/{*}"})),
        ("/cart/**", &["\"RewritePath=/cart(?<rest>/?.*), /v2$\\\\{rest}\""], json!({"path": "/v2/{*}"})),
        ("/cart/**", &["\"RewritePath=^/cart/(.*)$, /v2/$1\""], json!({"path": "/v2/{*}"})),
        ("/old", &["RewritePath=/old, /new"], json!({"path": "/new"})),
    ] {
        let found = routes(&file(&list(&[&format!("Path={path}")]), &list(filters)));
        assert_eq!(said(&found[0], "rewrite"), expected, "{path} {filters:?}");
    }
    for (path, filter) in [
        ("/api/**", "\"RewritePath=/api/v1/(?<rest>.*), /$\\\\{rest}\""),
        ("/a/{id}", "\"RewritePath=/a/(?<id>.*), /$\\\\{id}\""),
        ("/a/**", "RewritePath=[ab], /c"),
        ("/a/**", "SetPath=/{unknown}"),
        ("/**", "StripPrefix=1\n    - PrefixPath=/x"),
    ] {
        let reason = refusal(&file(&list(&[&format!("Path={path}")]), &list(&[filter])));
        assert!(!reason.is_empty(), "{path} {filter}");
    }
}

#[test]
fn filters_become_settings() {
    for (filters, part, expected) in [
        (&["AddRequestHeader=X-A, b"][..], "request_headers", json!({"add": {"X-A": "b"}})),
        (&["SetRequestHeader=X-A, b"], "request_headers", json!({"set": {"X-A": "b"}})),
        (&["RemoveRequestHeader=X-A"], "request_headers", json!({"remove": ["X-A"]})),
        (
            &["AddRequestHeader=X-A, b", "RemoveRequestHeader=X-A"],
            "request_headers",
            json!({"remove": ["X-A"]}),
        ),
        (
            &["RemoveRequestHeader=X-A", "AddRequestHeader=X-A, b"],
            "request_headers",
            json!({"remove": ["X-A"], "add": {"X-A": "b"}}),
        ),
        (&["AddResponseHeader=X-A, $5"], "response_headers", json!({"add": {"X-A": "$5"}})),
        (&["SetResponseHeader=X-A, b"], "response_headers", json!({"set": {"X-A": "b"}})),
        (&["RemoveResponseHeader=X-A"], "response_headers", json!({"remove": ["X-A"]})),
        (&["Retry=2"], "retry", json!({"attempts": 3, "on": ["connect_failure", "reset", "unavailable"]})),
        (
            &["{name: Retry, args: {retries: 1, statuses: BAD_GATEWAY, backoff: {firstBackoff: 10ms}}}"],
            "retry",
            json!({"attempts": 2, "on": ["connect_failure", "reset", "unavailable"]}),
        ),
        (&["{name: RequestSize, args: {maxSize: 5MB}}"], "max_body", json!("5MiB")),
        (&["LocalResponseCache=30m,500MB"], "cache", json!({"ttl": "30m", "max_entry": "1MiB"})),
        (&["PreserveHostHeader"], "rewrite", Value::Null),
    ] {
        let found = routes(&file(&list(&["Path=/a/**"]), &list(filters)));
        assert_eq!(said(&found[0], part), expected, "{filters:?}");
    }
}

#[test]
fn filters_without_an_equivalent_are_reported_or_cost_the_route() {
    for filter in [
        "RequestRateLimiter",
        "{name: RequestRateLimiter, args: {redis-rate-limiter.replenishRate: 10, key-resolver: \"#{@user}\"}}",
        "{name: CircuitBreaker, args: {name: a, fallbackUri: forward:/b}}",
        "CircuitBreaker=a",
        "DedupeResponseHeader=Access-Control-Allow-Origin, RETAIN_FIRST",
        "SecureHeaders",
        "SetStatus=401",
        "RequestHeaderSize=1000B",
        "RewriteLocationResponseHeader",
        "RewriteResponseHeader=X-A, b, c",
        "FallbackHeaders",
        "\"AddResponseHeader=X-A, {id}\"",
        "AddResponseHeader=X-A, b, false",
    ] {
        let report = imported(&file(&list(&["Path=/a/**"]), &list(&[filter]))).report;
        assert_eq!((report.imported, report.left_out), (1, 0), "{filter}: {report}");
        let told = report.entries.iter().any(|entry| entry.effect == Effect::Missing && entry.line == 8);
        assert!(told && report.entries.iter().all(|entry| !entry.instead.is_empty()), "{filter}: {report}");
    }
    for filter in [
        "\"RedirectTo=302, https://acme.org\"",
        "AddRequestParameter=a, b",
        "RemoveRequestParameter=a",
        "RewriteRequestParameter=a, b",
        "AddRequestHeadersIfNotPresent=X-A:b",
        "MapRequestHeader=A, B",
        "SetRequestHostHeader=shop",
        "SetRequestUri=http://x",
        "RequestHeaderToRequestUri=X-Uri",
        "TokenRelay",
        "ModifyRequestBody",
        "ModifyResponseBody",
        "RemoveJsonAttributesResponseBody=a",
        "JsonToGrpc",
        "CheckMyToken",
        "\"AddRequestHeader=X-A, {id}\"",
        "SetPath",
    ] {
        let reason = refusal(&file(&list(&["Path=/a/**"]), &list(&[filter])));
        assert!(reason.starts_with("8: "), "{filter}: {reason}");
    }
}

#[test]
fn places_to_go_become_services() {
    for (uri, services, service, extra) in [
        ("lb://CART-Service", Value::Null, "cart-service", Value::Null),
        ("lb:ws://chat", Value::Null, "chat", json!(["websocket"])),
        (
            "http://localhost:8081/ignored",
            json!({"localhost-8081": {"endpoints": ["localhost:8081"]}}),
            "localhost-8081",
            Value::Null,
        ),
        (
            "https://10.0.0.1",
            json!({"at-10-0-0-1-443": {"endpoints": ["10.0.0.1:443"], "tls": {}}}),
            "at-10-0-0-1-443",
            Value::Null,
        ),
        ("ws://chat:80", json!({"chat-80": {"endpoints": ["chat:80"]}}), "chat-80", json!(["websocket"])),
    ] {
        let text = file(&list(&["Path=/a"]), "").replace("http://shop.internal:8080", uri);
        let Ok(Document::Gateway(config)) = load_document("gateway.yaml", &imported(&text).yaml) else {
            panic!("{uri}")
        };
        let found = serde_json::to_value(&**config).unwrap();
        assert_eq!(found.get("services").cloned().unwrap_or_default(), services, "{uri}");
        assert_eq!(found["control_plane"].is_object(), uri.starts_with("lb"), "{uri}");
        assert_eq!(
            (config.routes[0].service.as_str(), said(&config.routes[0], "upgrade")),
            (service, extra),
            "{uri}"
        );
    }
    for uri in ["forward:/local", "no://op", "lb://cart_service", "localhost:8080", "shop", "${nowhere}"] {
        refusal(&file(&list(&["Path=/a"]), "").replace("http://shop.internal:8080", uri));
    }
}

/// Two routes, in this order.
pub(crate) fn two(first: &str, second: &str) -> portreeve_config::import::Imported {
    imported(&format!(
        "spring.cloud.gateway.server.webflux.routes:\n- {{id: a, uri: 'http://a:1', {first}}}\n- {{id: b, uri: 'http://b:1', {second}}}\n"
    ))
}

#[test]
fn the_order_of_routes_is_kept_or_said_to_be_lost() {
    let report = two("predicates: ['Path=/a/**', 'Header=X-A']", "predicates: ['Path=/a/b']").report;
    assert_eq!((report.imported, report.left_out), (1, 1), "{report}");
    assert!(report.to_string().contains("more specific than that of `a`"), "{report}");
    let gap = "spring.cloud.gateway.routes: ['a=http://a:1,Path=/a/**,Weight=g', 'b=http://b:1,Path=/a/b']";
    let report = imported(gap).report;
    assert_eq!((report.left_out, report.behind_gaps, report.guarded), (2, 1, 0), "{report}");
    assert!(report.to_string().contains("--with-gaps"), "{report}");
    let with_gaps = imported_with(gap, Choices { with_gaps: true, ..strict() }).report;
    assert_eq!((with_gaps.imported, with_gaps.left_out), (1, 1), "{with_gaps}");
    assert!(
        with_gaps.to_string().contains("differs: route `b`: it would take requests of `a`"),
        "{with_gaps}"
    );
    let fine = two("predicates: ['Path=/a/b']", "predicates: ['Path=/a/**']");
    assert_eq!(fine.report.left_out, 0);
    let methods = two("predicates: ['Path=/a/**', 'Method=GET']", "predicates: ['Path=/a/b', 'Method=POST']");
    assert_eq!(methods.report.left_out, 0);
    let same = two("predicates: ['Path=/a/{x}']", "predicates: ['Path=/a/{y}', 'Header=X-A', 'Query=b']");
    assert!(same.yaml.contains("priority: 1") && same.report.left_out == 0, "{}", same.yaml);
    let turned = two("order: 2, predicates: ['Path=/**']", "order: 1, predicates: ['Path=/a/**']");
    assert_eq!(turned.report.left_out, 0);
    let off = two("enabled: false, predicates: ['Path=/x']", "predicates: ['Path=/y']").report;
    assert_eq!((off.imported, off.left_out), (1, 1));
}

#[test]
fn older_versions_take_a_final_slash_too() {
    let text = file(&list(&["Path=/a"]), "");
    assert_eq!(routes(&text).len(), 1);
    let older = text.replace("gateway.server.webflux", "gateway");
    let paths: Vec<String> = routes(&older).into_iter().map(|route| route.matches.path).collect();
    assert_eq!(paths, ["/a/", "/a"]);
    let off = older.replace("Path=/a", "Path=/a,false");
    assert_eq!(routes(&off).len(), 1);
}

#[test]
fn what_is_no_gateway_of_theirs_is_refused() {
    for text in ["a: [", "server: {port: 1}", "", "spring.cloud.gateway.enabled: true"] {
        assert!(spring("application.yml", text, strict()).is_err(), "{text}");
    }
}
