//! Bodies on their way through: a client's towards an instance, and an answer's towards the client, whatever is spoken
//! on either side.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::h1::Client;
use super::upstream::Answer;
use crate::pipeline::{Exchange, Fill};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where a client's body comes from.
pub(super) enum Source {
    /// There is none.
    None,
    /// An HTTP/1 connection.
    H1(Rc<Client>),
    /// A stream of HTTP/2.
    H2(Incoming),
}

impl Source {
    /// Whether there is a body at all.
    pub(super) fn exists(&self) -> bool {
        match self {
            Self::None => false,
            Self::H1(client) => !client.is_body_done(),
            Self::H2(incoming) => !incoming.is_end_stream(),
        }
    }

    /// Its length, where the client said it.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::H1(client) => client.body_left(),
            Self::H2(incoming) => incoming.size_hint().exact(),
        }
    }
}

/// A client's body, counted against the route's limit.
pub(super) struct RequestBody {
    source: Source,
    left: u64,
    end: Option<Rc<Cell<BodyEnd>>>,
    is_touched: bool,
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
    /// The client sent too slowly.
    Slow,
    /// The client stopped sending, or broke the rules of framing.
    Broken,
}

impl RequestBody {
    pub(super) fn none() -> Self {
        Self { source: Source::None, left: 0, end: None, is_touched: false }
    }

    pub(super) fn new(source: Source, limit: u64, end: Rc<Cell<BodyEnd>>) -> Self {
        end.set(BodyEnd::UnderWay);
        Self { source, left: limit, end: Some(end), is_touched: false }
    }

    /// The client's body back, when nothing of it was read yet.
    pub(super) fn into_source(self) -> Option<Source> {
        (!self.is_touched).then_some(self.source)
    }

    fn ends(&self, how: BodyEnd) {
        if let Some(end) = &self.end {
            end.set(how);
        }
    }

    /// The next piece, or how it failed.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        self.is_touched = true;
        let piece = match &mut self.source {
            Source::None => return Poll::Ready(None),
            Source::H1(client) => ready!(client.poll_body(cx)),
            Source::H2(incoming) => {
                ready!(Pin::new(incoming).poll_frame(cx)).map(|frame| frame.map_err(|_| BodyEnd::Broken))
            }
        };
        let length = match &piece {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len) as u64,
            Some(Err(how)) => {
                self.ends(*how);
                return Poll::Ready(Some(Err(*how)));
            }
            None => {
                self.ends(BodyEnd::Whole);
                return Poll::Ready(None);
            }
        };
        match self.left.checked_sub(length) {
            Some(left) => self.left = left,
            None => {
                self.ends(BodyEnd::TooLarge);
                return Poll::Ready(Some(Err(BodyEnd::TooLarge)));
            }
        }
        // A body of known length is not asked again after its last piece.
        if self.is_end_stream() {
            self.ends(BodyEnd::Whole);
        }
        Poll::Ready(piece)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let piece = ready!(self.get_mut().poll_piece(cx));
        Poll::Ready(piece.map(|piece| piece.map_err(|_| "the client's body broke off".into())))
    }

    fn is_end_stream(&self) -> bool {
        !self.source.exists()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// An answer's body on its way to the client. Dropping it ends the exchange, whether all was sent or not.
pub(super) struct Outgoing {
    source: From,
    fill: Option<Fill>,
    exchange: Exchange,
}

enum From {
    /// A body that is in memory; taken when it was sent.
    Memory(Option<Bytes>),
    /// An instance's answer as it comes in.
    Instance(Answer),
}

impl Outgoing {
    pub(super) fn memory(body: Bytes, exchange: Exchange) -> Self {
        let body = Some(body).filter(|body| !body.is_empty());
        Self { source: From::Memory(body), fill: None, exchange }
    }

    pub(super) fn instance(answer: Answer, fill: Option<Fill>, exchange: Exchange) -> Self {
        let mut body = Self { source: From::Instance(answer), fill, exchange };
        if body.is_end_stream() {
            body.ended();
        }
        body
    }

    /// Whether the request's body is still being sent while the answer comes in.
    pub(super) fn still_sends(&self) -> bool {
        matches!(&self.source, From::Instance(answer) if answer.still_sends())
    }

    /// The instance's answer has come whole.
    fn ended(&mut self) {
        if let From::Instance(answer) = &mut self.source {
            answer.give_back();
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
        if matches!(&self.source, From::Instance(answer) if !answer.is_whole()) {
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
            From::Memory(body) => body.take().map(|body| Ok(Frame::data(body))),
            From::Instance(answer) => ready!(answer.poll_frame(cx)),
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
                Poll::Ready(Some(Err(error)))
            }
            None => {
                this.ended();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            From::Memory(body) => body.is_none(),
            From::Instance(answer) => answer.is_whole(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let exact = match &self.source {
            From::Memory(body) => Some(body.as_ref().map_or(0, |body| body.len() as u64)),
            From::Instance(answer) => answer.left(),
        };
        exact.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
