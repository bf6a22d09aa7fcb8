//! Who watches, what each of them is sent, and how far each has followed. Knows nothing of sockets: a watcher
//! is a bounded queue that somebody empties.

mod catch_up;
mod crowd;
mod frames;
mod group;
mod queue;
mod view;
mod watcher;

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use portreeve_config::wire::{ControlMessage, NodeKind, Revision};
use tokio::sync::Notify;

use crate::state::Model;
use crate::store::Commit;

use catch_up::{Backlog, Encoded};
use crowd::Crowd;
use frames::ChangeFrames;
use group::GroupFrames;
use view::View;

pub(crate) use watcher::{Peer, Sending, Watcher};

/// All watchers.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    watchers: Mutex<Watchers>,
    last_stream: AtomicU64,
    /// The newest revision that was published.
    revision: AtomicU64,
    /// Wakes those who wait for a revision.
    published: Notify,
    /// Wakes those who wait for acknowledgements.
    followed: Notify,
    /// Wakes the one who tells other replicas how far nodes have followed.
    progressed: Notify,
    /// Wakes the one who tells applications of changes to the built-in configuration.
    layers_changed: Notify,
    /// What was encoded last for each view: snapshots, and changes that were missed since a revision.
    snapshots: Mutex<Encoded<Revision>>,
    missed: Mutex<Encoded<(Revision, Revision)>>,
    backlog: Mutex<Backlog>,
    crowd: Crowd,
    epoch: String,
}

/// The streams that are open, each node's one by its name too.
#[derive(Debug, Default)]
struct Watchers {
    by_stream: BTreeMap<u64, Arc<Watcher>>,
    by_node: HashMap<Arc<str>, u64>,
    /// Why all have ended, and whoever comes does so at once.
    ended: Option<&'static str>,
}

impl Publisher {
    /// A publisher that has published everything up to `revision`.
    pub(crate) fn new(revision: Revision) -> Self {
        let epoch = format!("{:016x}", rand::random::<u64>());
        Self { revision: AtomicU64::new(revision), epoch, ..Self::default() }
    }

    /// Whose revisions these are: another one for each process, and for each view. A node that wants to hear of
    /// other services than before has to hear of everything first.
    pub(crate) fn epoch_of(&self, view: &View) -> String {
        let mut hasher = DefaultHasher::new();
        view.hash(&mut hasher);
        format!("{}-{:016x}", self.epoch, hasher.finish())
    }

    /// Adds a watcher; its queue begins with a snapshot. An older stream of the same node ends.
    pub(crate) fn join(&self, peer: Peer) -> Arc<Watcher> {
        let stream = self.last_stream.fetch_add(1, Ordering::Relaxed) + 1;
        let watcher = Arc::new(Watcher::new(stream, peer));
        let older = self.lock().insert(watcher.clone());
        if let Some(older) = older {
            tracing::warn!(
                node = &*watcher.peer.node,
                "the node opened a new stream; its old one ends (if two processes share this name, name one of them anew)"
            );
            older.queue.end("a newer stream of this node took over");
        }
        self.progressed.notify_one();
        watcher
    }

    /// Ends every stream, and each that is begun from now on.
    pub(crate) fn end(&self, reason: &'static str) {
        let mut watchers = self.lock();
        watchers.ended = Some(reason);
        watchers.by_stream.values().for_each(|watcher| watcher.queue.end(reason));
    }

    /// The line that says nothing but that the control plane is there.
    pub(crate) fn ping(&self) -> Bytes {
        frames::line(&ControlMessage::Ping { revision: self.revision() })
    }

    /// Whether a node of this name is connected by another token.
    pub(crate) fn is_anothers(&self, peer: &Peer) -> bool {
        let watchers = self.lock();
        let other = watchers.by_node.get(&peer.node).and_then(|stream| watchers.by_stream.get(stream));
        other.is_some_and(|other| other.peer.owner != peer.owner)
    }

    /// Takes a watcher out; false when a newer stream of the node has done so already.
    pub(crate) fn leave(&self, watcher: &Watcher) -> bool {
        let was_there = self.lock().remove(watcher);
        self.followed.notify_waiters();
        self.progressed.notify_one();
        was_there
    }

    /// Whether this stream is still open.
    pub(crate) fn is_live(&self, stream: u64) -> bool {
        self.lock().by_stream.contains_key(&stream)
    }

    /// All watchers, in the order they came.
    pub(crate) fn watchers(&self) -> Vec<Arc<Watcher>> {
        self.lock().by_stream.values().cloned().collect()
    }

    /// The newest revision that was published.
    pub(crate) fn revision(&self) -> Revision {
        self.revision.load(Ordering::Acquire)
    }

    /// Queues `commits` for every watcher. Called with the model locked, so that no snapshot is taken between
    /// a change to the model and its place in the queues.
    pub(crate) fn publish(&self, model: &Model, commits: &[Commit]) {
        // First, for a node may have a change in force before the last watcher has it queued, and what it
        // acknowledges counts only up to here.
        self.revision.store(model.revision, Ordering::Release);
        self.published.notify_waiters();
        self.progressed.notify_one();
        let watchers = self.lock();
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        commits.iter().for_each(|commit| backlog.push(commit));
        let mut frames = GroupFrames::new(commits, model);
        if frames.touches_config() {
            self.layers_changed.notify_one();
        }
        let mut wakers = Vec::with_capacity(watchers.by_stream.len());
        for watcher in watchers.by_stream.values() {
            let view = watcher.peer.view();
            let lines = match watcher.peer.kind {
                NodeKind::Gateway => frames.plain(&view),
                NodeKind::Sidecar => frames.sidecar(&view, watcher.peer.scope.as_ref(), &mut watcher.told()),
            };
            wakers.extend(watcher.queue.push_change(lines));
        }
        drop((watchers, backlog));
        self.crowd.wake(wakers);
    }

    /// Wakes watchers where there are many to be woken; never ends.
    pub(crate) async fn keep_waking(&self) {
        self.crowd.keep_waking().await;
    }

    /// Gives every watcher a whole snapshot: `model` was replaced, and the changes in between are not known. Called
    /// with the model locked, as [`Publisher::publish`] is.
    pub(crate) fn publish_anew(&self, model: &Model) {
        self.revision.store(model.revision, Ordering::Release);
        self.published.notify_waiters();
        self.progressed.notify_one();
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.missed.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.backlog.lock().unwrap_or_else(PoisonError::into_inner) = Backlog::default();
        self.layers_changed.notify_one();
        self.lock().by_stream.values().for_each(|watcher| watcher.queue.ask_for_snapshot());
    }

    /// Waits until `revision` was published.
    pub(crate) async fn reached(&self, revision: Revision) {
        loop {
            let published = self.published.notified();
            tokio::pin!(published);
            published.as_mut().enable();
            if self.revision() >= revision {
                return;
            }
            published.await;
        }
    }

    /// Tells sidecars whose configuration is another one now that a source beside the store changed. There is no
    /// revision of that: the line carries the newest there is. Called with the model locked for writing.
    pub(crate) fn publish_config(&self, model: &Model) {
        let commit = Commit { revision: model.revision, records: Vec::new() };
        let (mut frames, mut wakers) = (ChangeFrames::of_config(&commit, model), Vec::new());
        for watcher in self.lock().by_stream.values().filter(|watcher| watcher.peer.kind == NodeKind::Sidecar)
        {
            let mut told = watcher.told();
            if let Some(line) = frames.config(&watcher.peer.view(), watcher.peer.scope.as_ref(), &mut told) {
                wakers.extend(watcher.queue.push_change(line));
            }
        }
        self.crowd.wake(wakers);
    }

    /// Notified after each change to the built-in configuration.
    pub(crate) fn layers_changed(&self) -> &Notify {
        &self.layers_changed
    }

    /// The watcher acknowledges everything up to `revision`.
    pub(crate) fn acknowledge(&self, watcher: &Watcher, revision: Revision) {
        let mut progress = watcher.lock_progress();
        progress.acknowledged = progress.acknowledged.max(revision.min(self.revision()));
        drop(progress);
        self.followed.notify_waiters();
        self.progressed.notify_one();
    }

    /// Notified when a node has come, gone or followed, and when there is a new revision to follow to.
    pub(crate) fn progressed(&self) -> &Notify {
        &self.progressed
    }

    /// Waits until every watcher of now has `revision` in force, is gone, or `limit` is over. Gives the nodes
    /// that are still behind then.
    pub(crate) async fn followed(&self, revision: Revision, limit: Duration) -> Vec<Arc<Watcher>> {
        let mut waiting = self.watchers();
        let wait = async {
            loop {
                let followed = self.followed.notified();
                tokio::pin!(followed);
                followed.as_mut().enable();
                // Whoever has followed or is gone stays so: each is looked at once more, not all at each turn.
                while waiting.pop_if(|watcher| !self.is_behind(watcher, revision)).is_some() {}
                if waiting.is_empty() {
                    return;
                }
                followed.await;
            }
        };
        // Running out of time is what the list left over says.
        let _ = tokio::time::timeout(limit, wait).await;
        waiting.retain(|watcher| self.is_behind(watcher, revision));
        waiting
    }

    fn is_behind(&self, watcher: &Watcher, revision: Revision) -> bool {
        watcher.lock_progress().acknowledged < revision && self.is_live(watcher.stream)
    }

    fn lock(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watchers {
    /// Adds a watcher; gives the older stream of the same node, which is taken out.
    fn insert(&mut self, watcher: Arc<Watcher>) -> Option<Arc<Watcher>> {
        let older = self.by_node.insert(watcher.peer.node.clone(), watcher.stream);
        self.ended.into_iter().for_each(|reason| watcher.queue.end(reason));
        self.by_stream.insert(watcher.stream, watcher);
        self.by_stream.remove(&older?)
    }

    /// False when it is not there any more.
    fn remove(&mut self, watcher: &Watcher) -> bool {
        if self.by_node.get(&watcher.peer.node) == Some(&watcher.stream) {
            self.by_node.remove(&watcher.peer.node);
        }
        self.by_stream.remove(&watcher.stream).is_some()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn peer(number: u64) -> Peer {
        Peer {
            node: number.to_string().into(),
            kind: NodeKind::Gateway,
            scope: None,
            services: None,
            held: 0,
            owner: None,
        }
    }

    #[test]
    fn an_acknowledgement_counts_while_others_are_still_being_told() {
        const CHANGES: Revision = 200;
        const LIMIT: Duration = Duration::from_secs(10);
        let began = std::time::Instant::now();
        let publisher = Publisher::new(0);
        let watchers: Vec<_> = (0..256).map(|number| publisher.join(peer(number))).collect();
        watchers.iter().for_each(|watcher| watcher.queue.begin_snapshot());
        let first = &watchers[0];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                for revision in 1..=CHANGES {
                    let next = std::future::poll_fn(|context| first.queue.poll_next(context));
                    let line = async { tokio::time::timeout(LIMIT, next).await };
                    runtime.block_on(line).expect("a change");
                    publisher.acknowledge(first, revision);
                }
            });
            for revision in 1..=CHANGES {
                let model = Model { revision, ..Model::default() };
                publisher.publish(&model, &[Commit { revision, records: Vec::new() }]);
                while first.progress().acknowledged < revision {
                    assert!(began.elapsed() < LIMIT, "{revision} was not counted");
                    std::thread::yield_now();
                }
            }
        });
    }
}
