//! What brings a node up to date: a whole snapshot, or only what it has missed, which is kept for a while.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use portreeve_config::wire::{ControlMessage, Revision};

use super::frames::{self, ChangeFrames};
use super::queue::MAX_BYTES;
use super::{Publisher, View, Watcher};
use crate::state::Model;
use crate::store::{Commit, Record};

/// Changes that are kept.
const MOST_COMMITS: usize = 1_024;
/// Things that the kept changes touch together.
const MOST_RECORDS: usize = 16_384;

/// What was encoded last, for the next node with the same view that asks for the same.
pub(super) type Encoded<K> = Vec<(View, K, Bytes)>;

/// The last changes, without a gap.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    commits: VecDeque<Commit>,
    records: usize,
}

impl Backlog {
    /// Adds a change. After a gap, what was before it leads nowhere and goes.
    pub(super) fn push(&mut self, commit: &Commit) {
        if self.commits.back().is_some_and(|last| last.revision + 1 != commit.revision) {
            *self = Self::default();
        }
        // Nodes are not told of history.
        let told = commit.records.iter().filter(|record| !matches!(record, Record::History { .. }));
        let commit = Commit { revision: commit.revision, records: told.cloned().collect() };
        self.records += commit.records.len();
        self.commits.push_back(commit);
        while self.commits.len() > MOST_COMMITS || self.records > MOST_RECORDS {
            let Some(oldest) = self.commits.pop_front() else { break };
            self.records -= oldest.records.len();
        }
    }

    /// The changes after `held` up to `newest`; `None` when they are not all there.
    pub(super) fn between(
        &self,
        held: Revision,
        newest: Revision,
    ) -> Option<impl Iterator<Item = &Commit> + '_> {
        let first = self.commits.front().map_or(newest + 1, |commit| commit.revision);
        let last = self.commits.back().map_or(newest, |commit| commit.revision);
        let is_known = held == newest || (first <= held + 1 && last == newest && held < newest);
        is_known.then(|| self.commits.iter().filter(move |commit| commit.revision > held))
    }
}

impl Publisher {
    /// What brings `watcher` up to `model`: what it missed, or a whole snapshot. `model` must stay locked meanwhile.
    pub(super) fn catch_up(&self, watcher: &Watcher, model: &Model) -> [Bytes; 2] {
        let view = watcher.peer.view();
        watcher.queue.begin_snapshot();
        let config = watcher.peer.scope.as_ref().map(|scope| model.merged(scope));
        let held = watcher.held.swap(0, Ordering::Relaxed);
        if held > 0
            && let Some(missed) = self.missed_since(held, &view, model)
        {
            *watcher.told() = Arc::new(config.clone().unwrap_or_default());
            return [frames::line(&ControlMessage::Resumed { revision: held, config }), missed];
        }
        let config = config.unwrap_or_default();
        let tail = frames::snapshot_tail(&config);
        *watcher.told() = Arc::new(config);
        let head = || Some(frames::snapshot_head(model, &view, &self.epoch_of(&view)));
        let head = encoded_once(&self.snapshots, &view, model.revision, head).unwrap_or_default();
        [head, tail]
    }

    /// The changes after `held`; `None` when they are no longer all kept, or more than a queue may hold.
    fn missed_since(&self, held: Revision, view: &View, model: &Model) -> Option<Bytes> {
        encoded_once(&self.missed, view, (held, model.revision), || {
            let backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
            let mut lines = BytesMut::new();
            for commit in backlog.between(held, model.revision)? {
                lines.extend_from_slice(&ChangeFrames::new(commit, model).plain(view));
                if lines.len() > MAX_BYTES {
                    return None;
                }
            }
            Some(lines.freeze())
        })
    }
}

/// What `encode` gives, unless it was encoded for the same view and `key` already. What is older than `key` goes.
fn encoded_once<K: Copy + PartialEq>(
    encoded: &Mutex<Encoded<K>>,
    view: &View,
    key: K,
    encode: impl FnOnce() -> Option<Bytes>,
) -> Option<Bytes> {
    const MOST: usize = 64;
    let mut encoded = encoded.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, _, bytes)) = encoded.iter().find(|(other, of, _)| *of == key && other == view) {
        return Some(bytes.clone());
    }
    let bytes = encode()?;
    encoded.retain(|(other, _, _)| other != view);
    if encoded.len() >= MOST {
        encoded.remove(0);
    }
    encoded.push((view.clone(), key, bytes.clone()));
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(backlog: &Backlog, held: Revision, newest: Revision) -> Option<Vec<Revision>> {
        Some(backlog.between(held, newest)?.map(|commit| commit.revision).collect())
    }

    fn of(revisions: impl IntoIterator<Item = Revision>) -> Backlog {
        let mut backlog = Backlog::default();
        for revision in revisions {
            backlog.push(&Commit { revision, records: Vec::new() });
        }
        backlog
    }

    #[test]
    fn what_was_missed_is_given_whole_or_not_at_all() {
        let backlog = of(5..=9);
        assert_eq!(between(&backlog, 6, 9), Some(vec![7, 8, 9]));
        assert_eq!(between(&backlog, 4, 9), Some(vec![5, 6, 7, 8, 9]));
        assert_eq!(between(&backlog, 9, 9), Some(vec![]));
        for (held, newest) in [(3, 9), (10, 9), (6, 8), (6, 10)] {
            assert_eq!(between(&backlog, held, newest), None, "{held} {newest}");
        }
        assert_eq!(between(&Backlog::default(), 9, 9), Some(vec![]));
        assert_eq!(between(&Backlog::default(), 8, 9), None);
    }

    #[test]
    fn a_gap_and_too_many_are_forgotten() {
        assert_eq!(between(&of([1, 2, 5, 6]), 2, 6), None);
        assert_eq!(between(&of([1, 2, 5, 6]), 4, 6), Some(vec![5, 6]));
        let many = of(1..=3_000);
        assert_eq!(many.commits.len(), MOST_COMMITS);
        assert_eq!(between(&many, 1, 3_000), None);
        let mut large = Backlog::default();
        for revision in 1..=3 {
            let record = Record::Service { name: "a".to_owned(), known: true };
            large.push(&Commit { revision, records: vec![record; MOST_RECORDS / 2] });
        }
        assert_eq!(large.commits.len(), 2);
    }
}
