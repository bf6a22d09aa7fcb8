//! Control planes that share an etcd: one history for all, and what becomes of their nodes when one of them dies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/process.rs"]
mod process;
mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portreeve_config::ControlPlaneConfig;
use portreeve_config::wire::{ControlMessage, Event, NodeMessage};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use etcd::Etcd;
use process::Process;
use support::{LIMIT, Node, Plane, config, route};

#[test]
fn the_process() {
    process::be_the_process();
}

fn shared(etcd: &Etcd) -> ControlPlaneConfig {
    ControlPlaneConfig { store: etcd.store(), ..config("nothing-is-kept-here".as_ref()) }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + 3 * LIMIT;
    while !holds().await {
        assert!(Instant::now() < deadline, "did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_restart_finds_everything_again() {
    let Some(etcd) = Etcd::start() else { return };
    let plane = Plane::with(shared(&etcd)).await;
    assert_eq!(plane.put("/v1/services/orders", json!({})).await.revision(), 1);
    assert_eq!(plane.put("/v1/routes/orders", route("orders", "/orders", "orders")).await.revision(), 2);
    plane.put("/v1/config/orders/default", json!({"greeting": "hello"})).await;
    plane.register("orders", "orders-1", 4001).await;
    plane.register("orders", "orders-2", 4002).await;
    assert_eq!(plane.delete("/v1/services/orders/instances/orders-2").await.revision(), 6);
    plane.running.shutdown().await;

    let plane = Plane::with(shared(&etcd)).await;
    assert_eq!(plane.get("/v1/revision").await.revision(), 6);
    assert_eq!(plane.get("/v1/routes/orders").await.revision(), 2);
    assert_eq!(plane.get("/v1/config/orders/default").await.json()["values"]["greeting"], "hello");
    let instances = plane.get("/v1/instances").await.json()["instances"].clone();
    assert_eq!((instances.as_array().unwrap().len(), &instances[0]["id"]), (1, &json!("orders-1")));
    assert_eq!(plane.put("/v1/services/users", json!({})).await.revision(), 7);
}

async fn revision(replica: &Process) -> u64 {
    replica.get("/v1/revision").await.revision()
}

async fn ids(replica: &Process) -> BTreeSet<String> {
    let instances = replica.get("/v1/instances").await.json()["instances"].clone();
    instances.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn replicas_make_one_history() {
    const EACH: usize = 25;
    let Some(etcd) = Etcd::start() else { return };
    let replicas: Vec<_> = (0..3).map(|_| Process::start(&shared(&etcd))).collect();
    let mut watchers = Vec::new();
    for (index, replica) in replicas.iter().enumerate() {
        let mut watcher = replica.gateway(&format!("gateway-{index}")).await;
        let seen = watcher.snapshot().await;
        watchers.push((watcher, seen));
    }
    let writes = replicas.iter().enumerate().map(|(index, replica)| async move {
        let mut revisions = Vec::new();
        for number in 0..EACH {
            let answer = replica.register("orders", &format!("orders-{index}-{number}"), 600_000).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            revisions.push(answer.revision());
        }
        revisions
    });
    let [a, b, c] = <[_; 3]>::try_from(writes.collect::<Vec<_>>()).ok().unwrap();
    let (a, b, c) = tokio::join!(a, b, c);
    let all: BTreeSet<u64> = [a, b, c].concat().into_iter().collect();
    // The first of them declares the service in the same revision.
    assert_eq!(all, (1..=3 * EACH as u64).collect(), "a revision was given twice or left out");
    for (watcher, seen) in &mut watchers {
        watcher.follow(seen, |seen| seen.instances.len() == 3 * EACH).await;
        assert_eq!(seen.revision, 3 * EACH as u64);
    }
    for replica in &replicas {
        until("every replica has all", async || ids(replica).await.len() == 3 * EACH).await;
        assert_eq!(revision(replica).await, 3 * EACH as u64);
    }
}

#[tokio::test]
async fn of_writers_that_saw_the_same_one_wins() {
    let Some(etcd) = Etcd::start() else { return };
    let replicas: Vec<_> = (0..3).map(|_| Process::start(&shared(&etcd))).collect();
    replicas[0].put("/v1/config/orders/default", json!({"winner": "nobody"})).await;
    for round in 1..=10 {
        for replica in &replicas {
            until("every replica has the last round", async || revision(replica).await == round).await;
        }
        let tries = replicas.iter().enumerate().map(|(index, replica)| {
            let request = http::Request::put("/v1/config/orders/default")
                .header("host", replica.address.to_string())
                .header("content-type", "application/json")
                .header("if-match", format!("\"{round}\""));
            let body = json!({"winner": format!("{round}-{index}")}).to_string();
            support::send_to(replica.address, request.body(body.into()).unwrap())
        });
        let [a, b, c] = <[_; 3]>::try_from(tries.collect::<Vec<_>>()).ok().unwrap();
        let (a, b, c) = tokio::join!(a, b, c);
        let mut statuses = [a, b, c].map(|answer| answer.unwrap().status);
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412, 412]);
    }
}

/// A node that goes to the next replica when its stream ends, and the instance it stands for.
struct Roaming {
    name: String,
    node: Node,
}

impl Roaming {
    async fn begin(replica: &Process, name: &str) -> Self {
        let mut node = replica.sidecar(name).await;
        node.snapshot().await;
        node.register("orders", name, 4001, 3_000);
        node.outcome().await.unwrap();
        Self { name: name.to_owned(), node }
    }

    /// Lives until `end`: reads, gives signs of life, and moves to another of `replicas`. Gives how long it was away.
    async fn live(mut self, replicas: [SocketAddr; 2], mut end: watch::Receiver<bool>) -> Duration {
        let mut away = Duration::ZERO;
        let (mut turn, mut renew) = (0, tokio::time::interval(Duration::from_millis(500)));
        loop {
            tokio::select! {
                message = self.node.next_raw() => if message.is_none() {
                    let lost = Instant::now();
                    turn += 1;
                    let hello = json!({"type": "hello", "node": self.name, "kind": "sidecar"});
                    let node = Node::open_at(replicas[turn % replicas.len()], hello).await;
                    self.node = node.unwrap_or_else(|answer| panic!("{}", answer.text));
                    self.node.register("orders", &self.name, 4001, 3_000);
                    self.node.outcome().await.unwrap();
                    away += lost.elapsed();
                },
                _ = renew.tick() => self.node.say(&NodeMessage::Renew),
                _ = end.changed() => return away,
            }
        }
    }
}

/// Follows a gateway's stream until the instance `last` is gone; gives every instance that went.
async fn gone_until(mut gateway: Node, last: &str) -> Vec<String> {
    let (mut gone, deadline) = (Vec::new(), Instant::now() + 6 * LIMIT);
    while !gone.iter().any(|id| id == last) {
        assert!(Instant::now() < deadline, "{last} is still registered");
        if let Some(ControlMessage::Change(change)) = gateway.next().await {
            gone.extend(change.events.into_iter().filter_map(|event| match event {
                Event::InstanceRemoved { id, .. } => Some(id),
                _ => None,
            }));
        }
    }
    gone
}

#[tokio::test]
async fn when_a_replica_is_killed_its_nodes_move_and_none_is_deregistered() {
    let Some(etcd) = Etcd::start() else { return };
    let mut first = Process::start(&shared(&etcd));
    let (second, third) = (Process::start(&shared(&etcd)), Process::start(&shared(&etcd)));
    let mut gateway = second.gateway("gateway").await;
    gateway.snapshot().await;
    let mut nodes = Vec::new();
    for number in 0..10 {
        nodes.push(Roaming::begin(&first, &format!("orders-{number}")).await);
    }
    // Its node dies together with the replica: that it goes says how long the others had.
    let lone = Roaming::begin(&first, "lone").await;
    let plain = first.register("orders", "plain", 60_000).await;
    assert_eq!(plain.status, 200);

    let (end, ended) = watch::channel(false);
    let survivors = [&second, &third];
    let mut lives = JoinSet::new();
    for node in nodes {
        lives.spawn(node.live(survivors.map(|replica| replica.address), ended.clone()));
    }
    first.kill();
    drop(lone);
    // Writes go on at the others, at once.
    for number in 0..20 {
        let answer = survivors[number % 2].put(&format!("/v1/services/service-{number}"), json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    // Signs of life for it may come to any replica.
    let alive = survivors[0].send("PUT", "/v1/services/orders/instances/plain/lease", None).await.unwrap();
    assert_eq!(alive.status, 204, "{}", alive.text);
    assert_eq!(gone_until(gateway, "lone").await, ["lone"], "others were deregistered, too");
    for replica in survivors {
        until("ten nodes and the plain one are left", async || ids(replica).await.len() == 11).await;
    }
    end.send_replace(true);
    for away in lives.join_all().await {
        assert!(away < Duration::from_secs(3), "a node was away for {away:?}");
    }
}

#[tokio::test]
async fn while_etcd_is_away_everything_but_writing_goes_on() {
    let Some(mut etcd) = Etcd::start() else { return };
    let replica = Process::start(&shared(&etcd));
    let mut node = Roaming::begin(&replica, "orders-1").await.node;
    let mut gateway = replica.gateway("gateway").await;
    let mut seen = gateway.snapshot().await;
    let before = revision(&replica).await;
    etcd.kill();
    until("a write is refused", async || {
        let answer = replica.put("/v1/services/users", json!({})).await;
        if answer.status == 503 {
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            assert!(answer.json()["detail"].as_str().unwrap().contains("cannot be reached"), "{}", answer.text);
        }
        answer.status == 503
    })
    .await;
    // Reading, streams and what changes nothing go on, and nobody's lease ends.
    for _ in 0..5 {
        assert!(matches!(gateway.next_raw().await, Some(ControlMessage::Ping { revision }) if revision == before));
        node.say(&NodeMessage::Renew);
    }
    node.register("orders", "orders-1", 4001, 3_000);
    assert_eq!(node.outcome().await, Ok(before));
    assert_eq!(ids(&replica).await.len(), 1);
    etcd.resume();
    until("writes are taken again", async || {
        node.say(&NodeMessage::Renew);
        replica.put("/v1/services/users", json!({})).await.status == 200
    })
    .await;
    gateway.follow(&mut seen, |seen| seen.services.iter().any(|name| name == "users")).await;
    assert_eq!(ids(&replica).await.len(), 1);
}

#[tokio::test]
async fn one_id_is_one_instance_whichever_replica_hears_of_it() {
    let Some(etcd) = Etcd::start() else { return };
    let (first, second) = (Process::start(&shared(&etcd)), Process::start(&shared(&etcd)));
    let mut other = second.sidecar("another-node").await;
    other.snapshot().await;
    // Who holds an instance arrives a moment after the instance itself.
    let mut number = 0;
    until("the second replica refuses the other host", async || {
        number += 1;
        let id = format!("orders-{number}");
        let _holder = Roaming::begin(&first, &id).await;
        until("the second replica knows it", async || ids(&second).await.contains(&id)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        other.register("orders", &id, 4999, 3_000);
        other.outcome().await.is_err_and(|refusal| refusal.contains("holds this instance"))
    })
    .await;
}
