//! Watches that a client keeps moving: that its next request's head comes in time, that it is not idle for ever,
//! and that it takes what it asked for.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use portreeve_config::Limits;
use tokio::net::TcpStream;

/// One lazily checked deadline for a whole connection. hyper's own header timer would be armed anew for every
/// request; this one is looked at when it may have passed, and moved on when it has not.
pub(super) struct Pace {
    waiting_since: Cell<Instant>,
    /// Some bytes of a head have come; and since when that is known, for a clock is only read at a look.
    head_begun: Cell<bool>,
    head_since: Cell<Option<Instant>>,
    /// Since when the client takes nothing of what is written to it.
    stuck_since: Cell<Option<Instant>>,
    requests_in_flight: Cell<u32>,
    had_request: Cell<bool>,
    header_timeout: Duration,
    idle_timeout: Duration,
}

impl Pace {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            waiting_since: Cell::new(Instant::now()),
            head_begun: Cell::new(false),
            head_since: Cell::new(None),
            stuck_since: Cell::new(None),
            requests_in_flight: Cell::new(0),
            had_request: Cell::new(false),
            header_timeout: limits.header_timeout.get(),
            idle_timeout: limits.idle_timeout.get(),
        }
    }

    /// When the client's time is up, as things stand; `None` while it is not the client that is waited for.
    fn deadline(&self) -> Option<Instant> {
        if let Some(since) = self.stuck_since.get() {
            return Some(since + self.idle_timeout);
        }
        match (self.requests_in_flight.get(), self.head_since.get()) {
            (0, _) if !self.had_request.get() => Some(self.waiting_since.get() + self.header_timeout),
            (0, Some(since)) => Some(since + self.header_timeout),
            (0, None) => Some(self.waiting_since.get() + self.idle_timeout),
            _ => None,
        }
    }

    /// When to look again. Soon enough for a deadline that only begins in between.
    pub(super) fn next_look(&self) -> tokio::time::Instant {
        let soon = Instant::now() + self.header_timeout.min(self.idle_timeout);
        self.deadline().map_or(soon, |deadline| deadline.min(soon)).into()
    }

    /// Whether the client's time is up.
    pub(super) fn is_over(&self) -> bool {
        if self.head_begun.get() && self.head_since.get().is_none() {
            self.head_since.set(Some(Instant::now()));
        }
        self.deadline().is_some_and(|deadline| deadline <= Instant::now())
    }

    fn heard(&self) {
        self.head_begun.set(self.requests_in_flight.get() == 0);
    }

    fn wrote(&self, is_stuck: bool) {
        match (is_stuck, self.stuck_since.get()) {
            (true, None) => self.stuck_since.set(Some(Instant::now())),
            (false, Some(_)) => self.stuck_since.set(None),
            _ => {}
        }
    }
}

/// A request in flight, from its head to the last byte of its answer.
pub(super) struct Busy(Rc<Pace>);

impl Busy {
    pub(super) fn begin(pace: &Rc<Pace>) -> Self {
        pace.requests_in_flight.set(pace.requests_in_flight.get() + 1);
        pace.head_begun.set(false);
        pace.head_since.set(None);
        pace.had_request.set(true);
        Self(Rc::clone(pace))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.requests_in_flight.set(self.0.requests_in_flight.get() - 1);
        self.0.waiting_since.set(Instant::now());
    }
}

/// A client's stream that tells its [`Pace`] what moves.
pub(super) struct PacedStream {
    stream: TokioIo<TcpStream>,
    pace: Rc<Pace>,
}

impl PacedStream {
    pub(super) fn new(stream: TcpStream, pace: Rc<Pace>) -> Self {
        Self { stream: TokioIo::new(stream), pace }
    }
}

impl Read for PacedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if read.is_ready() {
            self.pace.heard();
        }
        read
    }
}

impl Write for PacedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, from);
        self.pace.wrote(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, from);
        self.pace.wrote(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
