//! Where kept answers live: a moka cache, weighed in bytes, each entry with its own time to live. Answers that are still
//! coming in are no entries yet, and are weighed by a count of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use moka::Expiry;
use moka::sync::Cache;

use super::{Lookup, Stamp, TagClock};

/// An answer as it came from upstream.
#[derive(Clone, Debug)]
pub struct StoredResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields, without those that end at a hop.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
    /// When it was made, and how old it was said to be then.
    pub born: Instant,
    /// When it stops being fresh.
    pub expires: Instant,
    /// The request fields it was chosen by (`Vary`), with their values then.
    pub vary: Vec<(HeaderName, Option<HeaderValue>)>,
    /// When it was asked for, in writes.
    pub stamp: Stamp,
}

/// All kept answers of a process.
pub struct ResponseCache {
    entries: Cache<Arc<[u8]>, Arc<StoredResponse>>,
    /// When tags last became stale.
    pub clock: TagClock,
    arriving: Arc<Arriving>,
}

/// What all answers take up that are to be kept and have not come whole.
struct Arriving {
    bytes: AtomicU64,
    max: u64,
}

/// The part of it that one answer has; free again as soon as this is dropped.
pub struct Room {
    taken: u64,
    all: Arc<Arriving>,
}

impl Room {
    /// Takes so many bytes more. `false` where there are not so many left.
    pub fn widen(&mut self, bytes: u64) -> bool {
        let before = self.all.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.all.max;
        if fits {
            self.taken += bytes;
        } else {
            self.all.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.all.bytes.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

struct UntilExpiry;

impl Expiry<Arc<[u8]>, Arc<StoredResponse>> for UntilExpiry {
    fn expire_after_create(
        &self,
        _: &Arc<[u8]>,
        stored: &Arc<StoredResponse>,
        now: Instant,
    ) -> Option<Duration> {
        Some(stored.expires.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        key: &Arc<[u8]>,
        stored: &Arc<StoredResponse>,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, stored, now)
    }
}

impl ResponseCache {
    /// A cache that holds about `max_size` bytes, and as many of answers that are still coming in.
    pub fn new(max_size: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(max_size)
            .weigher(|key: &Arc<[u8]>, stored: &Arc<StoredResponse>| weight(key, stored))
            .expire_after(UntilExpiry)
            .build();
        let arriving = Arc::new(Arriving { bytes: AtomicU64::new(0), max: max_size });
        Self { entries, clock: TagClock::default(), arriving }
    }

    /// Room for an answer that is about to come in, as far as it is known; `None` where others have taken all.
    pub fn room(&self, lookup: &Lookup, response: &StoredResponse) -> Option<Room> {
        let mut room = Room { taken: 0, all: Arc::clone(&self.arriving) };
        room.widen(weight(&lookup.key, response).into()).then_some(room)
    }

    /// Entries and bytes held now, for metrics.
    pub fn size(&self) -> (u64, u64) {
        (self.entries.entry_count(), self.entries.weighted_size())
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Arc<StoredResponse>> {
        self.entries.get(key)
    }

    pub(super) fn insert(&self, key: Arc<[u8]>, stored: StoredResponse) {
        self.entries.insert(key, Arc::new(stored));
    }
}

/// Bytes an entry holds, with a fixed allowance for what surrounds it.
fn weight(key: &[u8], stored: &StoredResponse) -> u32 {
    let headers: usize =
        stored.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum();
    u32::try_from(key.len() + headers + stored.body.len() + 256).unwrap_or(u32::MAX)
}
