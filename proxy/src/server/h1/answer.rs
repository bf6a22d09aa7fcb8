//! Sends an answer to a client: as much at once as there is, piece after piece as the client takes it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{StatusCode, response};
use http_body::{Body, Frame};

use super::client::Client;
use super::encode;
use super::head::Framing;
use crate::server::body::{Outgoing, Reply};
use crate::server::rate::Rate;
use crate::server::visit::Visit;

/// What the answer's form depends on.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) is_head: bool,
    /// The client speaks HTTP/1.0.
    pub(super) is_10: bool,
    /// The connection stays open.
    pub(super) persists: bool,
}

/// The answer could not be sent to its end.
#[derive(Debug)]
pub(super) struct Broken;

/// Sends an answer to its end. Whether another may follow it: an answer of unknown length to a client of HTTP/1.0 ends
/// with its connection.
///
/// # Errors
/// [`Broken`]: the connection must end so that the client sees it.
pub(super) async fn send(
    client: &Client,
    visit: &Visit,
    (head, body): Reply,
    shape: Shape,
) -> Result<bool, Broken> {
    let framing = framing_of(&head, &body, shape);
    let shape = Shape { persists: shape.persists && framing != Framing::Close, ..shape };
    write_head(client, &head, framing, shape);
    visit.worker.reuse_answer(head);
    *client.downloads.borrow_mut() = Rate::new(&visit.limits);
    let mut sending = Sending {
        client,
        framing,
        body: Some(body).filter(|_| framing != Framing::Empty),
        left: match framing {
            Framing::Length(length) => length,
            _ => u64::MAX,
        },
        is_broken: false,
    };
    poll_fn(|cx| sending.poll(cx)).await.map(|()| shape.persists)
}

fn write_head(client: &Client, parts: &response::Parts, framing: Framing, shape: Shape) {
    let mut wire = client.wire.borrow_mut();
    let out = wire.output();
    encode::answer(out, parts.status, &parts.headers, framing);
    match (shape.persists, shape.is_10) {
        (true, true) => encode::write_field(out, b"connection", b"keep-alive"),
        (false, false) => encode::write_field(out, b"connection", b"close"),
        _ => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// How the client is told where the body ends (RFC 9112, 6).
fn framing_of(parts: &response::Parts, body: &Outgoing, shape: Shape) -> Framing {
    if shape.is_head || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Framing::Empty;
    }
    match body.size_hint().exact() {
        Some(length) => Framing::Length(length),
        None if shape.is_10 => Framing::Close,
        None => Framing::Chunked,
    }
}

/// An answer on its way out.
struct Sending<'a> {
    client: &'a Client,
    framing: Framing,
    /// Let go of as soon as it has ended: who reads counters after an answer finds it counted.
    body: Option<Outgoing>,
    /// Bytes that were announced and have not come.
    left: u64,
    is_broken: bool,
}

/// Whether more of the body is there.
enum Source {
    Ended,
    Waits,
    /// What was taken of it has to be written first.
    Full,
}

impl Sending<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            let source = self.fill(cx);
            let mut wire = self.client.wire.borrow_mut();
            let before = wire.pending();
            let flushed = wire.poll_flush(cx);
            self.client.downloads.borrow_mut().moved((before - wire.pending()) as u64);
            match (flushed, source) {
                (Poll::Ready(Err(_)), _) => return Poll::Ready(Err(Broken)),
                (Poll::Ready(Ok(())), Source::Ended) if self.is_broken => return Poll::Ready(Err(Broken)),
                (Poll::Ready(Ok(())), Source::Ended) => return Poll::Ready(Ok(())),
                (Poll::Ready(Ok(())), Source::Full) => {}
                (Poll::Ready(Ok(())), Source::Waits) => break,
                (Poll::Pending, _) => {
                    if self.body.as_mut().is_some_and(|body| body.poll_overdue(cx).is_ready()) {
                        return Poll::Ready(Err(Broken));
                    }
                    let mut rate = self.client.downloads.borrow_mut();
                    return rate.poll_too_slow(cx, &self.client.alarm).map(|()| Err(Broken));
                }
            }
        }
        // The instance is waited for, which knows of no client that it has taken no body of.
        if self.client.has_broken_off() {
            return Poll::Ready(Err(Broken));
        }
        self.client.poll_left(cx).map(|()| Err(Broken))
    }

    /// Takes of the body what there is room for.
    fn fill(&mut self, cx: &mut Context<'_>) -> Source {
        while let Some(body) = &mut self.body {
            if !self.client.wire.borrow().has_room() {
                return Source::Full;
            }
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return Source::Waits,
                Poll::Ready(None) => self.end(None),
                Poll::Ready(Some(Ok(frame))) => self.put(frame),
                // The client gets what has come, and the break behind it.
                Poll::Ready(Some(Err(_))) => (self.body, self.is_broken) = (None, true),
            }
        }
        Source::Ended
    }

    fn put(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => {
                self.left = self.left.saturating_sub(data.len() as u64);
                encode::piece(&mut self.client.wire.borrow_mut(), self.framing, data);
                // It is not asked for its end where that is known.
                if self.left == 0 {
                    self.body = None;
                }
            }
            Err(frame) => self.end(frame.into_trailers().ok().as_ref()),
        }
    }

    fn end(&mut self, trailers: Option<&http::HeaderMap>) {
        encode::end(&mut self.client.wire.borrow_mut(), self.framing, trailers);
        // Whatever follows would be taken for what was announced and has not come.
        self.is_broken |= matches!(self.framing, Framing::Length(_)) && self.left > 0;
        self.body = None;
    }
}
