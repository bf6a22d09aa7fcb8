//! One client connection: hyper reads requests from it, each is carried through the pipeline, and a single timer
//! watches that the client keeps moving.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::body::Outgoing;
use super::forward;
use super::worker::Worker;

/// hyper's own lower bound for its read buffer.
const MIN_BUFFER: usize = 8 * 1024;

/// Serves one connection to its end.
pub(super) async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: IpAddr) {
    let _ = stream.set_nodelay(true);
    let pace = Rc::new(Pace::new(&worker));
    let service = service_fn(|request: Request<Incoming>| answer(&worker, &pace, peer, request));
    let buffer = usize::try_from(worker.limits.header_bytes.get()).unwrap_or(usize::MAX).max(MIN_BUFFER);
    let connection = http1::Builder::new()
        .max_buf_size(buffer)
        .max_headers(worker.limits.header_count)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut stop = worker.stop.clone();
    let mut draining = false;
    loop {
        tokio::select! {
            // A fault here is the client's own (it left, it sent nonsense): hyper has answered what could be.
            _ = connection.as_mut() => return,
            () = tokio::time::sleep_until(pace.next_look()) => if pace.is_over() {
                return;
            },
            _ = stop.wait_for(|stop| *stop), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn answer(
    worker: &Rc<Worker>,
    pace: &Rc<Pace>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, Infallible> {
    let busy = Busy::begin(pace);
    let mut response = forward::answer(worker, request, peer).await;
    response.body_mut().keep_until_sent(busy);
    Ok(response)
}

/// One lazily checked deadline for a whole connection. hyper's own header timer would be armed anew for every
/// request; this one is looked at when it may have passed, and moved on when it has not.
pub(super) struct Pace {
    waiting_since: Cell<Instant>,
    requests_in_flight: Cell<u32>,
    had_request: Cell<bool>,
    header_timeout: Duration,
    idle_timeout: Duration,
}

impl Pace {
    fn new(worker: &Worker) -> Self {
        Self {
            waiting_since: Cell::new(Instant::now()),
            requests_in_flight: Cell::new(0),
            had_request: Cell::new(false),
            header_timeout: worker.limits.header_timeout.get(),
            idle_timeout: worker.limits.idle_timeout.get(),
        }
    }

    /// How long the client may take until its next request's head is there.
    fn allowed(&self) -> Duration {
        if self.had_request.get() { self.idle_timeout } else { self.header_timeout }
    }

    fn next_look(&self) -> tokio::time::Instant {
        match self.requests_in_flight.get() {
            0 => (self.waiting_since.get() + self.allowed()).into(),
            _ => (Instant::now() + self.allowed()).into(),
        }
    }

    fn is_over(&self) -> bool {
        self.requests_in_flight.get() == 0 && self.waiting_since.get().elapsed() >= self.allowed()
    }
}

/// A request in flight, from its head to the last byte of its answer.
pub(super) struct Busy(Rc<Pace>);

impl Busy {
    fn begin(pace: &Rc<Pace>) -> Self {
        pace.requests_in_flight.set(pace.requests_in_flight.get() + 1);
        pace.had_request.set(true);
        Self(Rc::clone(pace))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.requests_in_flight.set(self.0.requests_in_flight.get() - 1);
        self.0.waiting_since.set(Instant::now());
    }
}
