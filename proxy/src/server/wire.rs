//! A connection with its buffers: what was read and not understood yet, and what is to be written.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::task::unconstrained;

use super::stream::Stream;

/// What a connection reads at once: as much as a head, and often a whole small message, at first; more with every
/// read that finds as much as was asked for.
const LEAST_READ: usize = 4 * 1024;
const MOST_READ: usize = 64 * 1024;
/// Pieces up to this size are copied behind what is to be written already; larger ones go out from where they are.
const COPIED: usize = 4 * 1024;

/// A connection with its buffers.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    /// Read, and not taken yet.
    pub(super) input: BytesMut,
    /// What the next read asks for.
    step: usize,
    /// To be written first, from `written` on.
    output: Vec<u8>,
    written: usize,
    /// To be written then.
    piece: Bytes,
    /// To be written last.
    tail: &'static [u8],
    /// TLS has taken what was written, and may still hold on to some of it.
    is_held_back: bool,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        let (input, output) = (BytesMut::new(), Vec::new());
        let piece = Bytes::new();
        Self { stream, input, step: LEAST_READ, output, written: 0, piece, tail: b"", is_held_back: false }
    }

    /// Reads once; 0 is the peer's end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // To the buffer's begin, if nobody holds on to what was read before: the memory that was used last is near the
        // processor, and what lies behind it is not.
        let is_whole = self.input.is_empty() && self.input.try_reclaim(self.step);
        if !is_whole && self.input.capacity() - self.input.len() < self.step / 4 {
            self.input.reserve(self.step);
        }
        let room = self.input.capacity() - self.input.len();
        let count = ready!(pin!(self.stream.read_buf(&mut self.input)).poll(cx))?;
        if count == room {
            self.step = (self.step * 4).min(MOST_READ);
        }
        Poll::Ready(Ok(count))
    }

    /// The same for a connection that may be idle for long: there is no buffer before there is something to read.
    pub(super) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Stream::Plain(socket) = &self.stream {
            ready!(socket.poll_read_ready(cx))?;
        }
        let read = self.poll_fill(cx);
        if read.is_pending() {
            self.input = BytesMut::new();
        }
        read
    }

    /// Where small things are put that are to be written. What was put there by [`Wire::put`] must be out before.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.piece.is_empty() && self.tail.is_empty(), "nothing overtakes a piece");
        &mut self.output
    }

    /// Puts a piece of a body behind [`Wire::output`], and `tail` behind it.
    pub(super) fn put(&mut self, piece: Bytes, tail: &'static [u8]) {
        debug_assert!(self.piece.is_empty() && self.tail.is_empty(), "one piece at a time");
        if piece.len() <= COPIED {
            self.output.extend_from_slice(&piece);
            self.output.extend_from_slice(tail);
        } else {
            (self.piece, self.tail) = (piece, tail);
        }
    }

    /// Whether more can be put without holding on to much.
    pub(super) fn has_room(&self) -> bool {
        self.piece.is_empty() && self.tail.is_empty() && self.output.len() - self.written < COPIED
    }

    /// Bytes that are still to be written.
    pub(super) fn pending(&self) -> usize {
        self.output.len() - self.written + self.piece.len() + self.tail.len()
    }

    /// Whether everything is on its way.
    pub(super) fn is_flushed(&self) -> bool {
        self.is_written() && !self.is_held_back
    }

    fn is_written(&self) -> bool {
        self.written == self.output.len() && self.piece.is_empty() && self.tail.is_empty()
    }

    /// Writes all there is; ready when it is out.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_written() {
            let rest = &self.output[self.written..];
            let count = if self.piece.is_empty() && self.tail.is_empty() {
                ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?
            } else {
                let parts = [IoSlice::new(rest), IoSlice::new(&self.piece), IoSlice::new(self.tail)];
                ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &parts))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.is_held_back = true;
            self.advance(count);
        }
        if self.is_held_back {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.is_held_back = false;
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, count: usize) {
        let first = count.min(self.output.len() - self.written);
        self.written += first;
        let second = (count - first).min(self.piece.len());
        self.piece.advance(second);
        self.tail = &self.tail[count - first - second..];
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
        }
    }

    /// Says that nothing more will be written.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// Whether an idle connection is still open and silent, as far as can be known without waiting. One that is not
    /// cannot be used any more.
    pub(super) fn is_quiet(&mut self) -> bool {
        if !self.input.is_empty() {
            return false;
        }
        match &self.stream {
            Stream::Plain(socket) => socket.is_silent(),
            // It may have read, and not given out yet. Tokio calls a socket silent whose task has looked at many.
            _ => {
                let looking = poll_fn(|cx| Poll::Ready(self.poll_fill(cx).is_pending()));
                let looked = pin!(unconstrained(looking)).poll(&mut Context::from_waker(Waker::noop()));
                looked == Poll::Ready(true)
            }
        }
    }

    /// Whether the peer has ended its half, as far as the operating system has said; also while something is unread.
    pub(super) fn has_left(&self) -> bool {
        match &self.stream {
            Stream::Plain(socket) => socket.has_ended(),
            Stream::Tls(stream) => stream.get_ref().0.has_ended(),
            Stream::Upgraded(_) => false,
        }
    }

    /// Gives back memory that a long message needed.
    pub(super) fn trim(&mut self) {
        if self.held() > 4 * LEAST_READ {
            self.shrink();
        }
    }

    /// Gives back the memory of empty buffers.
    pub(super) fn shrink(&mut self) {
        self.step = LEAST_READ;
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        if self.is_written() {
            self.output = Vec::new();
            self.written = 0;
        }
        self.piece = Bytes::new();
    }

    /// Bytes that the buffers hold on to.
    pub(super) fn held(&self) -> usize {
        self.input.capacity() + self.output.capacity() + self.piece.len()
    }

    /// The connection, and what was read of it and not taken.
    pub(super) fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.input)
    }
}
