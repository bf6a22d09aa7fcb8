//! An answer's body on its way into a stream of HTTP/2, counted so that it is known what the client has not taken.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::patience::State;
use crate::server::body::Outgoing;

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
    pub(super) body: Option<Outgoing>,
    pub(super) busy: Option<Busy>,
    pub(super) state: Rc<State>,
    /// Bytes of it that were handed over.
    pub(super) handed: u64,
}

impl Drop for Sent {
    fn drop(&mut self) {
        // What is left of an answer that the client gave up is never written: nobody waits for that.
        if self.body.is_some() {
            let given_up = self.state.unsent().min(self.handed);
            self.state.handed.set(self.state.handed.get() - given_up);
        }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            self.state.handed.set(self.state.handed.get() + length);
            self.handed += length;
        }
        if frame.is_none() || self.is_end_stream() {
            (self.body, self.busy) = (None, None);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
