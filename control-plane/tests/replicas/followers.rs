//! Who follows, whichever replica is asked: nodes of all of them, and waiting for all of them.

use std::time::{Duration, Instant};

use portreeve_config::wire::NodeMessage;
use serde_json::json;

use super::etcd::Etcd;
use super::process::Process;
use super::support::Node;
use super::{shared, until};

/// The nodes that a replica knows of: name, whether it is another replica's, and how far it is.
async fn nodes(replica: &Process) -> Vec<(String, bool, u64)> {
    let nodes = replica.get("/v1/nodes").await.json()["nodes"].clone();
    let nodes = nodes.as_array().unwrap().iter().map(|node| {
        let name = node["node"].as_str().unwrap().to_owned();
        (name, node["replica"].is_string(), node["acknowledged"].as_u64().unwrap())
    });
    nodes.collect()
}

async fn acknowledge(node: &mut Node, seen: &mut portreeve_config::wire::Snapshot, revision: u64) {
    node.follow(seen, |seen| seen.revision >= revision).await;
    node.say(&NodeMessage::Ack { revision });
}

#[tokio::test]
async fn nodes_of_all_replicas_are_shown_and_waited_for_at_each() {
    let Some(etcd) = Etcd::start() else { return };
    let first = Process::start(&shared(&etcd));
    let mut second = Process::start(&shared(&etcd));
    let (mut here, mut there) = (first.gateway("here").await, second.gateway("there").await);
    let (mut seen_here, mut seen_there) = (here.snapshot().await, there.snapshot().await);
    let revision = first.put("/v1/services/orders", json!({})).await.revision();
    acknowledge(&mut here, &mut seen_here, revision).await;
    let wait = format!("/v1/revisions/{revision}/acknowledged?timeout=2s");
    // The node at the other replica has not said so: it is waited for, and named with its replica.
    let refusal = first.get(&wait).await;
    assert_eq!(refusal.status, 504, "{}", refusal.text);
    let fault = &refusal.json()["faults"][0];
    assert_eq!(fault["path"], "there", "{}", refusal.text);
    let port = second.address.port().to_string();
    assert!(fault["problem"].as_str().unwrap().ends_with(&format!(":{port}")), "{}", refusal.text);
    acknowledge(&mut there, &mut seen_there, revision).await;
    let patient = format!("/v1/revisions/{revision}/acknowledged?timeout=10s");
    for replica in [&first, &second] {
        assert_eq!(replica.get(&patient).await.status, 200);
    }
    for (replica, other) in [(&first, "there"), (&second, "here")] {
        until("both nodes are shown", async || {
            let nodes = nodes(replica).await;
            let other = nodes.contains(&(other.to_owned(), true, revision));
            other && nodes.len() == 2 && nodes.iter().all(|(_, _, acknowledged)| *acknowledged == revision)
        })
        .await;
    }
    // A replica that dies is waited for only until it is known to be gone; its node has moved meanwhile.
    second.kill();
    let mut moved = first.gateway("there").await;
    let mut seen = moved.snapshot().await;
    let revision = first.put("/v1/services/users", json!({})).await.revision();
    acknowledge(&mut here, &mut seen_here, revision).await;
    acknowledge(&mut moved, &mut seen, revision).await;
    let patient = format!("/v1/revisions/{revision}/acknowledged?timeout=30s");
    assert_eq!(first.get(&patient).await.status, 200);
    assert_eq!(nodes(&first).await.iter().map(|(_, other, _)| *other).collect::<Vec<_>>(), [false, false]);
}

#[tokio::test]
async fn acknowledgements_are_told_together() {
    let Some(etcd) = Etcd::start() else { return };
    let (first, second) = (Process::start(&shared(&etcd)), Process::start(&shared(&etcd)));
    let mut node = first.gateway("node").await;
    let mut seen = node.snapshot().await;
    until("the other replica knows the node", async || nodes(&second).await.len() == 1).await;
    let before = etcd.revision().await;
    let began = Instant::now();
    let mut writes = 0;
    while began.elapsed() < Duration::from_secs(3) {
        let revision = first.put(&format!("/v1/services/s-{writes}"), json!({})).await.revision();
        acknowledge(&mut node, &mut seen, revision).await;
        writes += 1;
    }
    let last = seen.revision;
    until("the other replica knows", async || nodes(&second).await[0].2 == last).await;
    // A write of ours is one revision of etcd; the rest are reports of both, at most two a second each.
    let seconds = began.elapsed().as_secs() + 1;
    let reports = etcd.revision().await - before - writes;
    assert!(writes > 20, "{writes} writes say nothing");
    assert!(reports <= 2 * 2 * seconds + 4, "{reports} reports in {seconds} s, for {writes} writes");
}
