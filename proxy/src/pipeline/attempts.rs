//! **choose**, **outbound** and **judge**: one attempt after the other at the instances of a service.

use std::sync::Arc;
use std::time::Instant;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, StatusCode, request, response};

use super::{Exchange, route_of};
use crate::policy::balance::Endpoint;
use crate::policy::retry::{Failure, Repeatable};
use crate::policy::trace::TraceContext;
use crate::rejection::Rejection;

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What **judge** says of an attempt.
pub enum Verdict {
    /// The client gets this answer.
    Deliver,
    /// Another attempt is made.
    Again,
    /// The client gets this refusal.
    GiveUp(Rejection),
}

/// How an attempt ended without an answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptFault {
    /// No connection could be made.
    NotConnected,
    /// TLS could not be agreed on with the instance.
    Tls,
    /// The instance's certificate is not the one that is wanted.
    Certificate,
    /// The connection ended early.
    Reset,
    /// The instance ended the request's stream early; the connection that others share stays open.
    StreamReset,
    /// What came back is no HTTP answer.
    Broken,
    /// The instance cannot switch to the protocol that the client wants.
    NoSwitch,
    /// The request's body is larger than the route takes.
    BodyTooLarge,
    /// The client left, or its body could not be read to its end.
    ClientGone,
    /// The route's time was up, and the client had not sent all of its body.
    BodyLate,
    /// The client sent its body slower than it must.
    BodySlow,
    /// The request has taken as long as any may in all.
    TooOld,
    /// The route's time was up.
    TimedOut,
}

/// The attempts made so far.
#[derive(Default)]
pub(super) struct Attempts {
    pub(super) made: u8,
    turn: Option<usize>,
    /// What the instance is picked by, where the route does not go by turns.
    pub(super) key: Option<HeaderValue>,
    tried: Vec<u64>,
    pub(super) current: Option<Attempt>,
    pub(super) answered_by: Option<Arc<Endpoint>>,
}

pub(super) struct Attempt {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) trace: TraceContext,
    /// When it began, where that is recorded.
    pub(super) clock: Option<Instant>,
}

impl Exchange {
    /// **choose**: the instance for the next attempt.
    ///
    /// # Errors
    /// [`Rejection::NoInstance`].
    pub fn choose(&mut self) -> Result<Arc<Endpoint>, Rejection> {
        let route = route_of(&self.route, &self.pinned).ok_or(Rejection::NoRoute)?;
        let service = self.pinned.snapshot.service_of(route);
        let turn = match &self.attempts.key {
            Some(key) => service.turn_of(key.as_bytes(), &self.attempts.tried),
            None => *self.attempts.turn.get_or_insert_with(|| service.turn()),
        };
        let no_instance = || Rejection::NoInstance(Arc::clone(&route.service));
        let endpoint = Arc::clone(service.pick(turn, &self.attempts.tried).ok_or_else(no_instance)?);
        self.attempts.made += 1;
        self.attempts.current = Some(Attempt {
            endpoint: Arc::clone(&endpoint),
            trace: self.trace.child(),
            clock: self.sink().is_some().then(Instant::now),
        });
        Ok(endpoint)
    }

    /// **outbound**: the target for the chosen instance; `head` gets what is its own for this attempt.
    ///
    /// # Errors
    /// [`Rejection::NoRoute`] when a rewrite makes a path that cannot be sent.
    pub fn outbound(&self, head: &mut request::Parts) -> Result<PathAndQuery, Rejection> {
        let route = self.route().ok_or(Rejection::NoRoute)?;
        let captures = self.route.as_ref().map(|(_, captures)| captures);
        let rewritten =
            route.rewrite.as_ref().zip(captures).map(|(rewrite, c)| rewrite.apply(self.target.path(), c));
        if let Some(attempt) = &self.attempts.current {
            attempt.trace.inject(&mut head.headers);
        }
        self.pass_timeout_on(&mut head.headers);
        self.target.with_path(rewritten.as_deref()).ok_or(Rejection::NoRoute)
    }

    /// **judge**: what the end of an attempt means for the instance, and for the client.
    pub fn judge(&mut self, outcome: Result<&response::Parts, AttemptFault>, has_body: bool) -> Verdict {
        let Some(attempt) = self.attempts.current.take() else { return Verdict::Deliver };
        self.record_attempt(&attempt, &outcome);
        let failure = match &outcome {
            Ok(head) if !is_unreachable_behind(head) => {
                attempt.endpoint.succeeded();
                None
            }
            Ok(_) => Some(Failure::Unavailable),
            Err(AttemptFault::NotConnected | AttemptFault::Tls | AttemptFault::Certificate) => {
                Some(Failure::NotConnected)
            }
            Err(AttemptFault::Reset | AttemptFault::StreamReset) => Some(Failure::Reset),
            Err(_) => None,
        };
        // An instance that ends one stream may do so for reasons of that one call.
        let is_one_stream = matches!(outcome, Err(AttemptFault::StreamReset));
        if matches!(failure, Some(Failure::NotConnected | Failure::Reset)) && !is_one_stream {
            attempt.endpoint.failed();
        }
        if failure.is_some_and(|failure| self.may_repeat(failure, has_body)) {
            self.attempts.tried.push(attempt.endpoint.number);
            return Verdict::Again;
        }
        self.attempts.answered_by = outcome.is_ok().then_some(attempt.endpoint);
        match outcome {
            Ok(_) => Verdict::Deliver,
            Err(fault) => {
                // The answer was lost; the write may have been done all the same.
                self.invalidate();
                Verdict::GiveUp(self.refusal(fault))
            }
        }
    }

    fn may_repeat(&self, failure: Failure, has_body: bool) -> bool {
        let request = Repeatable { method: &self.method, has_body };
        let route = self.route();
        route.is_some_and(|route| route.retry.allows(failure, self.attempts.made, request))
            && Instant::now() < self.deadline()
    }

    fn refusal(&self, fault: AttemptFault) -> Rejection {
        let route = self.route();
        let service = route.map_or_else(|| "".into(), |route| Arc::clone(&route.service));
        match fault {
            AttemptFault::NotConnected => Rejection::NotConnected(service),
            AttemptFault::Tls => Rejection::UpstreamTls(service),
            AttemptFault::Certificate => Rejection::UpstreamCertificate(service),
            AttemptFault::TooOld => Rejection::RequestAge,
            AttemptFault::BodySlow => Rejection::BodyRate,
            AttemptFault::Reset | AttemptFault::StreamReset => Rejection::Reset(service),
            AttemptFault::Broken => Rejection::Broken(service),
            AttemptFault::NoSwitch => Rejection::NoSwitch(service),
            AttemptFault::ClientGone => Rejection::BrokenBody,
            AttemptFault::BodyLate => Rejection::SlowBody,
            AttemptFault::TimedOut => Rejection::TimedOut(service),
            AttemptFault::BodyTooLarge => Rejection::TooLarge { limit: self.max_body() },
        }
    }
}

/// Whether the instance's own sidecar says that it could not reach its service: a gateway status together with an
/// error in `Proxy-Status` (RFC 9209), which a service itself has no reason to send.
fn is_unreachable_behind(head: &response::Parts) -> bool {
    matches!(head.status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE)
        && head
            .headers
            .get_all(PROXY_STATUS)
            .iter()
            .any(|value| value.to_str().is_ok_and(|v| v.contains("error=")))
}
