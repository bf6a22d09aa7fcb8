//! What holds for a client's connection as a whole, whatever is spoken on it: who the client is, what it may do, and
//! when the connection ends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use portreeve_config::Limits;
use rand::RngExt;

use super::worker::{OpenConnection, Worker};
use crate::policy::headers::Peer;

/// A client's connection.
pub(super) struct Visit {
    pub(super) worker: Rc<Worker>,
    pub(super) peer: Peer,
    /// The limits as they were when the connection began.
    pub(super) limits: Arc<Limits>,
    pub(super) began: Instant,
    /// When it has lived for long enough.
    pub(super) ends: Instant,
    requests: Cell<u64>,
    open: OpenConnection,
}

impl Visit {
    pub(super) fn new(worker: Rc<Worker>, peer: Peer, open: OpenConnection) -> Self {
        let (limits, began) = (worker.limits(), Instant::now());
        let ends = began + age(limits.connection_age.get());
        Self { worker, peer, limits, began, ends, requests: Cell::new(0), open }
    }

    /// Counts a request. Whether the connection may have another one after it.
    pub(super) fn count(&self, now: Instant) -> bool {
        self.requests.set(self.requests.get() + 1);
        self.requests.get() < self.limits.requests_per_connection && now < self.ends
    }

    /// Whether any request has come.
    pub(super) fn had_request(&self) -> bool {
        self.requests.get() > 0
    }

    /// Whether the connection should end as soon as it can in good order.
    pub(super) fn is_closing(&self) -> bool {
        self.worker.is_stopping()
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

/// Wakes the task of one connection.
#[derive(Default)]
pub(super) struct Bell(RefCell<Option<Waker>>);

impl Bell {
    fn listen(&self, cx: &Context<'_>) {
        let mut waker = self.0.borrow_mut();
        match &*waker {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
    }

    pub(super) fn ring(&self) {
        if let Some(waker) = &*self.0.borrow() {
            waker.wake_by_ref();
        }
    }
}
