//! The least that a peer must send or take while it is the one that is waited for: a client that trickles holds a place
//! for ever, and a limit on silence alone does not end it.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use portreeve_config::Limits;

use super::alarm::Alarm;

/// Counts what one direction of a connection moves. Only the time spent waiting for the peer counts.
#[derive(Debug)]
pub(super) struct Rate {
    window: Duration,
    /// Bytes due in a window.
    due: u64,
    moved: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
}

impl Rate {
    pub(super) fn new(limits: &Limits) -> Self {
        let window = limits.rate_window.get();
        let due = u128::from(limits.min_rate.get()) * window.as_millis() / 1000;
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        Self { window, due, moved: 0, waited: Duration::ZERO, waiting_since: None }
    }

    /// Bytes have moved.
    pub(super) fn moved(&mut self, bytes: u64) {
        self.moved += bytes;
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// The peer is waited for. Ready when it has been too slow.
    pub(super) fn poll_too_slow(&mut self, cx: &mut Context<'_>, alarm: &Alarm) -> Poll<()> {
        if self.due == 0 {
            return Poll::Pending;
        }
        loop {
            let since = *self.waiting_since.get_or_insert_with(Instant::now);
            if alarm.poll(cx, since + self.window.saturating_sub(self.waited)).is_pending() {
                return Poll::Pending;
            }
            if self.moved < self.due {
                return Poll::Ready(());
            }
            (self.moved, self.waited, self.waiting_since) = (0, Duration::ZERO, None);
        }
    }
}
