//! THE LIFE OF A REQUEST, in seven verbs, in order of time:
//!
//! **begin** pins the configuration, reads the target, starts or continues the trace, finds the route →
//! **admit** verifies the token, then looks in the cache → **choose** names an instance → **outbound** makes the
//! request for it → **judge** says what an attempt's end means: deliver, repeat, give up → **inbound** makes the
//! answer for the client and says whether it is kept → **finish** writes span, counters and log line.
//!
//! The verbs decide and do no I/O; `server` carries bytes between them. They know `http` types and nothing of the
//! library that parsed them.

mod answer;
mod attempts;
mod calls;
mod finish;
mod kept;
mod rehearsal;
mod routed;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{self, HeaderMap, HeaderValue};
use http::{HeaderName, Method, request};
use portreeve_config::Period;

pub use attempts::{AttemptFault, Verdict};
pub use kept::{Fill, from_cache};
pub use rehearsal::{Onward, Rehearsed};

use crate::plane::Pinned;
use crate::policy::auth::Identity;
use crate::policy::cache::{Asked, Bypass, Lookup, RequestRule, StoredResponse};
use crate::policy::headers::{self, Forwarding, Peer};
use crate::policy::routing::Captures;
use crate::policy::trace::TraceContext;
use crate::rejection::{Blame, Rejection};
use crate::snapshot::Route;
use crate::target::Target;
use attempts::Attempts;
use calls::Call;
use routed::find_route;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// One request on its way, and all that was decided about it so far. Dropping it is **finish**.
pub struct Exchange {
    pinned: Arc<Pinned>,
    client: Option<IpAddr>,
    /// What the service and the client are told; `None` where the field passes unchanged.
    request_id: Option<HeaderValue>,
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
    call: Option<Box<Call>>,
    /// What the client got; 0 until it is known.
    status: u16,
    bytes: u64,
    reason: Option<(&'static str, Blame)>,
}

/// What **admit** found.
pub enum Admission {
    /// The answer is in memory.
    Hit(Arc<StoredResponse>),
    /// A service has to be asked.
    Forward,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CacheOutcome {
    Hit,
    Miss,
    Bypass,
}

impl Exchange {
    /// **begin**: never fails; what is wrong with the request is said by **admit**, so that refusals have a trace
    /// and a log line too. From here on `head` holds no field that ends at this hop, and none that only this hop
    /// may set but by its own word: route, token, cache and service all see the same fields.
    pub fn begin(pinned: Arc<Pinned>, head: &mut request::Parts, peer: &Peer) -> Self {
        let (target, mut refused) = match Target::read(head, pinned.settings.paths) {
            Ok(target) => (target, None),
            Err(rejection) => (Target::unreadable(), Some(rejection)),
        };
        let client = introduce(&pinned, head, peer, &target);
        let trace =
            TraceContext::from_headers(&head.headers, &pinned.settings.sampler, pinned.settings.propagation);
        let request_id = identify(&pinned, &mut head.headers, &trace);
        let (call, fault) = Call::read(&mut head.headers);
        refused = refused.or(fault);
        let mut route = None;
        if refused.is_none() {
            match find_route(&pinned, &target, head) {
                Ok(found) => route = Some(found),
                Err(rejection) => refused = Some(rejection),
            }
        }
        let mut exchange = Self::new(pinned, head.method.clone(), target, trace);
        (exchange.client, exchange.request_id) = (client, request_id);
        (exchange.route, exchange.refused, exchange.call) = (route, refused, call);
        exchange.open_bridge(&head.headers);
        exchange
    }

    /// A request whose head could not be read, so that its refusal (by [`Exchange::reject`]) is counted and logged
    /// as any other.
    pub fn unreadable(pinned: Arc<Pinned>, peer: &Peer) -> Self {
        let mut headers = HeaderMap::new();
        let trace =
            TraceContext::from_headers(&headers, &pinned.settings.sampler, pinned.settings.propagation);
        let request_id = identify(&pinned, &mut headers, &trace);
        // A token that no method has.
        let method = Method::from_bytes(b"-").unwrap_or_default();
        let mut exchange = Self::new(pinned, method, Target::unreadable(), trace);
        (exchange.client, exchange.request_id) = (peer.address, request_id);
        exchange
    }

    /// Whether the answer has no body, whatever it says of one.
    pub fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    fn new(pinned: Arc<Pinned>, method: Method, target: Target, trace: TraceContext) -> Self {
        Self {
            pinned,
            client: None,
            request_id: None,
            clock: Instant::now(),
            method,
            target,
            trace,
            route: None,
            refused: None,
            identity: None,
            lookup: None,
            cache: None,
            attempts: Attempts::default(),
            call: None,
            status: 0,
            bytes: 0,
            reason: None,
        }
    }

    /// Whether the route lets a request switch to this protocol.
    pub fn may_switch_to(&self, protocol: &HeaderValue) -> bool {
        let allowed = self.route().map_or(&[][..], |route| &route.upgrade);
        allowed.iter().any(|allowed| protocol.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()))
    }

    /// The client's address, behind proxies whose word is taken; `None` for one that came by a Unix socket.
    pub fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// The refusal when an instance answers as if it had switched, and has not.
    pub fn no_switch(&self) -> Rejection {
        let route = self.route();
        Rejection::Broken(route.map_or_else(|| "".into(), |route| Arc::clone(&route.service)))
    }

    /// **admit**: the token first, the cache second, so that nobody is given what they may not see.
    ///
    /// # Errors
    /// Why the request is not let in.
    pub async fn admit(
        &mut self,
        head: &mut request::Parts,
        body_length: Option<u64>,
    ) -> Result<Admission, Rejection> {
        if let Some(rejection) = self.refused.take() {
            return Err(rejection);
        }
        let Some(route) = route_of(&self.route, &self.pinned) else { return Err(Rejection::NoRoute) };
        if route.needs_token {
            // A route that wants a token is only compiled where there is someone to verify it.
            let auth = self.pinned.snapshot.auth.as_ref().ok_or(Rejection::NoRoute)?;
            self.identity = Some(auth.authenticate(&head.headers).await.map_err(Rejection::Auth)?);
        }
        fits(route, body_length)?;
        let is_identified = self.identity.is_some();
        let is_covered = route.cache.as_ref().is_some_and(|rule| rule.covers(&head.headers, is_identified));
        dress(&self.target, self.identity.as_deref(), route, &mut head.headers);
        self.attempts.key = key_of(route, &head.headers);
        let has_body = body_length != Some(0);
        let found = if is_covered { self.look_in_cache(head, has_body) } else { None };
        Ok(found.map_or(Admission::Forward, Admission::Hit))
    }

    fn look_in_cache(&mut self, head: &request::Parts, has_body: bool) -> Option<Arc<StoredResponse>> {
        let route = route_of(&self.route, &self.pinned)?;
        let rule = route.cache.as_ref()?;
        let wish = RequestRule::of(&head.method, &head.headers, has_body);
        if wish.bypass == Some(Bypass::Method) {
            return None;
        }
        let asked = Asked {
            route: &route.identity,
            path: self.target.path(),
            query: self.target.query(),
            identity: self.identity.as_ref().map(|identity| (&*identity.issuer, &*identity.subject)),
            fields: &head.headers,
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

    /// When the request has taken as long as any may in all.
    pub fn oldest(&self, age: Option<Period>) -> Instant {
        let far = || self.clock + Duration::from_secs(u32::MAX.into());
        age.and_then(|age| self.clock.checked_add(age.get())).unwrap_or_else(far)
    }

    /// When the request's head was there.
    pub fn asked_at(&self) -> Instant {
        self.clock
    }

    /// What holds for this request from beginning to end.
    pub fn pinned(&self) -> &Arc<Pinned> {
        &self.pinned
    }

    /// The target as it was read.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The host the request names, without port.
    pub fn host(&self) -> &str {
        self.target.host()
    }

    /// The largest request body the route takes, in bytes.
    pub fn max_body(&self) -> u64 {
        self.route().map_or(0, |route| route.max_body)
    }

    fn route(&self) -> Option<&Route> {
        route_of(&self.route, &self.pinned)
    }
}

fn fits(route: &Route, body_length: Option<u64>) -> Result<(), Rejection> {
    match body_length.is_some_and(|length| length > route.max_body) {
        true => Err(Rejection::TooLarge { limit: route.max_body }),
        false => Ok(()),
    }
}

/// The route, borrowed from what holds it and from nothing else of the request.
fn route_of<'p>(found: &Option<(usize, Captures)>, pinned: &'p Pinned) -> Option<&'p Route> {
    let (number, _) = found.as_ref()?;
    pinned.snapshot.routes.get(*number).map(Arc::as_ref)
}

/// What the instance is picked by, where the route does not go by turns.
fn key_of(route: &Route, fields: &HeaderMap) -> Option<HeaderValue> {
    route.balance_by.as_ref().and_then(|name| fields.get(name)).cloned()
}

/// Adds what only this hop can say. Done before the cache is asked, so that what an answer was made from is compared by
/// what the service was told.
fn dress(target: &Target, identity: Option<&Identity>, route: &Route, fields: &mut HeaderMap) {
    // A host is a must from HTTP/1.1 on (RFC 9112, 3.2), and the service is always asked in 1.1.
    if !target.is_in_field() {
        let host = target.authority().cloned();
        if let Some(host) = host.or_else(|| HeaderValue::from_str(&route.service).ok()) {
            fields.insert(header::HOST, host);
        }
    }
    if let Some(identity) = identity {
        for (name, value) in &identity.headers {
            fields.insert(name.clone(), value.clone());
        }
    }
    route.request_headers.apply(fields);
}

/// Takes away what a client cannot say, and says in its place where the request comes from. Returns the client's
/// address.
fn introduce(pinned: &Pinned, head: &mut request::Parts, peer: &Peer, target: &Target) -> Option<IpAddr> {
    let (forwarding, settings) = (pinned.plane.forwarding, &pinned.settings);
    let is_proxy = forwarding == Forwarding::Replace && peer.is_trusted(&settings.trusted_proxies);
    let wants_trailers = headers::wants_trailers(&head.headers, head.version);
    let fields = &mut head.headers;
    cleanse(pinned, fields, is_proxy);
    if wants_trailers {
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    settings.via.add(fields, head.version);
    match (forwarding, is_proxy) {
        (Forwarding::Keep, _) => peer.address,
        (Forwarding::Replace, true) => {
            peer.extend_origin(fields, target.authority(), &settings.trusted_proxies)
        }
        (Forwarding::Replace, false) => {
            peer.name_origin(fields, target.authority());
            peer.address
        }
    }
}

/// Takes away fields of the client's own connection, and what it says of where it comes from and who it is.
fn cleanse(pinned: &Pinned, fields: &mut HeaderMap, is_proxy: bool) {
    let (auth, forwarding) = (pinned.snapshot.auth.as_deref(), pinned.plane.forwarding);
    headers::remove_hop_by_hop(fields, |name| {
        // The server has answered it already; a second hop must not wait for it again.
        *name == header::EXPECT
            || (forwarding == Forwarding::Replace
                && headers::is_about_origin(name)
                && !(is_proxy && headers::is_believable(name)))
            || auth.is_some_and(|auth| auth.strips(name))
    });
}

/// The id that the service and the client are told: a trusted proxy's, or a new one.
fn identify(pinned: &Pinned, fields: &mut HeaderMap, trace: &TraceContext) -> Option<HeaderValue> {
    if pinned.plane.forwarding == Forwarding::Keep {
        return None;
    }
    if let Some(id) = headers::sound_request_id(fields) {
        return Some(id.clone());
    }
    let id = trace.request_id();
    fields.insert(headers::REQUEST_ID, id.clone());
    Some(id)
}

#[cfg(test)]
mod tests;
