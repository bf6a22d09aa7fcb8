//! 10,000 generated configurations, each with something wrong in it among things that are right: every one is refused,
//! and nothing that is live changes, neither what the API shows nor what a node is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use portreeve_config::wire::ControlMessage;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use support::{Plane, route};

const CASES: u32 = 10_000;
/// On a machine too slow for all of them, fewer are tried; never fewer than this.
const ENOUGH: u32 = 1_000;
const TIME: Duration = Duration::from_secs(120);

/// Something wrong with a route, whatever else is right with it.
fn bad_route() -> impl Strategy<Value = Value> {
    let field = |place: &'static str, value: BoxedStrategy<Value>| {
        value.prop_map(move |value| {
            let mut route = route("broken", "/broken/{id}", "orders");
            let (parent, name) = place.rsplit_once('/').unwrap();
            match parent {
                "" => route[name] = value,
                parent => {
                    let parent = parent.trim_start_matches('/');
                    if !route[parent].is_object() {
                        route[parent] = json!({});
                    }
                    route[parent][name] = value;
                }
            }
            route
        })
    };
    let text = |pattern: &'static str| pattern.prop_map(Value::from).boxed();
    prop_oneof![
        field("/name", text("[ /\\x00-\\x1f]{1,9}|[a-z]{129,140}|")),
        field("/service", text("x[a-z]{3,9}|[A-Z ./]{1,9}|")),
        field("/match/path", text("[a-z{}]{0,9}|/\\{[0-9 ]{1,3}\\}?|/a\\*b|/\\{id\\}/\\{id\\}")),
        field("/match/host", text("[ /:@]{1,9}|\\*[a-z]{1,5}|a\\.\\*\\.b")),
        field("/match/methods", text("[A-Z]{1,5}")),
        field("/match/methods", prop::collection::vec("[ ()]{1,3}", 1..3).prop_map(Value::from).boxed()),
        field("/timeout", text("[0-9]{1,4}|-1s|[a-z]{1,4}|9{20,30}s|")),
        field("/timeout", any::<f64>().prop_map(|number| json!(number)).boxed()),
        field("/max_body", text("[a-z]{1,5}|-[0-9]{1,4}MiB|9{30}KiB")),
        field("/priority", text("[a-z]{1,5}")),
        field("/priority", (i64::from(i32::MAX) + 1..i64::MAX).prop_map(Value::from).boxed()),
        field("/retry/attempts", (256_u32..).prop_map(Value::from).boxed()),
        field("/retry/on", text("[a-z]{1,9}")),
        field("/rewrite/path", text("/\\{[j-z]{1,5}\\}")),
        field("/request_headers/set", "[ ():]{1,5}".prop_map(|name| json!({name: "x"})).boxed()),
        field(
            "/request_headers/remove",
            prop::collection::vec("[ ,]{1,3}", 1..3).prop_map(Value::from).boxed()
        ),
        field(
            "/balance/consistent_hash",
            prop::collection::vec(any::<u8>(), 0..3).prop_map(Value::from).boxed()
        ),
        field("/upgrade", prop::collection::vec("[ ]{1,3}", 1..3).prop_map(Value::from).boxed()),
        ("[a-z]{3,12}_", any::<u32>()).prop_map(|(name, value)| {
            let mut route = route("broken", "/broken", "orders");
            route[name] = value.into();
            route
        }),
        prop_oneof![Just("name"), Just("match"), Just("service")].prop_map(|field| {
            let mut route = route("broken", "/broken", "orders");
            route.as_object_mut().unwrap().remove(field);
            route
        }),
        prop_oneof![
            Just(json!(null)),
            Just(json!([])),
            Just(json!("route")),
            any::<i64>().prop_map(Value::from)
        ],
    ]
}

/// Something wrong with a layer.
fn bad_layer() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[ =\\x00-\\x1f]{1,9}|[a-z]{257,260}|".prop_map(|key| json!({"good": "1", key: "x"})),
        any::<i64>().prop_map(|value| json!({"good": "1", "port": value})),
        any::<bool>().prop_map(|value| json!({"good": "1", "on": value})),
        Just(json!({"good": "1", "nested": {"a": "b"}})),
        Just(json!({"good": "1", "nul": "a\u{0}b"})),
        (65_537..66_000_usize).prop_map(|length| json!({"long": "x".repeat(length)})),
        Just(json!(["a"])),
        Just(json!("a")),
    ]
}

/// Good routes that would change something if only they came through.
fn good_routes() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec("[a-z]{1,8}", 0..4).prop_map(|names| {
        let numbered = names.iter().enumerate();
        numbered.map(|(n, name)| route(&format!("{name}-{n}"), &format!("/{name}/*"), "orders")).collect()
    })
}

/// Method, path and body of a request that must be refused.
fn bad_request() -> impl Strategy<Value = (&'static str, String, String)> {
    let whole = |body: Value| ("PUT", "/v1/desired-state".to_owned(), body.to_string());
    let config = |layer: Value| json!({"orders": {"default": layer}});
    prop_oneof![
        4 => (good_routes(), bad_route(), any::<prop::sample::Index>()).prop_map(move |(mut routes, bad, at)| {
            routes.insert(at.index(routes.len() + 1), bad);
            whole(json!({"services": ["orders", "more"], "routes": routes, "config": {}}))
        }),
        2 => (good_routes(), bad_layer()).prop_map(move |(routes, layer)| {
            whole(json!({"services": ["orders"], "routes": routes, "config": config(layer)}))
        }),
        1 => (good_routes(), "[A-Z ./_]{1,9}|[0-9][a-z]{0,3}|[a-z]{64,70}|").prop_map(move |(routes, name)| {
            whole(json!({"services": ["orders", name], "routes": routes}))
        }),
        1 => ("[a-z]{3,9}_", good_routes()).prop_map(move |(name, routes)| {
            whole(json!({"services": ["orders"], "routes": routes, name: []}))
        }),
        1 => good_routes().prop_map(move |mut routes| {
            routes.extend([route("twice", "/a", "orders"), route("twice", "/b", "orders")]);
            whole(json!({"services": ["orders"], "routes": routes}))
        }),
        2 => (good_routes(), bad_route()).prop_map(|(mut routes, bad)| {
            routes.push(bad);
            ("PUT", "/v1/routes".to_owned(), json!(routes).to_string())
        }),
        2 => bad_route().prop_map(|bad| ("POST", "/v1/routes".to_owned(), bad.to_string())),
        2 => bad_layer().prop_map(|bad| ("PUT", "/v1/config/orders/default".to_owned(), bad.to_string())),
        1 => bad_layer().prop_map(|bad| ("PUT", "/v1/config/Bad%20Name/default".to_owned(), bad.to_string())),
        1 => (3_u64..).prop_map(|revision| ("POST", format!("/v1/revisions/{revision}/rollback"), "{}".to_owned())),
        1 => ("[\\[{\"a-z:,]{1,40}", good_routes()).prop_map(|(garbage, routes)| {
            ("PUT", "/v1/desired-state".to_owned(), format!("{}{garbage}", json!({"routes": routes})))
        }),
    ]
}

struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Client {
    async fn connect(plane: &Plane) -> Self {
        let stream = tokio::net::TcpStream::connect(plane.running.address()).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, host: plane.running.address().to_string() }
    }

    async fn send(&mut self, method: &str, path: &str, body: String) -> (u16, String) {
        self.sender.ready().await.unwrap();
        let request = http::Request::builder().method(method).uri(path).header("host", &self.host);
        let request = request.header("content-type", "application/json").body(Full::from(body)).unwrap();
        let answer = self.sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

async fn live(plane: &Plane) -> Vec<String> {
    let mut shown = Vec::new();
    for path in ["/v1/desired-state", "/v1/history", "/v1/revision"] {
        shown.push(plane.get(path).await.text);
    }
    shown
}

#[test]
fn nothing_that_is_live_changes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (plane, client, before, mut gateway) = runtime.block_on(async {
        let plane = Plane::start(folder.path()).await;
        let good = json!({"services": ["orders"], "routes": [route("orders", "/orders/*", "orders")],
            "config": {"orders": {"default": {"greeting": "hello"}}}});
        assert_eq!(plane.put("/v1/desired-state", good).await.revision(), 1);
        let mut gateway = plane.gateway("gateway-1").await;
        assert_eq!(gateway.snapshot().await.revision, 1);
        let client = Client::connect(&plane).await;
        let before = live(&plane).await;
        (plane, client, before, gateway)
    });
    let began = Instant::now();
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let client = RefCell::new(client);
    let count = Cell::new(0);
    TestRunner::new(config)
        .run(&bad_request(), |(method, path, body)| {
            if began.elapsed() > TIME {
                return Ok(());
            }
            count.set(count.get() + 1);
            let (status, answer) = runtime.block_on(client.borrow_mut().send(method, &path, body));
            prop_assert!((400..500).contains(&status), "{status}: {answer}");
            Ok(())
        })
        .unwrap();
    assert!(count.get() >= ENOUGH, "only {} in {TIME:?}", count.get());
    runtime.block_on(async {
        assert_eq!(live(&plane).await, before);
        // The first thing that the node hears of is the first good change after all of them.
        assert_eq!(plane.put("/v1/services/more", json!({})).await.revision(), 2);
        match gateway.next().await {
            Some(ControlMessage::Change(change)) => {
                assert_eq!((change.revision, change.events.len()), (2, 1))
            }
            other => panic!("{other:?}"),
        }
    });
}
