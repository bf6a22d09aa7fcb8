//! The order of specificity, captures, and the difference between 404 and 405.
#![allow(clippy::unwrap_used, clippy::panic)]

use http::{HeaderMap, HeaderValue, Method};
use portreeve_config::RouteConfig;

use super::*;

fn router(routes: &[serde_json::Value]) -> Router<String> {
    Router::new(routes.iter().map(|matches| {
        let json = serde_json::json!({"name": matches.to_string(), "match": matches, "service": "any"});
        let route: RouteConfig = serde_json::from_value(json).unwrap();
        let target = matches["path"].as_str().unwrap().to_owned();
        Entry { conditions: compile(&route).unwrap(), target }
    }))
}

fn paths(routes: &[&str]) -> Router<String> {
    router(&routes.iter().map(|path| serde_json::json!({"path": path})).collect::<Vec<_>>())
}

fn ask<'a>(method: &'a Method, target: &'a str, headers: &'a HeaderMap) -> RequestView<'a> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    RequestView { host: "shop.example", path, query, method, headers }
}

fn found(router: &Router<String>, target: &str) -> Option<String> {
    match router.find(&ask(&Method::GET, target, &HeaderMap::new())) {
        Match::Found(route, _) => Some(route.clone()),
        _ => None,
    }
}

#[test]
fn the_most_specific_path_wins() {
    let router =
        paths(&["/*", "/products", "/products/{id}", "/products/new", "/products/*", "/a/*", "/{x}/b"]);
    for (path, expected) in [
        ("/products", "/products"),
        ("/products/", "/products/*"),
        ("/products/new", "/products/new"),
        ("/products/7", "/products/{id}"),
        ("/products/7/parts", "/products/*"),
        ("/a", "/a/*"),
        ("/a/b", "/{x}/b"),
        ("/a/c/d", "/a/*"),
        ("/ab", "/*"),
        ("/", "/*"),
    ] {
        assert_eq!(found(&router, path).as_deref(), Some(expected), "{path}");
    }
}

#[test]
fn a_failed_literal_branch_falls_back_to_the_placeholder() {
    let router = paths(&["/a/{id}/x", "/{any}/b/y", "/a/b/z"]);
    assert_eq!(found(&router, "/a/b/y").as_deref(), Some("/{any}/b/y"));
    assert_eq!(found(&router, "/a/b/x").as_deref(), Some("/a/{id}/x"));
    assert_eq!(found(&router, "/a/b/q"), None);
    assert_eq!(found(&router, "/a//x"), None, "a placeholder is never empty");
}

#[test]
fn captures_name_the_segments_and_the_rest() {
    let router = paths(&["/orders/{id}/items/{item}", "/auth/*", "/*"]);
    let (method, headers) = (Method::GET, HeaderMap::new());
    let path = "/orders/7/items/42";
    let Match::Found(_, captures) = router.find(&ask(&method, path, &headers)) else { panic!("no match") };
    assert_eq!((captures.segment(path, 0), captures.segment(path, 1)), (Some("7"), Some("42")));
    for (path, rest) in [("/auth/signIn", "signIn"), ("/auth", ""), ("/other/x", "other/x"), ("/", "")] {
        let Match::Found(_, captures) = router.find(&ask(&method, path, &headers)) else {
            panic!("no match")
        };
        assert_eq!(captures.rest(path), rest, "{path}");
    }
}

#[test]
fn hosts_go_from_exact_to_wildcard_to_any() {
    let router = router(&[
        serde_json::json!({"path": "/*", "host": "*.example"}),
        serde_json::json!({"path": "/x", "host": "Shop.Example"}),
        serde_json::json!({"path": "/*", "host": "other.test"}),
        serde_json::json!({"path": "/y"}),
    ]);
    assert_eq!(found(&router, "/x").as_deref(), Some("/x"));
    assert_eq!(found(&router, "/z").as_deref(), Some("/*"));
    assert_eq!(found(&router, "/y").as_deref(), Some("/*"), "a wildcard host beats none");
    let headers = HeaderMap::new();
    let deeper = RequestView { host: "a.b.example", ..ask(&Method::GET, "/z", &headers) };
    assert_eq!(router.find(&deeper), Match::NotFound, "a wildcard is one label");
}

#[test]
fn a_path_without_the_method_is_told_apart_from_no_path() {
    let router = router(&[
        serde_json::json!({"path": "/m", "methods": ["POST", "PUT"]}),
        serde_json::json!({"path": "/m/{id}", "methods": ["GET"]}),
    ]);
    let headers = HeaderMap::new();
    match router.find(&ask(&Method::DELETE, "/m", &headers)) {
        Match::MethodNotAllowed(methods) => assert_eq!(methods, [Method::POST, Method::PUT]),
        other => panic!("{other:?}"),
    }
    assert!(matches!(router.find(&ask(&Method::HEAD, "/m/1", &headers)), Match::Found(..)), "GET takes HEAD");
    assert_eq!(router.find(&ask(&Method::GET, "/n", &headers)), Match::NotFound);
}

#[test]
fn priority_beats_the_number_of_conditions() {
    let make = |name: &str, priority: i32, json: serde_json::Value| {
        let json = serde_json::json!({"name": name, "match": json, "service": "any", "priority": priority});
        let route: RouteConfig = serde_json::from_value(json).unwrap();
        Entry { conditions: compile(&route).unwrap(), target: name.to_owned() }
    };
    let router = Router::new([
        make("narrow", 0, serde_json::json!({"path": "/p", "methods": ["GET"]})),
        make("first", 1, serde_json::json!({"path": "/p"})),
    ]);
    assert_eq!(found(&router, "/p").as_deref(), Some("first"));
}

#[test]
fn headers_and_queries_pick_the_narrower_route() {
    let make = |name: &str, json: serde_json::Value| {
        let route: RouteConfig =
            serde_json::from_value(serde_json::json!({"name": name, "match": json, "service": "any"}))
                .unwrap();
        Entry { conditions: compile(&route).unwrap(), target: name.to_owned() }
    };
    let router = Router::new([
        make("plain", serde_json::json!({"path": "/p"})),
        make("canary", serde_json::json!({"path": "/p", "headers": {"x-canary": "1"}})),
        make("debug", serde_json::json!({"path": "/p", "query": {"de bug": "a b"}})),
        make("no-cookie", serde_json::json!({"path": "/q", "headers": {"cookie": {"present": false}}})),
    ]);
    let mut headers = HeaderMap::new();
    let get = Method::GET;
    let name = |headers: &HeaderMap, target: &str| match router.find(&ask(&get, target, headers)) {
        Match::Found(route, _) => route.clone(),
        _ => "none".to_owned(),
    };
    assert_eq!(name(&headers, "/p"), "plain");
    assert_eq!(name(&headers, "/p?de+bug=a%20b"), "debug");
    assert_eq!(name(&headers, "/p?de+bug=other"), "plain");
    assert_eq!(name(&headers, "/q"), "no-cookie");
    headers.insert("cookie", HeaderValue::from_static("a=b"));
    headers.append("x-canary", HeaderValue::from_static("0"));
    headers.append("x-canary", HeaderValue::from_static("1"));
    assert_eq!(name(&headers, "/p"), "canary");
    assert_eq!(name(&headers, "/q"), "none");
}
