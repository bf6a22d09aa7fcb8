//! What a running gateway explains is what it does: the head that an origin gets, the refusals, and no trace of having
//! been asked.

use portreeve_config::load_document_with;
use portreeve_proxy::Gateway;
use portreeve_proxy::explain::{Explanation, failing_tests};
use serde_json::{Value, json};

use crate::client::{Answer, Client, request};
use crate::origin::Origin;
use crate::stage::{ask, config, metric, start, with};

async fn post(gateway: &Gateway, fields: &str, body: &str) -> Answer {
    let mut client = Client::connect(gateway.local_addrs().admin).await;
    client.send(request("POST", "/v1/explain", fields, body)).await;
    client.answer("POST").await
}

async fn explain(gateway: &Gateway, request: Value) -> Explanation {
    let answer = post(gateway, "content-type: application/json\r\n", &request.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

fn routes() -> Value {
    json!([
        {"name": "canary", "match": {"path": "/v1/{thing}/*", "headers": {"x-canary": "1"}}, "service": "s",
         "rewrite": {"path": "/next/{thing}/{*}"}, "request_headers": {"remove": ["x-debug"], "set": {"x-tier": "new", "x-api-key": "hush"}}},
        {"name": "plain", "match": {"path": "/v1/*", "methods": ["GET", "POST"]}, "service": "s", "rewrite": {"strip_segments": 1},
         "cache": {"ttl": "60s"}, "max_body": "10B", "timeout": "3s", "retry": {"attempts": 2}},
        {"name": "socket", "match": {"path": "/socket"}, "service": "s", "upgrade": ["websocket"]},
        {"name": "keyed", "match": {"path": "/keyed"}, "service": "s", "balance": {"consistent_hash": "x-user"}},
    ])
}

/// Fields that are made anew for each request.
const FRESH: [&str; 2] = ["x-request-id", "traceparent"];

fn lines(head: &str) -> Vec<&str> {
    head.trim_end().split("\r\n").filter(|line| !FRESH.iter().any(|name| line.starts_with(name))).collect()
}

#[tokio::test]
async fn an_origin_gets_the_head_that_was_explained() {
    let origin = Origin::saying("ok").await;
    let gateway = start(config(&[&origin], routes())).await;
    let host = gateway.local_addrs().listen;
    for (method, target, fields) in [
        ("GET", "/v1/a?x=1&y=%20", ""),
        ("GET", "/v1/%61/b/c", "X-Canary: 1\r\nX-Debug: yes\r\nAccept: */*\r\n"),
        (
            "POST",
            "/v1/a",
            "Via: 1.0 fred\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: x-hop, close\r\nX-Hop: 1\r\n",
        ),
        ("HEAD", "/keyed", "X-User: alice\r\nTE: trailers\r\nX-Many: 1\r\nX-Many: 2\r\n"),
    ] {
        let mut headers = serde_json::Map::new();
        for (name, value) in fields.lines().map(|line| line.split_once(": ").unwrap()) {
            let values = headers.entry(name).or_insert_with(|| json!([])).as_array_mut().unwrap();
            values.push(json!(value));
        }
        headers.insert("host".to_owned(), json!("shop.example"));
        let sample = json!({"method": method, "url": format!("http://{host}{target}"), "headers": headers});
        let explanation = explain(&gateway, sample).await;
        let text = explanation.to_string();
        assert!(!text.contains("hush"), "{text}");
        let sent = explanation.taken.expect("a route takes it").sent;
        let mut explained = format!("{} {} HTTP/1.1\r\n", sent.method, sent.target);
        for field in &sent.fields {
            explained.push_str(&format!("{}: {}\r\n", field.name, field.value));
        }
        let before = origin.count();
        ask(&gateway, method, target, fields).await;
        assert_eq!(origin.count(), before + 1);
        let seen = origin.last().head.to_lowercase().replace("hush", "(hidden)");
        // Fields of one name keep their order; that of different names means nothing.
        let (mut explained, mut seen) = (explained.to_lowercase(), seen);
        for head in [&mut explained, &mut seen] {
            let mut sorted = lines(head);
            sorted[1..].sort_by_key(|line| line.split(':').next().unwrap().to_owned());
            *head = sorted.join("\n");
        }
        assert_eq!(explained, seen, "{method} {target}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn policies_and_refusals_are_those_of_live_requests_and_nothing_is_counted() {
    let origin = Origin::saying("ok").await;
    let gateway = start(config(&[&origin], routes())).await;
    let admin = gateway.local_addrs().admin;
    let url = |target: &str| format!("http://shop.example{target}");
    let plain = explain(&gateway, json!({"url": url("/v1/a?token=x")})).await;
    assert!(plain.request.url.ends_with("token=(hidden)"), "{plain}");
    let tried: Vec<(&str, bool)> =
        plain.tried.iter().map(|tried| (tried.route.as_str(), tried.takes)).collect();
    assert_eq!(tried, [("canary", false), ("plain", true)]);
    assert_eq!(plain.tried[0].conditions[0].to_string(), "header x-canary: fails; wanted 1, found nothing");
    let taken = plain.taken.as_ref().unwrap();
    assert_eq!((&*taken.policies.timeout, taken.policies.attempts, taken.policies.max_body), ("3s", 2, 10));
    assert!(taken.policies.cache.as_ref().unwrap().is_asked);
    assert_eq!(taken.captures["*"], "a");
    assert_eq!(taken.instances[0].address, origin.address.to_string());

    let refused = async |request: Value| {
        let refused = explain(&gateway, request).await.refused.expect("it is refused");
        (refused.status, refused.reason)
    };
    assert_eq!(refused(json!({"url": url("/nowhere")})).await, (404, "no_route".to_owned()));
    assert_eq!(refused(json!({"url": url("/v1/a"), "method": "DELETE"})).await, (405, "method".to_owned()));
    assert_eq!(refused(json!({"url": url("/v1/../a")})).await, (400, "path".to_owned()));
    let long = json!({"url": url("/v1/a"), "method": "POST", "headers": {"content-length": "11"}});
    assert_eq!(refused(long).await, (413, "body_too_large".to_owned()));
    let large = json!({"url": url("/"), "headers": {"x": "y".repeat(20_000)}});
    assert_eq!(refused(large).await, (431, "head_too_large".to_owned()));
    let socket = json!({"url": url("/socket"), "headers": {"connection": "upgrade", "upgrade": "websocket"}});
    let socket = explain(&gateway, socket).await.taken.unwrap();
    assert_eq!(socket.policies.upgrade.as_deref(), Some("websocket"));
    assert!(socket.sent.fields.iter().any(|field| field.name == "upgrade"), "{socket:?}");
    let keyed = explain(&gateway, json!({"url": url("/keyed"), "headers": {"x-user": "a"}})).await;
    assert_eq!(keyed.taken.unwrap().belongs_to, Some(origin.address.to_string()));

    assert_eq!(origin.count(), 0);
    assert_eq!(metric(admin, "portreeve_requests_total", &[]).await, 0.0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused_with_every_fault() {
    let origin = Origin::saying("ok").await;
    let gateway = start(config(&[&origin], routes())).await;
    let json_type = "content-type: application/json\r\n";
    let bad = json!({"method": "G T", "url": "shop", "headers": {"a b": "x\r\ny: z"}, "clientt": "::1"});
    let answer = post(&gateway, json_type, &bad.to_string()).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    let places: Vec<&str> =
        problem["faults"].as_array().unwrap().iter().map(|fault| fault["path"].as_str().unwrap()).collect();
    for place in ["method", "url", "headers.a b", "clientt"] {
        assert!(places.contains(&place), "{place}: {problem}");
    }
    assert_eq!(post(&gateway, "", "{}").await.status, 415);
    assert_eq!(post(&gateway, json_type, "{").await.status, 422);
    assert_eq!(
        post(&gateway, &format!("{json_type}origin: http://evil.example\r\n"), "{}").await.status,
        403
    );
    assert_eq!(post(&gateway, json_type, &" ".repeat(300_000)).await.status, 413);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_route_that_wants_a_token_says_so_and_shows_no_token() {
    let origin = Origin::saying("ok").await;
    let auth = json!({"providers": [{"issuer": "http://auth", "audiences": ["shop"], "jwks_url": "http://127.0.0.1:1/jwks",
        "claims_to_headers": {"sub": "X-User-Id"}}]});
    let gateway = start(with(config(&[&origin], crate::stage::everything()), "auth", auth)).await;
    let sent = json!({"url": "http://shop.example/", "headers": {"authorization": "Bearer abc.def.ghi", "x-user-id": "root"}});
    let explanation = explain(&gateway, sent).await;
    assert_eq!(explanation.refused, None, "whether it is good only a live request finds out");
    let taken = explanation.taken.as_ref().unwrap();
    assert!(taken.policies.needs_token);
    let text = explanation.to_string();
    assert!(
        text.contains("x-user-id: (claim sub)") && !text.contains("abc.def") && !text.contains("root"),
        "{text}"
    );
    let without = explain(&gateway, json!({"url": "http://shop.example/"})).await;
    assert_eq!(without.refused.unwrap().status, 401);
    assert_eq!(without.taken.unwrap().route, "all");
    gateway.shutdown().await;
}

const TESTED: &str = "kind: gateway
services: {s: {endpoints: ['127.0.0.1:1', 'shop.internal:80']}}
routes:
- {name: products, match: {path: '/products/{id}'}, service: s, rewrite: {path: '/v2/{id}'}, request_headers: {set: {x-tier: a}}}
- {name: canary, match: {path: '/products/{id}', headers: {x-canary: '1'}}, service: s}
tests:
";

/// What the tests of a file find, as `path: problem (hint)`.
fn found(tests: &str) -> Vec<String> {
    let further = |document: &portreeve_config::Document| match document {
        portreeve_config::Document::Gateway(config) => failing_tests(config),
        _ => panic!("it is a gateway's"),
    };
    match load_document_with("file.yaml", &format!("{TESTED}{tests}"), &further) {
        Ok(_) => Vec::new(),
        Err(error) => error
            .faults()
            .iter()
            .map(|placed| {
                assert!(placed.line > 6, "a fault stands where its test is: {placed:?}");
                placed.fault.to_string()
            })
            .collect(),
    }
}

#[test]
fn tests_of_a_file_pass_or_say_what_was_found() {
    let passing = "- {request: {url: 'http://h/products/7?a=b'}, expect: {route: products, service: s, target: '/v2/7?a=b', headers: {x-tier: a, x-none: {present: false}}}}
- {request: {url: 'http://h/products/7', headers: {X-Canary: ['0', '1']}}, expect: {route: canary}}
- {request: {url: 'http://h/other'}, expect: {status: 404}}
- {request: {url: 'http://h/products/..'}, expect: {status: 400}}
";
    assert_eq!(found(passing), [""; 0]);
    for (test, expected) in [
        (
            "- {request: {url: 'http://h/products/7'}, expect: {route: canary}}",
            "tests[0].expect.route: expected the route `canary`; found `products` (`canary` was tried: header x-canary: fails; wanted 1, found nothing)",
        ),
        (
            "- {request: {url: 'http://h/x'}, expect: {service: s}}",
            "tests[0].expect.service: expected the service `s`; the request is refused: 404, No route takes this request",
        ),
        (
            "- {request: {url: 'http://h/products/7'}, expect: {status: 404}}",
            "tests[0].expect.status: expected a refusal with 404; the route `products` takes the request",
        ),
        (
            "- {request: {url: 'http://h/products/7'}, expect: {target: /v2/8}}",
            "tests[0].expect.target: expected the target `/v2/8`; found `/v2/7`",
        ),
        (
            "- {request: {url: 'http://h/products/7'}, expect: {headers: {x-tier: b}}}",
            "tests[0].expect.headers.x-tier: expected the value `b`; found `a`",
        ),
        (
            "- {request: {url: 'http://h/products/7'}, expect: {headers: {x-tier: {present: false}}}}",
            "tests[0].expect.headers.x-tier: expected no such field; found `a`",
        ),
        (
            "- {request: {url: 'http://h/x'}, expect: {headers: {x-tier: a}}}",
            "tests[0].expect.headers.x-tier: expected the value `a`; the request is refused: 404, No route takes this request",
        ),
        (
            "- {request: {url: 'http://h/products/7'}, expect: {route: prodcts}}",
            "tests[0].expect.route: expected the route `prodcts`; found `products`",
        ),
    ] {
        assert_eq!(found(test), [expected], "{test}");
    }
}
