//! An answer's body on its way into a stream of HTTP/2, counted so that it is known what the client has not taken.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use super::patience::State;
use crate::server::body::Outgoing;

/// The most that is handed over at once, which is before the client has room for it: what is read of an instance at
/// once is no more.
const MOST_HANDED: usize = 64 * 1024;

/// A request that is not over.
pub(super) struct Busy(pub(super) Rc<State>);

impl Busy {
    pub(super) fn begin(state: &Rc<State>) -> Self {
        state.held.begin();
        Self(Rc::clone(state))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.held.end();
    }
}

/// An answer's body on its way into a stream.
pub(super) struct Sent {
    /// Let go of as soon as it has ended.
    body: Option<Outgoing>,
    busy: Option<Busy>,
    state: Rc<State>,
    /// What came of the body and was not handed over.
    rest: Bytes,
}

impl Sent {
    pub(super) fn new(body: Outgoing, busy: Busy) -> Self {
        let state = Rc::clone(&busy.0);
        Self { body: Some(body), busy: Some(busy), state, rest: Bytes::new() }
    }

    /// No body.
    pub(super) fn nothing(state: &Rc<State>) -> Self {
        Self { body: None, busy: None, state: Rc::clone(state), rest: Bytes::new() }
    }

    fn piece(&mut self, mut bytes: Bytes) -> Piece {
        if bytes.len() > MOST_HANDED {
            self.rest = bytes.split_off(MOST_HANDED);
        }
        self.state.handed(bytes.len());
        Piece { bytes, state: Rc::clone(&self.state) }
    }
}

impl Body for Sent {
    type Data = Piece;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Self::Error>>> {
        let this = &mut *self;
        let frame = match &mut this.body {
            None => return Poll::Ready(None),
            Some(_) if !this.rest.is_empty() => Some(Ok(Frame::data(std::mem::take(&mut this.rest)))),
            Some(body) => ready!(Pin::new(body).poll_frame(cx)),
        };
        let frame = frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| this.piece(bytes))));
        if frame.is_none() || this.is_end_stream() {
            (this.body, this.busy) = (None, None);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.body.as_ref().map_or(Some(0), |body| body.size_hint().exact());
        let left = left.map(|left| left + self.rest.len() as u64);
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A piece of an answer in hyper's hands, counted until it is written or hyper lets go of it, as it does when the client
/// gives the answer up.
pub(super) struct Piece {
    bytes: Bytes,
    state: Rc<State>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.state.written(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.state.dropped(self.bytes.len());
    }
}
