//! THE LIFE OF A REQUEST, in seven verbs, in order of time:
//!
//! **begin** pins the configuration, reads the target, starts or continues the trace, finds the route →
//! **admit** verifies the token, then looks in the cache → **choose** names an instance → **outbound** makes the
//! request for it → **judge** says what an attempt's end means: deliver, repeat, give up → **inbound** makes the
//! answer for the client and says whether it is kept → **finish** writes span, counters and log line.
//!
//! The verbs decide and do no I/O; `server` carries bytes between them. They know `http` types and nothing of the
//! library that parsed them.

mod finish;
mod kept;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::{self, HeaderMap, HeaderValue};
use http::{HeaderName, Method, Request, StatusCode, Version, request, response};

pub use kept::{Fill, from_cache};

use crate::plane::Pinned;
use crate::policy::auth::Identity;
use crate::policy::balance::Endpoint;
use crate::policy::cache::{Asked, Bypass, Lookup, RequestRule, StoredResponse};
use crate::policy::headers;
use crate::policy::retry::{Failure, Repeatable};
use crate::policy::routing::{Captures, Match, RequestView};
use crate::policy::trace::TraceContext;
use crate::rejection::{Rejection, Speaker};
use crate::snapshot::Route;
use crate::target::Target;

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// One request on its way, and all that was decided about it so far. Dropping it is **finish**.
pub struct Exchange {
    pinned: Arc<Pinned>,
    peer: IpAddr,
    began: SystemTime,
    clock: Instant,
    method: Method,
    target: Target,
    trace: TraceContext,
    route: Option<(usize, Captures)>,
    refused: Option<Rejection>,
    identity: Option<Arc<Identity>>,
    lookup: Option<Lookup>,
    cache: Option<CacheOutcome>,
    attempts: Attempts,
    /// What the client got; 0 until it is known.
    status: u16,
    bytes: u64,
    reason: Option<&'static str>,
}

/// What **admit** found.
pub enum Admission {
    /// The answer is in memory.
    Hit(Arc<StoredResponse>),
    /// A service has to be asked.
    Forward,
}

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
    /// The connection ended early.
    Reset,
    /// What came back is no HTTP answer.
    Broken,
    /// The request's body is larger than the route takes.
    BodyTooLarge,
    /// The client stopped sending its body.
    ClientGone,
    /// The route's time was up.
    TimedOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CacheOutcome {
    Hit,
    Miss,
    Bypass,
}

/// The attempts made so far.
#[derive(Default)]
struct Attempts {
    made: u8,
    turn: Option<usize>,
    tried: Vec<SocketAddr>,
    current: Option<Attempt>,
    answered_by: Option<SocketAddr>,
}

struct Attempt {
    endpoint: Arc<Endpoint>,
    trace: TraceContext,
    began: SystemTime,
    clock: Instant,
}

impl Exchange {
    /// **begin**: never fails; what is wrong with the request is said by **admit**, so that refusals have a trace
    /// and a log line too.
    pub fn begin(pinned: Arc<Pinned>, head: &request::Parts, peer: IpAddr) -> Self {
        let trace =
            TraceContext::from_headers(&head.headers, &pinned.plane.sampler, pinned.plane.propagation);
        let (target, mut refused) = match Target::read(head) {
            Ok(target) => (target, None),
            Err(rejection) => (Target::unreadable(), Some(rejection)),
        };
        let mut route = None;
        if refused.is_none() {
            match find_route(&pinned, &target, head) {
                Ok(found) => route = Some(found),
                Err(rejection) => refused = Some(rejection),
            }
        }
        Self {
            pinned,
            peer,
            began: SystemTime::now(),
            clock: Instant::now(),
            method: head.method.clone(),
            target,
            trace,
            route,
            refused,
            identity: None,
            lookup: None,
            cache: None,
            attempts: Attempts::default(),
            status: 0,
            bytes: 0,
            reason: None,
        }
    }

    /// **admit**: the token first, the cache second, so that nobody is given what they may not see.
    ///
    /// # Errors
    /// Why the request is not let in.
    pub async fn admit(
        &mut self,
        head: &request::Parts,
        body_length: Option<u64>,
    ) -> Result<Admission, Rejection> {
        if let Some(rejection) = self.refused.take() {
            return Err(rejection);
        }
        let pinned = Arc::clone(&self.pinned);
        let Some(route) = self.route_in(&pinned) else { return Err(Rejection::NoRoute) };
        if route.needs_token {
            // A route that wants a token is only compiled where there is someone to verify it.
            let auth = pinned.snapshot.auth.as_ref().ok_or(Rejection::NoRoute)?;
            self.identity = Some(auth.authenticate(&head.headers).await.map_err(Rejection::Auth)?);
        }
        if body_length.is_some_and(|length| length > route.max_body) {
            return Err(Rejection::TooLarge { limit: route.max_body });
        }
        Ok(self.look_in_cache(route, head).map_or(Admission::Forward, Admission::Hit))
    }

    fn look_in_cache(&mut self, route: &Route, head: &request::Parts) -> Option<Arc<StoredResponse>> {
        let rule = route.cache.as_ref()?;
        let wish = RequestRule::of(&head.method, &head.headers);
        if wish.bypass == Some(Bypass::Method) {
            return None;
        }
        let asked = Asked {
            route: &route.identity,
            host: self.target.host(),
            path: self.target.path(),
            query: self.target.query(),
            identity: self.identity.as_ref().map(|identity| (&*identity.issuer, &*identity.subject)),
        };
        let cache = &self.pinned.plane.cache;
        let captures = self.route.as_ref().map(|(_, captures)| captures)?;
        let lookup = rule.lookup(asked, captures, &cache.clock);
        let found = match wish.bypass {
            Some(_) => None,
            None => cache.find(&lookup, &head.headers),
        };
        self.cache = Some(match (&found, wish.bypass) {
            (Some(_), _) => CacheOutcome::Hit,
            (None, Some(_)) => CacheOutcome::Bypass,
            (None, None) => CacheOutcome::Miss,
        });
        self.lookup = wish.may_store.then_some(lookup);
        found
    }

    /// **choose**: the instance for the next attempt.
    ///
    /// # Errors
    /// [`Rejection::NoInstance`].
    pub fn choose(&mut self) -> Result<SocketAddr, Rejection> {
        let pinned = Arc::clone(&self.pinned);
        let route = self.route_in(&pinned).ok_or(Rejection::NoRoute)?;
        let service = pinned.snapshot.service_of(route);
        let turn = *self.attempts.turn.get_or_insert_with(|| service.turn());
        let no_instance = || Rejection::NoInstance(Arc::clone(&route.service));
        let endpoint = service.pick(turn, &self.attempts.tried).ok_or_else(no_instance)?;
        self.attempts.made += 1;
        self.attempts.current = Some(Attempt {
            endpoint: Arc::clone(endpoint),
            trace: self.trace.child(),
            began: SystemTime::now(),
            clock: Instant::now(),
        });
        Ok(endpoint.address)
    }

    /// The part of **outbound** that is the same for every attempt: a client's header fields become a request's
    /// to a service. What is sent is built from the canonical target, never copied from the wire.
    pub fn prepare(&self, head: &mut request::Parts) {
        let Some(route) = self.route_in(&self.pinned) else { return };
        let fields = &mut head.headers;
        headers::remove_hop_by_hop(fields);
        // The server has answered it already; a second hop must not wait for it again.
        fields.remove(header::EXPECT);
        headers::set_forwarded(fields, self.pinned.plane.forwarding, self.peer);
        if let Some(auth) = &self.pinned.snapshot.auth {
            headers::remove_where(fields, |name| auth.strips(name));
        }
        if let Some(identity) = &self.identity {
            for (name, value) in &identity.headers {
                fields.insert(name.clone(), value.clone());
            }
        }
        route.request_headers.apply(fields);
    }

    /// **outbound**: the request for the chosen instance.
    ///
    /// # Errors
    /// [`Rejection::NoRoute`] when a rewrite makes a path that cannot be sent.
    pub fn outbound<B>(&self, head: &request::Parts, body: B) -> Result<Request<B>, Rejection> {
        let route = self.route_in(&self.pinned).ok_or(Rejection::NoRoute)?;
        let captures = self.route.as_ref().map(|(_, captures)| captures);
        let rewritten =
            route.rewrite.as_ref().zip(captures).map(|(rewrite, c)| rewrite.apply(self.target.path(), c));
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.uri_mut() = self.target.with_path(rewritten.as_deref()).ok_or(Rejection::NoRoute)?.into();
        *request.headers_mut() = head.headers.clone();
        if let Some(attempt) = &self.attempts.current {
            attempt.trace.inject(request.headers_mut());
        }
        Ok(request)
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
            Err(AttemptFault::NotConnected) => Some(Failure::NotConnected),
            Err(AttemptFault::Reset) => Some(Failure::Reset),
            Err(_) => None,
        };
        if matches!(failure, Some(Failure::NotConnected | Failure::Reset)) {
            attempt.endpoint.failed();
        }
        self.attempts.answered_by = outcome.is_ok().then_some(attempt.endpoint.address);
        if failure.is_some_and(|failure| self.may_repeat(failure, has_body)) {
            self.attempts.tried.push(attempt.endpoint.address);
            return Verdict::Again;
        }
        match outcome {
            Ok(_) => Verdict::Deliver,
            Err(fault) => {
                if let (Some(route), Some((_, captures))) = (self.route_in(&self.pinned), &self.route) {
                    self.invalidate(route, captures);
                }
                Verdict::GiveUp(self.refusal(fault))
            }
        }
    }

    fn may_repeat(&self, failure: Failure, has_body: bool) -> bool {
        let request = Repeatable { method: &self.method, has_body };
        let route = self.route_in(&self.pinned);
        route.is_some_and(|route| route.retry.allows(failure, self.attempts.made, request))
            && self.time_left() > Duration::ZERO
    }

    fn refusal(&self, fault: AttemptFault) -> Rejection {
        let route = self.route_in(&self.pinned);
        let service = route.map_or_else(|| "".into(), |route| Arc::clone(&route.service));
        match fault {
            AttemptFault::NotConnected => Rejection::NotConnected(service),
            AttemptFault::Reset => Rejection::Reset(service),
            AttemptFault::Broken | AttemptFault::ClientGone => Rejection::Broken(service),
            AttemptFault::TimedOut => Rejection::TimedOut(service),
            AttemptFault::BodyTooLarge => Rejection::TooLarge { limit: self.max_body() },
        }
    }

    /// **inbound**: the answer's head for the client, and what is needed to keep the answer if it may be kept.
    pub fn inbound(&mut self, request: &HeaderMap, answer: &mut response::Parts) -> Option<Fill> {
        let pinned = Arc::clone(&self.pinned);
        let (route, captures) = (self.route_in(&pinned)?, self.route.as_ref().map(|(_, captures)| captures)?);
        headers::remove_hop_by_hop(&mut answer.headers);
        answer.version = Version::HTTP_11;
        if !answer.status.is_client_error() {
            self.invalidate(route, captures);
        }
        route.response_headers.apply(&mut answer.headers);
        self.status = answer.status.as_u16();
        let rule = route.cache.as_ref()?;
        let plan = self.lookup.take().zip(rule.plan(answer.status, request, &answer.headers));
        self.say_cache_status(&mut answer.headers, plan.is_some());
        plan.map(|(lookup, plan)| {
            Fill::new(Arc::clone(&pinned.plane), lookup, plan, answer, rule.max_entry())
        })
    }

    /// Makes stale what this request may have changed. Also called when the answer was lost: the write may have
    /// been done all the same.
    fn invalidate(&self, route: &Route, captures: &Captures) {
        for tag in &route.invalidates {
            self.pinned.plane.cache.clock.invalidate(&tag.fill(self.target.path(), captures));
        }
    }

    fn say_cache_status(&self, headers: &mut HeaderMap, stored: bool) {
        let forwarded = match self.cache {
            Some(CacheOutcome::Miss) => "uri-miss",
            Some(CacheOutcome::Bypass) => "request",
            Some(CacheOutcome::Hit) | None => return,
        };
        let stored = if stored { "; stored" } else { "" };
        let text = format!("{}; fwd={forwarded}{stored}", self.pinned.plane.name);
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(CACHE_STATUS, value);
        }
    }

    /// The answer when the request was refused at any of the verbs.
    pub fn reject(&mut self, rejection: &Rejection) -> (StatusCode, HeaderMap, String) {
        self.status = rejection.status().as_u16();
        self.reason = Some(rejection.reason());
        let trace_id = self.trace.trace_id_text();
        let plane = &self.pinned.plane;
        rejection.answer(&Speaker { proxy: &plane.name, realm: &plane.realm, trace_id: trace_id.as_str() })
    }

    /// Notes that the client got this status from the cache.
    pub fn answered_from_cache(&mut self, status: StatusCode) {
        self.status = status.as_u16();
    }

    /// Notes that this many bytes of the answer's body went to the client.
    pub fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// How long the route still lets the service take.
    pub fn time_left(&self) -> Duration {
        let allowed = self.route_in(&self.pinned).map_or(Duration::ZERO, |route| route.timeout);
        allowed.saturating_sub(self.clock.elapsed())
    }

    /// The largest request body the route takes, in bytes.
    pub fn max_body(&self) -> u64 {
        self.route_in(&self.pinned).map_or(0, |route| route.max_body)
    }

    fn route_in<'s>(&self, pinned: &'s Pinned) -> Option<&'s Route> {
        let (number, _) = self.route.as_ref()?;
        pinned.snapshot.routes.get(*number).map(Arc::as_ref)
    }
}

fn find_route(
    pinned: &Pinned,
    target: &Target,
    head: &request::Parts,
) -> Result<(usize, Captures), Rejection> {
    let view = RequestView {
        host: target.host(),
        path: target.path(),
        query: target.query(),
        method: &head.method,
        headers: &head.headers,
    };
    match pinned.snapshot.router.find(&view) {
        Match::Found(number, captures) => Ok((*number, captures)),
        Match::MethodNotAllowed(methods) => Err(Rejection::MethodNotAllowed(methods)),
        Match::NotFound => Err(Rejection::NoRoute),
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
