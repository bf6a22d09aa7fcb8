//! What one worker has to itself, as its connections see it: the configuration it holds, its connections to
//! instances, its count of open ones. Nothing here is touched by another thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

use portreeve_config::Limits;
use tokio::sync::watch;

use super::upstream::Upstreams;
use super::visit::Bell;
use crate::metrics::PlaneStats;
use crate::plane::{Pinned, Plane};
use crate::reload::Live;
use crate::snapshot::Snapshot;

/// What a worker's thread is started with.
pub(super) struct Seed {
    pub(super) number: usize,
    pub(super) socket: TcpListener,
    pub(super) plane: Arc<Plane>,
    pub(super) live: Arc<Live>,
    pub(super) limits: Limits,
    /// Workers in all: each takes its share of the connections.
    pub(super) share: usize,
    pub(super) stop: watch::Receiver<bool>,
    /// Told once, when the worker serves or why it cannot.
    pub(super) ready: mpsc::Sender<io::Result<()>>,
}

/// A worker as its connections see it.
pub(super) struct Worker {
    pub(super) plane: Arc<Plane>,
    pub(super) upstreams: Rc<Upstreams>,
    limits: Arc<Limits>,
    is_stopping: Cell<bool>,
    bells: RefCell<HashMap<u64, Rc<Bell>>>,
    next_bell: Cell<u64>,
    /// Bytes that buffers hold, and the most they may.
    held: Rc<Cell<usize>>,
    max_held: usize,
    number: usize,
    live: Arc<Live>,
    pinned: RefCell<(Arc<Snapshot>, Arc<Pinned>)>,
    open: Cell<usize>,
    max_open: usize,
}

impl Worker {
    pub(super) fn new(seed: &Seed) -> Self {
        let snapshot = seed.live.load();
        let pinned = pin(&seed.plane, &snapshot, seed.number);
        Self {
            plane: Arc::clone(&seed.plane),
            limits: Arc::new(seed.limits.clone()),
            upstreams: Rc::new(Upstreams::new(&seed.limits)),
            is_stopping: Cell::new(false),
            bells: RefCell::default(),
            next_bell: Cell::new(0),
            held: Rc::default(),
            max_held: usize::try_from(seed.limits.buffers.get()).unwrap_or(usize::MAX) / seed.share,
            number: seed.number,
            live: Arc::clone(&seed.live),
            pinned: RefCell::new((snapshot, pinned)),
            open: Cell::new(0),
            max_open: seed.limits.connections.div_ceil(seed.share),
        }
    }

    /// The configuration in force, for one request.
    pub(super) fn pin(&self) -> Arc<Pinned> {
        let mut pinned = self.pinned.borrow_mut();
        if !self.live.is_current(&pinned.0) {
            let snapshot = self.live.load();
            *pinned = (Arc::clone(&snapshot), pin(&self.plane, &snapshot, self.number));
        }
        Arc::clone(&pinned.1)
    }

    /// Connections from clients that are open.
    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    /// Room for one more connection, unless there are too many.
    pub(super) fn admit(self: &Rc<Self>) -> Option<OpenConnection> {
        if self.open.get() >= self.max_open {
            PlaneStats::count(&self.plane.stats.connections_refused);
            return None;
        }
        self.open.set(self.open.get() + 1);
        self.plane.stats.connections.fetch_add(1, Ordering::Relaxed);
        let (key, bell) = (self.next_bell.get(), Rc::new(Bell::default()));
        self.next_bell.set(key + 1);
        self.bells.borrow_mut().insert(key, Rc::clone(&bell));
        Some(OpenConnection { worker: Rc::clone(self), key, bell })
    }

    /// The limits in force.
    pub(super) fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits)
    }

    /// Whether the worker takes no more connections, and wants to be rid of those it has.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.get()
    }

    /// Has all connections end as soon as they can in good order.
    pub(super) fn stop(&self) {
        self.is_stopping.set(true);
        self.bells.borrow().values().for_each(|bell| bell.ring());
    }

    /// Whether new requests would take more memory for data on its way than there is for it.
    pub(super) fn is_full(&self) -> bool {
        self.held.get() > self.max_held
    }

    /// An account for what one connection's buffers hold.
    pub(super) fn charge(&self) -> Charge {
        Charge { total: Rc::clone(&self.held), mine: Cell::new(0) }
    }
}

/// What one connection's buffers hold, as a part of what all do.
pub(super) struct Charge {
    total: Rc<Cell<usize>>,
    mine: Cell<usize>,
}

impl Charge {
    /// The buffers hold this many bytes now.
    pub(super) fn set(&self, bytes: usize) {
        self.total.set(self.total.get() - self.mine.replace(bytes) + bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

fn pin(plane: &Arc<Plane>, snapshot: &Arc<Snapshot>, worker: usize) -> Arc<Pinned> {
    Arc::new(Pinned { plane: Arc::clone(plane), snapshot: Arc::clone(snapshot), worker })
}

/// Counts a connection for as long as it lives.
pub(super) struct OpenConnection {
    worker: Rc<Worker>,
    key: u64,
    pub(super) bell: Rc<Bell>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.worker.bells.borrow_mut().remove(&self.key);
        self.worker.open.set(self.worker.open.get() - 1);
        self.worker.plane.stats.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
