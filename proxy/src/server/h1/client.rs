//! A client's connection while a request is under way: its body is read by whoever sends it on, interim answers are
//! written between, and it is noticed when the client leaves.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::response;
use http_body::Frame;

use super::chunks::{Decoder, Piece};
use super::encode;
use super::head::{Framing, RequestHead};
use crate::policy::headers;
use crate::server::alarm::Alarm;
use crate::server::rate::Rate;
use crate::server::request_body::BodyEnd;
use crate::server::visit::Visit;
use crate::server::wire::Wire;

/// What is read ahead of a client while its request is under way.
const READ_AHEAD: usize = 16 * 1024;
/// How often it is looked whether a client is there that has sent more than that.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// What is read of a body that nobody wants, so that the client hears why.
const UNWANTED: usize = 256 * 1024;
/// How long that may take.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// A client's connection. Its own task uses it, and so does whoever reads a request's body: where the instance speaks
/// HTTP/2 that is another task.
pub(in crate::server) struct Client {
    pub(super) wire: RefCell<Wire>,
    pub(super) alarm: Alarm,
    body: RefCell<Decoder>,
    /// The body's reader. A reader of another one is told that its body has broken off.
    upload: Cell<u64>,
    /// The connection's task, where it has to look after the client once the body was read.
    awaits_body: RefCell<Option<Waker>>,
    /// The client waits for a word before it sends its body (RFC 9110, 10.1.1).
    waits: Cell<bool>,
    understands_interim: Cell<bool>,
    uploads: RefCell<Rate>,
    pub(super) downloads: RefCell<Rate>,
    charge: crate::server::worker::Charge,
}

impl Client {
    pub(in crate::server) fn new(wire: Wire, visit: &Visit) -> Self {
        Self {
            wire: RefCell::new(wire),
            alarm: Alarm::default(),
            body: RefCell::new(Decoder::Done),
            upload: Cell::new(0),
            awaits_body: RefCell::default(),
            waits: Cell::new(false),
            understands_interim: Cell::new(false),
            uploads: RefCell::new(Rate::new(&visit.limits)),
            downloads: RefCell::new(Rate::new(&visit.limits)),
            charge: visit.worker.charge(),
        }
    }

    /// A request's head was read.
    pub(super) fn begin(&self, head: &RequestHead, visit: &Visit) {
        self.charge.set(self.wire.borrow().held());
        self.understands_interim.set(head.parts.version == http::Version::HTTP_11);
        if head.framing != Framing::Empty {
            *self.body.borrow_mut() = head.framing.into();
            self.waits.set(head.expects_continue);
            *self.uploads.borrow_mut() = Rate::new(&visit.limits);
        }
    }

    fn is_body_done(&self) -> bool {
        self.body.borrow().is_done()
    }

    /// Whether nothing more of the body will come, and not all of it has.
    pub(super) fn has_broken_off(&self) -> bool {
        self.body.borrow().has_failed()
    }

    /// Whoever still reads the body reads no more of it.
    fn end_upload(&self) {
        self.upload.set(self.upload.get() + 1);
    }

    /// The next piece of the request's body.
    fn poll_body(&self, cx: &mut Context<'_>, alarm: &Alarm) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        let (mut wire, mut body) = (self.wire.borrow_mut(), self.body.borrow_mut());
        loop {
            match body.next(&mut wire.input) {
                Ok(Piece::Data(data)) => {
                    // It did not wait for the word.
                    self.waits.set(false);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Piece::Trailers(fields)) => return Poll::Ready(Some(Ok(Frame::trailers(fields)))),
                Ok(Piece::End) => return Poll::Ready(None),
                Ok(Piece::NeedMore) => {}
                Err(_) => return Poll::Ready(Some(Err(BodyEnd::Broken))),
            }
            if self.waits.take() {
                wire.output().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                // What cannot be written now is written while the answer is waited for.
                let _ = wire.poll_flush(cx);
            }
            match wire.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => {
                    // Not the end of a request's body, whatever its framing.
                    *body = Decoder::Failed;
                    return Poll::Ready(Some(Err(BodyEnd::Broken)));
                }
                Poll::Ready(Ok(count)) => {
                    self.uploads.borrow_mut().moved(count as u64);
                    self.charge.set(wire.held());
                }
                Poll::Pending => {
                    ready!(self.uploads.borrow_mut().poll_too_slow(cx, alarm));
                    *body = Decoder::Failed;
                    return Poll::Ready(Some(Err(BodyEnd::Slow)));
                }
            }
        }
    }

    /// Tells the client of an interim answer (RFC 9110, 15.2).
    pub(in crate::server) fn interim(&self, answer: &response::Parts) {
        let mut wire = self.wire.borrow_mut();
        // A client that takes nothing gets no more of them.
        if self.understands_interim.get() && wire.has_room() {
            let mut fields = answer.headers.clone();
            headers::remove_hop_by_hop(&mut fields, |_| false);
            let out = wire.output();
            encode::answer(out, answer.status, &fields, Framing::Empty);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// While an answer is waited for: writes interim answers, and is ready when the client has left. Its next
    /// requests may come meanwhile; they are kept.
    pub(super) fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut wire = self.wire.borrow_mut();
        if !wire.is_flushed() && matches!(wire.poll_flush(cx), Poll::Ready(Err(_))) {
            return Poll::Ready(());
        }
        if !self.is_body_done() {
            // Its reader notices, and wakes this task when the body has ended; but it does not read while the instance
            // takes nothing.
            *self.awaits_body.borrow_mut() = Some(cx.waker().clone());
            return self.poll_gone(cx, &wire);
        }
        while wire.input.len() < READ_AHEAD {
            match ready!(wire.poll_fill(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => self.charge.set(wire.held()),
            }
        }
        // More is not read ahead.
        self.poll_gone(cx, &wire)
    }

    /// Ready when the client has left. That is known without reading, but nobody is woken for it.
    fn poll_gone(&self, cx: &mut Context<'_>, wire: &Wire) -> Poll<()> {
        while !wire.has_left() {
            ready!(self.alarm.poll(cx, Instant::now() + LOOK_AFTER));
        }
        Poll::Ready(())
    }

    /// Reads over what has come of a body that nobody wants. Whether that was all of it.
    pub(super) fn skip_body(&self) -> bool {
        self.end_upload();
        let (mut wire, mut body) = (self.wire.borrow_mut(), self.body.borrow_mut());
        // A client that was not told to go on sends nothing, or everything: both cannot be right.
        if self.waits.take() {
            return false;
        }
        loop {
            match body.next(&mut wire.input) {
                Ok(Piece::Data(_) | Piece::Trailers(_)) => {}
                Ok(Piece::End) => return true,
                Ok(Piece::NeedMore) | Err(_) => return false,
            }
        }
    }

    /// The request is over.
    pub(super) fn end(&self) {
        self.waits.set(false);
        let mut wire = self.wire.borrow_mut();
        wire.trim();
        self.charge.set(wire.held());
    }

    /// Gives back all memory that an idle connection can do without.
    pub(super) fn park(&self) {
        self.wire.borrow_mut().shrink();
        self.charge.set(0);
    }

    /// The connection, for another protocol.
    pub(super) fn into_wire(self) -> Wire {
        self.wire.into_inner()
    }

    /// What the client sends is no request: nothing more of it is read as one.
    pub(super) fn refuse(&self) {
        *self.body.borrow_mut() = Decoder::Failed;
    }

    /// Ends the connection so that the client gets all that was written: closing while it still sends would take the
    /// answer back (RFC 9112, 9.6).
    pub(super) async fn close(&self) {
        self.end_upload();
        let deadline = Instant::now() + LINGER;
        let ending = std::future::poll_fn(|cx| {
            let mut wire = self.wire.borrow_mut();
            ready!(wire.poll_flush(cx))?;
            wire.poll_shutdown(cx)
        });
        let is_told = matches!(self.alarm.within(deadline, pin!(ending)).await, Ok(Ok(())));
        let is_done = self.is_body_done() && self.wire.borrow().input.is_empty();
        if !is_told || is_done {
            return;
        }
        let mut unwanted = 0;
        let reading = std::future::poll_fn(|cx| -> Poll<io::Result<()>> {
            let mut wire = self.wire.borrow_mut();
            while unwanted < UNWANTED {
                wire.input.clear();
                match ready!(wire.poll_fill(cx))? {
                    0 => break,
                    count => unwanted += count,
                }
            }
            Poll::Ready(Ok(()))
        });
        // However it ends, it ends now.
        let _ = self.alarm.within(deadline, pin!(reading)).await;
    }
}

/// The body of one request, as it comes in by a client's connection.
pub(in crate::server) struct Upload {
    client: Rc<Client>,
    number: u64,
    /// Of the task that reads.
    alarm: Alarm,
}

impl Upload {
    /// The body of the request that is under way.
    pub(super) fn new(client: &Rc<Client>) -> Self {
        Self { client: Rc::clone(client), number: client.upload.get(), alarm: Alarm::default() }
    }

    fn is_over(&self) -> bool {
        self.client.upload.get() != self.number
    }

    /// How many bytes of the body are still to come, where that is known.
    pub(in crate::server) fn left(&self) -> Option<u64> {
        self.client.body.borrow().left().filter(|_| !self.is_over())
    }

    /// Whether the body was read to its end.
    pub(in crate::server) fn is_done(&self) -> bool {
        !self.is_over() && self.client.is_body_done()
    }

    /// The next piece of the body.
    pub(in crate::server) fn poll(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        if self.is_over() {
            return Poll::Ready(Some(Err(BodyEnd::Broken)));
        }
        let piece = ready!(self.client.poll_body(cx, &self.alarm));
        if (self.client.is_body_done() || self.client.has_broken_off())
            && let Some(waker) = self.client.awaits_body.take()
            && !waker.will_wake(cx.waker())
        {
            waker.wake();
        }
        Poll::Ready(piece)
    }
}
