//! Watches what an instance sends by HTTP/2: that its SETTINGS have come, before which nobody knows whether it takes
//! tunnels, and how much data; and by how much hyper lets it go on. hyper knows all that, and tells nobody.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::h2::{Headers, Held, PREFACE};
use crate::server::stream::Stream;

/// Whether the first frame has come, and who waits for it.
#[derive(Default)]
pub(super) struct Greeting {
    has_come: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Greeting {
    /// Ready when it has come, or the connection has ended.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.has_come.get() {
            return Poll::Ready(());
        }
        self.waiting.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }

    /// There is nothing more to wait for.
    pub(super) fn end(&self) {
        self.has_come.set(true);
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

/// A connection whose frames are watched.
pub(super) struct Greeted {
    stream: Stream,
    greeting: Rc<Greeting>,
    held: Rc<Held>,
    read: Headers,
    written: Headers,
}

impl Greeted {
    pub(super) fn new(stream: Stream, greeting: Rc<Greeting>, held: Rc<Held>) -> Self {
        let (read, written) = (Headers::after(0), Headers::after(PREFACE.len()));
        Self { stream, greeting, held, read, written }
    }

    fn note(&mut self, bytes: &[u8]) {
        let held = &self.held;
        let mut frames = 0;
        self.read.walk(bytes, |frame| {
            held.came(frame);
            frames += 1;
        });
        // The first is whole when a second begins, or could.
        if !self.greeting.has_come.get() && (frames > 1 || (!bytes.is_empty() && self.read.is_between())) {
            self.greeting.end();
        }
    }

    fn note_written(&mut self, parts: &[IoSlice<'_>], count: usize) {
        self.written.walk_parts(parts, count, |frame| self.held.returned(frame.opens()));
    }
}

impl Drop for Greeted {
    fn drop(&mut self) {
        self.greeting.end();
    }
}

impl AsyncRead for Greeted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, into);
        this.note(&into.filled()[before..]);
        read
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.stream).poll_write(cx, from))?;
        this.note_written(&[IoSlice::new(from)], count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, from))?;
        this.note_written(from, count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
