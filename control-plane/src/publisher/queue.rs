//! What waits to be written to one watcher. Bounded: a watcher that falls too far behind loses its queue and
//! gets a whole new snapshot, so a slow reader costs it freshness and never the control plane's memory.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// Lines and bytes that may wait.
const MAX_LINES: usize = 1024;
pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Answers to the watcher's own messages that may wait; one that asks on and never reads is cut off.
const MAX_ANSWERS: usize = 256;

/// What a watcher is due next.
#[derive(Debug, PartialEq)]
pub(super) enum Due {
    /// The next line.
    Line(Bytes),
    /// Everything, from the start.
    Snapshot,
    /// The watcher does not read; its stream should end.
    Overrun,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: VecDeque<Bytes>,
    bytes: usize,
    answers: VecDeque<(usize, Bytes)>,
    needs_snapshot: bool,
    overrun: bool,
    /// Changes taken out so far; an answer is due once the changes that were before it are gone.
    taken: usize,
}

/// The queue of one watcher.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

impl Queue {
    /// A queue that begins with a snapshot.
    pub(super) fn new() -> Self {
        let waiting = Waiting { needs_snapshot: true, ..Waiting::default() };
        Self { waiting: Mutex::new(waiting), filled: Notify::new() }
    }

    /// Adds a change. Dropped where a snapshot is due anyway: that will hold it.
    pub(super) fn push_change(&self, line: Bytes) {
        let mut waiting = self.lock();
        if waiting.needs_snapshot {
            return;
        }
        waiting.bytes += line.len();
        waiting.changes.push_back(line);
        if waiting.changes.len() > MAX_LINES || waiting.bytes > MAX_BYTES {
            waiting.drop_changes();
            waiting.needs_snapshot = true;
        }
        drop(waiting);
        self.filled.notify_one();
    }

    /// Adds an answer to one of the watcher's own messages, behind all changes that are there now.
    pub(super) fn push_answer(&self, line: Bytes) {
        let mut waiting = self.lock();
        let after = waiting.taken + waiting.changes.len();
        waiting.answers.push_back((after, line));
        waiting.overrun |= waiting.answers.len() > MAX_ANSWERS;
        drop(waiting);
        self.filled.notify_one();
    }

    /// Drops the changes that wait: a snapshot is due instead.
    pub(super) fn ask_for_snapshot(&self) {
        let mut waiting = self.lock();
        waiting.drop_changes();
        waiting.needs_snapshot = true;
        drop(waiting);
        self.filled.notify_one();
    }

    /// Whether a snapshot is due; from now on changes are queued again. Called while the state stands still,
    /// so that the snapshot and the changes after it fit without a gap.
    pub(super) fn begin_snapshot(&self) {
        self.lock().needs_snapshot = false;
    }

    /// What is due next; waits for it. Safe to drop at any time.
    pub(super) async fn next(&self) -> Due {
        loop {
            if let Some(due) = self.lock().take() {
                return due;
            }
            self.filled.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take(&mut self) -> Option<Due> {
        if self.overrun {
            return Some(Due::Overrun);
        }
        if self.needs_snapshot {
            return Some(Due::Snapshot);
        }
        if self.answers.front().is_some_and(|(after, _)| *after <= self.taken) {
            return self.answers.pop_front().map(|(_, line)| Due::Line(line));
        }
        let line = self.changes.pop_front()?;
        self.bytes -= line.len();
        self.taken += 1;
        Some(Due::Line(line))
    }

    fn drop_changes(&mut self) {
        self.taken += self.changes.len();
        self.changes.clear();
        self.changes.shrink_to(16);
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn take(queue: &Queue) -> Option<Due> {
        queue.lock().take()
    }

    fn line(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_queue_begins_with_a_snapshot_and_keeps_order() {
        let queue = Queue::new();
        queue.push_change(line("in the snapshot already"));
        assert_eq!(take(&queue), Some(Due::Snapshot));
        queue.begin_snapshot();
        queue.push_change(line("1"));
        queue.push_answer(line("answer"));
        queue.push_change(line("2"));
        for expected in ["1", "answer", "2"] {
            assert_eq!(take(&queue), Some(Due::Line(line(expected))));
        }
        assert_eq!(take(&queue), None);
    }

    #[test]
    fn a_slow_watcher_gets_a_snapshot_instead_of_a_backlog() {
        let queue = Queue::new();
        queue.begin_snapshot();
        for _ in 0..MAX_LINES {
            queue.push_change(line("change"));
        }
        queue.push_answer(line("answer"));
        queue.push_change(line("one too many"));
        assert_eq!(queue.lock().changes.len(), 0);
        assert_eq!(queue.lock().bytes, 0);
        assert_eq!(take(&queue), Some(Due::Snapshot));
        queue.begin_snapshot();
        assert_eq!(take(&queue), Some(Due::Line(line("answer"))));
        assert_eq!(take(&queue), None);
    }

    #[test]
    fn large_changes_are_bounded_by_their_bytes() {
        let queue = Queue::new();
        queue.begin_snapshot();
        let large = Bytes::from(vec![b'x'; MAX_BYTES / 2]);
        for _ in 0..3 {
            queue.push_change(large.clone());
        }
        assert_eq!(take(&queue), Some(Due::Snapshot));
    }

    #[test]
    fn a_watcher_that_asks_and_never_reads_is_cut_off() {
        let queue = Queue::new();
        queue.begin_snapshot();
        for _ in 0..=MAX_ANSWERS {
            queue.push_answer(line("answer"));
        }
        assert_eq!(take(&queue), Some(Due::Overrun));
    }
}
