//! How far nodes have followed, on whichever replica's streams they are. Each replica says so of its own, at most twice a
//! second: what is said late only makes others wait longer.

use std::collections::BTreeMap;
use std::time::Duration;

use portreeve_config::wire::Revision;

use super::State;
use crate::publisher::Watcher;
use crate::store::{NodeReport, NodesReport};

/// Acknowledgements of one change come close together, and are told together.
const GATHER: Duration = Duration::from_millis(50);
/// The pause after a report.
const PAUSE: Duration = Duration::from_millis(450);

/// All nodes that are known of.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    /// By name; a node that has moved counts where it came last. With the replica, where it is another one.
    pub(crate) nodes: BTreeMap<String, (NodeReport, Option<String>)>,
    /// Replicas that have not said yet how far their nodes are with a revision.
    pub(crate) silent: Vec<String>,
}

impl State {
    /// The nodes on all replicas' streams, and which replicas cannot be counted on for `revision` yet.
    pub(crate) fn followers(&self, revision: Revision) -> Followers {
        let mut followers = Followers::default();
        for watcher in self.publisher().watchers() {
            followers.add(report_of(&watcher), None);
        }
        for (id, report) in &self.shared.replicas().others {
            if report.as_ref().is_none_or(|report| report.revision < revision) {
                let name = report.as_ref().map_or_else(|| id.to_string(), |report| report.replica.clone());
                followers.silent.push(name);
            }
            for node in report.iter().flat_map(|report| &report.nodes) {
                followers.add(node.clone(), report.as_ref().map(|report| report.replica.clone()));
            }
        }
        followers
    }

    /// Waits until the nodes of all other replicas have followed to `revision`, or `limit` is over. Gives what is
    /// still waited for then.
    pub(crate) async fn followed_elsewhere(&self, revision: Revision, limit: Duration) -> Followers {
        let wait = async {
            loop {
                let reported = self.shared.reported.notified();
                tokio::pin!(reported);
                reported.as_mut().enable();
                if self.followers(revision).behind_elsewhere(revision).is_empty() {
                    return;
                }
                reported.await;
            }
        };
        match tokio::time::timeout(limit, wait).await {
            Ok(()) => Followers::default(),
            Err(_) => self.followers(revision).behind_elsewhere(revision),
        }
    }
}

impl Followers {
    fn add(&mut self, node: NodeReport, replica: Option<String>) {
        match self.nodes.get(&node.node) {
            Some((known, _)) if known.since >= node.since => {}
            _ => drop(self.nodes.insert(node.node.clone(), (node, replica))),
        }
    }

    /// Those at other replicas that have not followed, and the replicas that have not said.
    fn behind_elsewhere(mut self, revision: Revision) -> Self {
        self.nodes.retain(|_, (node, replica)| replica.is_some() && node.acknowledged < revision);
        self
    }

    fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.silent.is_empty()
    }
}

/// Tells the other replicas how far this one's nodes have followed. `name` is what people call this one.
pub(crate) async fn report_nodes(state: State, name: String) {
    if !state.is_shared() {
        return std::future::pending().await;
    }
    loop {
        // The revision first: a node that comes after it is told of it at least.
        let revision = state.publisher().revision();
        let nodes = state.publisher().watchers().iter().map(|watcher| report_of(watcher)).collect();
        state.shared.replicas().report(NodesReport { replica: name.clone(), revision, nodes });
        tokio::time::sleep(PAUSE).await;
        state.publisher().progressed().notified().await;
        tokio::time::sleep(GATHER).await;
    }
}

/// How far the node of a stream has followed.
pub(crate) fn report_of(watcher: &Watcher) -> NodeReport {
    let progress = watcher.progress();
    NodeReport {
        node: watcher.peer.node.to_string(),
        kind: watcher.peer.kind,
        since: watcher.since,
        acknowledged: progress.acknowledged,
        refused: progress.refused,
    }
}
