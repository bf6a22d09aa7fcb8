//! One lazily armed timer for a task: deadlines are cheap to set and cheap to meet, for a clock is only read when the
//! timer goes off.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// A deadline that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time is up")]
pub(super) struct Elapsed;

/// The timer of one task. Any number of deadlines share it: it is set to the nearest one it was told of, and left there
/// when that deadline is met early, which costs one needless look later on instead of two changes for every request.
#[derive(Default)]
pub(super) struct Alarm {
    /// Made when something is first waited for, with whom it wakes.
    sleep: RefCell<Option<(Pin<Box<Sleep>>, Waker)>>,
    set_for: Cell<Option<Instant>>,
}

impl Alarm {
    /// Ready when `deadline` has passed; the task is woken then at the latest.
    pub(super) fn poll(&self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let mut slot = self.sleep.borrow_mut();
        let (sleep, waker) =
            slot.get_or_insert_with(|| (Box::pin(sleep_until(deadline.into())), cx.waker().clone()));
        // Early enough, and it has not gone off.
        let is_set = self.set_for.get().is_some_and(|set| set <= deadline) && !sleep.is_elapsed();
        if is_set && waker.will_wake(cx.waker()) {
            return Poll::Pending;
        }
        if !is_set {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline.into());
            self.set_for.set(Some(deadline));
        }
        // What is waited for may have moved to another task, as bodies of requests do in hyper.
        waker.clone_from(cx.waker());
        // The timer may tick a little before the deadline by the clock that was read.
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// `future`, unless `deadline` passes first. It is pinned by the caller: what an `async fn` is given lies in its
    /// state twice, and a request's whole way to its instance would be moved once more.
    ///
    /// # Errors
    /// [`Elapsed`].
    pub(super) async fn within<F: Future>(
        &self,
        deadline: Instant,
        mut future: Pin<&mut F>,
    ) -> Result<F::Output, Elapsed> {
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll(cx, deadline).map(|()| Err(Elapsed)),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn whoever_asked_last_is_woken() {
        let (alarm, began) = (Alarm::default(), Instant::now());
        let deadline = began + Duration::from_millis(20);
        assert!(alarm.poll(&mut Context::from_waker(Waker::noop()), deadline).is_pending());
        let other = tokio::time::timeout(Duration::from_secs(5), poll_fn(|cx| alarm.poll(cx, deadline)));
        assert!(other.await.is_ok());
        assert!(began.elapsed() < Duration::from_secs(4), "the first one was woken");
    }
}
