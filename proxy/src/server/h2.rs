//! The life of a client's HTTP/2 connection. hyper speaks the protocol; what it leaves open is decided here: how many
//! frames may carry nothing, how long a client may leave answers untaken, and when a connection has lived enough.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version, request};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rand::RngExt;

use super::alarm::Alarm;
use super::body::{Outgoing, Source};
use super::forward::{self, Answered, Arrival, Switch};
use super::frames::{Passed, Watched};
use super::received::Received;
use super::stream::Stream;
use super::tunnel;
use super::upstream::OnThisThread;
use super::visit::Visit;
use crate::pipeline::Exchange;
use crate::rejection::Rejection;

/// What is held of one answer that the client does not take.
const SEND_BUFFER: usize = 16 * 1024;

/// How long a client without streams has to say goodbye.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection to its end. `first` was read from it already.
pub(super) async fn serve(visit: Rc<Visit>, stream: Stream, first: BytesMut) {
    let state = Rc::new(State::default());
    let limits = &visit.limits.http2;
    let watched = Watched::new(stream, first, limits.idle_frames, Rc::clone(&state.passed));
    let service = {
        let (visit, state) = (Rc::clone(&visit), Rc::clone(&state));
        service_fn(move |request| {
            state.is_spent.set(!visit.count(Instant::now()));
            answer(Rc::clone(&visit), Rc::clone(&state), request)
        })
    };
    let window = |size: portreeve_config::ByteSize| u32::try_from(size.get()).unwrap_or(u32::MAX >> 1);
    let connection = http2::Builder::new(OnThisThread)
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(window(limits.stream_window))
        .initial_connection_window_size(window(limits.connection_window))
        .max_header_list_size(window(visit.limits.header_bytes))
        .max_pending_accept_reset_streams(limits.reset_streams)
        .max_local_error_reset_streams(limits.faulty_streams)
        .keep_alive_interval(limits.ping_interval.get())
        .keep_alive_timeout(limits.ping_interval.get())
        .max_send_buf_size(SEND_BUFFER)
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(watched), service);
    let mut connection = pin!(connection);
    let mut patience = Patience::new(&visit, &state);
    let alarm = Alarm::default();
    let mut ending_since: Option<Instant> = None;
    poll_fn(|cx| {
        // A fault here is the client's own (it left, it sent nonsense): it was told what could be told.
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        visit.listen(cx);
        while alarm.poll(cx, patience.next_look).is_ready() {
            if patience.look(&visit, &state) {
                return Poll::Ready(());
            }
        }
        if (visit.is_closing() || patience.is_over || state.is_spent.get()) && ending_since.is_none() {
            ending_since = Some(Instant::now());
            connection.as_mut().graceful_shutdown();
            cx.waker().wake_by_ref();
        }
        // A client that does not answer the farewell has no streams to lose, and no answer that is still to be sent.
        match &mut ending_since {
            Some(since) if state.is_quiet() => alarm.poll(cx, *since + FAREWELL),
            Some(since) => {
                *since = Instant::now();
                Poll::Pending
            }
            None => Poll::Pending,
        }
    })
    .await;
}

/// What is known of a connection's streams.
#[derive(Default)]
struct State {
    passed: Rc<Passed>,
    /// Requests whose answers have not ended.
    open: Cell<usize>,
    /// The connection may have no more requests.
    is_spent: Cell<bool>,
    /// Bytes of answers that were handed over to be sent.
    handed: Cell<u64>,
}

impl State {
    /// Whether all requests were answered, and all answers written.
    fn is_quiet(&self) -> bool {
        self.open.get() == 0 && self.unsent() == 0
    }

    /// Bytes of answers that were handed over and not written.
    fn unsent(&self) -> u64 {
        self.handed.get().saturating_sub(self.passed.data_written.get())
    }
}

/// When a connection has been idle, slow or alive for too long.
struct Patience {
    next_look: Instant,
    /// In good order: no new streams.
    is_over: bool,
    idle_since: Option<Instant>,
    data_written: u64,
    slow_since: Option<Instant>,
}

impl Patience {
    fn new(visit: &Visit, state: &State) -> Self {
        Self {
            next_look: visit.began + visit.limits.header_timeout.get(),
            is_over: false,
            idle_since: Some(visit.began),
            data_written: state.passed.data_written.get(),
            slow_since: None,
        }
    }

    /// Looks after the connection now and then. Whether it must end at once.
    fn look(&mut self, visit: &Visit, state: &State) -> bool {
        let (now, limits) = (Instant::now(), &visit.limits);
        let window = limits.rate_window.get();
        let written = state.passed.data_written.get();
        let is_idle = state.open.get() == 0;
        let idle_since = *self.idle_since.get_or_insert(now);
        if !is_idle {
            self.idle_since = None;
        }
        let patience = match visit.had_request() {
            true => limits.idle_timeout.get(),
            false => limits.header_timeout.get(),
        };
        self.is_over |= now >= visit.until || (is_idle && now >= idle_since + patience);
        // Something is there for the client, and it takes less than it must.
        let due = limits.min_rate.get().saturating_mul(window.as_secs().max(1));
        let is_slow = due > 0 && state.unsent() > 0 && written - self.data_written < due;
        self.data_written = written;
        let slow_since = match is_slow {
            true => *self.slow_since.get_or_insert(now),
            false => {
                self.slow_since = None;
                now
            }
        };
        // Without open streams it may be what a client gave up that was never written.
        let grace = if is_idle { limits.idle_timeout.get() } else { window };
        self.next_look = now + window.min(patience);
        is_slow && now >= slow_since + grace
    }
}

async fn answer(
    visit: Rc<Visit>,
    state: Rc<State>,
    mut request: Request<Incoming>,
) -> Result<Response<Sent>, Infallible> {
    let busy = Busy::begin(&state);
    let tunnel = request.extensions_mut().remove::<Protocol>().map(|protocol| {
        let value = HeaderValue::from_str(protocol.as_str()).ok();
        (value, hyper::upgrade::on(&mut request))
    });
    let (mut parts, incoming) = request.into_parts();
    let received = Received::new(incoming, &parts.headers);
    let fault = normalise(&mut parts).err().or_else(|| beyond_limits(&parts, &visit));
    let (upgrade, upgraded) = tunnel.unzip();
    let answered = match fault {
        Some(rejection) => {
            let exchange = Box::new(Exchange::unreadable(visit.worker.pin(), &visit.peer));
            Answered::Response(forward::refuse(exchange, &rejection))
        }
        None => {
            let must_switch = upgraded.is_some();
            let body = match &received {
                Some(received) if !must_switch => Source::H2(Rc::clone(received)),
                _ => Source::None,
            };
            if must_switch {
                as_handshake(&mut parts);
            }
            let arrival = Arrival { parts, body, upgrade: upgrade.flatten(), must_switch };
            let alarm = Alarm::default();
            Box::pin(forward::answer(&visit, &alarm, arrival, None)).await
        }
    };
    Ok(match answered {
        Answered::Response(mut response) => {
            // It ends at this hop, and HTTP/2 has no such field (RFC 9113, 8.2.2).
            response.headers_mut().remove(header::CONNECTION);
            if let Some(received) = received {
                Received::let_go(received).await;
            }
            response.map(|body| Sent { body: Some(body), busy: Some(busy), state, handed: 0 })
        }
        Answered::Switch(switch) => switched(visit, *switch, upgraded, busy),
    })
}

/// A request in the form the pipeline reads: target without authority, and one `Host`.
///
/// # Errors
/// The request names two hosts, or none.
fn normalise(parts: &mut request::Parts) -> Result<(), Rejection> {
    let uri = std::mem::take(&mut parts.uri).into_parts();
    let path = uri.path_and_query.unwrap_or(PathAndQuery::from_static("/"));
    parts.uri = Uri::from(path);
    if let Some(authority) = uri.authority {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Rejection::Host)?;
        let mut named = parts.headers.get_all(header::HOST).iter();
        // RFC 9113, 8.3.1: both may be there if they say the same.
        if named.any(|named| !named.as_bytes().eq_ignore_ascii_case(host.as_bytes())) {
            return Err(Rejection::Host);
        }
        parts.headers.insert(header::HOST, host);
    }
    // In HTTP/1 they would be no part of the value (RFC 9113, 8.2.1): it would have two readings.
    let is_padded = |value: &HeaderValue| value.as_bytes().trim_ascii().len() != value.len();
    if parts.headers.values().any(is_padded) {
        return Err(Rejection::Malformed("a field's value begins or ends with a space"));
    }
    join_cookies(&mut parts.headers);
    Ok(())
}

/// Cookies may come in crumbs, and leave as one field (RFC 9113, 8.2.3).
fn join_cookies(fields: &mut HeaderMap) {
    let mut crumbs = fields.get_all(header::COOKIE).iter();
    if let (Some(_), Some(_)) = (crumbs.next(), crumbs.next()) {
        let crumbs: Vec<&[u8]> = fields.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
            fields.insert(header::COOKIE, whole);
        }
    }
}

/// Limits that hyper does not know.
fn beyond_limits(parts: &request::Parts, visit: &Visit) -> Option<Rejection> {
    let limits = &visit.limits;
    let long = |length: usize, most: portreeve_config::ByteSize| length as u64 > most.get();
    if long(parts.uri.path_and_query().map_or(0, |target| target.as_str().len()), limits.target_bytes) {
        return Some(Rejection::TargetTooLong);
    }
    let has_long_line = || {
        let length = |(name, value): (&header::HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        parts.headers.iter().any(|field| long(length(field), limits.header_line))
    };
    (parts.headers.len() > limits.header_count || has_long_line()).then_some(Rejection::HeadTooLarge)
}

/// Extended CONNECT (RFC 8441) as the handshake that HTTP/1.1 has for the same; the key that only it needs is made
/// here.
fn as_handshake(parts: &mut request::Parts) {
    parts.method = Method::GET;
    parts.version = Version::HTTP_11;
    let key = STANDARD.encode(rand::rng().random::<[u8; 16]>());
    if let Ok(key) = HeaderValue::try_from(key) {
        parts.headers.insert(header::SEC_WEBSOCKET_KEY, key);
    }
}

/// The instance has switched: the stream becomes a tunnel.
fn switched(
    visit: Rc<Visit>,
    switch: Switch,
    upgraded: Option<hyper::upgrade::OnUpgrade>,
    busy: Busy,
) -> Response<Sent> {
    let mut response = Response::new(Sent { body: None, busy: None, state: Rc::clone(&busy.0), handed: 0 });
    *response.headers_mut() = switch.parts.headers.clone();
    response.headers_mut().remove(header::SEC_WEBSOCKET_ACCEPT);
    let Some(upgraded) = upgraded else {
        // A switch that nobody asked for is no answer; the pipeline has seen to that.
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        return response;
    };
    tokio::task::spawn_local(async move {
        if let Ok(upgraded) = upgraded.await {
            let stream = Stream::Upgraded(Box::new(TokioIo::new(upgraded)));
            tunnel::by_stream(stream, &visit, switch).await;
        }
        drop(busy);
    });
    response
}

/// A request that is not over.
struct Busy(Rc<State>);

impl Busy {
    fn begin(state: &Rc<State>) -> Self {
        state.open.set(state.open.get() + 1);
        Self(Rc::clone(state))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

/// An answer's body on its way into a stream.
struct Sent {
    /// Let go of as soon as it has ended.
    body: Option<Outgoing>,
    busy: Option<Busy>,
    state: Rc<State>,
    /// Bytes of it that were handed over.
    handed: u64,
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
