//! The API over real sockets: what it takes, what it refuses and in which words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;

use support::{Answer, Plane, config, route};

async fn plane() -> (Plane, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Plane::start(folder.path()).await, folder)
}

fn is_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.json()["status"], status);
    assert!(answer.text.len() < 64 * 1024, "{} bytes", answer.text.len());
}

fn places(answer: &Answer) -> Vec<String> {
    let faults = answer.json()["faults"].clone();
    faults.as_array().unwrap().iter().map(|fault| fault["path"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_route_is_created_read_changed_and_removed() {
    let (plane, _folder) = plane().await;
    assert_eq!(plane.put("/v1/services/orders", json!({})).await.revision(), 1);
    let created = plane.json("POST", "/v1/routes", route("orders", "/orders", "orders")).await;
    assert_eq!((created.status, created.revision()), (201, 2));
    assert_eq!(created.headers["location"], "/v1/routes/orders");
    is_problem(&plane.json("POST", "/v1/routes", route("orders", "/other", "orders")).await, 409);
    let read = plane.get("/v1/routes/orders").await;
    assert_eq!(read.headers["etag"], "\"2\"");
    assert_eq!(read.json()["route"]["match"]["path"], "/orders");
    // The name in the path is enough, and the same again is no revision.
    let body = json!({"match": {"path": "/orders/*"}, "service": "orders"});
    assert_eq!(plane.put("/v1/routes/orders", body.clone()).await.revision(), 3);
    assert_eq!(plane.put("/v1/routes/orders", body).await.revision(), 3);
    assert_eq!(plane.delete("/v1/routes/orders").await.revision(), 4);
    is_problem(&plane.get("/v1/routes/orders").await, 404);
    is_problem(&plane.delete("/v1/routes/orders").await, 404);
}

#[tokio::test]
async fn every_fault_of_a_change_is_named_and_nothing_changes() {
    let (plane, _folder) = plane().await;
    plane.put("/v1/services/orders", json!({})).await;
    plane.put("/v1/routes/orders", route("orders", "/orders", "orders")).await;
    let before = plane.get("/v1/routes").await.text;
    let set = json!([
        route("good", "/good", "orders"),
        {"name": "typed", "match": {"pth": "/x", "path": "/x"}, "service": "orders", "timeout": 60},
        route("unknown", "/u", "ordrs"),
        route("good", "/again", "orders"),
        route("path", "no-slash", "orders"),
    ]);
    let refused = plane.put("/v1/routes", set).await;
    is_problem(&refused, 422);
    for place in ["[1].match.pth", "[1].timeout", "[2].service", "[3].name", "[4].match.path"] {
        assert!(places(&refused).iter().any(|path| path == place), "{place} is not in {}", refused.text);
    }
    assert!(refused.text.contains("did you mean `orders`"), "{}", refused.text);
    assert_eq!(plane.get("/v1/routes").await.text, before);
}

#[tokio::test]
async fn a_whole_set_replaces_what_was_there() {
    let (plane, _folder) = plane().await;
    plane.put("/v1/services/orders", json!({})).await;
    plane.put("/v1/routes/a", route("a", "/a", "orders")).await;
    let set = json!({"routes": [route("b", "/b", "orders"), route("c", "/c", "orders")]});
    assert_eq!(plane.put("/v1/routes", set.clone()).await.revision(), 3);
    let all = plane.get("/v1/routes").await.json();
    let names: Vec<_> =
        all["routes"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["b", "c"]);
    assert_eq!(plane.put("/v1/routes", set).await.revision(), 3);
    is_problem(&plane.put("/v1/routes", json!({"routes": [], "more": 1})).await, 422);
    is_problem(&plane.put("/v1/routes", json!("text")).await, 422);
}

#[tokio::test]
async fn a_dry_run_checks_and_changes_nothing() {
    let (plane, _folder) = plane().await;
    plane.put("/v1/services/orders", json!({})).await;
    let tried = plane.json("POST", "/v1/routes?dry_run=true", route("a", "/a", "orders")).await;
    assert_eq!((tried.status, tried.revision()), (200, 1));
    is_problem(&plane.put("/v1/routes/a?dry_run=true", route("a", "/a", "none")).await, 422);
    is_problem(&plane.put("/v1/routes/a?dryrun=true", route("a", "/a", "orders")).await, 400);
    assert_eq!(plane.get("/v1/routes").await.json()["routes"], json!([]));
    assert_eq!(plane.get("/v1/revision").await.revision(), 1);
}

#[tokio::test]
async fn a_precondition_keeps_two_writers_apart() {
    let (plane, _folder) = plane().await;
    plane.put("/v1/services/orders", json!({})).await;
    plane.put("/v1/routes/a", route("a", "/a", "orders")).await;
    let put = async |tag: &str, path: &str| {
        let request = plane.request("PUT", "/v1/routes/a").header("content-type", "application/json");
        let body = route("a", path, "orders").to_string();
        plane.send(request.header("if-match", tag).body(body.into()).unwrap()).await
    };
    assert_eq!(put("\"2\"", "/b").await.status, 200);
    is_problem(&put("\"2\"", "/c").await, 412);
    is_problem(&put("nonsense", "/c").await, 412);
    assert_eq!(put("\"1\", \"3\"", "/c").await.status, 200);
    assert_eq!(put("*", "/d").await.status, 200);
}

#[tokio::test]
async fn services_stay_while_something_needs_them() {
    let (plane, _folder) = plane().await;
    plane.put("/v1/services/orders", json!({})).await;
    plane.put("/v1/routes/a", route("a", "/a", "orders")).await;
    plane.register("orders", "orders-1", 4001).await;
    let refused = plane.delete("/v1/services/orders").await;
    is_problem(&refused, 409);
    assert!(refused.text.contains("`a`"), "{}", refused.text);
    plane.delete("/v1/routes/a").await;
    is_problem(&plane.delete("/v1/services/orders").await, 409);
    plane.delete("/v1/services/orders/instances/orders-1").await;
    assert_eq!(plane.delete("/v1/services/orders").await.status, 200);
    is_problem(&plane.delete("/v1/services/orders").await, 404);
    is_problem(&plane.put("/v1/services/Or%2Fders", json!({})).await, 422);
}

#[tokio::test]
async fn an_instance_lives_by_plain_requests_too() {
    let (plane, _folder) = plane().await;
    let path = "/v1/services/orders/instances/orders-1";
    is_problem(&plane.put(&format!("{path}/lease"), json!({})).await, 404);
    let body = json!({"address": "127.0.0.1:4001", "lease_ms": 1_000, "metadata": {"zone": "a"}});
    assert_eq!(plane.put(path, body).await.revision(), 1);
    assert_eq!(plane.put(&format!("{path}/lease"), json!({})).await.status, 204);
    let shown = plane.get("/v1/instances?service=orders").await.json();
    assert_eq!(shown["instances"][0]["metadata"]["zone"], "a");
    assert!(shown["instances"][0]["lease_left_ms"].as_u64().unwrap() <= 1_000);
    assert_eq!(plane.put(&format!("{path}/status"), json!({"status": "draining"})).await.revision(), 2);
    assert_eq!(plane.get(path).await.json()["instance"]["status"], "draining");
    is_problem(&plane.put(&format!("{path}/status"), json!({"status": "dead"})).await, 422);
    let faulty = json!({"address": "0.0.0.0:0", "lease_ms": 5, "id": "other"});
    is_problem(&plane.put(path, faulty).await, 422);
    let faulty = plane.put(path, json!({"address": "127.0.0.1:0", "lease_ms": 5, "extra": 1})).await;
    assert_eq!(places(&faulty).len(), 3, "{}", faulty.text);
    let deadline = std::time::Instant::now() + support::LIMIT;
    while plane.get(path).await.status == 200 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn configuration_is_layered_patched_and_removed() {
    let (plane, _folder) = plane().await;
    plane.put("/v1/config/application/default", json!({"a": "1", "b": "1", "c": "1", "d": "1"})).await;
    plane.put("/v1/config/orders/default", json!({"b": "2", "c": "2", "d": "2"})).await;
    plane.put("/v1/config/application/prod", json!({"c": "3", "d": "3"})).await;
    plane.put("/v1/config/orders/prod", json!({"d": "4"})).await;
    let merged = plane.get("/v1/config/orders/prod/merged").await.json();
    assert_eq!(merged["values"], json!({"a": "1", "b": "2", "c": "3", "d": "4"}));
    assert_eq!(
        plane.json("PATCH", "/v1/config/orders/prod", json!({"d": null, "e": "5"})).await.revision(),
        5
    );
    let read = plane.get("/v1/config/orders/prod").await;
    assert_eq!((read.json()["values"].clone(), read.revision()), (json!({"e": "5"}), 5));
    assert_eq!(plane.get("/v1/config").await.json()["layers"].as_array().unwrap().len(), 4);
    plane.delete("/v1/config/orders/prod").await;
    is_problem(&plane.get("/v1/config/orders/prod").await, 404);
    is_problem(&plane.delete("/v1/config/orders/prod").await, 404);
    let faulty =
        plane.put("/v1/config/orders/default", json!({"port": 8080, "on": true, "x": null, "y": {}})).await;
    is_problem(&faulty, 422);
    assert_eq!(places(&faulty), ["port", "on", "x", "y"]);
    is_problem(&plane.put("/v1/config/Bad%20Name/default", json!({})).await, 422);
}

#[tokio::test]
async fn what_cannot_be_understood_is_a_problem() {
    let (plane, _folder) = plane().await;
    is_problem(&plane.get("/nothing").await, 404);
    is_problem(&plane.get("/v1/routes/%ff").await, 400);
    let wrong = plane.json("PATCH", "/v1/routes", json!({})).await;
    is_problem(&wrong, 405);
    assert!(wrong.headers.contains_key("allow"));
    let send = async |kind: &str, body: Bytes| {
        let request = plane.request("PUT", "/v1/routes/a").header("content-type", kind);
        plane.send(request.body(body).unwrap()).await
    };
    is_problem(&send("application/x-www-form-urlencoded", "{}".into()).await, 415);
    is_problem(&send("application/json", "{".into()).await, 400);
    is_problem(&send("application/json", vec![b'['; 100_000].into()).await, 400);
    is_problem(&send("application/json", vec![b' '; 1024 * 1024 + 1].into()).await, 413);
    is_problem(&send("application/json", vec![0xff; 10].into()).await, 400);
}

#[tokio::test]
async fn hostile_names_and_values_are_refused() {
    let (plane, _folder) = plane().await;
    plane.put("/v1/services/orders", json!({})).await;
    let long = "x".repeat(65_536);
    let hostile: [Value; 6] =
        [json!(long), json!("a\u{0}b"), json!("../.."), json!(""), json!(null), json!([[[]]])];
    for value in &hostile {
        let bodies = [
            json!({"name": value, "match": {"path": "/x"}, "service": "orders"}),
            json!({"name": "a", "match": {"path": value}, "service": "orders"}),
            json!({"name": "a", "match": {"path": "/x"}, "service": value}),
        ];
        for body in bodies {
            is_problem(&plane.json("POST", "/v1/routes", body).await, 422);
        }
        let registered = plane.put("/v1/services/orders/instances/a", json!({"address": value})).await;
        is_problem(&registered, 422);
    }
    is_problem(&plane.register("orders", "%00%0a", 4001).await, 422);
    is_problem(&plane.register(&"x".repeat(30_000), "a", 4001).await, 422);
    assert_eq!(plane.get("/v1/revision").await.revision(), 1);
}

#[tokio::test]
async fn a_page_of_another_site_can_neither_write_nor_read() {
    let (plane, _folder) = plane().await;
    let foreign = plane.request("PUT", "/v1/services/orders").header("origin", "http://evil.example");
    is_problem(&plane.send(foreign.body(Bytes::new()).unwrap()).await, 403);
    let rebound = http::Request::get("/v1/routes").header("host", "evil.example:7070");
    is_problem(&plane.send(rebound.body(Bytes::new()).unwrap()).await, 421);
    assert_eq!(plane.get("/v1/revision").await.revision(), 0);
}

#[tokio::test]
async fn health_and_metrics_answer() {
    let (plane, _folder) = plane().await;
    plane.register("orders", "orders-1", 4001).await;
    let _gateway = plane.gateway("gateway-1").await;
    assert_eq!(plane.get("/livez").await.status, 200);
    assert_eq!(plane.get("/readyz").await.status, 200);
    let metrics = plane.get("/metrics").await.text;
    for line in ["_revision 1", "_instances 1", "_watchers{kind=\"gateway\"} 1"] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_remedy() {
    let (plane, _folder) = plane().await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.listen = plane.running.address().to_string();
    let fault = portreeve_control_plane::ControlPlane::start(config.clone()).await.unwrap_err().to_string();
    assert!(fault.contains(&config.listen) && fault.contains("another port"), "{fault}");
}
