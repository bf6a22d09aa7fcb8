//! What the data plane counts. Each worker writes its own cells and nobody else's, so that counting costs no
//! shared cache line; a scrape adds them up.

mod exposition;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

pub use exposition::{Exposition, encode};

/// Upper bounds of the latency buckets, in microseconds.
pub const BUCKETS: [u64; 14] = [
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000,
    5_000_000, 10_000_000,
];

/// The statuses that are told apart: 1xx to 5xx, and requests whose client left before an answer.
pub const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "gone"];

/// What became of a look-up in the response cache.
pub const CACHE_OUTCOMES: [&str; 3] = ["hit", "miss", "bypass"];

/// The number of no worker: nothing is counted under it.
pub const NOBODY: usize = usize::MAX;

/// Counters of one route, a cell for each worker. Made on a worker's first request for the route.
pub struct RouteStats {
    cells: Box<[OnceLock<Box<RouteCells>>]>,
    /// Cells for workers that came later, the first of them for the number after the last of these.
    more: OnceLock<Box<RouteStats>>,
}

/// One worker's counters of one route.
#[derive(Default)]
#[repr(align(64))]
pub struct RouteCells {
    classes: [AtomicU64; CLASSES.len()],
    buckets: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
    cache: [AtomicU64; CACHE_OUTCOMES.len()],
    retries: AtomicU64,
}

/// A worker's counter: written by one thread, so a plain load and store is enough and cheaper than a locked add.
fn add(cell: &AtomicU64, amount: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

/// What is counted of a finished request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finished {
    /// The status, or 0 when the client left first.
    pub status: u16,
    /// From the head's arrival to the last byte of the answer.
    pub took: Duration,
    /// Index into [`CACHE_OUTCOMES`], where the route has a cache.
    pub cache: Option<usize>,
    /// Attempts beyond the first.
    pub retries: u64,
}

impl RouteStats {
    /// Counters with room for `workers` workers; for further ones more is made.
    pub fn new(workers: usize) -> Self {
        Self { cells: (0..workers).map(|_| OnceLock::new()).collect(), more: OnceLock::new() }
    }

    /// Counts a request that `worker` has finished.
    pub fn record(&self, worker: usize, finished: Finished) {
        let Some(cells) = self.cells.get(worker).map(|cell| cell.get_or_init(Box::default)) else {
            return self.record_more(worker, finished);
        };
        let class = match finished.status {
            100..=599 => usize::from(finished.status / 100 - 1),
            _ => CLASSES.len() - 1,
        };
        let micros = u64::try_from(finished.took.as_micros()).unwrap_or(u64::MAX);
        add(&cells.classes[class], 1);
        add(&cells.buckets[BUCKETS.partition_point(|bound| *bound < micros)], 1);
        add(&cells.micros, micros);
        add(&cells.retries, finished.retries);
        if let Some(outcome) = finished.cache.and_then(|index| cells.cache.get(index)) {
            add(outcome, 1);
        }
    }

    /// The same for one of the workers that came later. Twice as many at a time, so that the way to them stays short.
    #[cold]
    fn record_more(&self, worker: usize, finished: Finished) {
        if worker != NOBODY {
            let more = self.more.get_or_init(|| Box::new(Self::new(2 * self.cells.len().max(1))));
            more.record(worker - self.cells.len(), finished);
        }
    }

    fn cells(&self) -> impl Iterator<Item = &RouteCells> {
        let blocks = std::iter::successors(Some(self), |block| block.more.get().map(Box::as_ref));
        blocks.flat_map(|block| block.cells.iter().filter_map(|cell| cell.get().map(Box::as_ref)))
    }
}

/// Why a client's connection was turned away, or ended before anything was read from it for an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `limits.connections` were open.
    Connections,
    /// As many were open by its listener as that may have.
    Listener,
    /// `limits.connections_per_client` were open from its client.
    Client,
    /// A balancer's connection did not begin with a PROXY header.
    ProxyHeader,
    /// No `forward` of a listener that passes bytes on fits what it asks for.
    NoForward,
    /// No instance of the service it goes to could be connected to.
    NoInstance,
    /// TLS was not agreed on, or not in time.
    Handshake,
}

/// What [`Refusal`]s are called, in their order.
pub const REFUSALS: [&str; 7] =
    ["connections", "listener", "client", "proxy_header", "no_forward", "no_instance", "handshake"];

/// Counters of a data plane as a whole.
#[derive(Default)]
pub struct PlaneStats {
    /// Connections from clients that are open.
    pub connections: AtomicI64,
    /// Connections that were turned away, for each [`Refusal`].
    pub connections_refused: [AtomicU64; REFUSALS.len()],
    /// Connections whose bytes were passed on as they are.
    pub relays: AtomicU64,
    /// Bytes that were passed on so, from clients and to clients.
    pub relayed: [AtomicU64; 2],
    /// Attempts at instances that failed, whatever came of the request.
    pub attempts_failed: AtomicU64,
    /// Configurations put in force.
    pub reloads: AtomicU64,
    /// Configurations refused.
    pub reloads_refused: AtomicU64,
    /// Lines the access log could not take.
    pub log_dropped: AtomicU64,
}

impl PlaneStats {
    /// Counts a connection that was turned away.
    pub fn refused(&self, why: Refusal) {
        Self::count(&self.connections_refused[why as usize]);
    }

    /// Counts one of something rare enough for a shared counter.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
