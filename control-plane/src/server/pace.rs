//! How long a client may take: hyper's one timer runs from the end of a request to the end of the next one's head. It
//! is used for connections that rest; once a head has begun, its end is due within a time of its own.

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

/// A connection whose heads do not come slowly.
#[derive(Debug)]
pub(super) struct Paced<T> {
    inner: T,
    stage: Arc<Stage>,
    header_timeout: Duration,
    /// That a part of a head has come, and how many were complete before it.
    begun: Option<u64>,
    /// When the rest of it is due; most heads come at once and need none.
    due: Option<Pin<Box<Sleep>>>,
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
    pub(super) fn new(inner: T, stage: Arc<Stage>, header_timeout: Duration) -> Self {
        Self { inner, stage, header_timeout, begun: None, due: None }
    }

    pub(super) fn into_inner(self) -> T {
        self.inner
    }

    /// Whether the head that has begun is overdue.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        if self.begun.is_some_and(|before| before != self.stage.begun.load(Ordering::Relaxed)) {
            (self.begun, self.due) = (None, None);
        }
        if self.begun.is_none() {
            return false;
        }
        let limit = self.header_timeout;
        let due = self.due.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        due.as_mut().poll(context).is_ready()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_late(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let read = pin!(&mut self.inner).poll_read(context, buffer);
        let came = buffer.filled().len() > before;
        if came && self.begun.is_none() && !self.stage.is_answering() {
            self.begun = Some(self.stage.begun.load(Ordering::Relaxed));
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
