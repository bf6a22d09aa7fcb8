//! The keys of one issuer while the gateway runs: fetched on first need, refreshed in the background, fetched
//! early when a token names a key that is not there yet. One task fetches; everyone else waits for it or does
//! not, so neither a storm of made-up key ids nor a thousand requests at once reach the issuer more than once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use rand::RngExt;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::AuthFault;
use super::jwks::{Key, KeySet, Miss};
use super::source::{KeyFetch, KeySource, SourceFault};

/// How long a request waits for a fetch under way.
const WAIT: Duration = Duration::from_secs(2);
/// The least time between two fetches that requests ask for, once there are keys.
const QUIET: Duration = Duration::from_secs(1);
/// The same before there are any keys, doubled with each failure up to [`QUIET`].
const QUIET_WITHOUT_KEYS: Duration = Duration::from_millis(250);
/// The first and the longest pause after a failed refresh.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long a fetch may take in all, discovery included; nothing may keep the task from its next try.
const FETCH_LIMIT: Duration = Duration::from_secs(15);

/// One issuer's keys, kept fresh for as long as this value lives.
pub(super) struct LiveKeys {
    source: KeySource,
    refresh: Duration,
    fetch: Arc<dyn KeyFetch>,
    runtime: Handle,
    current: RwLock<Option<Arc<KeySet>>>,
    generation: AtomicU64,
    flight: Mutex<Flight>,
    /// Counts the fetches that came to an end.
    finished: watch::Sender<u64>,
    wake: Arc<Notify>,
}

/// Whether a fetch is under way, and how the last ones went.
#[derive(Default)]
struct Flight {
    /// The task exists. It begins with the first request that needs a key.
    begun: bool,
    under_way: bool,
    last: Option<Instant>,
    failures: u32,
}

/// What a request asks of the keys.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) key_id: Option<&'a str>,
    pub(super) algorithm: Algorithm,
}

/// Whether a fetch that was asked for is under way.
enum Asked {
    UnderWay,
    /// The last one was too recent; another can be asked for after this long.
    TooSoon(Duration),
}

impl LiveKeys {
    pub(super) fn new(
        source: KeySource,
        refresh: Duration,
        fetch: Arc<dyn KeyFetch>,
        runtime: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            source,
            refresh,
            fetch,
            runtime,
            current: RwLock::new(None),
            generation: AtomicU64::new(0),
            flight: Mutex::default(),
            finished: watch::Sender::new(0),
            wake: Arc::default(),
        })
    }

    /// The number of the key set in force. What was verified with another one no longer counts.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The key set that holds a key for `wanted`, waiting for one fetch of it where that can help.
    ///
    /// # Errors
    /// [`AuthFault::KeysUnavailable`] while there are no keys at all, [`AuthFault::UnknownKey`],
    /// [`AuthFault::AlgorithmRefused`] where the key is for another algorithm.
    pub(super) async fn holding(self: &Arc<Self>, wanted: Wanted<'_>) -> Result<Arc<KeySet>, AuthFault> {
        match self.look_up(wanted) {
            Err(AuthFault::KeysUnavailable | AuthFault::UnknownKey) => {
                self.fetched_once_more().await;
                self.look_up(wanted)
            }
            known => known,
        }
    }

    fn look_up(&self, wanted: Wanted<'_>) -> Result<Arc<KeySet>, AuthFault> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let set = current.filter(|set| !set.keys.is_empty()).ok_or(AuthFault::KeysUnavailable)?;
        match set.select(wanted.key_id, wanted.algorithm) {
            Ok(_) => Ok(set),
            Err(Miss::Unknown) => Err(AuthFault::UnknownKey),
            Err(Miss::Unfit) => Err(AuthFault::AlgorithmRefused),
        }
    }

    /// Returns when a fetch has come to an end, or after [`WAIT`]. Where the last fetch was too recent for
    /// another, that other one is waited for: a token signed with a key of a moment ago is a good token. Without
    /// any keys it returns at once, so that a dead issuer costs no waiting.
    async fn fetched_once_more(self: &Arc<Self>) {
        // Subscribed before asking, so that an end in between is not missed.
        let mut finished = self.finished.subscribe();
        let limit = Instant::now() + WAIT;
        loop {
            let until = match self.ask() {
                Asked::UnderWay => limit,
                Asked::TooSoon(_) if self.generation() == 0 => return,
                Asked::TooSoon(left) => limit.min(Instant::now() + left),
            };
            // Too late is as good as failed; the look-up that follows tells.
            if timeout_at(until, finished.changed()).await.is_ok() || Instant::now() >= limit {
                return;
            }
        }
    }

    /// Makes sure that a fetch is under way, unless the last one was too recent.
    fn ask(self: &Arc<Self>) -> Asked {
        let mut flight = self.flight();
        if flight.under_way {
            return Asked::UnderWay;
        }
        let quiet = match self.generation() {
            0 => QUIET_WITHOUT_KEYS * (1 << flight.failures.saturating_sub(1).min(2)),
            _ => QUIET,
        };
        if let Some(left) = flight.last.and_then(|last| quiet.checked_sub(last.elapsed()))
            && !left.is_zero()
        {
            return Asked::TooSoon(left);
        }
        flight.under_way = true;
        if flight.begun {
            self.wake.notify_one();
        } else {
            flight.begun = true;
            self.runtime.spawn(keep_fresh(Arc::downgrade(self), self.wake.clone()));
        }
        Asked::UnderWay
    }

    /// Fetches once and says how long to wait until the next time.
    async fn fetch_once(&self) -> Duration {
        {
            let mut flight = self.flight();
            flight.under_way = true;
            flight.last = Some(Instant::now());
        }
        let outcome = timeout(FETCH_LIMIT, self.source.load(&*self.fetch)).await;
        let pause = match outcome {
            Ok(Ok((keys, passed_over))) => self.succeeded(keys, passed_over),
            Ok(Err(fault)) => self.failed(Some(&fault)),
            Err(_) => self.failed(None),
        };
        self.finished.send_modify(|count| *count += 1);
        pause
    }

    fn succeeded(&self, keys: Vec<Key>, passed_over: usize) -> Duration {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if !current.as_ref().is_some_and(|set| set.is_same(&keys)) {
            let generation = self.generation() + 1;
            tracing::info!(
                source = self.source.shown(),
                keys = keys.len(),
                passed_over,
                "token keys changed"
            );
            *current = Some(Arc::new(KeySet { generation, keys }));
            self.generation.store(generation, Ordering::Release);
        }
        drop(current);
        let mut flight = self.flight();
        flight.under_way = false;
        if std::mem::take(&mut flight.failures) > 0 {
            tracing::info!(source = self.source.shown(), "token keys can be fetched again");
        }
        self.refresh.mul_f64(rand::rng().random_range(0.9..=1.0))
    }

    fn failed(&self, fault: Option<&SourceFault>) -> Duration {
        let mut flight = self.flight();
        flight.under_way = false;
        flight.failures = flight.failures.saturating_add(1);
        // One line for each run of failures: the issuer's being down is news once.
        if flight.failures == 1 {
            let reason =
                fault.map_or_else(|| format!("no answer within {FETCH_LIMIT:?}"), ToString::to_string);
            let source = self.source.shown();
            tracing::warn!(source, reason, "token keys cannot be fetched; known ones stay in use");
        }
        let (first, longest) = BACKOFF;
        let pause = first.saturating_mul(1 << (flight.failures - 1).min(6)).min(longest).min(self.refresh);
        pause.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    fn flight(&self) -> MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LiveKeys {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

/// The one task that fetches. It ends with the keys it serves.
async fn keep_fresh(keys: Weak<LiveKeys>, wake: Arc<Notify>) {
    while let Some(live) = keys.upgrade() {
        let pause = live.fetch_once().await;
        drop(live);
        // Woken or not, it is time to fetch.
        let _ = timeout(pause, wake.notified()).await;
    }
}
