//! One client connection: hyper reads requests from it, each is carried through the pipeline, and a single timer
//! watches that the client keeps moving.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::body::Outgoing;
use super::forward;
use super::pace::{Busy, Pace, PacedStream};
use super::worker::Worker;
use crate::policy::headers::Peer;

/// hyper's own lower bound for its read buffer.
const MIN_BUFFER: usize = 8 * 1024;
/// hyper's own limit for the fields of a head.
const MAX_FIELDS: usize = 100;

/// Serves one connection to its end.
pub(super) async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: IpAddr) {
    let _ = stream.set_nodelay(true);
    let pace = Rc::new(Pace::new(&worker.limits));
    let peer = Peer::from(peer);
    let service = service_fn(|request: Request<Incoming>| answer(&worker, &pace, &peer, request));
    let buffer = usize::try_from(worker.limits.header_bytes.get()).unwrap_or(usize::MAX).max(MIN_BUFFER);
    let mut builder = http1::Builder::new();
    builder.max_buf_size(buffer);
    // Said only where it differs: hyper would fill a table of that size for every request.
    if worker.limits.header_count != MAX_FIELDS {
        builder.max_headers(worker.limits.header_count);
    }
    let connection = builder.serve_connection(PacedStream::new(stream, Rc::clone(&pace)), service);
    let mut connection = pin!(connection);
    let mut stop = worker.stop.clone();
    let mut draining = false;
    loop {
        tokio::select! {
            biased;
            // A fault here is the client's own (it left, it sent nonsense): hyper has answered what could be.
            _ = connection.as_mut() => return,
            () = tokio::time::sleep_until(pace.next_look()) => if pace.is_over() {
                return;
            },
            () = stopped(&mut stop), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Waits for the sign to stop, and until what has arrived by then was read: hyper closes a connection at once that
/// has not brought a request yet.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the server was dropped, which is a sign too.
    let _ = stop.wait_for(|stop| *stop).await;
    tokio::task::yield_now().await;
}

async fn answer(
    worker: &Rc<Worker>,
    pace: &Rc<Pace>,
    peer: &Peer,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, Infallible> {
    let busy = Busy::begin(pace);
    let mut response = forward::answer(worker, request, peer).await;
    response.body_mut().keep_until_sent(busy);
    Ok(response)
}
