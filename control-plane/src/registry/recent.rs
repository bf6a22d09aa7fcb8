//! What changed lately, for clients that ask for changes only and cannot say what they know: everything of the
//! last three minutes, each time. Bounded; where something is missing it says so.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Registered;

/// How long a change is told, in milliseconds; clients ask every 30 s.
const TOLD_FOR: u64 = 180_000;
/// Changes that are kept at most.
const MOST: usize = 65_536;

/// What happened to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It registered, or registered anew.
    Added,
    /// Its status was changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// One change and what it left behind; for one that is gone, what was there last.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    /// Milliseconds since 1970.
    pub(crate) at: u64,
    pub(crate) instance: Arc<Registered>,
    pub(crate) action: Action,
}

/// The changes of the last three minutes.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    changes: VecDeque<Changed>,
    /// Until then changes are missing that should be told, in milliseconds since 1970.
    incomplete_until: u64,
}

impl Recent {
    /// What happened before `now` is not known.
    pub(super) fn begin_anew(&mut self, now: u64) {
        self.changes.clear();
        self.incomplete_until = now + TOLD_FOR;
    }

    pub(super) fn push(&mut self, change: Changed) {
        let now = change.at;
        while self.changes.front().is_some_and(|old| old.at + TOLD_FOR < now) {
            self.changes.pop_front();
        }
        if self.changes.len() >= MOST
            && let Some(dropped) = self.changes.pop_front()
        {
            self.incomplete_until = self.incomplete_until.max(dropped.at + TOLD_FOR);
        }
        self.changes.push_back(change);
    }

    /// The changes that are still told at `now`, the newest first.
    pub(crate) fn changes(&self, now: u64) -> impl Iterator<Item = &Changed> {
        self.changes.iter().rev().take_while(move |change| change.at + TOLD_FOR >= now)
    }

    /// Whether [`Recent::changes`] holds everything that happened in its time.
    pub(crate) fn is_complete(&self, now: u64) -> bool {
        now >= self.incomplete_until
    }
}
