//! What processes that share a store tell each other beside its commits: which instances each of them hears from, and
//! how far its nodes have followed. Signs of life themselves are never told, so that they cost the shared store nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use portreeve_config::Fault;
use portreeve_config::wire::{NodeKind, Revision};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::registry::InstanceKey;

/// Names one process that shares the store, for as long as it runs.
pub(crate) type ReplicaId = Arc<str>;

/// Called when [`super::Store::news`] has something to say.
#[derive(Clone)]
pub(crate) struct Wake(Arc<dyn Fn() + Send + Sync>);

impl Wake {
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    pub(crate) fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Wake")
    }
}

/// What a process says of the nodes on its streams, as of one revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodesReport {
    /// What people call the process.
    pub(crate) replica: String,
    /// The newest revision that the process has published.
    pub(crate) revision: Revision,
    pub(crate) nodes: Vec<NodeReport>,
}

/// How far one node has followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeReport {
    pub(crate) node: String,
    pub(crate) kind: NodeKind,
    pub(crate) since: Timestamp,
    pub(crate) acknowledged: Revision,
    /// The last revision it refused, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<(Revision, Vec<Fault>)>,
}

/// What another process says of itself and of the instances it hears from.
#[derive(Clone, Debug)]
pub(crate) enum ClaimNews {
    /// It is there; or no longer.
    Replica { replica: ReplicaId, is_there: bool },
    /// How far its nodes have followed.
    Nodes { replica: ReplicaId, report: Arc<NodesReport> },
    /// It hears from this one, over the stream of this node if there is one.
    Held { replica: ReplicaId, key: InstanceKey, node: Option<Arc<str>> },
    /// It does not (any more); also when the process itself is gone.
    Gone { replica: ReplicaId, key: InstanceKey },
    /// All that was said before is void; what holds follows.
    Anew,
}

/// What this process says of its nodes and of the instances it hears from.
#[derive(Clone, Debug)]
pub(crate) enum Claim {
    Hold { key: InstanceKey, node: Option<Arc<str>> },
    LetGo { key: InstanceKey },
    Nodes(NodesReport),
}

/// Says to the other processes whom this one hears from. What is said while the store is away is said later.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    said: mpsc::UnboundedSender<Claim>,
    settled: Arc<AtomicBool>,
}

impl Claims {
    /// A way to say, and its other end: where it is heard, and what says that news have been complete for a while.
    pub(crate) fn channel() -> (Self, mpsc::UnboundedReceiver<Claim>, Arc<AtomicBool>) {
        let (said, heard) = mpsc::unbounded_channel();
        let settled = Arc::new(AtomicBool::new(false));
        (Self { said, settled: settled.clone() }, heard, settled)
    }

    pub(crate) fn hold(&self, key: InstanceKey, node: Option<Arc<str>>) {
        // The other end goes when the control plane stops; nobody has to hear then.
        let _ = self.said.send(Claim::Hold { key, node });
    }

    pub(crate) fn let_go(&self, key: InstanceKey) {
        let _ = self.said.send(Claim::LetGo { key });
    }

    /// Takes the place of what was said of this process's nodes before.
    pub(crate) fn report(&self, report: NodesReport) {
        let _ = self.said.send(Claim::Nodes(report));
    }

    /// Whether news have been complete for so long that what nobody says is known not to be so.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }
}
