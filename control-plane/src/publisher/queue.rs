//! What waits to be written to one watcher. Bounded: a watcher that falls too far behind loses its queue and
//! gets a whole new snapshot, so a slow reader costs it freshness and never the control plane's memory.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

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
    /// Nothing more: its stream ends, for this reason.
    End(&'static str),
}

#[derive(Debug, Default)]
struct Waiting {
    changes: VecDeque<Bytes>,
    bytes: usize,
    answers: VecDeque<(usize, Bytes)>,
    needs_snapshot: bool,
    end: Option<&'static str>,
    /// Changes taken out so far; an answer is due once the changes that were before it are gone.
    taken: usize,
    /// Who empties the queue, while there was nothing in it.
    waker: Option<Waker>,
}

/// The queue of one watcher. One task empties it.
#[derive(Debug)]
pub(super) struct Queue(Mutex<Waiting>);

impl Queue {
    /// A queue that begins with a snapshot.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Waiting { needs_snapshot: true, ..Waiting::default() }))
    }

    /// Adds a change; gives who is to be woken by it. Dropped where a snapshot is due anyway: that will hold it.
    pub(super) fn push_change(&self, line: Bytes) -> Option<Waker> {
        let mut waiting = self.lock();
        if waiting.needs_snapshot {
            return None;
        }
        waiting.bytes += line.len();
        waiting.changes.push_back(line);
        if waiting.changes.len() > MAX_LINES || waiting.bytes > MAX_BYTES {
            waiting.drop_changes();
            waiting.needs_snapshot = true;
        }
        waiting.waker.take()
    }

    /// Adds an answer to one of the watcher's own messages, behind all changes that are there now. That is done by who
    /// empties the queue, and wakes nobody.
    pub(super) fn push_answer(&self, line: Bytes) {
        let mut waiting = self.lock();
        let after = waiting.taken + waiting.changes.len();
        waiting.answers.push_back((after, line));
        if waiting.answers.len() > MAX_ANSWERS {
            waiting.end.get_or_insert("the node does not read its answers");
        }
    }

    /// Drops the changes that wait: a snapshot is due instead.
    pub(super) fn ask_for_snapshot(&self) {
        self.fill(|waiting| {
            waiting.drop_changes();
            waiting.needs_snapshot = true;
        });
    }

    /// Ends the stream, whatever waits. The first reason counts.
    pub(super) fn end(&self, reason: &'static str) {
        self.fill(|waiting| waiting.end = waiting.end.or(Some(reason)));
    }

    /// Whether a snapshot is due; from now on changes are queued again. Called while the state stands still,
    /// so that the snapshot and the changes after it fit without a gap.
    pub(super) fn begin_snapshot(&self) {
        self.lock().needs_snapshot = false;
    }

    /// What is due next.
    pub(super) fn poll_next(&self, context: &Context<'_>) -> Poll<Due> {
        let mut waiting = self.lock();
        match waiting.take() {
            Some(due) => Poll::Ready(due),
            None => waiting.wait(context),
        }
    }

    /// Why the stream ends, while nothing else can be taken.
    pub(super) fn poll_end(&self, context: &Context<'_>) -> Poll<&'static str> {
        let mut waiting = self.lock();
        match waiting.end {
            Some(reason) => Poll::Ready(reason),
            None => waiting.wait(context),
        }
    }

    fn fill(&self, change: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.lock();
        change(&mut waiting);
        let waker = waiting.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn wait<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn take(&mut self) -> Option<Due> {
        if let Some(reason) = self.end {
            return Some(Due::End(reason));
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

    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

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
        assert!(matches!(take(&queue), Some(Due::End(reason)) if reason.contains("does not read")));
    }

    #[test]
    fn who_waits_is_woken_by_whatever_comes_and_an_end_goes_before_all() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let context = Context::from_waker(&waker);
        let queue = Queue::new();
        queue.begin_snapshot();
        let fillings: [fn(&Queue); 3] = [
            |queue| wake(queue.push_change(line("change"))),
            Queue::ask_for_snapshot,
            |queue| queue.end("over"),
        ];
        for (count, fill) in fillings.into_iter().enumerate() {
            assert!(queue.poll_next(&context).is_pending() && queue.poll_end(&context).is_pending());
            fill(&queue);
            assert_eq!(woken.0.load(Ordering::Relaxed), count + 1);
            if queue.poll_next(&context) == Poll::Ready(Due::Snapshot) {
                queue.begin_snapshot();
            }
        }
        queue.push_change(line("late"));
        queue.end("again");
        assert_eq!(queue.poll_next(&context), Poll::Ready(Due::End("over")));
        assert_eq!(queue.poll_end(&context), Poll::Ready("over"));
    }

    fn wake(waker: Option<Waker>) {
        waker.into_iter().for_each(Waker::wake);
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
