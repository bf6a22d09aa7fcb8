//! Story 6: one request is one trace, through gateway, sidecars and services, in the form the caller sent.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::demo::{Demo, LIMIT};

/// Waits until the trace is one tree below the caller's span in which all these services have a part.
async fn assert_one_tree(control_plane: &Client, id: &str, caller: &str, services: &[&str]) {
    let path = format!("/api/v2/trace/{id}");
    let faults = async || match control_plane.get(&path).await {
        answer if answer.status == 200 => faults_of(answer.json().as_array().unwrap(), caller, services),
        answer => vec![answer.status.to_string()],
    };
    let began = Instant::now();
    while !faults().await.is_empty() {
        assert!(began.elapsed() < LIMIT, "{:#?}", faults().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What keeps these spans from being that tree.
fn faults_of(spans: &[Value], caller: &str, services: &[&str]) -> Vec<String> {
    let ids: BTreeSet<&str> = spans.iter().filter_map(|span| span["id"].as_str()).collect();
    let named: BTreeSet<&str> =
        spans.iter().filter_map(|span| span["localEndpoint"]["serviceName"].as_str()).collect();
    let mut faults: Vec<String> = services
        .iter()
        .filter(|service| !named.contains(*service))
        .map(|name| format!("nothing of {name}"))
        .collect();
    for span in spans {
        let parent = span["parentId"].as_str().unwrap_or("none");
        if parent != caller && !ids.contains(parent) {
            faults.push(format!("a parent that is not there: {span}"));
        }
    }
    let roots: Vec<_> = spans.iter().filter(|span| span["parentId"] == caller).collect();
    if roots.len() != 1 || roots[0]["localEndpoint"]["serviceName"] != "gateway" {
        faults.push(format!("the gateway's span is not the only one below the caller's: {roots:?}"));
    }
    faults
}

#[tokio::test]
async fn one_request_is_one_trace_in_the_callers_form() {
    let demo = Demo::start().await;
    let (alice, control_plane) = (demo.user("alice").await, demo.control_plane());
    let made = alice.post("/products", json!({"name": "Lamp", "price": 2, "stock": 99})).await.expect(201);
    let caller = "00f067aa0ba902b7";
    let order = json!({"product_ids": [made["id"]]});
    let services = [
        "gateway",
        "orders-sidecar",
        "orders",
        "products-sidecar",
        "products",
        "payments-sidecar",
        "payments",
    ];

    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let w3c = alice.with("traceparent", &format!("00-{id}-{caller}-01"));
    w3c.post("/order", order.clone()).await.expect(201);
    assert_one_tree(&control_plane, id, caller, &services).await;

    let id = "a3ce929d0e0e4736";
    let b3 = alice.with("b3", &format!("{id}-{caller}-1"));
    b3.post("/order", order.clone()).await.expect(201);
    assert_one_tree(&control_plane, id, caller, &services).await;

    let id = "463ac35c9f6413ad48485a3953bb6124";
    let multi = alice.with("x-b3-traceid", id).with("x-b3-spanid", caller).with("x-b3-sampled", "1");
    multi.post("/order", order.clone()).await.expect(201);
    assert_one_tree(&control_plane, id, caller, &services).await;

    // Not sampled: nobody tells anything.
    let id = "463ac35c9f6413ad48485a3953bb6125";
    alice.with("traceparent", &format!("00-{id}-{caller}-00")).post("/order", order).await.expect(201);
    let names = control_plane.get("/api/v2/services").await.json();
    assert!(services.iter().all(|service| names.as_array().unwrap().contains(&json!(service))), "{names}");
    assert_eq!(control_plane.get(&format!("/api/v2/trace/{id}")).await.status, 404);

    let latest = control_plane.get("/api/v2/traces?serviceName=orders&limit=2").await.json();
    assert_eq!(latest.as_array().unwrap().len(), 2);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let links = control_plane.get(&format!("/api/v2/dependencies?endTs={now}")).await.json();
    let linked = |parent: &str, child: &str| {
        links.as_array().unwrap().iter().any(|link| link["parent"] == parent && link["child"] == child)
    };
    assert!(linked("gateway", "orders-sidecar") && linked("orders-sidecar", "orders"), "{links}");
    let page = control_plane.get("/zipkin/").await;
    assert!(page.status == 200 && page.header("content-type").starts_with("text/html"));
    let text = String::from_utf8_lossy(&page.body);
    for (part, kind) in [("/zipkin/traces.js", "text/javascript"), ("/zipkin/traces.css", "text/css")] {
        assert!(text.contains(&format!("\"{part}\"")), "{text}");
        let answer = control_plane.get(part).await;
        assert!(answer.status == 200 && answer.header("content-type").starts_with(kind), "{answer:?}");
    }
    demo.stop().await;
}
