//! When a client's HTTP/2 connection has been idle, slow or alive for too long.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use super::frames::Passed;
use super::held::Held;
use crate::server::visit::Visit;
use crate::server::worker::Charge;

/// What is known of a connection's streams.
pub(super) struct State {
    pub(super) passed: Rc<Passed>,
    /// With the number of requests whose answers have not ended.
    pub(super) held: Rc<Held>,
    /// The connection may have no more requests.
    pub(super) is_spent: Cell<bool>,
    /// Bytes of answers that were handed over, and that hyper has not begun to write.
    waiting: Cell<usize>,
    charge: Charge,
}

impl State {
    /// `charge` is for answers that wait to be written.
    pub(super) fn new(held: Held, charge: Charge) -> Self {
        let (is_spent, waiting) = (Cell::new(false), Cell::new(0));
        Self { passed: Rc::default(), held: Rc::new(held), is_spent, waiting, charge }
    }

    /// A part of an answer is handed over.
    pub(super) fn handed(&self, bytes: usize) {
        self.set_waiting(self.waiting.get() + bytes);
    }

    /// It is being written.
    pub(super) fn written(&self, bytes: usize) {
        self.set_waiting(self.waiting.get() - bytes);
        self.passed.in_writing.set(self.passed.in_writing.get() + bytes);
    }

    /// It was written, or the rest of it never will be.
    pub(super) fn dropped(&self, rest: usize) {
        self.set_waiting(self.waiting.get() - rest);
    }

    fn set_waiting(&self, bytes: usize) {
        self.waiting.set(bytes);
        self.charge.set(bytes);
    }

    /// Whether all requests were answered, and all answers written.
    pub(super) fn is_quiet(&self) -> bool {
        self.held.streams() == 0 && self.unsent() == 0
    }

    /// Bytes of answers that were handed over and not written.
    pub(super) fn unsent(&self) -> usize {
        self.waiting.get() + self.passed.in_writing.get()
    }
}

/// When a connection has been idle, slow or alive for too long.
pub(super) struct Patience {
    pub(super) next_look: Instant,
    /// In good order: no new streams.
    pub(super) is_over: bool,
    idle_since: Option<Instant>,
    data_written: u64,
    slow_since: Option<Instant>,
    stuck_since: Option<Instant>,
}

impl Patience {
    pub(super) fn new(visit: &Visit, state: &State) -> Self {
        Self {
            next_look: visit.began + visit.limits.header_timeout.get(),
            is_over: false,
            idle_since: Some(visit.began),
            data_written: state.passed.data_written.get(),
            slow_since: None,
            stuck_since: None,
        }
    }

    /// Looks after the connection now and then. Whether it must end at once.
    pub(super) fn look(&mut self, visit: &Visit, state: &State) -> bool {
        let (now, limits) = (Instant::now(), &visit.limits);
        let window = limits.rate_window.get();
        let written = state.passed.data_written.get();
        let is_idle = state.held.streams() == 0;
        let idle_since = *self.idle_since.get_or_insert(now);
        if !is_idle {
            self.idle_since = None;
        }
        let patience = match visit.had_request() {
            true => limits.idle_timeout.get(),
            false => limits.header_timeout.get(),
        };
        self.is_over |= now >= visit.until || (is_idle && now >= idle_since + patience);
        // Something is there for the client, and it takes less than it must.
        let due = limits.min_rate.get().saturating_mul(window.as_secs().max(1));
        let is_waiting = state.unsent() > 0;
        let is_slow = due > 0 && is_waiting && written - self.data_written < due;
        // Where slowness is not looked at, taking nothing at all is.
        let is_stuck = is_waiting && written == self.data_written;
        let stuck_since = *self.stuck_since.get_or_insert(now);
        if !is_stuck {
            self.stuck_since = None;
        }
        self.data_written = written;
        let slow_since = match is_slow {
            true => *self.slow_since.get_or_insert(now),
            false => {
                self.slow_since = None;
                now
            }
        };
        // Without open streams all was handed over, and little is left.
        let grace = if is_idle { limits.idle_timeout.get() } else { window };
        self.next_look = now + window.min(patience);
        (is_slow && now >= slow_since + grace) || (is_stuck && now >= stuck_since + limits.idle_timeout.get())
    }
}
