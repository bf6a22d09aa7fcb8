//! An answer's body on its way to the client, whoever gave it: counted, kept where it may be, translated where the route
//! wants that, and ended when the caller's time is over.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::response;
use http_body::{Body, Frame, SizeHint};
use portreeve_config::Period;

use super::alarm::Alarm;
use super::upstream::Answer;
use crate::pipeline::{Exchange, Fill};
use crate::policy::grpc::web::ResponseTranslator;

/// An answer as the client gets it.
pub(super) type Reply = (Box<response::Parts>, Outgoing);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An answer's body on its way to the client. Dropping it ends the exchange, whether all was sent or not.
pub(super) struct Outgoing {
    source: From,
    /// Few answers are kept or translated; for those that are not these two would only make a larger thing to hand on.
    fill: Option<Box<Fill>>,
    translator: Option<Box<ResponseTranslator>>,
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
        fill: Option<Box<Fill>>,
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
        // Looked at first: an instance that is faster than the client always has more to give.
        if matches!(self.source, From::Instance(_)) && self.poll_time(cx).is_ready() {
            return Poll::Ready(self.too_late());
        }
        match &mut self.source {
            From::Ended => Poll::Ready(None),
            From::Memory(body) => {
                let body = std::mem::take(body);
                self.source = From::Ended;
                Poll::Ready(Some(Ok(Frame::data(body))))
            }
            From::Instance(answer) => answer.poll_frame(cx),
        }
    }

    /// Ready when the caller's time is over, or the request's.
    fn poll_time(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.ends.as_deref() {
            Some((ends, alarm)) => alarm.poll(cx, *ends),
            None => Poll::Pending,
        }
    }

    /// The same while the client does not take what it was given: nobody can be told then.
    pub(super) fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_time(cx));
        let _ = self.too_late();
        Poll::Ready(())
    }

    /// A caller whose time is over is told so.
    fn too_late(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        // The instance's connection is closed: what it still says has no reader.
        (self.source, self.fill) = (From::Ended, None);
        if self.exchange.call_deadline().is_none() {
            self.translator = None;
            self.exchange.too_old();
            return Some(Err("the request has taken too long".into()));
        }
        let trailers = self.exchange.too_late();
        Some(Ok(Frame::trailers(trailers)))
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
        match &self.source {
            From::Instance(answer) if answer.is_whole() => {}
            // All that was announced has come; in HTTP/2 its end may be a frame of its own, which nobody waits for.
            From::Instance(answer) if answer.left() == Some(0) => self.ended(),
            From::Instance(_) => self.exchange.client_left(),
            From::Memory(_) | From::Ended => {}
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
