//! Bodies on their way through: a client's towards an instance, and an answer's towards the client.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::pace::Busy;
use super::upstream::Connection;
use crate::pipeline::{Exchange, Fill};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A client's body, counted against the route's limit.
pub(super) struct RequestBody {
    incoming: Option<Incoming>,
    left: u64,
    end: Rc<Cell<BodyEnd>>,
}

/// How far a client's body has come, for whoever has to say why the attempt failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// It has come whole, or there is none.
    #[default]
    Whole,
    /// Some of it is still to come.
    UnderWay,
    /// It was larger than allowed.
    TooLarge,
    /// The client stopped sending.
    Broken,
}

impl RequestBody {
    pub(super) fn none() -> Self {
        Self { incoming: None, left: 0, end: Rc::default() }
    }

    pub(super) fn new(incoming: Incoming, limit: u64, end: Rc<Cell<BodyEnd>>) -> Self {
        end.set(BodyEnd::UnderWay);
        Self { incoming: Some(incoming), left: limit, end }
    }

    /// The client's body back, when nothing of it was read yet.
    pub(super) fn into_incoming(self) -> Option<Incoming> {
        self.incoming
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        match ready!(Pin::new(incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                match self.left.checked_sub(length) {
                    Some(left) => self.left = left,
                    None => {
                        self.end.set(BodyEnd::TooLarge);
                        return Poll::Ready(Some(Err("the body is larger than the route takes".into())));
                    }
                }
                // A body of known length is not asked again after its last piece.
                if self.is_end_stream() {
                    self.end.set(BodyEnd::Whole);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.end.set(BodyEnd::Broken);
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                self.end.set(BodyEnd::Whole);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// An answer's body on its way to the client. Dropping it ends the exchange, whether all was sent or not.
pub(super) struct Outgoing {
    source: Source,
    fill: Option<Fill>,
    exchange: Exchange,
    busy: Option<Busy>,
}

enum Source {
    /// A body that is in memory; taken when it was sent.
    Memory(Option<Bytes>),
    /// An instance's answer as it comes in, and the connection it comes by.
    Instance(Incoming, Option<Connection>),
}

impl Outgoing {
    pub(super) fn memory(body: Bytes, exchange: Exchange) -> Self {
        let body = Some(body).filter(|body| !body.is_empty());
        Self { source: Source::Memory(body), fill: None, exchange, busy: None }
    }

    pub(super) fn instance(
        incoming: Incoming,
        connection: Connection,
        fill: Option<Fill>,
        exchange: Exchange,
    ) -> Self {
        let mut body =
            Self { source: Source::Instance(incoming, Some(connection)), fill, exchange, busy: None };
        if body.is_end_stream() {
            body.ended();
        }
        body
    }

    /// Holds on to the sign that a request is in flight.
    pub(super) fn keep_until_sent(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }

    /// The instance's answer has come whole.
    fn ended(&mut self) {
        if let Source::Instance(_, connection) = &mut self.source
            && let Some(connection) = connection.take()
        {
            connection.give_back();
        }
        if let Some(fill) = self.fill.take() {
            fill.complete();
        }
    }

    fn passed(&mut self, piece: &Bytes) {
        self.exchange.sent(piece.len() as u64);
        if self.fill.as_mut().is_some_and(|fill| !fill.push(piece)) {
            self.fill = None;
        }
        // A body of known length is never polled again after its last piece.
        if self.is_end_stream() {
            self.ended();
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Source::Instance(_, Some(_)) = self.source {
            self.exchange.client_left();
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let frame = match &mut this.source {
            Source::Memory(body) => body.take().map(|body| Ok(Frame::data(body))),
            Source::Instance(incoming, _) => ready!(Pin::new(incoming).poll_frame(cx)),
        };
        match frame {
            Some(Ok(frame)) => {
                if let Some(piece) = frame.data_ref() {
                    this.passed(piece);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                // A body that broke off is not kept; the client's connection is closed, so that it sees the break.
                this.fill = None;
                this.exchange.answer_broke_off();
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                this.ended();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Memory(body) => body.is_none(),
            Source::Instance(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Memory(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Source::Instance(incoming, _) => incoming.size_hint(),
        }
    }
}
