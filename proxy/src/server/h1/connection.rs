//! The life of a client's HTTP/1 connection: one request after the other, and nothing held on to between them.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::{Method, Version, header};
use portreeve_config::Limits;

use super::answer::{Broken, Shape, send};
use super::client::{Client, Upload};
use super::head::{self, Framing, HeadFault, HeadLimits, RequestHead};
use super::scan::Scan;
use crate::pipeline::Exchange;
use crate::policy::headers::holds;
use crate::rejection::Rejection;
use crate::server::body::Reply;
use crate::server::forward::{self, Answered, Arrival, Switch};
use crate::server::h2::{self, PREFACE};
use crate::server::request_body::Source;
use crate::server::tunnel;
use crate::server::visit::Visit;

/// After how long without a request a connection gives its buffers back.
const PARKED_AFTER: Duration = Duration::from_millis(25);

/// How long what was sent before the word to stop may take to be seen: a round of the event loop, and what a busy kernel
/// has not handed over yet.
const NEXT_ROUND: Duration = Duration::from_millis(20);

/// Serves a connection to its end.
pub(in crate::server) async fn serve(visit: Rc<Visit>, client: Rc<Client>) {
    let (visit, owned) = (&*visit, &visit);
    let mut idle_since = visit.began;
    loop {
        // Only this and what it waits for is kept of an idle connection.
        match await_bytes(&client, visit, idle_since, None).await {
            Waited::Bytes => {}
            Waited::Enough => continue,
            Waited::Over => return Box::pin(client.close()).await,
        }
        match Box::pin(serve_requests(&client, visit)).await {
            Next::Idle(since) => idle_since = since,
            Next::Close => return Box::pin(client.close()).await,
            Next::Abort => return,
            Next::Switch(switch) => {
                // Nobody else holds on to a connection whose request is over.
                let Some(client) = Rc::into_inner(client) else { return };
                return Box::pin(tunnel::by_upgrade(client.into_wire(), visit, *switch)).await;
            }
            Next::Http2 => {
                let Some(client) = Rc::into_inner(client) else { return };
                let (stream, first) = client.into_wire().into_parts();
                return Box::pin(h2::serve(Rc::clone(owned), stream, first)).await;
            }
        }
        client.park();
    }
}

/// How a stretch of requests ends.
enum Next {
    /// The client has been silent since then.
    Idle(Instant),
    /// In good order.
    Close,
    /// At once, so that the client sees a break.
    Abort,
    /// With HTTP/2, which the client began without being asked.
    Http2,
    /// With another protocol.
    Switch(Box<Switch>),
}

async fn serve_requests(client: &Rc<Client>, visit: &Visit) -> Next {
    loop {
        let head = match read_head(client, visit).await {
            Ok(Some(head)) => head,
            Ok(None) => return Next::Http2,
            Err(None) => return Next::Abort,
            Err(Some(rejection)) => {
                client.refuse();
                refuse(client, visit, rejection).await;
                return Next::Close;
            }
        };
        match one_request(client, visit, head).await {
            Next::Idle(_) => client.end(),
            end => return end,
        }
        let since = Instant::now();
        match await_bytes(client, visit, since, Some(since + PARKED_AFTER)).await {
            Waited::Bytes => {}
            Waited::Enough => return Next::Idle(since),
            Waited::Over => return Next::Close,
        }
    }
}

/// What an idle connection met.
enum Waited {
    /// There is something to read.
    Bytes,
    /// It has waited for as long as it should.
    Enough,
    /// The client left, was idle for too long, or the connection is to end.
    Over,
}

/// Waits for the first bytes of a request.
async fn await_bytes(client: &Client, visit: &Visit, since: Instant, enough: Option<Instant>) -> Waited {
    let patience = match visit.had_request() {
        true => visit.limits.idle_timeout.get(),
        false => visit.limits.header_timeout.get(),
    };
    // Not its age: closing an idle connection for that would lose a request that is just being sent. Its next answer
    // says that it ends.
    let deadline = since + patience;
    let mut looks_again = None;
    poll_fn(|cx| {
        let mut wire = client.wire.borrow_mut();
        if !wire.input.is_empty() {
            return Poll::Ready(Waited::Bytes);
        }
        let read = if enough.is_some() { wire.poll_fill(cx) } else { wire.poll_first(cx) };
        match read {
            Poll::Ready(Ok(1..)) => return Poll::Ready(Waited::Bytes),
            Poll::Ready(_) => return Poll::Ready(Waited::Over),
            Poll::Pending => {}
        }
        // After the look at the socket: what has arrived before the word to stop is answered.
        visit.listen(cx);
        if visit.is_closing_at_once() {
            // What a new connection has brought is known after the event loop's next round.
            let again = *looks_again.get_or_insert_with(|| Instant::now() + NEXT_ROUND);
            return client.alarm.poll(cx, again).map(|()| Waited::Over);
        }
        if client.alarm.poll(cx, deadline).is_ready() {
            return Poll::Ready(Waited::Over);
        }
        match enough {
            Some(enough) => client.alarm.poll(cx, enough).map(|()| Waited::Enough),
            None => Poll::Pending,
        }
    })
    .await
}

/// Reads the next request's head; `None` when HTTP/2 begins instead. No rejection when there is nobody to tell what
/// is wrong.
async fn read_head(client: &Client, visit: &Visit) -> Result<Option<RequestHead>, Option<Rejection>> {
    let limits = head_limits(&visit.limits);
    let mut scan = Scan::default();
    let mut deadline = None;
    poll_fn(|cx| {
        let mut wire = client.wire.borrow_mut();
        loop {
            let may_be_http2 = !visit.had_request() && begins_http2(&wire.input);
            if may_be_http2 && wire.input.len() >= PREFACE.len() {
                return Poll::Ready(Ok(None));
            }
            match if may_be_http2 {
                Ok(None)
            } else {
                head::request(&mut wire.input, &mut scan, &limits, || visit.worker.request_head())
            } {
                Ok(Some(head)) => return Poll::Ready(Ok(Some(head))),
                Ok(None) => {}
                Err(HeadFault::Foreign) if !visit.had_request() => {
                    // Counted and logged as any other; but who speaks another protocol is told nothing in words of HTTP.
                    let _ = refusal(visit, refusal_of(HeadFault::Foreign));
                    return Poll::Ready(Err(None));
                }
                Err(fault) => return Poll::Ready(Err(Some(refusal_of(fault)))),
            }
            match wire.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(Err(None)),
                Poll::Pending => break,
            }
        }
        let begun = || if visit.had_request() { Instant::now() } else { visit.began };
        let deadline = *deadline.get_or_insert_with(|| begun() + visit.limits.header_timeout.get());
        client.alarm.poll(cx, deadline).map(|()| Err(Some(Rejection::HeadTimeout)))
    })
    .await
}

/// Whether this can be the begin of HTTP/2 by prior knowledge (RFC 9113, 3.3).
fn begins_http2(input: &[u8]) -> bool {
    input.len() >= METHOD_OF_PREFACE && input.iter().zip(PREFACE).all(|(given, expected)| given == expected)
}

/// `PRI`: no other method begins so.
const METHOD_OF_PREFACE: usize = 3;

pub(in crate::server) fn head_limits(limits: &Limits) -> HeadLimits {
    let bytes = |size: portreeve_config::ByteSize| usize::try_from(size.get()).unwrap_or(usize::MAX);
    HeadLimits {
        bytes: bytes(limits.header_bytes),
        fields: limits.header_count,
        line: bytes(limits.header_line),
        target: bytes(limits.target_bytes),
    }
}

pub(in crate::server) fn refusal_of(fault: HeadFault) -> Rejection {
    match fault {
        HeadFault::Malformed(what) => Rejection::Malformed(what),
        HeadFault::TooLarge => Rejection::HeadTooLarge,
        HeadFault::TargetTooLong => Rejection::TargetTooLong,
        HeadFault::Expectation => Rejection::Expectation,
        HeadFault::Foreign => Rejection::Malformed("the version of HTTP"),
    }
}

/// Answers what cannot be read as a request.
async fn refuse(client: &Rc<Client>, visit: &Visit, rejection: Rejection) {
    let shape = Shape { is_head: false, is_10: false, persists: false };
    let _ = send(client, visit, refusal(visit, rejection), shape).await;
}

/// The answer to what cannot be read as a request.
fn refusal(visit: &Visit, rejection: Rejection) -> Reply {
    let exchange = Box::new(Exchange::unreadable(visit.worker.pin(), &visit.peer));
    forward::refuse(exchange, &rejection)
}

async fn one_request(client: &Rc<Client>, visit: &Visit, head: RequestHead) -> Next {
    client.begin(&head, visit);
    let may_persist = head.persists;
    let shape = Shape {
        is_head: head.parts.method == Method::HEAD,
        is_10: head.parts.version == Version::HTTP_10,
        persists: false,
    };
    let body = match head.framing {
        Framing::Empty => Source::None,
        _ => Source::H1(Upload::new(client)),
    };
    let arrival = Arrival { parts: head.parts, body, upgrade: head.upgrade, must_switch: false };
    let mut answering = pin!(forward::answer(visit, &client.alarm, arrival, Some(client)));
    let answered = poll_fn(|cx| match answering.as_mut().poll(cx) {
        Poll::Ready(answered) => Poll::Ready(Some(answered)),
        Poll::Pending => client.poll_left(cx).map(|()| None),
    })
    .await;
    match answered {
        None => Next::Abort,
        Some(Answered::Switch(switch)) => Next::Switch(switch),
        Some(Answered::Response((head, body))) => {
            let asked_at = body.asked_at();
            let may_persist = visit.count(asked_at) && may_persist;
            let is_under_way = body.still_sends();
            // A refusal may say that nothing more is read.
            let ends = holds(&head.headers, &header::CONNECTION);
            let persists =
                may_persist && !ends && !visit.is_closing() && (is_under_way || client.skip_body());
            match send(client, visit, (head, body), Shape { persists, ..shape }).await {
                Err(Broken) => Next::Abort,
                Ok(true) if client.skip_body() => Next::Idle(asked_at),
                Ok(_) => Next::Close,
            }
        }
    }
}
