//! RFC 9111's rules, as far as a shared cache with a time to live of its own needs them.

use std::time::{Duration, SystemTime};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

/// Why a request is not answered from the cache although its route has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bypass {
    /// Its method is not GET or HEAD.
    Method,
    /// The client wants no kept answer (`Cache-Control: no-cache` or `no-store`), part of one (`Range`), or one to its
    /// body.
    Request,
}

/// What a request wants of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRule {
    /// Set when a kept answer must not be given.
    pub bypass: Option<Bypass>,
    /// Whether the answer may be kept.
    pub may_store: bool,
}

impl RequestRule {
    /// Reads method and header fields. The service may answer to a body, which no key holds.
    pub fn of(method: &Method, headers: &HeaderMap, has_body: bool) -> Self {
        let get = *method == Method::GET;
        if !get && *method != Method::HEAD {
            return Self { bypass: Some(Bypass::Method), may_store: false };
        }
        let no_store = has_body || has_directive(headers, "no-store");
        let partial = headers.contains_key(header::RANGE);
        let fresh = has_directive(headers, "no-cache") || directive(headers, "max-age") == Some(0);
        let bypass = (no_store || partial || fresh).then_some(Bypass::Request);
        Self { bypass, may_store: get && !no_store && !partial }
    }
}

/// How an answer will be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePlan {
    /// For how long.
    pub fresh_for: Duration,
    /// How old it was already when it came.
    pub age: Duration,
    /// The request fields it was chosen by.
    pub vary: Vec<(HeaderName, Option<HeaderValue>)>,
    /// The length of its body, where that was announced.
    pub length: Option<usize>,
}

impl StorePlan {
    /// The plan once a route has changed the answer: what it adds to `Vary` is heeded beside what the service said.
    pub fn changed(mut self, request: &HeaderMap, response: &HeaderMap) -> Option<Self> {
        for field in vary(request, response)? {
            if !self.vary.contains(&field) {
                self.vary.push(field);
            }
        }
        Some(self)
    }
}

/// Whether and how an answer may be kept. Only whole 200 answers are; what the origin says can shorten the
/// route's time to live and never lengthens it.
pub(super) fn plan(
    status: StatusCode,
    request: &HeaderMap,
    response: &HeaderMap,
    ttl: Duration,
) -> Option<StorePlan> {
    let refused = has_directive(response, "no-store")
        || has_directive(response, "no-cache")
        || response.contains_key(header::SET_COOKIE);
    if status != StatusCode::OK || refused {
        return None;
    }
    let age = response.get(header::AGE).and_then(|age| age.to_str().ok()?.parse().ok()).unwrap_or(0);
    let said = directive(response, "s-maxage").or_else(|| directive(response, "max-age"));
    let said = match said {
        Some(seconds) => Some(Duration::from_secs(seconds.saturating_sub(age))),
        None => until_expired(response, age),
    };
    let fresh_for = said.map_or(ttl, |said| ttl.min(said));
    let vary = vary(request, response)?;
    let length = response.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    (!fresh_for.is_zero()).then_some(StorePlan { fresh_for, age: Duration::from_secs(age), vary, length })
}

/// How long an answer is still fresh by its `Expires`; not at all by two of them, or by one that is no date, such as `0`
/// (RFC 9111, 4.2 and 5.3).
fn until_expired(response: &HeaderMap, age: u64) -> Option<Duration> {
    let mut values = response.get_all(header::EXPIRES).iter();
    let expires = date(values.next()?).filter(|_| values.next().is_none());
    let now = SystemTime::now();
    let made = response.get(header::DATE).and_then(date).unwrap_or(now);
    let age = Duration::from_secs(age).max(now.duration_since(made).unwrap_or_default());
    let lifetime = expires.and_then(|expires| expires.duration_since(made).ok()).unwrap_or_default();
    Some(lifetime.saturating_sub(age))
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// Whether the answer is for the one user that asked.
pub(super) fn is_private(response: &HeaderMap) -> bool {
    has_directive(response, "private")
}

/// The fields named by `Vary` with the request's values; `None` for `*` or a field that stands more than once,
/// which no comparison of single values could tell apart.
fn vary(request: &HeaderMap, response: &HeaderMap) -> Option<Vec<(HeaderName, Option<HeaderValue>)>> {
    let mut fields = Vec::new();
    for value in response.get_all(header::VARY) {
        for name in value.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(|_| name != "*")?;
            let mut values = request.get_all(&name).iter();
            let value = values.next().cloned();
            if values.next().is_some() {
                return None;
            }
            fields.push((name, value));
        }
    }
    Some(fields)
}

fn directives(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

fn has_directive(headers: &HeaderMap, wanted: &str) -> bool {
    directives(headers)
        .any(|given| given.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case(wanted)))
}

fn directive(headers: &HeaderMap, wanted: &str) -> Option<u64> {
    directives(headers).find_map(|given| {
        let (name, value) = given.split_once('=')?;
        name.eq_ignore_ascii_case(wanted).then(|| value.trim_matches('"').parse().unwrap_or(0))
    })
}
