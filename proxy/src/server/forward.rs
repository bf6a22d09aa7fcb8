//! Carries one request through the pipeline: asks each verb in turn, and does between them the I/O they decide on.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::{Method, Request, Response, request};
use http_body::Body;
use hyper::body::Incoming;

use super::body::{BodyEnd, Outgoing, RequestBody};
use super::upstream::Connection;
use super::worker::Worker;
use crate::pipeline::{self, Admission, AttemptFault, Exchange, Verdict};
use crate::policy::headers::{Peer, is_framed_once};
use crate::rejection::Rejection;

/// The answer to one request. Never fails: what goes wrong becomes an answer.
pub(super) async fn answer(
    worker: &Rc<Worker>,
    request: Request<Incoming>,
    peer: &Peer,
) -> Response<Outgoing> {
    let (mut head, body) = request.into_parts();
    let mut exchange = Exchange::begin(worker.pin(), &mut head, peer);
    let admission = exchange.admit(&mut head, body.size_hint().exact()).await;
    let refused = match admission {
        Ok(Admission::Hit(stored)) => {
            let (status, headers, body) = pipeline::from_cache(&mut exchange, &stored, &head.headers);
            return respond(status, headers, body, exchange);
        }
        Ok(Admission::Forward) => match forward(worker, &mut exchange, head, body).await {
            Ok(Forwarded { answer, connection, fill }) => {
                return answer.map(|body| Outgoing::instance(body, connection, fill, exchange));
            }
            Err(rejection) => rejection,
        },
        Err(rejection) => rejection,
    };
    let (status, headers, text) = exchange.reject(&refused);
    respond(status, headers, text.into(), exchange)
}

fn respond(
    status: http::StatusCode,
    headers: http::HeaderMap,
    body: Bytes,
    exchange: Exchange,
) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::memory(body, exchange));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

struct Forwarded {
    answer: Response<Incoming>,
    connection: Connection,
    fill: Option<pipeline::Fill>,
}

async fn forward(
    worker: &Rc<Worker>,
    exchange: &mut Exchange,
    head: request::Parts,
    body: Incoming,
) -> Result<Forwarded, Rejection> {
    let mut body = ClientBody::new(body, exchange.max_body());
    loop {
        let endpoint = exchange.choose()?;
        let Some(address) = endpoint.address.socket() else { return Err(Rejection::NotServed) };
        let mut attempt = Attempt { worker, exchange, head: &head, address };
        let deadline = attempt.exchange.deadline().into();
        let outcome = match tokio::time::timeout_at(deadline, attempt.run(&mut body)).await {
            Ok(outcome) => outcome?,
            Err(_) if body.end.get() == BodyEnd::UnderWay => Err(AttemptFault::BodyLate),
            Err(_) => Err(AttemptFault::TimedOut),
        };
        match outcome {
            Ok((answer, connection)) => {
                let (mut parts, incoming) = answer.into_parts();
                if let Verdict::Again = exchange.judge(Ok(&parts), body.exists) {
                    continue;
                }
                let fill = exchange.inbound(&head.headers, &mut parts);
                return Ok(Forwarded { answer: Response::from_parts(parts, incoming), connection, fill });
            }
            Err(fault) => {
                if let Verdict::GiveUp(rejection) = exchange.judge(Err(fault), body.exists) {
                    return Err(rejection);
                }
            }
        }
    }
}

/// A client's body between attempts.
struct ClientBody {
    /// Not taken yet by an attempt that may have read from it.
    untouched: Option<Incoming>,
    exists: bool,
    limit: u64,
    end: Rc<Cell<BodyEnd>>,
}

impl ClientBody {
    fn new(incoming: Incoming, limit: u64) -> Self {
        let exists = !incoming.is_end_stream();
        Self { untouched: exists.then_some(incoming), exists, limit, end: Rc::default() }
    }

    fn take(&mut self) -> RequestBody {
        match self.untouched.take() {
            Some(incoming) => RequestBody::new(incoming, self.limit, Rc::clone(&self.end)),
            None => RequestBody::none(),
        }
    }

    fn put_back(&mut self, body: RequestBody) {
        self.untouched = body.into_incoming();
    }
}

/// One attempt at one instance.
struct Attempt<'a> {
    worker: &'a Rc<Worker>,
    exchange: &'a mut Exchange,
    head: &'a request::Parts,
    address: SocketAddr,
}

type Answered = (Response<Incoming>, Connection);

impl Attempt<'_> {
    /// Sends the request by an idle connection if there is one, by a new one otherwise. An idle connection that
    /// turns out to be dead costs no attempt as long as the instance cannot have acted on the request.
    async fn run(&mut self, body: &mut ClientBody) -> Result<Result<Answered, AttemptFault>, Rejection> {
        while let Some(connection) = self.worker.upstreams.reuse(self.address) {
            match self.send(connection, body).await? {
                Sent::Answer(answer) => return Ok(Ok(answer)),
                Sent::Unused => {}
                Sent::Failed(AttemptFault::Reset) if self.is_repeatable(body) => {}
                Sent::Failed(fault) => return Ok(Err(fault)),
            }
        }
        let connection = match self.worker.upstreams.connect(self.address).await {
            Ok(connection) => connection,
            Err(fault) => {
                tracing::debug!(address = %self.address, %fault, "no connection to an instance");
                return Ok(Err(AttemptFault::NotConnected));
            }
        };
        Ok(match self.send(connection, body).await? {
            Sent::Answer(answer) => Ok(answer),
            Sent::Unused => Err(AttemptFault::NotConnected),
            Sent::Failed(fault) => Err(fault),
        })
    }

    async fn send(&mut self, mut connection: Connection, body: &mut ClientBody) -> Result<Sent, Rejection> {
        let request = self.exchange.outbound(self.head, body.take())?;
        Ok(match connection.sender.try_send_request(request).await {
            Ok(answer) if is_usable(&answer) => Sent::Answer((answer, connection)),
            Ok(_) => Sent::Failed(AttemptFault::Broken),
            Err(mut error) => match error.take_message() {
                Some(unsent) => {
                    body.put_back(unsent.into_body());
                    Sent::Unused
                }
                None => Sent::Failed(fault_of(error.error(), body.end.get())),
            },
        })
    }

    fn is_repeatable(&self, body: &ClientBody) -> bool {
        self.head.method.is_safe() && self.head.method != Method::CONNECT && !body.exists
    }
}

/// What became of a request that was handed to a connection.
enum Sent {
    Answer(Answered),
    /// The connection was dead before anything was sent; the request is whole.
    Unused,
    Failed(AttemptFault),
}

/// Whether an answer can be passed on: not a switch to another protocol, which nobody asked for (`Upgrade` ends
/// here), and with an end that has one reading.
fn is_usable(answer: &Response<Incoming>) -> bool {
    !answer.status().is_informational() && is_framed_once(answer.headers())
}

fn fault_of(error: &hyper::Error, end: BodyEnd) -> AttemptFault {
    match end {
        BodyEnd::TooLarge => AttemptFault::BodyTooLarge,
        BodyEnd::Broken => AttemptFault::ClientGone,
        BodyEnd::Whole | BodyEnd::UnderWay if error.is_parse() => AttemptFault::Broken,
        BodyEnd::Whole | BodyEnd::UnderWay => AttemptFault::Reset,
    }
}
