//! Nodes on streams: what they are sent and when, and how long their instances live.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use portreeve_config::Fault;
use portreeve_config::wire::{ControlMessage, InstanceStatus, NodeMessage};
use serde_json::json;

use support::{Node, Plane, route};

#[tokio::test]
async fn a_gateway_gets_everything_and_then_each_change() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    plane.put("/v1/services/orders", json!({})).await;
    let mut gateway = plane.gateway("gateway-1").await;
    let mut seen = gateway.snapshot().await;
    assert_eq!((seen.revision, seen.services.as_slice()), (1, &["orders".to_owned()][..]));

    assert_eq!(plane.put("/v1/routes/orders", route("orders", "/orders", "orders")).await.revision(), 2);
    gateway.follow(&mut seen, |seen| seen.routes.len() == 1).await;
    assert_eq!(plane.delete("/v1/routes/orders").await.revision(), 3);
    gateway.follow(&mut seen, |seen| seen.routes.is_empty()).await;
    let started = Instant::now();
    plane.register("orders", "orders-1", 4001).await;
    gateway.follow(&mut seen, |seen| seen.instances.len() == 1).await;
    assert!(started.elapsed() < Duration::from_millis(250), "a change took {:?}", started.elapsed());
    assert_eq!(seen.revision, 4);
    plane.running.shutdown().await;
}

#[tokio::test]
async fn a_silent_stream_is_pinged_before_a_node_takes_it_for_dead() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let mut gateway = plane.gateway("gateway-1").await;
    gateway.snapshot().await;
    for _ in 0..2 {
        let started = Instant::now();
        assert_eq!(gateway.next_raw().await, Some(ControlMessage::Ping { revision: 0 }));
        assert!(started.elapsed() < Duration::from_secs(3), "a node waits for 4 s");
    }
}

#[tokio::test]
async fn registering_is_durable_and_published_before_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let mut sidecar = plane.sidecar("orders-node", "orders", "default").await;
    sidecar.snapshot().await;
    sidecar.register("orders", "orders-1", 4001, 3_000);
    assert!(matches!(sidecar.next().await, Some(ControlMessage::Change(_))), "the change comes first");
    assert_eq!(sidecar.outcome().await, Ok(1));
    // The same again changes nothing and is no revision.
    sidecar.register("orders", "orders-1", 4001, 3_000);
    assert_eq!(sidecar.outcome().await, Ok(1));
    sidecar.say(&NodeMessage::Deregister { service: "orders".into(), id: "orders-1".into() });
    assert_eq!(sidecar.outcome().await, Ok(2));
    assert_eq!(plane.get("/v1/instances").await.json()["instances"], json!([]));
    assert_eq!(plane.get("/v1/services").await.json()["services"][0]["name"], "orders");
}

#[tokio::test]
async fn a_lease_is_renewed_by_lines_and_ends_without_them() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let mut gateway = plane.gateway("gateway-1").await;
    let mut seen = gateway.snapshot().await;
    let mut sidecar = plane.sidecar("orders-node", "orders", "default").await;
    sidecar.register("orders", "orders-1", 4001, 1_000);
    gateway.follow(&mut seen, |seen| seen.instances.len() == 1).await;
    let started = Instant::now();
    let mut last = started;
    while started.elapsed() < Duration::from_millis(1_800) {
        sidecar.say(&NodeMessage::Renew);
        last = Instant::now();
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(
        plane.get("/v1/instances?service=orders").await.json()["instances"].as_array().unwrap().len(),
        1
    );
    gateway.follow(&mut seen, |seen| seen.instances.is_empty()).await;
    let lived = last.elapsed();
    assert!(lived >= Duration::from_millis(980), "expired {lived:?} after the last renewal");
    assert!(lived < Duration::from_millis(1_250), "expired {lived:?} after the last renewal");
    // The node wakes up again: its stream ends, so that it comes back and registers.
    // Others are told before the lease is forgotten, so that the first line may come in between.
    sidecar.say(&NodeMessage::Renew);
    while sidecar.next().await.is_some() {
        sidecar.try_say(&NodeMessage::Renew);
    }
}

#[tokio::test]
async fn a_broken_stream_leaves_only_the_grace() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let mut gateway = plane.gateway("gateway-1").await;
    let mut seen = gateway.snapshot().await;
    let sidecar = plane.sidecar("orders-node", "orders", "default").await;
    sidecar.register("orders", "orders-1", 4001, 60_000);
    gateway.follow(&mut seen, |seen| seen.instances.len() == 1).await;
    drop(sidecar);
    let lived = gateway.follow(&mut seen, |seen| seen.instances.is_empty()).await;
    assert!(lived >= Duration::from_millis(600), "{lived:?}");
    assert!(lived < Duration::from_millis(1_000), "{lived:?}");
}

#[tokio::test]
async fn a_node_that_comes_back_within_the_grace_stays_registered() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let mut old = plane.sidecar("orders-node", "orders", "default").await;
    old.register("orders", "orders-1", 4001, 60_000);
    let registered = old.outcome().await.unwrap();
    let mut new = plane.sidecar("orders-node", "orders", "default").await;
    new.register("orders", "orders-1", 4001, 60_000);
    assert_eq!(new.outcome().await, Ok(registered), "nothing changed");
    while old.next().await.is_some() {}
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(plane.get("/v1/instances").await.json()["instances"].as_array().unwrap().len(), 1);
    assert_eq!(plane.get("/v1/nodes").await.json()["nodes"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn one_id_from_two_hosts_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let mut first = plane.sidecar("first", "orders", "default").await;
    first.register("orders", "orders-1", 4001, 60_000);
    first.outcome().await.unwrap();
    let mut second = plane.sidecar("second", "orders", "default").await;
    second.register("orders", "orders-1", 4002, 60_000);
    let refused = second.outcome().await.unwrap_err();
    assert!(refused.contains("`first`") && refused.contains("127.0.0.1:4001"), "{refused}");
    assert_eq!(plane.register("orders", "orders-1", 4003).await.status, 409);
    second.say(&NodeMessage::Deregister { service: "orders".into(), id: "orders-1".into() });
    assert!(second.outcome().await.is_err());
    // Once the first is gone, its id is free.
    drop(first);
    let deadline = Instant::now() + support::LIMIT;
    loop {
        second.register("orders", "orders-1", 4002, 60_000);
        match second.outcome().await {
            Ok(_) => break,
            Err(_) => assert!(Instant::now() < deadline),
        }
    }
}

#[tokio::test]
async fn a_sidecar_hears_of_its_configuration_and_not_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    plane.put("/v1/config/application/default", json!({"greeting": "hello", "colour": "blue"})).await;
    let mut sidecar = plane.sidecar("orders-node", "orders", "prod").await;
    let mut seen = sidecar.snapshot().await;
    assert_eq!(seen.config["greeting"], "hello");
    assert!(seen.routes.is_empty());
    plane.put("/v1/config/orders/prod", json!({"greeting": "good day"})).await;
    sidecar.follow(&mut seen, |seen| seen.config["greeting"] == "good day").await;
    // A weaker layer changes what a stronger one covers, and another application changes its own.
    let before = seen.clone();
    plane.put("/v1/config/application/default", json!({"greeting": "hi", "colour": "blue"})).await;
    plane.put("/v1/config/users/prod", json!({"greeting": "no"})).await;
    let newest = before.revision + 2;
    sidecar.follow(&mut seen, |seen| seen.revision == newest).await;
    assert_eq!(seen.config, before.config);
    plane.json("PATCH", "/v1/config/orders/prod", json!({"greeting": null, "size": "9"})).await;
    sidecar.follow(&mut seen, |seen| seen.config["greeting"] == "hi" && seen.config["size"] == "9").await;
}

#[tokio::test]
async fn acknowledgements_are_waited_for_and_laggards_named() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let mut gateway = plane.gateway("gateway-1").await;
    gateway.snapshot().await;
    let revision = plane.put("/v1/services/orders", json!({})).await.revision();
    let path = format!("/v1/revisions/{revision}/acknowledged");
    let late = plane.get(&format!("{path}?timeout=100ms")).await;
    assert_eq!((late.status, late.json()["faults"][0]["path"].as_str()), (504, Some("gateway-1")));
    gateway.say(&NodeMessage::Nack { revision, faults: vec![Fault::new("routes[0]", "is not for me")] });
    let refused = plane.get(&format!("{path}?timeout=200ms")).await;
    assert!(refused.text.contains("is not for me"), "{}", refused.text);
    let patient = format!("{path}?timeout=5s");
    let (followed, ()) = tokio::join!(plane.get(&patient), async {
        gateway.say(&NodeMessage::Ack { revision });
    });
    assert_eq!(followed.status, 200);
    let nodes = plane.get("/v1/nodes").await.json();
    assert_eq!(nodes["nodes"][0]["behind_by"], 0);
    assert_eq!(nodes["nodes"][0]["refused"]["faults"][0]["path"], "routes[0]");
    // A node that leaves is not waited for, and a revision from the future is none.
    let next = plane.put("/v1/services/users", json!({})).await.revision();
    let waiting = format!("/v1/revisions/{next}/acknowledged?timeout=9s");
    let (gone, ()) = tokio::join!(plane.get(&waiting), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(gateway);
    });
    assert_eq!(gone.status, 200);
    assert_eq!(plane.get("/v1/revisions/999/acknowledged").await.status, 404);
    assert_eq!(plane.get("/v1/revisions/x/acknowledged").await.status, 400);
}

#[tokio::test]
async fn a_watcher_that_does_not_read_costs_no_more_than_its_queue() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let mut slow = plane.sidecar("slow", "orders", "prod").await;
    let mut seen = slow.snapshot().await;
    // Much more than what a queue and two sockets hold, and written long before the 5 s after which a node that
    // takes nothing counts as gone: what is sent is large, what changes is small.
    for layer in ["application/default", "application/prod", "orders/default"] {
        let large = |key| (format!("{layer}-{key}"), "x".repeat(60_000));
        let values: BTreeMap<_, _> = (0..7).map(large).collect();
        plane.put(&format!("/v1/config/{layer}"), json!(values)).await;
    }
    let mut last = 0;
    for round in 0..20 {
        last = plane.put("/v1/config/orders/prod", json!({"round": round.to_string()})).await.revision();
    }
    // It reads again: a snapshot in place of what did not fit, and nothing between it and the newest is lost.
    slow.follow(&mut seen, |seen| seen.revision == last).await;
    assert_eq!(seen.config["round"], "19");
}

#[tokio::test]
async fn a_bad_hello_is_a_problem_and_a_bad_line_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    for (hello, status) in [
        (json!({"type": "renew"}), 400),
        (json!("nonsense"), 400),
        (json!({"type": "hello", "node": "", "kind": "gateway"}), 422),
        (json!({"type": "hello", "node": "x".repeat(65_536), "kind": "gateway"}), 422),
        (
            json!({"type": "hello", "node": "n", "kind": "sidecar", "config": {"application": "a/b", "profile": ""}}),
            422,
        ),
        (json!({"type": "hello", "node": "n", "kind": "unheard"}), 400),
    ] {
        let Err(answer) = Node::open(&plane, hello.clone()).await else { panic!("{hello}") };
        assert_eq!(answer.status, status, "{hello}");
    }
    let mut node = plane.sidecar("n", "orders", "default").await;
    for line in [
        "{",
        "[]",
        "{\"type\":\"register\",\"service\":\"x\"}",
        "{\"type\":\"hello\",\"node\":\"n\",\"kind\":\"gateway\"}",
    ] {
        node.say_raw(line);
        assert!(node.outcome().await.is_err(), "{line}");
    }
    node.register("orders", "a/b", 0, 1);
    let refused = node.outcome().await.unwrap_err();
    for place in ["id", "address", "lease_ms"] {
        assert!(refused.contains(place), "{refused}");
    }
    node.register("orders", "orders-1", 4001, 5_000);
    assert!(node.outcome().await.is_ok());
    assert_eq!(plane.get("/v1/instances").await.json()["instances"][0]["status"], json!(InstanceStatus::Up));
}

#[tokio::test]
async fn streams_end_when_the_control_plane_stops() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let mut gateway = plane.gateway("gateway-1").await;
    gateway.snapshot().await;
    let started = Instant::now();
    plane.running.shutdown().await;
    assert!(started.elapsed() < Duration::from_secs(2));
    while gateway.next().await.is_some() {}
}

#[tokio::test]
async fn a_node_that_came_back_may_deregister_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let mut old = plane.sidecar("orders-node", "orders", "default").await;
    old.register("orders", "orders-1", 4001, 60_000);
    old.outcome().await.unwrap();
    let mut new = plane.sidecar("orders-node", "orders", "default").await;
    new.say(&NodeMessage::Deregister { service: "orders".into(), id: "orders-1".into() });
    assert_eq!(new.outcome().await, Ok(2));
}

#[tokio::test]
async fn a_plain_registration_does_not_end_the_stream_that_holds_the_instance() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let mut sidecar = plane.sidecar("orders-node", "orders", "default").await;
    sidecar.register("orders", "orders-1", 4001, 60_000);
    sidecar.outcome().await.unwrap();
    assert_eq!(plane.register("orders", "orders-1", 4001).await.status, 200);
    sidecar.register("orders", "orders-1", 4001, 60_000);
    assert!(sidecar.outcome().await.is_ok());
}
