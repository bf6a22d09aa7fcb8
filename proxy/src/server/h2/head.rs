//! Heads of HTTP/2 in the form that the pipeline reads, and limits on them that hyper does not know.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Uri, Version, request};
use rand::RngExt;

use crate::rejection::Rejection;
use crate::server::visit::Visit;

/// A request in the form the pipeline reads: target without authority, and one `Host`.
///
/// # Errors
/// The request names two hosts, or none.
pub(super) fn normalise(parts: &mut request::Parts) -> Result<(), Rejection> {
    let uri = std::mem::take(&mut parts.uri).into_parts();
    let path = uri.path_and_query.unwrap_or(PathAndQuery::from_static("/"));
    parts.uri = Uri::from(path);
    if let Some(authority) = uri.authority {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Rejection::Host)?;
        let mut named = parts.headers.get_all(header::HOST).iter();
        // RFC 9113, 8.3.1: both may be there if they say the same.
        if named.any(|named| !named.as_bytes().eq_ignore_ascii_case(host.as_bytes())) {
            return Err(Rejection::Host);
        }
        parts.headers.insert(header::HOST, host);
    }
    // In HTTP/1 they would be no part of the value (RFC 9113, 8.2.1): it would have two readings.
    let is_padded = |value: &HeaderValue| value.as_bytes().trim_ascii().len() != value.len();
    if parts.headers.values().any(is_padded) {
        return Err(Rejection::Malformed("a field's value begins or ends with a space"));
    }
    join_cookies(&mut parts.headers);
    Ok(())
}

/// Cookies may come in crumbs, and leave as one field (RFC 9113, 8.2.3).
fn join_cookies(fields: &mut HeaderMap) {
    let mut crumbs = fields.get_all(header::COOKIE).iter();
    if let (Some(_), Some(_)) = (crumbs.next(), crumbs.next()) {
        let crumbs: Vec<&[u8]> = fields.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
            fields.insert(header::COOKIE, whole);
        }
    }
}

/// Limits that hyper does not know.
pub(super) fn beyond_limits(parts: &request::Parts, visit: &Visit) -> Option<Rejection> {
    let limits = &visit.limits;
    let long = |length: usize, most: portreeve_config::ByteSize| length as u64 > most.get();
    if long(parts.uri.path_and_query().map_or(0, |target| target.as_str().len()), limits.target_bytes) {
        return Some(Rejection::TargetTooLong);
    }
    let has_long_line = || {
        let length = |(name, value): (&header::HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        parts.headers.iter().any(|field| long(length(field), limits.header_line))
    };
    (parts.headers.len() > limits.header_count || has_long_line()).then_some(Rejection::HeadTooLarge)
}

/// Extended CONNECT (RFC 8441) as the handshake that HTTP/1.1 has for the same; the key that only it needs is made
/// here.
pub(super) fn as_handshake(parts: &mut request::Parts) {
    parts.method = Method::GET;
    parts.version = Version::HTTP_11;
    let key = STANDARD.encode(rand::rng().random::<[u8; 16]>());
    if let Ok(key) = HeaderValue::try_from(key) {
        parts.headers.insert(header::SEC_WEBSOCKET_KEY, key);
    }
}
