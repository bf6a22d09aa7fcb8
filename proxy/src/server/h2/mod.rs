//! The life of a client's HTTP/2 connection. hyper speaks the protocol; what it leaves open is decided here: how many
//! frames may carry nothing, how long a client may leave answers untaken, and when a connection has lived enough.

mod frames;
mod head;
mod held;
mod patience;
mod received;
mod sent;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use portreeve_config::{ByteSize, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(super) use frames::{Headers, PREFACE};
pub(super) use held::Held;
pub(super) use received::Received;

use super::alarm::Alarm;
use super::forward::{self, Answered, Arrival, Switch};
use super::request_body::Source;
use super::stream::Stream;
use super::tunnel;
use super::upstream::OnThisThread;
use super::visit::Visit;
use crate::pipeline::Exchange;
use frames::Watched;
use head::{as_handshake, beyond_limits, normalise};
use patience::{Patience, State};
use sent::{Busy, Sent};

/// What is held of one answer that the client does not take.
const SEND_BUFFER: usize = 16 * 1024;

/// What is read of a client whose connection has ended, so that it hears why.
const UNWANTED: usize = 256 * 1024;
/// How long a client without streams has to say goodbye.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection to its end. `first` was read from it already.
pub(super) async fn serve(visit: Rc<Visit>, stream: Stream, first: BytesMut) {
    let limits = &visit.limits.http2;
    let held = Held::new(limits.connection_window.get(), visit.worker.charge());
    let state = Rc::new(State::new(held, visit.worker.charge()));
    let stream = Rc::new(RefCell::new(stream));
    let noted = (Rc::clone(&state.passed), Rc::clone(&state.held));
    let watched = Watched::new((Rc::clone(&stream), first), limits.idle_frames, noted);
    let service = {
        let (visit, state) = (Rc::clone(&visit), Rc::clone(&state));
        service_fn(move |request| {
            state.is_spent.set(!visit.count(Instant::now()));
            answer(Rc::clone(&visit), Rc::clone(&state), request)
        })
    };
    let connection = protocol(&visit.limits).serve_connection(TokioIo::new(watched), service);
    let mut connection = Box::pin(connection);
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
    drop(connection);
    if let Some(stream) = Rc::into_inner(stream) {
        linger(stream.into_inner(), &alarm).await;
    }
}

/// HTTP/2 as it is spoken with clients.
fn protocol(limits: &Limits) -> http2::Builder<OnThisThread> {
    let window = |size: ByteSize| u32::try_from(size.get()).unwrap_or(u32::MAX >> 1);
    let (mut builder, own) = (http2::Builder::new(OnThisThread), &limits.http2);
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(own.streams)
        .initial_stream_window_size(window(own.stream_window))
        .initial_connection_window_size(window(own.connection_window))
        .max_header_list_size(window(limits.header_bytes))
        .max_pending_accept_reset_streams(own.reset_streams)
        .max_local_error_reset_streams(own.faulty_streams)
        .keep_alive_interval(own.ping_interval.get())
        .keep_alive_timeout(own.ping_interval.get())
        .max_send_buf_size(SEND_BUFFER)
        .enable_connect_protocol();
    builder
}

/// Lets the client read what was said last: closing a connection in which something is unread resets it, and takes the
/// last answer or GOAWAY with it. A client that has ended its half makes this short.
async fn linger(mut stream: Stream, alarm: &Alarm) {
    let ending = async {
        let (mut unwanted, mut piece) = (0, [0; 4096]);
        stream.shutdown().await?;
        while unwanted < UNWANTED {
            match stream.read(&mut piece).await? {
                0 => break,
                count => unwanted += count,
            }
        }
        std::io::Result::Ok(())
    };
    // However it ends, it ends now.
    let _ = alarm.within(Instant::now() + FAREWELL, pin!(ending)).await;
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
    let received = Received::new(incoming, &parts.headers, (&visit.limits, &state.held));
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
            let arrival = Arrival { parts: Box::new(parts), body, upgrade: upgrade.flatten(), must_switch };
            let alarm = Alarm::default();
            Box::pin(forward::answer(&visit, &alarm, arrival, None)).await
        }
    };
    Ok(match answered {
        Answered::Response((mut head, body)) => {
            // It ends at this hop, and HTTP/2 has no such field (RFC 9113, 8.2.2).
            head.headers.remove(header::CONNECTION);
            if let Some(received) = received {
                received.is_answered();
                Received::let_go(received).await;
            }
            Response::from_parts(*head, Sent::new(body, busy))
        }
        Answered::Switch(switch) => switched(visit, *switch, upgraded, busy),
    })
}

/// The instance has switched: the stream becomes a tunnel.
fn switched(
    visit: Rc<Visit>,
    switch: Switch,
    upgraded: Option<hyper::upgrade::OnUpgrade>,
    busy: Busy,
) -> Response<Sent> {
    let mut response = Response::new(Sent::nothing(&busy.0));
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
            tunnel::by_stream(stream, &busy.0.held, &visit, switch).await;
        }
        drop(busy);
    });
    response
}
