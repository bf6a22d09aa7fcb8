//! History over real sockets: what is kept of a change, what differs between two revisions, and the way back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use bytes::Bytes;
use serde_json::{Value, json};

use support::{Answer, Plane, route};

async fn send(plane: &Plane, method: &str, path: &str, fields: &[(&str, &str)], body: Value) -> Answer {
    let mut request = plane.request(method, path).header("content-type", "application/json");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    plane.send(request.body(Bytes::from(body.to_string())).unwrap()).await
}

/// Revisions 1 to 4: a service, a route, the route changed, a layer of configuration.
async fn with_changes(plane: &Plane) {
    plane.put("/v1/services/orders", json!({})).await;
    let named = [("x-portreeve-actor", "ada")];
    send(plane, "POST", "/v1/routes?message=first%20steps", &named, route("a", "/a", "orders")).await;
    send(plane, "PUT", "/v1/routes/a", &named, route("a", "/b", "orders")).await;
    plane.put("/v1/config/orders/default", json!({"greeting": "hello", "db.password": "hunter2"})).await;
}

#[tokio::test]
async fn each_change_is_kept_with_who_when_why_and_what() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    with_changes(&plane).await;
    plane.register("orders", "orders-1", 4001).await;
    let listed = plane.get("/v1/history").await.json();
    let made: Vec<_> =
        listed["history"].as_array().unwrap().iter().map(|e| e["revision"].as_u64().unwrap()).collect();
    assert_eq!((made, listed["revision"].as_u64()), (vec![4, 3, 2, 1], Some(5)));
    let page = plane.get("/v1/history?limit=1&before=3").await.json();
    assert_eq!((&page["history"][0]["revision"], page["history"].as_array().unwrap().len()), (&json!(2), 1));
    let second = plane.get("/v1/revisions/2").await.json()["entry"].clone();
    assert_eq!((&second["who"], &second["message"]), (&json!("ada"), &json!("first steps")));
    assert!(second["at"].as_str().unwrap().ends_with('Z'));
    let third = plane.get("/v1/revisions/3").await.json()["entry"]["changes"].clone();
    let expected = json!([{"kind": "route", "name": "a", "change": "changed",
        "fields": [{"path": "match.path", "before": "/a", "after": "/b"}]}]);
    assert_eq!(third, expected);
    let fourth = plane.get("/v1/revisions/4").await;
    assert_eq!(fourth.json()["entry"]["who"], "anonymous");
    assert!(fourth.text.contains("***") && !fourth.text.contains("hunter2"), "{}", fourth.text);
    for (path, status) in [("5", 404), ("9", 404), ("0", 404), ("1/diff?to=9", 404), ("x", 400)] {
        assert_eq!(plane.get(&format!("/v1/revisions/{path}")).await.status, status, "{path}");
    }
    for bad in ["limit=0", "limit=201", "limit=x", "since=1"] {
        assert_eq!(plane.get(&format!("/v1/history?{bad}")).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_rollback_is_a_new_revision_and_leaves_instances_alone() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    with_changes(&plane).await;
    plane.register("orders", "orders-1", 4001).await;
    let mut gateway = plane.gateway("gateway-1").await;
    let mut seen = gateway.snapshot().await;
    let tried = plane.json("POST", "/v1/revisions/2/rollback?dry_run=true", json!({})).await;
    assert_eq!((tried.status, tried.revision(), &tried.json()["dry_run"]), (200, 5, &json!(true)));
    assert_eq!(tried.json()["changes"].as_array().unwrap().len(), 2, "{}", tried.text);
    let back = plane.json("POST", "/v1/revisions/2/rollback?message=oops", json!({})).await;
    assert_eq!((back.status, back.revision()), (200, 6), "{}", back.text);
    gateway.follow(&mut seen, |seen| seen.revision == 6).await;
    assert_eq!((&*seen.routes[0].matches.path, seen.instances.len()), ("/a", 1));
    assert_eq!(plane.get("/v1/config/orders/default").await.status, 404);
    // The same again changes nothing, and the way forward is a way back.
    assert_eq!(plane.json("POST", "/v1/revisions/2/rollback", json!({})).await.revision(), 6);
    assert_eq!(plane.json("POST", "/v1/revisions/4/rollback", json!({})).await.revision(), 7);
    let read = plane.get("/v1/config/orders/default").await.json();
    assert_eq!(read["values"]["db.password"], "hunter2");
    // A service that has instances stays.
    assert_eq!(plane.json("POST", "/v1/revisions/0/rollback", json!({})).await.revision(), 8);
    assert_eq!(plane.get("/v1/services").await.json()["services"][0]["name"], "orders");
    assert_eq!(plane.json("POST", "/v1/revisions/99/rollback", json!({})).await.status, 404);
}

#[tokio::test]
async fn a_stale_precondition_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    with_changes(&plane).await;
    plane.register("orders", "orders-1", 4001).await;
    let whole = plane.get("/v1/desired-state").await;
    assert_eq!((whole.revision(), &whole.headers["etag"]), (4, &http::HeaderValue::from_static("\"4\"")));
    let empty = json!({"routes": [], "config": {}});
    for tag in ["\"3\"", "\"5\"", "W/\"4\"", "x"] {
        let fields = [("if-match", tag)];
        assert_eq!(send(&plane, "PUT", "/v1/desired-state", &fields, empty.clone()).await.status, 412);
        assert_eq!(send(&plane, "POST", "/v1/revisions/1/rollback", &fields, json!({})).await.status, 412);
    }
    assert_eq!(plane.get("/v1/desired-state").await.text, whole.text);
    assert_eq!(plane.get("/v1/revision").await.revision(), 5);
    let fields = [("if-match", "\"4\"")];
    assert_eq!(send(&plane, "PUT", "/v1/desired-state", &fields, empty).await.revision(), 6);
}

#[tokio::test]
async fn a_desired_state_is_taken_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    with_changes(&plane).await;
    let faulty = json!({"services": ["orders", "Bad Name"], "routes": [route("b", "/b", "ordrs")],
        "config": {"orders": {"default": {"a b": "1"}}}, "more": 1});
    let refused = plane.put("/v1/desired-state", faulty).await;
    assert_eq!(refused.status, 422);
    for place in ["services[1]", "routes[0].service", "config.orders.default.a b", "more"] {
        let faults = refused.json()["faults"].clone();
        assert!(faults.as_array().unwrap().iter().any(|fault| fault["path"] == place), "{place}: {faults}");
    }
    assert_eq!(plane.get("/v1/revision").await.revision(), 4);
    // What is not mentioned stays; what is mentioned is all there is of its kind.
    let desired = json!({"services": ["users", "orders"], "routes": [route("u", "/u", "users")]});
    assert_eq!(plane.put("/v1/desired-state", desired.clone()).await.revision(), 5);
    assert_eq!(plane.put("/v1/desired-state", desired).await.revision(), 5);
    let whole = plane.get("/v1/desired-state").await.json();
    assert_eq!((&whole["services"], &whole["routes"][0]["name"]), (&json!(["orders", "users"]), &json!("u")));
    assert_eq!(whole["config"]["orders"]["default"]["greeting"], "hello");
    assert_eq!(plane.put("/v1/desired-state", json!({"routes": [], "services": []})).await.revision(), 6);
    assert_eq!(plane.get("/v1/services").await.json()["services"], json!([]));
}

#[tokio::test]
async fn history_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    with_changes(&plane).await;
    let before = plane.get("/v1/history").await.text;
    plane.running.shutdown().await;
    let plane = Plane::start(folder.path()).await;
    assert_eq!(plane.get("/v1/history").await.text, before);
    assert_eq!(plane.json("POST", "/v1/revisions/2/rollback", json!({})).await.revision(), 5);
    assert_eq!(plane.get("/v1/routes/a").await.json()["route"]["match"]["path"], "/a");
}

#[tokio::test]
async fn who_and_why_keep_to_their_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let long = "x".repeat(129);
    for actor in ["", " ", &long, "\u{7f}"] {
        let request = plane.request("PUT", "/v1/services/orders");
        let Ok(request) = request.header("x-portreeve-actor", actor.as_bytes()).body(Bytes::new()) else {
            continue;
        };
        assert_eq!(plane.send(request).await.status, 400, "{actor:?}");
    }
    let long = format!("/v1/services/orders?message={}", "x".repeat(1_001));
    assert_eq!(plane.put(&long, json!({})).await.status, 400);
    assert_eq!(plane.put("/v1/services/orders?message=a%1bb", json!({})).await.status, 400);
    assert_eq!(plane.get("/v1/revision").await.revision(), 0);
}
