//! Answers on their way into the cache, and out of it.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http::{StatusCode, response};

use super::{CACHE_STATUS, Exchange};
use crate::plane::Plane;
use crate::policy::cache::{Lookup, Room, Stamp, StorePlan, StoredResponse};
use crate::policy::headers::REQUEST_ID;

/// Collects an answer's body while it goes to the client; kept only when all of it came.
pub struct Fill {
    plane: Arc<Plane>,
    lookup: Lookup,
    response: StoredResponse,
    body: Vec<u8>,
    /// What the service has announced.
    length: Option<usize>,
    max: usize,
    room: Room,
}

impl Fill {
    /// `None` where too many others are coming in already: a client may take its time with each.
    pub(super) fn new(
        plane: Arc<Plane>,
        lookup: Lookup,
        plan: StorePlan,
        answer: &response::Parts,
        max: usize,
    ) -> Option<Self> {
        let now = Instant::now();
        let response = StoredResponse {
            status: answer.status,
            headers: without_own_fields(&answer.headers),
            body: Bytes::new(),
            born: now.checked_sub(plan.age).unwrap_or(now),
            expires: now + plan.fresh_for,
            vary: plan.vary,
            stamp: Stamp::default(),
        };
        let room = plane.cache.room(&lookup, &response)?;
        Some(Self { plane, lookup, response, body: Vec::new(), length: plan.length, max, room })
    }

    /// Takes one piece of the body. `false` when the answer has become too large to keep, or all that come in have.
    pub fn push(&mut self, piece: &[u8]) -> bool {
        let length = self.body.len() + piece.len();
        if length > self.max || !self.grow(length) {
            return false;
        }
        self.body.extend_from_slice(piece);
        true
    }

    /// Makes room for a body of this length, or for twice what there was, so that small pieces are not moved with each.
    fn grow(&mut self, length: usize) -> bool {
        let known = self.body.capacity();
        if length <= known {
            return true;
        }
        let wanted = known.saturating_mul(2).min(self.length.unwrap_or(self.max)).max(length);
        let is_granted = self.room.widen((wanted - known) as u64);
        if is_granted {
            self.body.reserve_exact(wanted - self.body.len());
        }
        is_granted
    }

    /// The whole body has come: the answer is kept, unless less has come than was announced. Over HTTP/2 a stream that
    /// was reset in good order looks like one that has ended.
    pub fn complete(self) {
        if self.length.is_some_and(|length| length != self.body.len()) {
            return;
        }
        let mut response = self.response;
        // What is kept holds on to no more than its own size: not to what was read together with a field, nor to the
        // room a body had to grow in.
        response.body = self.body.into_boxed_slice().into();
        let told = response.vary.iter_mut().filter_map(|(_, value)| value.as_mut());
        in_own_memory(response.headers.values_mut().chain(told).collect());
        self.plane.cache.keep(&self.lookup, response);
    }
}

/// Moves values out of the memory they were read into.
fn in_own_memory(values: Vec<&mut HeaderValue>) {
    let mut block = BytesMut::with_capacity(values.iter().map(|value| value.len()).sum());
    for value in values {
        block.extend_from_slice(value.as_bytes());
        // What was a value before is one again.
        if let Ok(mut copy) = HeaderValue::from_maybe_shared(block.split().freeze()) {
            copy.set_sensitive(value.is_sensitive());
            *value = copy;
        }
    }
}

/// A kept answer as the client gets it: with its age (RFC 9111, 5.1) and its source (RFC 9211), or just 304 when
/// the client has it already.
pub fn from_cache(
    exchange: &mut Exchange,
    stored: &StoredResponse,
    request: &HeaderMap,
) -> (StatusCode, HeaderMap, Bytes) {
    let now = Instant::now();
    let mut headers = stored.headers.clone();
    // Each answer has the id of its own request, unless the route takes the field away.
    if headers.contains_key(REQUEST_ID) {
        exchange.say_request_id(&mut headers);
    }
    headers.insert(header::AGE, HeaderValue::from(now.saturating_duration_since(stored.born).as_secs()));
    let fresh_for = stored.expires.saturating_duration_since(now).as_secs();
    let text = format!("{}; hit; ttl={fresh_for}", exchange.pinned.settings.name);
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.append(CACHE_STATUS, value);
    }
    let (status, body) = match is_unchanged(request, &stored.headers) {
        true => {
            headers.remove(header::CONTENT_LENGTH);
            (StatusCode::NOT_MODIFIED, Bytes::new())
        }
        false => (stored.status, stored.body.clone()),
    };
    exchange.answered_from_cache(status);
    (status, headers, body)
}

/// `Cache-Status` and `Age` are said anew with every answer from memory.
fn without_own_fields(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(CACHE_STATUS);
    headers.remove(header::AGE);
    headers
}

/// Weak comparison of `If-None-Match` (RFC 9110, 13.1.2).
fn is_unchanged(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let Some(etag) = stored.get(header::ETAG).and_then(|etag| etag.to_str().ok()) else { return false };
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

#[cfg(test)]
mod tests;
