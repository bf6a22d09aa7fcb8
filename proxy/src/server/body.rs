//! Bodies on their way through: a client's towards an instance, and an answer's towards the client, whatever is spoken
//! on either side.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use portreeve_config::Period;

use super::alarm::Alarm;
use super::h1::Upload;
use super::received::Received;
use super::upstream::Answer;
use crate::pipeline::{Exchange, Fill};
use crate::plane::Pinned;
use crate::policy::grpc::web::{RequestTranslator, ResponseTranslator};
use crate::policy::headers;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where a client's body comes from.
pub(super) enum Source {
    /// There is none.
    None,
    /// An HTTP/1 connection.
    H1(Upload),
    /// A stream of HTTP/2.
    H2(Rc<Received>),
}

impl Source {
    /// Whether there is a body at all.
    pub(super) fn exists(&self) -> bool {
        match self {
            Self::None => false,
            Self::H1(upload) => !upload.is_done(),
            Self::H2(received) => !received.is_end_stream(),
        }
    }

    /// Its length, where the client said it.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::H1(upload) => upload.left(),
            Self::H2(received) => received.left(),
        }
    }
}

/// A client's body, counted against the route's limit.
pub(super) struct RequestBody {
    source: Source,
    /// Only a body has some.
    rules: Option<Rules>,
    left: u64,
    translator: Option<RequestTranslator>,
    is_touched: bool,
    has_ended: bool,
}

/// What holds for a client's body through all attempts.
#[derive(Clone)]
pub(super) struct Rules {
    pinned: Arc<Pinned>,
    limit: u64,
    end: Rc<Cell<BodyEnd>>,
}

impl Rules {
    pub(super) fn of(exchange: &Exchange) -> Self {
        Self { pinned: Arc::clone(exchange.pinned()), limit: exchange.max_body(), end: Rc::default() }
    }

    /// How far the body has come.
    pub(super) fn end(&self) -> BodyEnd {
        self.end.get()
    }

    /// What a client cannot say before its body it cannot say after it either.
    fn cleanse(&self, trailers: &mut HeaderMap) {
        let auth = self.pinned.snapshot.auth.as_deref();
        headers::remove_where(trailers, |name| {
            !headers::may_trail(name) || auth.is_some_and(|auth| auth.strips(name))
        });
    }
}

/// How far a client's body has come, for whoever has to say why the attempt failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// It has come whole, or there is none.
    #[default]
    Whole,
    /// Some of it is still to come, and was not asked for yet.
    UnderWay,
    /// The client is waited for.
    Awaited,
    /// It was larger than allowed.
    TooLarge,
    /// The client sent too slowly.
    Slow,
    /// The client stopped sending, or broke the rules of framing.
    Broken,
}

impl RequestBody {
    pub(super) fn none() -> Self {
        Self {
            source: Source::None,
            rules: None,
            left: 0,
            translator: None,
            is_touched: false,
            has_ended: true,
        }
    }

    pub(super) fn new(source: Source, rules: Rules, translator: Option<RequestTranslator>) -> Self {
        rules.end.set(BodyEnd::UnderWay);
        let left = rules.limit;
        Self { source, rules: Some(rules), left, translator, is_touched: false, has_ended: false }
    }

    /// The client's body back, when nothing of it was read yet.
    pub(super) fn into_source(self) -> Option<(Source, Option<RequestTranslator>)> {
        (!self.is_touched).then_some((self.source, self.translator))
    }

    fn ends(&mut self, how: BodyEnd) {
        self.has_ended = true;
        self.comes(how);
    }

    fn comes(&self, how: BodyEnd) {
        if let Some(rules) = &self.rules {
            rules.end.set(how);
        }
    }

    /// The next piece, or how it failed.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        self.is_touched = true;
        if self.has_ended {
            return Poll::Ready(None);
        }
        let piece = match &mut self.source {
            Source::None => Poll::Ready(None),
            Source::H1(upload) => upload.poll(cx),
            Source::H2(received) => {
                received.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|_| BodyEnd::Broken)))
            }
        };
        let Poll::Ready(piece) = piece else {
            self.comes(BodyEnd::Awaited);
            return Poll::Pending;
        };
        self.comes(BodyEnd::UnderWay);
        let piece = piece.map(|frame| frame.and_then(|frame| self.taken(frame)));
        match &piece {
            Some(Ok(_)) if !self.is_whole() => {}
            // A body of known length is not asked again after its last piece.
            Some(Ok(_)) | None => match self.translator.as_ref().map(RequestTranslator::finish) {
                Some(Err(_)) => {
                    self.ends(BodyEnd::Broken);
                    return Poll::Ready(Some(Err(BodyEnd::Broken)));
                }
                _ => self.ends(BodyEnd::Whole),
            },
            Some(Err(how)) => self.ends(*how),
        }
        Poll::Ready(piece)
    }

    fn taken(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyEnd> {
        match frame.into_data() {
            Ok(data) => {
                self.left = self.left.checked_sub(data.len() as u64).ok_or(BodyEnd::TooLarge)?;
                let data = match &mut self.translator {
                    Some(translator) => translator.push(data).map_err(|_| BodyEnd::Broken)?,
                    None => data,
                };
                Ok(Frame::data(data))
            }
            Err(frame) => {
                let mut trailers = frame.into_trailers().unwrap_or_default();
                if let Some(rules) = &self.rules {
                    rules.cleanse(&mut trailers);
                }
                Ok(Frame::trailers(trailers))
            }
        }
    }

    /// Whether all of it was read.
    fn is_whole(&self) -> bool {
        !self.source.exists()
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
        self.has_ended || self.is_whole()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.translator {
            // Its length changes on the way.
            Some(_) => SizeHint::default(),
            None => self.source.length().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

/// An answer's body on its way to the client. Dropping it ends the exchange, whether all was sent or not.
pub(super) struct Outgoing {
    source: From,
    fill: Option<Fill>,
    translator: Option<ResponseTranslator>,
    /// When the caller's time is over, or the request's.
    ends: Option<Box<(Instant, Alarm)>>,
    exchange: Box<Exchange>,
}

enum From {
    /// A body that is in memory.
    Memory(Bytes),
    /// An instance's answer as it comes in.
    Instance(Answer),
    /// All was taken.
    Ended,
}

impl Outgoing {
    pub(super) fn memory(body: Bytes, exchange: Box<Exchange>) -> Self {
        let source = if body.is_empty() { From::Ended } else { From::Memory(body) };
        Self { source, fill: None, translator: None, ends: None, exchange }
    }

    /// `age` is how long any request may take in all.
    pub(super) fn instance(
        answer: Answer,
        fill: Option<Fill>,
        mut exchange: Box<Exchange>,
        age: Option<Period>,
    ) -> Self {
        let oldest = age.map(|_| exchange.oldest(age));
        let ends = [exchange.call_deadline(), oldest].into_iter().flatten().min();
        let ends = ends.map(|ends| Box::new((ends, Alarm::default())));
        let translator = exchange.take_translator();
        let mut body = Self { source: From::Instance(answer), fill, translator, ends, exchange };
        if body.is_end_stream() {
            body.ended();
        }
        body
    }

    /// When the request was there.
    pub(super) fn asked_at(&self) -> Instant {
        self.exchange.asked_at()
    }

    /// Whether the request's body is still being sent while the answer comes in.
    pub(super) fn still_sends(&self) -> bool {
        matches!(&self.source, From::Instance(answer) if answer.still_sends())
    }

    /// The instance's answer has come whole.
    fn ended(&mut self) {
        if let From::Instance(mut answer) = std::mem::replace(&mut self.source, From::Ended) {
            answer.give_back();
        }
        if let Some(fill) = self.fill.take() {
            fill.complete();
        }
    }

    /// The next piece as the source gives it.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.source {
            From::Ended => Poll::Ready(None),
            From::Memory(body) => {
                let body = std::mem::take(body);
                self.source = From::Ended;
                Poll::Ready(Some(Ok(Frame::data(body))))
            }
            From::Instance(answer) => match answer.poll_frame(cx) {
                Poll::Pending => self.poll_too_late(cx),
                frame => frame,
            },
        }
    }

    /// A caller whose time is over is told so.
    fn poll_too_late(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some((ends, alarm)) = self.ends.as_deref() else { return Poll::Pending };
        ready!(alarm.poll(cx, *ends));
        // The instance's connection is closed: what it still says has no reader.
        (self.source, self.fill) = (From::Ended, None);
        if self.exchange.call_deadline().is_none() {
            self.translator = None;
            self.exchange.too_old();
            return Poll::Ready(Some(Err("the request has taken too long".into())));
        }
        let trailers = self.exchange.too_late();
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    /// Counts and keeps a piece.
    fn passed(&mut self, frame: &Frame<Bytes>) {
        if let Some(piece) = frame.data_ref() {
            self.exchange.sent(piece.len() as u64);
            if self.fill.as_mut().is_some_and(|fill| !fill.push(piece)) {
                self.fill = None;
            }
        }
        // A body of known length is never polled again after its last piece.
        if matches!(&self.source, From::Instance(answer) if answer.is_whole()) {
            self.ended();
        }
    }

    /// What the client gets for what came.
    fn translated(&mut self, frame: Option<Frame<Bytes>>) -> Option<Frame<Bytes>> {
        let Some(translator) = &mut self.translator else { return frame };
        match frame.map(Frame::into_data) {
            Some(Ok(data)) => Some(Frame::data(translator.data(data))),
            Some(Err(frame)) => {
                let last = translator.trailers(frame.into_trailers().ok().as_ref());
                self.translator = None;
                Some(Frame::data(last))
            }
            None => {
                let last = translator.trailers(None);
                self.translator = None;
                Some(last).filter(|last| !last.is_empty()).map(Frame::data)
            }
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
        match ready!(this.poll_source(cx)) {
            Some(Ok(frame)) => {
                this.passed(&frame);
                Poll::Ready(this.translated(Some(frame)).map(Ok))
            }
            Some(Err(error)) => {
                // A body that broke off is not kept; the client's connection is closed, so that it sees the break.
                (this.fill, this.translator) = (None, None);
                if !matches!(this.source, From::Ended) {
                    this.exchange.answer_broke_off();
                }
                Poll::Ready(Some(Err(error)))
            }
            None => {
                this.ended();
                Poll::Ready(this.translated(None).map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.translator.is_none()
            && match &self.source {
                From::Memory(_) => false,
                From::Instance(answer) => answer.is_whole(),
                From::Ended => true,
            }
    }

    fn size_hint(&self) -> SizeHint {
        let exact = match &self.source {
            // Its length changes on the way.
            _ if self.translator.is_some() => None,
            From::Memory(body) => Some(body.len() as u64),
            From::Instance(answer) => answer.left(),
            From::Ended => Some(0),
        };
        exact.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
