//! What each client address takes up on one listener: connections, requests in the long run, and wrong credentials.
//! One look-up a connection; a request costs an atomic number.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portreeve_config::ControlPlaneLimits;
use tokio::sync::OwnedSemaphorePermit;

/// Wrong credentials that are answered at once, and how long it takes until another one is.
const FAILURES: u64 = 10;
const FAILURE_EVERY: Duration = Duration::from_secs(6);
/// How long the answer to any further one takes.
const FAILURE_DELAY: Duration = Duration::from_secs(1);
/// Answers that wait like that at one time, for one address.
const FAILURES_WAITING: usize = 16;
/// Addresses that are kept before those with nothing to their name are let go.
const SWEEP_FROM: usize = 1_024;

/// The log is told of addresses that have too many connections this often.
const TELLING: Bucket = Bucket { burst: 1, every: 10_000_000_000 };

/// The clients of one listener.
#[derive(Debug)]
pub(crate) struct Clients {
    connections: usize,
    requests: Bucket,
    began: Instant,
    next_told: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    clients: HashMap<IpAddr, Arc<Client>>,
    /// How many there were after the last sweep.
    swept: usize,
}

/// One client address.
#[derive(Debug)]
pub(crate) struct Client {
    began: Instant,
    requests: Bucket,
    connections: AtomicUsize,
    /// When the next request, and the next failure, would be in order, in nanoseconds since `began`.
    next_request: AtomicU64,
    next_failure: AtomicU64,
    waiting: AtomicUsize,
}

/// A connection of a client, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) peer: SocketAddr,
    pub(crate) client: Arc<Client>,
    clients: Arc<Clients>,
    /// Its place among all connections of the listener.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// What becomes of wrong credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// They are refused at once.
    Unbroken,
    /// There were too many from this address: they are refused after this time.
    Worn(Duration),
    /// So many are waiting that the connection is closed at once.
    Spent,
}

/// So many at once, and one more after each `every`.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    burst: u64,
    /// Nanoseconds; 0 for no limit.
    every: u64,
}

impl Clients {
    pub(crate) fn new(limits: &ControlPlaneLimits) -> Arc<Self> {
        let every = 1_000_000_000_u64.checked_div(limits.request_rate.into()).unwrap_or(0);
        Arc::new(Self {
            connections: limits.connections_per_client,
            requests: Bucket { burst: limits.request_burst.into(), every },
            began: Instant::now(),
            next_told: AtomicU64::new(0),
            known: Mutex::default(),
        })
    }

    /// Lets a connection in, unless its address has too many.
    pub(crate) fn enter(self: &Arc<Self>, peer: SocketAddr) -> Option<Visit> {
        let mut known = self.lock();
        if known.clients.len() >= SWEEP_FROM.max(known.swept.saturating_mul(2)) {
            known.clients.retain(|_, client| !client.is_idle());
            known.swept = known.clients.len();
        }
        let client = known.clients.entry(place(peer.ip())).or_insert_with(|| {
            Arc::new(Client {
                began: self.began,
                requests: self.requests,
                connections: AtomicUsize::new(0),
                next_request: AtomicU64::new(0),
                next_failure: AtomicU64::new(0),
                waiting: AtomicUsize::new(0),
            })
        });
        if client.connections.load(Ordering::Relaxed) >= self.connections {
            if TELLING.take(&self.next_told, || client.now()) {
                tracing::warn!(address = %peer.ip(), limit = self.connections, "too many connections from one address");
            }
            return None;
        }
        client.connections.fetch_add(1, Ordering::Relaxed);
        let client = client.clone();
        Some(Visit { peer, client, clients: self.clone(), place: None })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// Whether another request is within the rate.
    pub(crate) fn ask(&self) -> bool {
        self.requests.take(&self.next_request, || self.now())
    }

    /// Notes wrong credentials.
    pub(crate) fn fail(&self) -> Patience {
        let failures = Bucket { burst: FAILURES, every: FAILURE_EVERY.as_nanos() as u64 };
        if failures.take(&self.next_failure, || self.now()) {
            return Patience::Unbroken;
        }
        if self.waiting.load(Ordering::Relaxed) >= FAILURES_WAITING {
            return Patience::Spent;
        }
        Patience::Worn(FAILURE_DELAY)
    }

    /// Waits before a refusal; counted, so that only so many do.
    pub(crate) async fn wait(self: Arc<Self>, time: Duration) {
        struct Waiting(Arc<Client>);
        impl Drop for Waiting {
            fn drop(&mut self) {
                self.0.waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(self);
        tokio::time::sleep(time).await;
    }

    /// Whether it would make no difference to forget it.
    fn is_idle(&self) -> bool {
        let now = self.now();
        self.connections.load(Ordering::Relaxed) == 0
            && self.next_request.load(Ordering::Relaxed) <= now
            && self.next_failure.load(Ordering::Relaxed) <= now
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }
}

impl Visit {
    /// What counts as one client address.
    pub(crate) fn client_address(&self) -> IpAddr {
        place(self.peer.ip())
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // Under the lock, so that nobody enters by a client that is being forgotten.
        let mut known = self.clients.lock();
        self.client.connections.fetch_sub(1, Ordering::Relaxed);
        if self.client.is_idle() {
            known.clients.remove(&self.client_address());
        }
    }
}

impl Bucket {
    /// Takes one, if there is one: `next` moves on by its share, and may be ahead of now by the whole burst at most. The
    /// clock is not asked where there is no limit.
    fn take(self, next: &AtomicU64, now: impl FnOnce() -> u64) -> bool {
        if self.every == 0 {
            return true;
        }
        let now = now();
        let room = self.every.saturating_mul(self.burst.saturating_sub(1));
        let step = |next: u64| {
            let from = next.max(now);
            (from - now <= room).then(|| from + self.every)
        };
        next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok()
    }
}

/// Whoever has an IPv6 address has a /64 of them.
fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn clients(limits: ControlPlaneLimits) -> Arc<Clients> {
        Clients::new(&limits)
    }

    #[test]
    fn an_address_has_so_many_connections_and_others_have_theirs() {
        let clients = clients(ControlPlaneLimits { connections_per_client: 2, ..Default::default() });
        let enter = |address: &str| clients.enter(SocketAddr::new(address.parse().unwrap(), 9));
        let (one, _two) = (enter("10.0.0.1").unwrap(), enter("::ffff:10.0.0.1").unwrap());
        assert!(enter("10.0.0.1").is_none());
        let (_other, _six) = (enter("10.0.0.2").unwrap(), enter("2001:db8::1").unwrap());
        let _seven = enter("2001:db8::ffff:2").unwrap();
        assert!(enter("2001:db8::3").is_none(), "a /64 is one client");
        assert!(enter("2001:db8:0:1::1").is_some());
        drop(one);
        assert!(enter("10.0.0.1").is_some());
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let (bucket, next) = (Bucket { burst: 3, every: 10 }, AtomicU64::new(0));
        let given = |now: u64, most: usize| (0..most).filter(|_| bucket.take(&next, || now)).count();
        assert_eq!(given(100, 9), 3);
        assert_eq!(given(109, 9), 0);
        assert_eq!(given(120, 9), 2);
        assert_eq!(given(10_000, 9), 3);
        let open = Bucket { burst: 1, every: 0 };
        assert!((0..9).all(|_| open.take(&next, || 0)));
    }

    #[test]
    fn clients_with_nothing_to_their_name_are_forgotten() {
        let clients = clients(ControlPlaneLimits { request_burst: 1, request_rate: 1, ..Default::default() });
        for last in 0..3 {
            let visit = clients.enter(SocketAddr::from(([10, 0, 0, last], 9))).unwrap();
            if last == 0 {
                assert!(visit.client.ask() && !visit.client.ask());
            }
        }
        assert_eq!(clients.lock().clients.len(), 1, "only who has asked is remembered, for a second");
    }

    #[test]
    fn failures_are_refused_at_once_first_and_slowly_then() {
        let clients = clients(ControlPlaneLimits::default());
        let visit = clients.enter(SocketAddr::from(([10, 0, 0, 1], 9))).unwrap();
        let all: Vec<_> = (0..FAILURES + 1).map(|_| visit.client.fail()).collect();
        assert!(all[..FAILURES as usize].iter().all(|patience| *patience == Patience::Unbroken));
        assert_eq!(all.last(), Some(&Patience::Worn(FAILURE_DELAY)));
        visit.client.waiting.store(FAILURES_WAITING, Ordering::Relaxed);
        assert_eq!(visit.client.fail(), Patience::Spent);
    }
}
