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
use serde_json::{Value, json};
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

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
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
                _ = renew.tick() => self.node.try_say(&NodeMessage::Renew),
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
            assert!(
                answer.json()["detail"].as_str().unwrap().contains("cannot be reached"),
                "{}",
                answer.text
            );
        }
        answer.status == 503
    })
    .await;
    // Reading, streams and what changes nothing go on, and nobody's lease ends.
    for _ in 0..5 {
        assert!(
            matches!(gateway.next_raw().await, Some(ControlMessage::Ping { revision }) if revision == before)
        );
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

/// As many routes as no single request to etcd could hold.
fn many_routes(count: usize, note: &str) -> Value {
    let route = |number: usize| {
        let headers = json!({"set": {"X-Note": format!("{note}-{number}-{}", "x".repeat(600))}});
        json!({"name": format!("route-{number}"), "match": {"path": format!("/{number}")}, "service": "orders",
            "request_headers": headers})
    };
    (0..count).map(route).collect()
}

async fn put_routes(replica: &Process, routes: &Value) {
    // Each body has a limit; a whole desired state has a larger one.
    let state = json!({"services": ["orders"], "routes": routes});
    let answer = replica.put("/v1/desired-state", state).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

async fn routes(replica: &Process) -> usize {
    replica.get("/v1/routes").await.json()["routes"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_change_larger_than_any_request_is_one_revision() {
    let Some(etcd) = Etcd::start() else { return };
    let (first, second) = (Process::start(&shared(&etcd)), Process::start(&shared(&etcd)));
    let mut gateway = second.gateway("gateway").await;
    let mut seen = gateway.snapshot().await;
    for (round, count) in [4_000, 3_000].into_iter().enumerate() {
        put_routes(&first, &many_routes(count, &format!("round-{round}"))).await;
        gateway.follow(&mut seen, |seen| seen.routes.len() == count).await;
        assert_eq!(seen.revision, round as u64 + 1);
        until("the second replica has them", async || routes(&second).await == count).await;
    }
    // Whoever comes later, or writes on top, finds the same.
    assert_eq!(second.put("/v1/services/users", json!({})).await.revision(), 3);
    let third = Process::start(&shared(&etcd));
    assert_eq!((routes(&third).await, revision(&third).await), (3_000, 3));
}

#[tokio::test]
async fn a_replica_that_missed_more_than_etcd_keeps_loads_anew() {
    let Some(mut etcd) = Etcd::start() else { return };
    let (first, second) = (Process::start(&shared(&etcd)), Process::start(&shared(&etcd)));
    first.put("/v1/services/orders", json!({})).await;
    let mut gateway = second.gateway("gateway").await;
    let mut seen = gateway.snapshot().await;
    gateway.follow(&mut seen, |seen| seen.services.len() == 1).await;
    // It stands still while its connection ends and history goes on without it.
    second.signal("STOP");
    etcd.kill();
    etcd.resume();
    until("the first replica writes again", async || {
        first.put("/v1/services/users", json!({})).await.status == 200
    })
    .await;
    first.put("/v1/services/shipping", json!({})).await;
    etcd.compact().await;
    second.signal("CONT");
    gateway.follow(&mut seen, |seen| seen.services.len() == 3).await;
    assert_eq!(revision(&second).await, revision(&first).await);
    assert_eq!(second.put("/v1/services/payments", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_replica_that_is_stopped_leaves_its_nodes_to_the_others_at_once() {
    let Some(etcd) = Etcd::start() else { return };
    let (mut first, second) = (Process::start(&shared(&etcd)), Process::start(&shared(&etcd)));
    let mut gateway = second.gateway("gateway").await;
    gateway.snapshot().await;
    let mover = Roaming::begin(&first, "mover").await;
    let _lone = Roaming::begin(&first, "lone").await;
    let (_end, ended) = watch::channel(false);
    let life = tokio::spawn(mover.live([second.address, second.address], ended));
    first.stop();
    assert_eq!(gone_until(gateway, "lone").await, ["lone"], "the one that moved was deregistered, too");
    assert_eq!(ids(&second).await.into_iter().collect::<Vec<_>>(), ["mover"]);
    life.abort();
}

#[tokio::test]
async fn signs_of_life_may_come_to_any_replica() {
    let Some(etcd) = Etcd::start() else { return };
    let replicas: Vec<_> = (0..3).map(|_| Process::start(&shared(&etcd))).collect();
    assert_eq!(replicas[0].register("orders", "orders-1", 2_000).await.status, 200);
    for replica in &replicas {
        until("every replica knows it", async || ids(replica).await.len() == 1).await;
    }
    let began = Instant::now();
    for turn in 0.. {
        let renewed =
            replicas[turn % 3].send("PUT", "/v1/services/orders/instances/orders-1/lease", None).await;
        assert_eq!(renewed.unwrap().status, 204);
        if began.elapsed() > Duration::from_secs(6) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert_eq!(ids(&replicas[0]).await.len(), 1);
    until("without signs of life it goes", async || ids(&replicas[2]).await.is_empty()).await;
}

#[tokio::test]
async fn a_backup_goes_from_etcd_to_a_file_and_back() {
    let Some(etcd) = Etcd::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (file, etcd_file) = (folder.path().join("file.backup"), folder.path().join("etcd.backup"));
    let replica = Process::start(&shared(&etcd));
    replica.put("/v1/services/orders", json!({})).await;
    replica.put("/v1/routes/orders", route("orders", "/orders", "orders")).await;
    portreeve_control_plane::keep(&replica.get("/v1/backup").await.bytes, &file).unwrap();
    let (from, to) = (shared(&etcd), etcd_file.clone());
    blocking(move || portreeve_control_plane::backup(&from, &to)).await.unwrap();
    assert_eq!(
        portreeve_control_plane::restore(&config(folder.path()), &etcd_file, false).unwrap().revision,
        2
    );
    assert_eq!(Plane::start(folder.path()).await.get("/v1/routes/orders").await.revision(), 2);

    replica.put("/v1/services/users", json!({})).await;
    let restore = |replace| {
        let (to, file) = (shared(&etcd), file.clone());
        blocking(move || portreeve_control_plane::restore(&to, &file, replace))
    };
    assert!(restore(false).await.unwrap_err().to_string().contains("--replace"));
    restore(true).await.unwrap();
    until("the replica follows", async || {
        let services = replica.get("/v1/services").await.json();
        services["services"].as_array().unwrap().len() == 1
    })
    .await;
    assert_eq!(revision(&replica).await, 4);
}
