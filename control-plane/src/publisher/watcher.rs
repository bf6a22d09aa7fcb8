//! One stream from the publisher's side: who is at its other end, what waits for it, and how far it has followed.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use jiff::Timestamp;
use portreeve_config::Fault;
use portreeve_config::wire::{ConfigScope, ControlMessage, NodeKind, Revision};

use super::queue::{Due, Queue};
use super::{Publisher, View, frames};
use crate::state::Model;
use crate::store::Values;

/// Who is at the other end of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) node: Arc<str>,
    pub(crate) kind: NodeKind,
    pub(crate) scope: Option<ConfigScope>,
    /// The services it wants to hear of; all where it named none.
    pub(crate) services: Option<Arc<BTreeSet<String>>>,
    /// The revision of its view's epoch that it holds; 0 for none.
    pub(crate) held: Revision,
    /// The name of its token, where it has one.
    pub(crate) owner: Option<Arc<str>>,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// The stream's number.
    pub(crate) stream: u64,
    pub(crate) peer: Peer,
    pub(crate) since: Timestamp,
    pub(super) queue: Queue,
    progress: Mutex<Progress>,
    /// What the node held when it came; taken once.
    pub(super) held: AtomicU64,
    /// The configuration it was told last.
    told: Mutex<Arc<Values>>,
}

/// How far a node has followed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Everything up to this revision is in force there.
    pub(crate) acknowledged: Revision,
    /// The last revision it refused, and why.
    pub(crate) refused: Option<(Revision, Vec<Fault>)>,
}

/// What a watcher is sent next.
#[derive(Debug)]
pub(crate) enum Sending {
    /// Pieces of one or more lines.
    Lines([Bytes; 2]),
    /// Nothing more: the stream ends for this reason.
    End(&'static str),
}

impl Peer {
    /// What it is told of.
    pub(crate) fn view(&self) -> View {
        View { kind: self.kind, services: self.services.clone() }
    }
}

impl Watcher {
    /// A watcher whose queue begins with a snapshot.
    pub(super) fn new(stream: u64, peer: Peer) -> Self {
        Self {
            stream,
            held: AtomicU64::new(peer.held),
            peer,
            since: Timestamp::now(),
            queue: Queue::new(),
            progress: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// What this watcher is sent next. `read` gives the model while a snapshot is taken from it.
    pub(crate) fn poll_next(
        &self,
        context: &Context<'_>,
        publisher: &Publisher,
        read: impl FnOnce(&mut dyn FnMut(&Model)),
    ) -> Poll<Sending> {
        self.queue.poll_next(context).map(|due| match due {
            Due::Line(line) => Sending::Lines([line, Bytes::new()]),
            Due::End(reason) => Sending::End(reason),
            Due::Snapshot => {
                let mut lines = <[Bytes; 2]>::default();
                read(&mut |model| lines = publisher.catch_up(self, model));
                Sending::Lines(lines)
            }
        })
    }

    /// Why the stream ends, while what was taken before cannot be sent.
    pub(crate) fn poll_end(&self, context: &Context<'_>) -> Poll<&'static str> {
        self.queue.poll_end(context)
    }

    /// Answers a message of this node, after every change that is queued already. Asked by who polls this watcher.
    pub(crate) fn answer(&self, message: &ControlMessage) {
        self.queue.push_answer(frames::line(message));
    }

    /// The node could not put `revision` in force.
    pub(crate) fn refuse(&self, revision: Revision, faults: Vec<Fault>) {
        self.lock_progress().refused = Some((revision, faults));
    }

    /// How far the node has followed.
    pub(crate) fn progress(&self) -> Progress {
        self.lock_progress().clone()
    }

    pub(super) fn lock_progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn told(&self) -> MutexGuard<'_, Arc<Values>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
