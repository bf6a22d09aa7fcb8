//! Connections to instances: one pool a worker, the most recently used connection first, so that idle ones age out.

mod dial;
mod greeted;
mod h2;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use foldhash::HashMap;
use http::response;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

pub(super) use dial::{ConnectFault, Line, Purpose, reach};
use h2::Multiplexed;
pub(super) use h2::{Call, OnThisThread};

use super::h1::Instance;
use super::worker::Worker;
use crate::policy::balance::Endpoint;

/// Idle connections a worker keeps to one instance.
const MAX_IDLE: usize = 1024;
/// How often idle connections are looked at: one that its instance closed should not linger.
const ROUND: Duration = Duration::from_secs(2);
/// The least time between two looks.
const SHORTEST_ROUND: Duration = Duration::from_millis(100);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A worker's connections to instances.
#[derive(Default)]
pub(super) struct Upstreams {
    /// By the endpoint's number.
    idle: RefCell<HashMap<u64, Vec<Idle>>>,
    multiplexed: RefCell<HashMap<u64, Vec<Rc<Multiplexed>>>>,
    /// Counts rounds of looking at idle connections, which is all the clock they need.
    round: Cell<u32>,
}

struct Idle {
    instance: Box<Instance>,
    since: u32,
}

/// A connection that carries one call. Dropped before the answer has come whole it is closed.
pub(super) struct Lease {
    /// There until it was given back.
    instance: Option<Box<Instance>>,
    number: u64,
    /// Whether other clients' requests may go by it later on.
    is_kept: bool,
    pool: Rc<Upstreams>,
}

/// An instance's answer as it comes in.
pub(super) enum Answer {
    /// By HTTP/1.
    H1(Lease),
    /// By a stream of HTTP/2.
    H2(Incoming, Call),
    /// A stream that becomes a tunnel: there is no body.
    Tunnel(OnUpgrade, Call),
}

impl Upstreams {
    /// An idle connection to an instance that is still open, as far as can be known.
    pub(super) fn reuse(self: &Rc<Self>, endpoint: &Endpoint) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        let list = idle.get_mut(&endpoint.number)?;
        while let Some(Idle { mut instance, .. }) = list.pop() {
            if instance.is_quiet() {
                return Some(self.lease(instance, endpoint.number));
            }
        }
        None
    }

    fn lease(self: &Rc<Self>, instance: Box<Instance>, number: u64) -> Lease {
        Lease { instance: Some(instance), number, is_kept: true, pool: Rc::clone(self) }
    }

    /// Closes what has been idle for too long or was closed by the other side, for as long as there is a pool: a
    /// connection to an instance that is gone is never asked for again. For a task of its own.
    pub(super) async fn close_idle(worker: Weak<Worker>) {
        while let Some(kept) = worker.upgrade().map(|worker| worker.limits().upstream_idle.get()) {
            let pause = (kept / 2).clamp(SHORTEST_ROUND, ROUND);
            tokio::time::sleep(pause).await;
            let Some(worker) = worker.upgrade() else { return };
            let rounds = u32::try_from(kept.as_millis() / pause.as_millis()).unwrap_or(u32::MAX).max(1);
            worker.upstreams.close_older_than(rounds);
        }
    }

    fn close_older_than(&self, rounds: u32) {
        let round = self.round.get().wrapping_add(1);
        self.round.set(round);
        self.idle.borrow_mut().retain(|_, list| {
            list.retain_mut(|idle| round.wrapping_sub(idle.since) <= rounds && idle.instance.is_quiet());
            !list.is_empty()
        });
        self.multiplexed.borrow_mut().retain(|_, list| {
            list.retain(|connection| connection.is_of_use(round, rounds));
            !list.is_empty()
        });
    }
}

impl Lease {
    /// The connection. Only a lease that was given back has none.
    pub(super) fn instance(&mut self) -> Option<&mut Instance> {
        self.instance.as_deref_mut()
    }

    /// The connection for a use of its own, which never comes back.
    pub(super) fn take(&mut self) -> Option<Box<Instance>> {
        self.instance.take()
    }

    fn give_back(&mut self) {
        let Some(mut instance) = self.instance.take() else { return };
        if !(instance.rest() && self.is_kept) {
            return;
        }
        let mut idle = self.pool.idle.borrow_mut();
        let list = idle.entry(self.number).or_default();
        if list.len() == MAX_IDLE {
            list.remove(0);
        }
        list.push(Idle { instance, since: self.pool.round.get() });
    }
}

impl Answer {
    /// Whether the request's body is still being sent.
    pub(super) fn still_sends(&self) -> bool {
        match self {
            Self::H1(lease) => lease.instance.as_deref().is_some_and(Instance::still_sends),
            // Its own task sends it.
            Self::H2(..) => true,
            Self::Tunnel(..) => false,
        }
    }

    /// The next piece.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self {
            Self::H1(lease) => match lease.instance() {
                None => Poll::Ready(None),
                Some(instance) => {
                    let frame = ready!(instance.poll_frame(cx));
                    Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
                }
            },
            Self::H2(incoming, call) => {
                let frame = ready!(std::pin::Pin::new(incoming).poll_frame(cx));
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                call.held.taken(data.map_or(0, Bytes::len) as u64);
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Self::Tunnel(..) => Poll::Ready(None),
        }
    }

    /// Whether all of it has come.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::H1(lease) => lease.instance.as_deref().is_none_or(Instance::is_answered),
            Self::H2(incoming, _) => incoming.is_end_stream(),
            Self::Tunnel(..) => true,
        }
    }

    /// How many bytes are still to come, where that was said.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::H1(lease) => lease.instance.as_deref().map_or(Some(0), Instance::answer_left),
            Self::H2(incoming, _) => incoming.size_hint().exact(),
            Self::Tunnel(..) => Some(0),
        }
    }

    /// It has come whole: its connection can carry the next call.
    pub(super) fn give_back(&mut self) {
        if let Self::H1(lease) = self {
            lease.give_back();
        }
    }
}

/// An answer's head with its body to come.
pub(super) type Given = (Box<response::Parts>, Answer);
