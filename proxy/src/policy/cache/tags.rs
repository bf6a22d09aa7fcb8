//! When each tag last became stale. A fixed table of counters instead of a map of tags: it never grows, takes no
//! lock, and two tags that share a slot can only make an answer stale too early.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

const SLOTS: usize = 1 << 14;

/// Counts writes, and remembers for each tag which was the last that concerned it.
pub struct TagClock {
    writes: AtomicU64,
    last: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// A point in the order of writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(u64);

impl Default for TagClock {
    fn default() -> Self {
        Self {
            writes: AtomicU64::new(0),
            last: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl TagClock {
    /// Now, in writes. Taken before the upstream is asked.
    pub fn now(&self) -> Stamp {
        Stamp(self.writes.load(Ordering::SeqCst))
    }

    /// Where a tag is remembered.
    pub fn slot(&self, tag: &str) -> u64 {
        self.hasher.hash_one(tag) % SLOTS as u64
    }

    /// A write has changed what `tag` stands for.
    pub fn invalidate(&self, tag: &str) {
        let write = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(last) = usize::try_from(self.slot(tag)).ok().and_then(|slot| self.last.get(slot)) {
            last.fetch_max(write, Ordering::SeqCst);
        }
    }

    /// Whether no write concerned the slot since `stamp`.
    pub fn is_unchanged(&self, slot: u64, stamp: Stamp) -> bool {
        let last = usize::try_from(slot).ok().and_then(|slot| self.last.get(slot));
        last.is_some_and(|last| last.load(Ordering::SeqCst) <= stamp.0)
    }
}
