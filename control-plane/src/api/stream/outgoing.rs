//! What was taken from a watcher's queue and is on its way to the socket: only so much of it, for the rest waits in the
//! queue, which is bounded.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};

use crate::server::Socket;

/// Pieces that are written at once.
const AT_ONCE: usize = 16;
/// With so many bytes nothing more is taken from the queue.
const ENOUGH: usize = 64 * 1024;

/// Pieces of lines.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// Whether the socket may hold something back.
    is_flushed: bool,
}

impl Outgoing {
    /// Whether another piece may come.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < ENOUGH && self.pieces.len() < AT_ONCE
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Whether everything was sent.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Writes until everything was sent.
    pub(super) fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        socket: &mut dyn Socket,
    ) -> Poll<io::Result<()>> {
        let mut socket = Pin::new(socket);
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(&[]); AT_ONCE];
            let count = self.pieces.len().min(AT_ONCE);
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                *slice = IoSlice::new(piece);
            }
            self.is_flushed = false;
            let written = match &slices[..count] {
                [one] => ready!(socket.as_mut().poll_write(context, one))?,
                several => ready!(socket.as_mut().poll_write_vectored(context, several))?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent(written);
        }
        if !self.is_flushed {
            ready!(socket.poll_flush(context))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn sent(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(piece) = self.pieces.front_mut() {
            if piece.len() > written {
                return piece.advance(written);
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
    }
}
