//! What holds for any begin of a connection that is passed through: one name, however the bytes arrive.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};

use super::greeting::{self, Greeting};

/// A TLS greeting.
pub fn greeting(bytes: &[u8]) {
    let whole = read(bytes, bytes.len().max(1));
    for size in [1, 2, 5, 100] {
        let pieces = read(bytes, size);
        assert_eq!(pieces.is_some(), whole.is_some(), "in pieces of {size}");
        if let (Some(pieces), Some(whole)) = (pieces, &whole) {
            assert_eq!(pieces.name, whole.name, "in pieces of {size}");
            assert!(bytes.starts_with(&pieces.bytes), "a byte was lost on the way to the instance");
        }
    }
    if let Some(whole) = whole {
        assert!(bytes.starts_with(&whole.bytes), "a byte was lost on the way to the instance");
        assert!(whole.name.is_none_or(|name| !name.is_empty()));
    }
}

/// Reads a greeting that arrives in pieces of `size` bytes.
fn read(bytes: &[u8], size: usize) -> Option<Greeting> {
    let mut from = Pieces { rest: bytes, size };
    match pin!(greeting::read(&mut from)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(greeting) => greeting,
        // Nothing here ever waits.
        Poll::Pending => None,
    }
}

struct Pieces<'a> {
    rest: &'a [u8],
    size: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (piece, rest) = self.rest.split_at(self.size.min(room.remaining()).min(self.rest.len()));
        room.put_slice(piece);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}
