//! What a node is told: only of the services it named, and after a break only what it missed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use portreeve_config::wire::{ControlMessage, Event, Snapshot};
use serde_json::{Value, json};

use support::{Node, Plane, route};

fn hello(name: &str, services: Option<&[&str]>, held: Option<&Snapshot>) -> Value {
    let mut hello = json!({"type": "hello", "node": name, "kind": "sidecar",
        "config": {"application": "orders", "profile": "default"}});
    if let Some(services) = services {
        hello["services"] = json!(services);
    }
    if let Some(held) = held {
        (hello["revision"], hello["epoch"]) = (held.revision.into(), held.epoch.clone().into());
    }
    hello
}

async fn events(node: &mut Node) -> Vec<Event> {
    match node.next().await {
        Some(ControlMessage::Change(change)) => change.events,
        other => panic!("no change: {other:?}"),
    }
}

/// Takes up a `resumed` and all changes up to `newest`; gives how many there were.
async fn resume(node: &mut Node, state: &mut Snapshot, newest: u64) -> usize {
    let Some(ControlMessage::Resumed { revision, config }) = node.next().await else {
        panic!("no resumption")
    };
    assert_eq!(revision, state.revision);
    state.config = config.unwrap_or_default();
    let mut count = 0;
    while state.revision < newest {
        match node.next().await {
            Some(ControlMessage::Change(change)) => {
                assert_eq!(change.revision, state.revision + 1);
                state.apply(change);
                count += 1;
            }
            other => panic!("no change: {other:?}"),
        }
    }
    count
}

fn sorted(mut state: Snapshot) -> Snapshot {
    state.instances.sort_by(|one, other| (&one.service, &one.id).cmp(&(&other.service, &other.id)));
    state
}

#[tokio::test]
async fn a_node_hears_only_of_the_services_it_named() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    for (service, port) in [("orders", 4001), ("users", 4002), ("payments", 4003)] {
        plane.register(service, "one", port).await;
    }
    let mut node = plane.node(hello("n", Some(&["orders", "users", "unheard-of"]), None)).await;
    let mut seen = node.snapshot().await;
    assert_eq!(seen.services, ["orders", "users"]);
    assert_eq!(seen.instances.iter().map(|i| &*i.service).collect::<Vec<_>>(), ["orders", "users"]);
    // Every revision comes, so that it can be acknowledged; what is not asked for comes without events.
    plane.register("payments", "two", 4004).await;
    assert_eq!(events(&mut node).await, []);
    plane.register("users", "two", 4005).await;
    assert!(matches!(&events(&mut node).await[..], [Event::InstancePut(i)] if i.id == "two"));
    plane.register("unheard-of", "one", 4006).await;
    assert!(matches!(&events(&mut node).await[..], [Event::ServicePut(_), Event::InstancePut(_)]));
    // One write that touches both kinds.
    let both = json!({"services": ["users", "new"], "routes": [route("r", "/r", "new")]});
    assert_eq!(plane.put("/v1/desired-state", both).await.status, 200);
    assert_eq!(events(&mut node).await, []);
    plane.put("/v1/config/orders/default", json!({"greeting": "hello"})).await;
    assert!(matches!(&events(&mut node).await[..], [Event::Config(_)]));
    seen.revision = 0;
    let mut whole = plane.node(hello("other", None, None)).await;
    assert_eq!(whole.snapshot().await.services, ["new", "orders", "payments", "unheard-of", "users"]);
    let Err(refused) = Node::open(&plane, hello("n", Some(&["Bad Name"]), None)).await else { panic!() };
    assert!(refused.status == 422 && refused.text.contains("services[0]"), "{}", refused.text);
    let many: Vec<_> = (0..1_025).map(|n| format!("s{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let Err(refused) = Node::open(&plane, hello("n", Some(&many), None)).await else { panic!() };
    assert!(refused.status == 422 && refused.text.contains("at most 1024"), "{}", refused.text);
}

#[tokio::test]
async fn a_node_that_comes_back_is_told_what_it_missed() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    plane.register("orders", "one", 4001).await;
    let views: [Option<&[&str]>; 2] = [None, Some(&["orders"])];
    for services in views {
        let mut node = plane.node(hello("n", services, None)).await;
        let mut held = node.snapshot().await;
        assert!(!held.epoch.is_empty());
        drop(node);
        // Nothing was missed.
        let mut node = plane.node(hello("n", services, Some(&held))).await;
        let newest = held.revision;
        assert_eq!(resume(&mut node, &mut held, newest).await, 0);
        drop(node);
        plane.register("orders", "two", 4002).await;
        plane.register("users", "one", 4003).await;
        plane.put("/v1/config/orders/default", json!({"greeting": "hello"})).await;
        plane.delete("/v1/services/orders/instances/one").await;
        let newest = plane.get("/v1/revision").await.revision();
        let mut node = plane.node(hello("n", services, Some(&held))).await;
        assert_eq!(resume(&mut node, &mut held, newest).await, 4);
        // It holds what a snapshot would say, and hears of what comes next.
        let mut other = plane.node(hello("other", services, None)).await;
        assert_eq!(sorted(held.clone()), sorted(other.snapshot().await));
        plane.register("orders", "one", 4001).await;
        assert_eq!(events(&mut node).await.len(), 1);
        plane.delete("/v1/services/orders/instances/two").await;
        plane.delete("/v1/services/users/instances/one").await;
        plane.delete("/v1/services/users").await;
        plane.delete("/v1/config/orders/default").await;
    }
}

#[tokio::test]
async fn what_is_not_known_any_more_is_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    plane.register("orders", "one", 4001).await;
    let mut node = plane.node(hello("n", None, None)).await;
    let held = node.snapshot().await;
    drop(node);
    let from_the_future = Snapshot { revision: 99, ..held.clone() };
    let of_another = Snapshot { epoch: "another".to_owned(), ..held.clone() };
    let of_nobody = Snapshot { epoch: String::new(), ..held.clone() };
    for held in [&from_the_future, &of_another, &of_nobody] {
        let mut node = plane.node(hello("n", None, Some(held))).await;
        assert_eq!(node.snapshot().await.instances.len(), 1);
    }
    // Other services than before: what it holds does not cover them.
    let mut node = plane.node(hello("n", Some(&["orders"]), Some(&held))).await;
    node.snapshot().await;
    // More than what is kept.
    for number in 0..1_030 {
        let status = if number % 2 == 0 { "down" } else { "up" };
        plane.put("/v1/services/orders/instances/one/status", json!({"status": status})).await;
    }
    let mut node = plane.node(hello("n", None, Some(&held))).await;
    assert_eq!(node.snapshot().await.revision, held.revision + 1_030);
    // Another run of the control plane.
    let held = {
        let mut node = plane.node(hello("n", None, None)).await;
        node.snapshot().await
    };
    plane.running.shutdown().await;
    let plane = Plane::start(folder.path()).await;
    let mut node = plane.node(hello("n", None, Some(&held))).await;
    node.snapshot().await;
}
