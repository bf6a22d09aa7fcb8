//! A request's body in a stream of HTTP/2, and what becomes of one that nobody wants: answering before it and resetting the
//! stream is allowed (RFC 9113, 8.1), but some clients that are still sending a small body lose the answer with it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use portreeve_config::Limits;

use super::held::Held;
use crate::policy::grpc;
use crate::server::alarm::Alarm;
use crate::server::rate::Rate;
use crate::server::request_body::BodyEnd;

/// How long an unwanted body is waited for.
const LINGER: Duration = Duration::from_millis(500);
/// A body up to this size is.
const UNWANTED: u64 = 64 * 1024;

/// A request's body as it comes in.
pub(in crate::server) struct Received {
    incoming: RefCell<Incoming>,
    /// It comes only when the client was told to go on.
    waits: bool,
    /// The client may leave pauses as long as it likes: calls of gRPC may rest, and so may whoever has its answer.
    may_rest: Cell<bool>,
    rate: RefCell<Rate>,
    /// Of the task that reads.
    alarm: Alarm,
    held: Rc<Held>,
}

impl Received {
    /// `None` when there is no body.
    pub(in crate::server) fn new(
        incoming: Incoming,
        fields: &HeaderMap,
        (limits, held): (&Limits, &Rc<Held>),
    ) -> Option<Rc<Self>> {
        if incoming.is_end_stream() {
            return None;
        }
        Some(Rc::new(Self {
            incoming: RefCell::new(incoming),
            waits: fields.contains_key(header::EXPECT),
            may_rest: Cell::new(grpc::Kind::of(fields).is_some()),
            rate: RefCell::new(Rate::new(limits)),
            alarm: Alarm::default(),
            held: Rc::clone(held),
        }))
    }

    /// The answer begins: from here on the client may rest.
    pub(super) fn is_answered(&self) {
        self.may_rest.set(true);
    }

    pub(in crate::server) fn is_end_stream(&self) -> bool {
        self.incoming.borrow().is_end_stream()
    }

    /// How much is still to come, where the client said it.
    pub(in crate::server) fn left(&self) -> Option<u64> {
        self.incoming.borrow().size_hint().exact()
    }

    pub(in crate::server) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        match Pin::new(&mut *self.incoming.borrow_mut()).poll_frame(cx) {
            Poll::Ready(frame) => {
                let length = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                let length = length.map_or(0, Bytes::len) as u64;
                self.rate.borrow_mut().moved(length);
                self.held.taken(length);
                Poll::Ready(frame.map(|frame| frame.map_err(|_| BodyEnd::Broken)))
            }
            Poll::Pending if self.may_rest.get() => Poll::Pending,
            Poll::Pending => {
                ready!(self.rate.borrow_mut().poll_too_slow(cx, &self.alarm));
                Poll::Ready(Some(Err(BodyEnd::Slow)))
            }
        }
    }

    /// The request was answered without anybody reading it. Reads over a small body that is on its way before the answer
    /// is sent; any other is reset behind it.
    pub(super) async fn let_go(this: Rc<Self>) {
        let is_on_its_way = !this.waits && this.left().is_some_and(|left| left <= UNWANTED);
        let Some(this) = Rc::into_inner(this).filter(|_| is_on_its_way) else { return };
        let (mut incoming, held) = (this.incoming.into_inner(), this.held);
        let skipping = async {
            while let Some(Ok(frame)) = incoming.frame().await {
                held.taken(frame.data_ref().map_or(0, Bytes::len) as u64);
            }
        };
        // However it ends, it ends now.
        let _ = tokio::time::timeout(LINGER, skipping).await;
    }
}
