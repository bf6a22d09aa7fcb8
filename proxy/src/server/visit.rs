//! What holds for a client's connection as a whole, whatever is spoken on it: who the client is, what it may do, and
//! when the connection ends.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use portreeve_config::Limits;
use rand::RngExt;

use super::entrance::Manner;
use super::worker::{OpenConnection, Worker};
use crate::policy::headers::Peer;
use crate::tls::Facts;

/// The two ends of a client's connection, as the client sees it; without address on a Unix socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) client: Option<SocketAddr>,
    pub(super) local: Option<SocketAddr>,
}

/// A client's connection.
pub(super) struct Visit {
    pub(super) worker: Rc<Worker>,
    pub(super) peer: Peer,
    pub(super) ends: Ends,
    /// What the TLS handshake has shown.
    facts: Option<Facts>,
    /// The limits as they were when the connection began.
    pub(super) limits: Arc<Limits>,
    pub(super) began: Instant,
    /// When it has lived for long enough.
    pub(super) until: Instant,
    requests: Cell<u64>,
    open: OpenConnection,
}

impl Visit {
    pub(super) fn new(worker: Rc<Worker>, peer: Peer, ends: Ends, open: OpenConnection) -> Self {
        let (limits, began) = (worker.limits(), Instant::now());
        let until = began + age(limits.connection_age.get());
        Self { worker, peer, ends, facts: None, limits, began, until, requests: Cell::new(0), open }
    }

    /// The same after a TLS handshake.
    pub(super) fn with_facts(mut self, facts: Facts) -> Self {
        self.facts = Some(facts);
        self
    }

    /// Whether a request for this host belongs on another connection (RFC 9110, 15.5.20): one whose TLS greeting asks
    /// for it, where certificates of clients depend on that.
    pub(super) fn is_misdirected(&self, host: &str) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.is_misdirected(host))
    }

    /// Counts a request. Whether the connection may have another one after it.
    pub(super) fn count(&self, now: Instant) -> bool {
        self.requests.set(self.requests.get() + 1);
        self.requests.get() < self.limits.requests_per_connection && now < self.until
    }

    /// Whether any request has come.
    pub(super) fn had_request(&self) -> bool {
        self.requests.get() > 0
    }

    /// Whether the connection should end as soon as it can in good order: the answer under way, or the next one, is
    /// its last.
    pub(super) fn is_closing(&self) -> bool {
        self.open.bell.closing.get().is_some()
    }

    /// Whether it should end also while it is idle, with no request more.
    pub(super) fn is_closing_at_once(&self) -> bool {
        self.open.bell.closing.get() == Some(Manner::AtOnce)
    }

    /// Wakes this task when [`Visit::is_closing`] may have changed.
    pub(super) fn listen(&self, cx: &Context<'_>) {
        self.open.bell.listen(cx);
    }
}

/// A tenth more or less, so that connections that began together do not end together.
fn age(middle: Duration) -> Duration {
    middle.mul_f64(rand::rng().random_range(0.9..1.1))
}

/// Wakes the task of one connection, and says how the connection is to end.
pub(super) struct Bell {
    waker: RefCell<Option<Waker>>,
    closing: Cell<Option<Manner>>,
    /// The listener it came in by.
    pub(super) listener: u64,
}

impl Bell {
    pub(super) fn new(listener: u64, closing: Option<Manner>) -> Self {
        Self { waker: RefCell::default(), closing: Cell::new(closing), listener }
    }

    fn listen(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &*waker {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
    }

    pub(super) fn ring(&self, how: Manner) {
        // A server that ends is in more of a hurry than a listener that closes.
        if self.closing.get() != Some(Manner::AtOnce) {
            self.closing.set(Some(how));
        }
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}
