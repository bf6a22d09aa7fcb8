//! A node that moves from replica to replica, and one that watches who goes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portreeve_config::wire::{ControlMessage, Event, NodeMessage};
use serde_json::json;
use tokio::sync::watch;

use super::process::Process;
use super::support::{LIMIT, Node};

/// A node that goes to the next replica when its stream ends, and the instance it stands for.
pub(crate) struct Roaming {
    name: String,
    pub(crate) node: Node,
}

impl Roaming {
    pub(crate) async fn begin(replica: &Process, name: &str) -> Self {
        let mut node = replica.sidecar(name).await;
        node.snapshot().await;
        node.register("orders", name, 4001, 3_000);
        node.outcome().await.unwrap();
        Self { name: name.to_owned(), node }
    }

    /// Lives until `end`: reads, gives signs of life, and moves to another of `replicas`. Gives how long it was away.
    pub(crate) async fn live(
        mut self,
        replicas: [SocketAddr; 2],
        mut end: watch::Receiver<bool>,
    ) -> Duration {
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
pub(crate) async fn gone_until(mut gateway: Node, last: &str) -> Vec<String> {
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
