//! A connection to an instance, and one call at a time by it. The call has no task of its own: whoever waits for the
//! answer sends the request's body meanwhile.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, StatusCode, response};
use http_body::{Body, Frame};

use super::chunks::{BodyFault, Decoder, Piece};
use super::encode::{self, Call};
use super::head::{self, Framing, HeadLimits};
use super::scan::Scan;
use crate::server::request_body::{BodyEnd, RequestBody};
use crate::server::wire::Wire;
use crate::server::worker::{Charge, Worker};

/// The head of an answer may not be larger.
const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 128, line: 32 * 1024, target: 0 };
/// Interim answers to one request.
const INTERIM: u8 = 32;

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum CallFault {
    /// The connection was dead before anything was sent.
    Unsent,
    /// It ended early.
    Reset,
    /// One stream of it ended early, and it stays open.
    StreamReset,
    /// What came back is no answer.
    Broken,
    /// It cannot switch to another protocol as it is spoken to.
    NoSwitch,
    /// The request's body could not be sent to its end.
    Body(BodyEnd),
}

/// A connection to an instance.
pub(in crate::server) struct Instance {
    wire: Wire,
    /// What is still to be sent of the request's body.
    body: Option<RequestBody>,
    framing: Framing,
    /// Nothing can be sent any more.
    is_deaf: bool,
    has_sent: bool,
    is_head: bool,
    interim: u8,
    scan: Scan,
    answer: Decoder,
    persists: bool,
    charge: Charge,
}

impl Instance {
    pub(in crate::server) fn new(wire: Wire, charge: Charge) -> Self {
        Self {
            wire,
            body: None,
            framing: Framing::Empty,
            is_deaf: false,
            has_sent: false,
            is_head: false,
            interim: 0,
            scan: Scan::default(),
            answer: Decoder::Done,
            persists: false,
            charge,
        }
    }

    /// Begins a call.
    pub(in crate::server) fn begin(&mut self, call: &Call<'_>, body: RequestBody) {
        self.framing = match body.size_hint().exact() {
            Some(0) => Framing::Empty,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        encode::request(self.wire.output(), call, self.framing);
        self.body = Some(body).filter(|_| self.framing != Framing::Empty);
        (self.is_head, self.has_sent, self.interim) = (*call.method == Method::HEAD, false, 0);
        (self.persists, self.scan, self.answer) = (false, Scan::default(), Decoder::Done);
    }

    /// The client's body, when the call came to nothing.
    pub(in crate::server) fn take_body(&mut self) -> Option<RequestBody> {
        self.body.take()
    }

    /// Sends what can be sent. Ready when all of the request is out, or nothing can be sent any more.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyEnd>> {
        loop {
            while self.wire.has_room()
                && let Some(body) = &mut self.body
            {
                match body.poll_piece(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => encode::piece(&mut self.wire, self.framing, data),
                        Err(frame) => {
                            let trailers = frame.into_trailers().ok();
                            self.end_body(trailers.as_ref());
                        }
                    },
                    Poll::Ready(Some(Err(end))) => return Poll::Ready(Err(end)),
                    Poll::Ready(None) => self.end_body(None),
                }
            }
            if self.wire.is_flushed() {
                return if self.body.is_none() { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            let before = self.wire.pending();
            let flushed = self.wire.poll_flush(cx);
            self.has_sent |= self.wire.pending() < before;
            match ready!(flushed) {
                Ok(()) => {}
                Err(_) => {
                    // An answer that came before the instance stopped listening still counts.
                    self.is_deaf = true;
                    if self.has_sent {
                        self.body = None;
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn end_body(&mut self, trailers: Option<&HeaderMap>) {
        encode::end(&mut self.wire, self.framing, trailers);
        self.body = None;
    }

    /// The answer's head. Interim answers (RFC 9110, 15.2) are handed to `interim` on the way.
    pub(in crate::server) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        interim: &mut dyn FnMut(&response::Parts),
    ) -> Poll<Result<Box<response::Parts>, CallFault>> {
        if !self.is_deaf
            && let Poll::Ready(Err(end)) = self.poll_send(cx)
        {
            return Poll::Ready(Err(CallFault::Body(end)));
        }
        loop {
            match head::answer(&mut self.wire.input, &mut self.scan, &LIMITS, self.is_head, || {
                worker.answer_head()
            }) {
                Err(_) => return Poll::Ready(Err(CallFault::Broken)),
                Ok(Some(head)) if is_interim(head.parts.status) => {
                    self.interim += 1;
                    if self.interim > INTERIM {
                        return Poll::Ready(Err(CallFault::Broken));
                    }
                    // The client was told to go on when its body was first asked for.
                    if head.parts.status != StatusCode::CONTINUE {
                        interim(&head.parts);
                    }
                }
                Ok(Some(head)) => {
                    self.answer = head.framing.into();
                    self.persists = head.persists;
                    return Poll::Ready(Ok(head.parts));
                }
                Ok(None) => {
                    let read = ready!(self.wire.poll_fill(cx));
                    if !matches!(read, Ok(1..)) {
                        return Poll::Ready(Err(self.ended_early()));
                    }
                    self.charge.set(self.wire.held());
                }
            }
        }
    }

    fn ended_early(&self) -> CallFault {
        match (self.is_deaf && !self.has_sent, self.wire.input.is_empty()) {
            (true, true) => CallFault::Unsent,
            (_, true) => CallFault::Reset,
            (_, false) => CallFault::Broken,
        }
    }

    /// The next piece of the answer's body.
    pub(in crate::server) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        // A client whose body breaks off has left; its connection notices.
        if !self.is_deaf
            && let Poll::Ready(Err(_)) = self.poll_send(cx)
        {
            (self.is_deaf, self.body) = (true, None);
        }
        loop {
            match self.answer.next(&mut self.wire.input) {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Piece::Trailers(fields)) => return Poll::Ready(Some(Ok(Frame::trailers(fields)))),
                Ok(Piece::End) => return Poll::Ready(None),
                Err(fault) => return Poll::Ready(Some(Err(fault))),
                Ok(Piece::NeedMore) => {}
            }
            match ready!(self.wire.poll_fill(cx)) {
                Ok(1..) => self.charge.set(self.wire.held()),
                Ok(0) => match self.answer.closed() {
                    Ok(()) => return Poll::Ready(None),
                    Err(fault) => return Poll::Ready(Some(Err(fault))),
                },
                Err(_) => return Poll::Ready(Some(Err(BodyFault))),
            }
        }
    }

    /// Whether some of the request is still to be sent.
    pub(in crate::server) fn still_sends(&self) -> bool {
        self.body.is_some() || !self.wire.is_flushed()
    }

    /// Whether the answer was read to its end.
    pub(in crate::server) fn is_answered(&self) -> bool {
        self.answer.is_done()
    }

    /// How many bytes of the answer are still to come, where that was said.
    pub(in crate::server) fn answer_left(&self) -> Option<u64> {
        self.answer.left()
    }

    /// Makes the connection ready for the next call, if it can have one: all was sent, all was read, and nothing came
    /// that nobody asked for.
    pub(in crate::server) fn rest(&mut self) -> bool {
        let is_whole = self.answer.is_done() && self.body.is_none() && self.wire.is_flushed();
        if !(self.persists && is_whole && !self.is_deaf && self.wire.input.is_empty()) {
            return false;
        }
        self.wire.trim();
        self.charge.set(self.wire.held());
        true
    }

    /// Whether an idle connection can be used, as far as can be known.
    pub(in crate::server) fn is_quiet(&mut self) -> bool {
        self.wire.is_quiet()
    }

    /// The connection itself, for a protocol that was switched to.
    pub(in crate::server) fn into_wire(self) -> Wire {
        self.wire
    }
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}
