//! How long a client may take: to begin a request, and from there to the end of its head. hyper has one timer for both, and
//! makes it anew for each request; here there is one a connection, which is not moved before it rings.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Requests whose heads are complete, and those that are answered; shared by a connection's two sides.
#[derive(Debug, Default)]
pub(super) struct Stage {
    begun: AtomicU64,
    answered: AtomicU64,
}

/// A connection that does not rest for long, and whose heads do not come slowly.
#[derive(Debug)]
pub(super) struct Paced<T> {
    inner: T,
    stage: Arc<Stage>,
    patience: Patience,
    /// That a part of a head has come, and how many were complete before it.
    begun: Option<u64>,
    /// When what is waited for is due: more of a head that has begun, or a next one.
    due: Option<Instant>,
    /// Rings when something is due, or before that.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// How long a client is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the first byte of a head to its end.
    pub(super) head: Duration,
    /// For the first byte of the next one.
    pub(super) idle: Duration,
}

/// A body whose end is the end of the answer.
#[derive(Debug)]
pub(super) struct Answer {
    inner: Body,
    stage: Arc<Stage>,
}

impl Stage {
    /// A head is complete.
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    fn is_answering(&self) -> bool {
        self.begun.load(Ordering::Relaxed) > self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn answer(self: &Arc<Self>, body: Body) -> Answer {
        Answer { inner: body, stage: self.clone() }
    }
}

impl<T> Paced<T> {
    pub(super) fn new(inner: T, stage: Arc<Stage>, patience: Patience) -> Self {
        Self { inner, stage, patience, begun: None, due: None, alarm: None }
    }

    pub(super) fn into_inner(self) -> T {
        self.inner
    }

    /// Whether what is waited for is overdue. While an answer is on its way nothing is.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        if self.begun.is_none() && self.stage.is_answering() {
            return false;
        }
        let patience = if self.begun.is_some() { self.patience.head } else { self.patience.idle };
        let due = *self.due.get_or_insert_with(|| Instant::now() + patience);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if alarm.deadline() > due {
            alarm.as_mut().reset(due);
        }
        while alarm.as_mut().poll(context).is_ready() {
            if alarm.deadline() >= due {
                return true;
            }
            alarm.as_mut().reset(due);
        }
        false
    }

    /// Notices that the head that had begun is complete.
    fn follow(&mut self) {
        if self.begun.is_some_and(|before| before != self.stage.begun.load(Ordering::Relaxed)) {
            (self.begun, self.due) = (None, None);
        }
    }

    /// Something has come.
    fn noticed(&mut self) {
        if self.begun.is_none() && !self.stage.is_answering() {
            (self.begun, self.due) = (Some(self.stage.begun.load(Ordering::Relaxed)), None);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.follow();
        let before = buffer.filled().len();
        let read = pin!(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.noticed();
        } else if read.is_pending() && self.is_late(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Paced<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        pin!(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        pin!(&mut self.inner).poll_write_vectored(context, slices)
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        pin!(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.stage.answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::future::poll_fn;

    use super::*;

    /// What is due at once is so when the clock's next tick is over.
    const TICK: Duration = Duration::from_millis(20);

    async fn is_late(paced: &mut Paced<()>) -> bool {
        let mut look = async || {
            let look = |context: &mut Context<'_>| {
                paced.follow();
                Poll::Ready(paced.is_late(context))
            };
            poll_fn(look).await
        };
        let _ = look().await;
        tokio::time::sleep(TICK).await;
        look().await
    }

    /// Times that are over at once, or never.
    async fn with(head: Duration, idle: Duration) -> [bool; 5] {
        let stage = Arc::new(Stage::default());
        let mut paced = Paced::new((), stage.clone(), Patience { head, idle });
        let rests = is_late(&mut paced).await;
        paced.noticed();
        let begun = is_late(&mut paced).await;
        stage.begin();
        let answering = is_late(&mut paced).await;
        let answer = stage.answer(Body::empty());
        // Of the next head, which is not waited for yet.
        paced.noticed();
        let pipelined = is_late(&mut paced).await;
        drop(answer);
        [rests, begun, answering, pipelined, is_late(&mut paced).await]
    }

    #[tokio::test]
    async fn each_wait_has_its_own_time_and_an_answer_takes_what_it_takes() {
        let (at_once, never) = (Duration::ZERO, Duration::from_secs(3_600));
        assert_eq!(with(never, at_once).await, [true, false, false, false, true]);
        assert_eq!(with(at_once, never).await, [false, true, false, false, false]);
        assert_eq!(with(never, never).await, [false; 5]);
    }
}
