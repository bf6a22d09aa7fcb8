//! Carries one request through the pipeline: asks each verb in turn, and does between them the I/O they decide on. One
//! path for every protocol on either side.

mod client_body;
mod stream;

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, header, request, response};

use super::alarm::{Alarm, Elapsed};
use super::body::{Outgoing, Reply};
use super::h1::{self, CallFault, Client};
use super::request_body::{BodyEnd, Source};
use super::tunnel::Far;
use super::upstream::{Answer, ConnectFault, Given, Lease, Line, Purpose};
use super::visit::Visit;
use crate::pipeline::{self, Admission, AttemptFault, Exchange, Verdict};
use crate::policy::balance::Endpoint;
use crate::rejection::Rejection;
use crate::tls;
use client_body::ClientBody;

/// A request as it came in.
pub(super) struct Arrival {
    pub(super) parts: Box<request::Parts>,
    pub(super) body: Source,
    /// The protocol the client would like to switch to.
    pub(super) upgrade: Option<HeaderValue>,
    /// It wants nothing else: an answer without the switch would be taken for one with it.
    pub(super) must_switch: bool,
}

/// Shared connections that may turn out to be dead before a new one is made.
const STALE: usize = 3;

/// What the client gets.
pub(super) enum Answered {
    Response(Reply),
    Switch(Box<Switch>),
}

/// An instance has switched to another protocol.
pub(super) struct Switch {
    pub(super) parts: Box<response::Parts>,
    pub(super) protocol: HeaderValue,
    pub(super) far: Far,
    pub(super) exchange: Box<Exchange>,
}

/// The answer to one request. Never fails: what goes wrong becomes an answer. `client` is told of interim answers.
pub(super) async fn answer(
    visit: &Visit,
    alarm: &Alarm,
    arrival: Arrival,
    client: Option<&Rc<Client>>,
) -> Answered {
    let Arrival { mut parts, body, upgrade, must_switch } = arrival;
    // Handed on several times: as a pointer, not as the half KiB it is.
    let mut exchange = Box::new(Exchange::begin(visit.worker.pin(), &mut parts, &visit.peer));
    let admission = if visit.worker.is_full() {
        Err(Rejection::Overloaded)
    } else if visit.is_misdirected(exchange.host()) {
        Err(Rejection::Misdirected)
    } else {
        exchange.admit(&mut parts, body.length()).await
    };
    let refused = match admission {
        Ok(Admission::Hit(stored)) => {
            let (status, headers, body) = pipeline::from_cache(&mut exchange, &stored, &parts.headers);
            visit.worker.reuse_request(parts);
            return Answered::Response(respond(status, headers, body, exchange));
        }
        Ok(Admission::Forward) => {
            let upgrade = upgrade.filter(|protocol| exchange.may_switch_to(protocol));
            if must_switch && upgrade.is_none() {
                return Answered::Response(refuse(exchange, &Rejection::NotServed));
            }
            let translator = exchange.translate_request(&mut parts.headers);
            let body = ClientBody::new(body, &exchange, translator);
            let mut journey = Journey { visit, alarm, client, exchange: &mut exchange, parts, body, upgrade };
            let outcome = journey.run().await;
            let wished = journey.upgrade.take();
            visit.worker.reuse_request(journey.parts);
            match outcome {
                Ok(((head, Answer::H1(lease)), _)) if is_switch(&head) => {
                    return switched(head, wished, Far::Connection(lease), exchange);
                }
                Ok(((head, Answer::Tunnel(stream, call)), _)) => {
                    return switched(head, wished, Far::Stream(stream, call), exchange);
                }
                Ok(((head, _), _)) if must_switch && head.status.is_success() => exchange.no_switch(),
                Ok(((head, answer), fill)) => {
                    let body = Outgoing::instance(answer, fill, exchange, visit.limits.request_age);
                    return Answered::Response((head, body));
                }
                Err(rejection) => rejection,
            }
        }
        Err(rejection) => rejection,
    };
    Answered::Response(refuse(exchange, &refused))
}

fn switched(
    parts: Box<response::Parts>,
    wished: Option<HeaderValue>,
    far: Far,
    exchange: Box<Exchange>,
) -> Answered {
    let protocol = wished.unwrap_or(HeaderValue::from_static(""));
    Answered::Switch(Box::new(Switch { parts, protocol, far, exchange }))
}

/// The answer that says no.
pub(super) fn refuse(mut exchange: Box<Exchange>, rejection: &Rejection) -> Reply {
    let (status, headers, text) = exchange.reject(rejection);
    respond(status, headers, text.into(), exchange)
}

fn respond(
    status: http::StatusCode,
    mut headers: http::HeaderMap,
    mut body: Bytes,
    exchange: Box<Exchange>,
) -> Reply {
    // HTTP/1 leaves the body out by itself; in HTTP/2 it would break the rules (RFC 9113, 8.1.1).
    if exchange.is_head() && !body.is_empty() {
        headers.entry(header::CONTENT_LENGTH).or_insert(body.len().into());
        body = Bytes::new();
    }
    let mut head = h1::empty_answer();
    (head.status, head.headers) = (status, headers);
    (head, Outgoing::memory(body, exchange))
}

/// A request on its way to an instance and back.
struct Journey<'a> {
    visit: &'a Visit,
    alarm: &'a Alarm,
    client: Option<&'a Rc<Client>>,
    exchange: &'a mut Exchange,
    parts: Box<request::Parts>,
    body: ClientBody,
    upgrade: Option<HeaderValue>,
}

impl Journey<'_> {
    async fn run(&mut self) -> Result<(Given, Option<Box<pipeline::Fill>>), Rejection> {
        loop {
            let endpoint = self.exchange.choose()?;
            let (alarm, deadline) = (self.alarm, self.exchange.deadline());
            let oldest = self.exchange.oldest(self.visit.limits.request_age);
            let ended = alarm.within(deadline.min(oldest), pin!(self.attempt(&endpoint))).await;
            let outcome = match ended {
                Ok(outcome) => outcome?,
                Err(Elapsed) if oldest < deadline => Err(AttemptFault::TooOld),
                Err(Elapsed) if self.body.end() == BodyEnd::Awaited => Err(AttemptFault::BodyLate),
                Err(Elapsed) => Err(AttemptFault::TimedOut),
            };
            match outcome {
                Ok((mut head, answer)) => {
                    if let Verdict::Again = self.exchange.judge(Ok(&head), self.body.exists) {
                        continue;
                    }
                    let fill = self.exchange.inbound(&self.parts.headers, &mut head);
                    return Ok(((head, answer), fill));
                }
                Err(fault) => {
                    if let Verdict::GiveUp(rejection) = self.exchange.judge(Err(fault), self.body.exists) {
                        return Err(rejection);
                    }
                }
            }
        }
    }

    /// One attempt at one instance: by an idle connection if there is one, by a new one otherwise. An idle connection
    /// that turns out to be dead costs no attempt as long as the instance cannot have acted on the request.
    async fn attempt(&mut self, endpoint: &Arc<Endpoint>) -> Result<Result<Given, AttemptFault>, Rejection> {
        let target = self.exchange.outbound(&mut self.parts)?;
        let worker = Rc::clone(&self.visit.worker);
        for call in (0..STALE).map_while(|_| worker.upstreams.join(endpoint)) {
            match Box::pin(self.by_stream(call, endpoint, &target)).await {
                Err(CallFault::Unsent) if !self.body.is_lost() => {}
                outcome => return Ok(self.fault_in(outcome)),
            }
        }
        while let Some(lease) = worker.upstreams.reuse(endpoint) {
            match self.by_connection(lease, &target).await {
                Err(CallFault::Unsent) if !self.body.is_lost() => {}
                // Once: what ends every connection that it comes by would end all of them.
                Err(CallFault::Reset) if self.is_repeatable() => break,
                outcome => return Ok(self.fault_in(outcome)),
            }
        }
        // Few requests make a connection: what that needs is in a box, not in the state of each.
        let purpose = Purpose { client: self.visit.ends, switches: self.upgrade.is_some() };
        Ok(match Box::pin(worker.upstreams.connect(&worker, endpoint, purpose)).await {
            Ok(Line::H1(lease)) => {
                let outcome = self.by_connection(lease, &target).await;
                self.fault_in(outcome)
            }
            Ok(Line::H2(call)) => {
                let outcome = Box::pin(self.by_stream(call, endpoint, &target)).await;
                self.fault_in(outcome)
            }
            Err(fault) => {
                tracing::debug!(address = %endpoint.address, %fault, "no connection to an instance");
                Err(match fault {
                    ConnectFault::Tls(tls::ConnectFault::Certificate(_) | tls::ConnectFault::Name(_)) => {
                        AttemptFault::Certificate
                    }
                    ConnectFault::Tls(tls::ConnectFault::Protocol(_)) => AttemptFault::Tls,
                    _ => AttemptFault::NotConnected,
                })
            }
        })
    }

    async fn by_connection(&mut self, mut lease: Lease, target: &PathAndQuery) -> Result<Given, CallFault> {
        let Some(instance) = lease.instance() else { return Err(CallFault::Unsent) };
        let call = h1::Call {
            method: &self.parts.method,
            target: target.as_str(),
            fields: &self.parts.headers,
            upgrade: self.upgrade.as_ref(),
        };
        instance.begin(&call, self.body.take());
        let (client, worker) = (self.client, &self.visit.worker);
        let mut interim = |head: &response::Parts| {
            if let Some(client) = client {
                client.interim(head);
            }
        };
        match poll_fn(|cx| instance.poll_answer(cx, worker, &mut interim)).await {
            // What is still to come of the request would be taken for bytes of the other protocol.
            Ok(head) if is_switch(&head) && (instance.still_sends() || !self.agrees(&head)) => {
                Err(CallFault::Broken)
            }
            Ok(head) => Ok((head, Answer::H1(lease))),
            Err(fault) => {
                if let Some(body) = instance.take_body() {
                    self.body.put_back(body);
                }
                Err(fault)
            }
        }
    }

    /// What the outcome of a call means for the attempt. A body of which a part is gone cannot be sent again.
    fn fault_in(&self, outcome: Result<Given, CallFault>) -> Result<Given, AttemptFault> {
        outcome.map_err(|fault| match fault {
            CallFault::Unsent if self.body.is_lost() => AttemptFault::Reset,
            fault => fault_of(fault),
        })
    }

    /// Whether the instance switches to what the client wished for, and nothing else.
    fn agrees(&self, head: &response::Parts) -> bool {
        let given = head.headers.get(header::UPGRADE).map(HeaderValue::as_bytes);
        let wished = self.upgrade.as_ref().map(HeaderValue::as_bytes);
        given.zip(wished).is_some_and(|(given, wished)| given.eq_ignore_ascii_case(wished))
    }

    fn is_repeatable(&self) -> bool {
        self.parts.method.is_safe() && self.parts.method != Method::CONNECT && !self.body.exists
    }
}

fn is_switch(head: &response::Parts) -> bool {
    head.status == http::StatusCode::SWITCHING_PROTOCOLS
}

fn fault_of(fault: CallFault) -> AttemptFault {
    match fault {
        CallFault::Unsent => AttemptFault::NotConnected,
        CallFault::Broken => AttemptFault::Broken,
        CallFault::NoSwitch => AttemptFault::NoSwitch,
        CallFault::Body(BodyEnd::TooLarge) => AttemptFault::BodyTooLarge,
        CallFault::Body(BodyEnd::Slow) => AttemptFault::BodySlow,
        CallFault::Body(_) => AttemptFault::ClientGone,
        CallFault::Reset => AttemptFault::Reset,
        CallFault::StreamReset => AttemptFault::StreamReset,
    }
}
