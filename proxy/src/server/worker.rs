//! What one worker has to itself, as its connections see it: the configuration it holds, its connections to
//! instances, its count of open ones. Nothing here is touched by another thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{HeaderMap, Uri, request, response};
use portreeve_config::Limits;
use tokio::sync::{mpsc, watch};

use super::accept::Opening;
use super::census::{Census, Place};
use super::entrance::{Entrance, Manner, Phase};
use super::h1;
use super::upstream::Upstreams;
use super::visit::Bell;
use crate::metrics::Refusal;
use crate::plane::{Pinned, Plane};
use crate::reload::Live;
use crate::snapshot::Snapshot;

/// Room for the fields of a usual message, with those that are added on the way.
const USUAL_FIELDS: usize = 24;
/// Heads of each kind that are kept.
const MOST_SPARE: usize = 64;

/// What a worker's thread is started with.
pub(super) struct Seed {
    pub(super) number: usize,
    pub(super) plane: Arc<Plane>,
    pub(super) live: Arc<Live>,
    pub(super) census: Arc<Census>,
    /// Sockets to accept connections from, from the first to the last that a reload opens.
    pub(super) openings: mpsc::UnboundedReceiver<Opening>,
    pub(super) phase: watch::Receiver<Phase>,
    /// Told once, when the worker is there or why it cannot be.
    pub(super) ready: std::sync::mpsc::Sender<io::Result<()>>,
}

/// A worker as its connections see it.
pub(super) struct Worker {
    pub(super) plane: Arc<Plane>,
    pub(super) upstreams: Rc<Upstreams>,
    pub(super) phase: watch::Receiver<Phase>,
    /// How connections end that are still let in.
    closing: Cell<Option<Manner>>,
    bells: RefCell<HashMap<u64, Rc<Bell>>>,
    next_bell: Cell<u64>,
    /// Heads that are empty and keep their memory for the next message. In boxes, for a head is handed on a dozen times.
    spare_requests: RefCell<Spare<request::Parts>>,
    spare_answers: RefCell<Spare<response::Parts>>,
    /// Bytes that buffers hold.
    held: Rc<Cell<usize>>,
    /// Workers among which the memory for buffers is divided.
    share: Cell<usize>,
    number: usize,
    live: Arc<Live>,
    census: Arc<Census>,
    pinned: RefCell<(Arc<Snapshot>, Arc<Pinned>)>,
    open: Cell<usize>,
}

impl Worker {
    pub(super) fn new(seed: &Seed) -> Self {
        let snapshot = seed.live.load();
        let pinned = pin(&seed.plane, &snapshot, seed.number);
        Self {
            plane: Arc::clone(&seed.plane),
            upstreams: Rc::default(),
            phase: seed.phase.clone(),
            closing: Cell::new(None),
            bells: RefCell::default(),
            next_bell: Cell::new(0),
            spare_requests: RefCell::default(),
            spare_answers: RefCell::default(),
            held: Rc::default(),
            share: Cell::new(snapshot.workers.max(1)),
            number: seed.number,
            live: Arc::clone(&seed.live),
            census: Arc::clone(&seed.census),
            pinned: RefCell::new((snapshot, pinned)),
            open: Cell::new(0),
        }
    }

    /// The configuration in force, for one request.
    pub(super) fn pin(&self) -> Arc<Pinned> {
        let mut pinned = self.pinned.borrow_mut();
        if !self.live.is_current(&pinned.0) {
            let snapshot = self.live.load();
            self.share.set(snapshot.workers.max(1));
            *pinned = (Arc::clone(&snapshot), pin(&self.plane, &snapshot, self.number));
        }
        Arc::clone(&pinned.1)
    }

    /// A request's head without fields.
    pub(super) fn request_head(&self) -> Box<request::Parts> {
        self.spare_requests.borrow_mut().pop().unwrap_or_else(|| {
            let mut head = h1::empty_request();
            head.headers.reserve(USUAL_FIELDS);
            head
        })
    }

    /// An answer's head without fields.
    pub(super) fn answer_head(&self) -> Box<response::Parts> {
        self.spare_answers.borrow_mut().pop().unwrap_or_else(|| {
            let mut head = h1::empty_answer();
            head.headers.reserve(USUAL_FIELDS);
            head
        })
    }

    /// Takes a head back that is not needed any more. One that has grown is let go of.
    pub(super) fn reuse_request(&self, mut head: Box<request::Parts>) {
        let mut spare = self.spare_requests.borrow_mut();
        if spare.len() < MOST_SPARE && empty(&mut head.headers) {
            // It holds on to what was read.
            head.uri = Uri::default();
            head.extensions.clear();
            spare.push(head);
        }
    }

    /// The same for an answer's.
    pub(super) fn reuse_answer(&self, mut head: Box<response::Parts>) {
        let mut spare = self.spare_answers.borrow_mut();
        if spare.len() < MOST_SPARE && empty(&mut head.headers) {
            head.extensions.clear();
            spare.push(head);
        }
    }

    /// Connections from clients that are open.
    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    /// Room for one more connection, unless there are too many.
    pub(super) fn admit(self: &Rc<Self>, at: &Arc<Entrance>) -> Result<OpenConnection, Refusal> {
        let place = self.census.enter(at, &self.limits())?;
        self.open.set(self.open.get() + 1);
        self.plane.stats.connections.fetch_add(1, Ordering::Relaxed);
        let (key, bell) = (self.next_bell.get(), Rc::new(Bell::new(at.number, self.closing.get())));
        self.next_bell.set(key + 1);
        self.bells.borrow_mut().insert(key, Rc::clone(&bell));
        Ok(OpenConnection { worker: Rc::clone(self), place, key, bell })
    }

    /// The limits in force.
    pub(super) fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.pin().snapshot.limits)
    }

    /// Has all connections end, and those that are still let in.
    pub(super) fn stop(&self, how: Manner) {
        self.closing.set(Some(how));
        self.bells.borrow().values().for_each(|bell| bell.ring(how));
    }

    /// Has the connections of one listener end.
    pub(super) fn close(&self, listener: u64) {
        let bells = self.bells.borrow();
        bells.values().filter(|bell| bell.listener == listener).for_each(|bell| bell.ring(Manner::Patient));
    }

    /// Whether new requests would take more memory for data on its way than there is for it.
    pub(super) fn is_full(&self) -> bool {
        // The request has pinned it just now.
        let most =
            usize::try_from(self.pinned.borrow().1.snapshot.limits.buffers.get()).unwrap_or(usize::MAX);
        self.held.get() > most / self.share.get()
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

type Spare<T> = Vec<Box<T>>;

/// Empties a map that is worth keeping.
fn empty(fields: &mut HeaderMap) -> bool {
    let is_usual = (1..=4 * USUAL_FIELDS).contains(&fields.capacity());
    if is_usual {
        fields.clear();
    }
    is_usual
}

fn pin(plane: &Arc<Plane>, snapshot: &Arc<Snapshot>, worker: usize) -> Arc<Pinned> {
    Arc::new(Pinned::new(Arc::clone(plane), Arc::clone(snapshot), worker))
}

/// Counts a connection for as long as it lives.
pub(super) struct OpenConnection {
    worker: Rc<Worker>,
    place: Place,
    key: u64,
    pub(super) bell: Rc<Bell>,
}

impl OpenConnection {
    /// Says whose connection it is, once that is known.
    pub(super) fn belongs_to(&mut self, client: IpAddr) -> Result<(), Refusal> {
        self.place.belongs_to(client, &self.worker.limits())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.worker.bells.borrow_mut().remove(&self.key);
        self.worker.open.set(self.worker.open.get() - 1);
        self.worker.plane.stats.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
