//! What one worker has to itself, as its connections see it: the configuration it holds, its connections to
//! instances, its count of open ones. Nothing here is touched by another thread.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

use portreeve_config::Limits;
use tokio::sync::watch;

use super::upstream::Upstreams;
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
    pub(super) limits: Limits,
    pub(super) upstreams: Rc<Upstreams>,
    pub(super) stop: watch::Receiver<bool>,
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
            limits: seed.limits.clone(),
            upstreams: Rc::new(Upstreams::new(&seed.limits)),
            stop: seed.stop.clone(),
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
        Some(OpenConnection(Rc::clone(self)))
    }
}

fn pin(plane: &Arc<Plane>, snapshot: &Arc<Snapshot>, worker: usize) -> Arc<Pinned> {
    Arc::new(Pinned { plane: Arc::clone(plane), snapshot: Arc::clone(snapshot), worker })
}

/// Counts a connection for as long as it lives.
pub(super) struct OpenConnection(Rc<Worker>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.plane.stats.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
