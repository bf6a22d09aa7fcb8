//! What is lost and what is not when a replica, or etcd itself, is gone for a while.

use std::time::{Duration, Instant};

use portreeve_config::wire::{ControlMessage, NodeMessage};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::etcd::Etcd;
use super::nodes::{Roaming, gone_until};
use super::process::Process;
use super::{ids, revision, shared, until};

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
    let away = lives.join_all().await;
    println!("away for {:?} at most", away.iter().max().unwrap());
    for away in away {
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
