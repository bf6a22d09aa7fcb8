//! Waking those who have something to send. The writer's thread is not the runtime's: what it wakes is queued behind one
//! lock and one call of the system each, and behind everything that wakes by itself meanwhile, such as the
//! acknowledgements of those who were woken first. Many are handed over at once, to a task that wakes them in their place.

use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

/// So many are woken right away.
const FEW: usize = 32;

/// Those who wait to be woken.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    asleep: Mutex<Vec<Waker>>,
    handed_over: Notify,
}

impl Crowd {
    /// Wakes all of them, many of them by [`Crowd::keep_waking`].
    pub(super) fn wake(&self, wakers: Vec<Waker>) {
        if wakers.len() <= FEW {
            return wakers.into_iter().for_each(Waker::wake);
        }
        self.asleep.lock().unwrap_or_else(PoisonError::into_inner).extend(wakers);
        self.handed_over.notify_one();
    }

    /// Wakes those who were handed over; never ends.
    pub(super) async fn keep_waking(&self) {
        loop {
            self.handed_over.notified().await;
            let asleep = std::mem::take(&mut *self.asleep.lock().unwrap_or_else(PoisonError::into_inner));
            asleep.into_iter().for_each(Waker::wake);
        }
    }
}
