//! Where kept answers live: a moka cache, weighed in bytes, each entry with its own time to live.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use moka::Expiry;
use moka::sync::Cache;

use super::{Stamp, TagClock};

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
    entries: Cache<Arc<str>, Arc<StoredResponse>>,
    /// When tags last became stale.
    pub clock: TagClock,
}

struct UntilExpiry;

impl Expiry<Arc<str>, Arc<StoredResponse>> for UntilExpiry {
    fn expire_after_create(
        &self,
        _: &Arc<str>,
        stored: &Arc<StoredResponse>,
        now: Instant,
    ) -> Option<Duration> {
        Some(stored.expires.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        key: &Arc<str>,
        stored: &Arc<StoredResponse>,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, stored, now)
    }
}

impl ResponseCache {
    /// A cache that holds about `max_size` bytes.
    pub fn new(max_size: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(max_size)
            .weigher(|key: &Arc<str>, stored: &Arc<StoredResponse>| weight(key, stored))
            .expire_after(UntilExpiry)
            .build();
        Self { entries, clock: TagClock::default() }
    }

    /// Entries and bytes held now, for metrics.
    pub fn size(&self) -> (u64, u64) {
        (self.entries.entry_count(), self.entries.weighted_size())
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<StoredResponse>> {
        self.entries.get(key)
    }

    pub(super) fn insert(&self, key: Arc<str>, stored: StoredResponse) {
        self.entries.insert(key, Arc::new(stored));
    }
}

/// Bytes an entry holds, with a fixed allowance for what surrounds it.
fn weight(key: &str, stored: &StoredResponse) -> u32 {
    let headers: usize =
        stored.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum();
    u32::try_from(key.len() + headers + stored.body.len() + 256).unwrap_or(u32::MAX)
}
