//! The one canonical reading of a request's target: host, path and query as routing, cache, log and the upstream
//! all see them.

use std::borrow::Cow;

use http::header;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Version};

use crate::policy::headers::is_framed_once;
use crate::policy::path;
use crate::rejection::Rejection;

/// Host, path and query of a request. Cheap to make: what arrived in canonical form is not copied.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host and port as they came; `None` when an HTTP/1.0 request named none.
    authority: Option<HeaderValue>,
    /// Whether that is what `Host` says.
    is_in_field: bool,
    /// How many bytes of `authority` are the host.
    host_length: usize,
    /// The host where `authority` does not hold it in lower case.
    lowered: Option<Box<str>>,
    written: PathAndQuery,
    /// The canonical path where the written one was not.
    path: Option<Box<str>>,
}

impl Target {
    /// Reads the target of a request (RFC 9112, 3.2 and 3.3: the authority of an absolute form stands above
    /// `Host`; RFC 9113, 8.3.1: in HTTP/2 there may be either, and both only when they say the same).
    ///
    /// # Errors
    /// [`Rejection::NotServed`], [`Rejection::Framing`], [`Rejection::Host`] and [`Rejection::Path`].
    pub fn read(head: &Parts, reading: path::Reading) -> Result<Self, Rejection> {
        // A tunnel leads past every policy, and an echo shows what was added on the way.
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            return Err(Rejection::NotServed);
        }
        if !is_framed_once(&head.headers) {
            return Err(Rejection::Framing);
        }
        let mut target = Self::with_authority(authority(head)?)?;
        target.is_in_field = head.uri.authority().is_none() && target.authority.is_some();
        target.written = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("*"));
        target.path = match path::canonical(target.written.path(), reading).map_err(Rejection::Path)? {
            Cow::Borrowed(_) => None,
            Cow::Owned(path) => Some(path.into()),
        };
        Ok(target)
    }

    /// A stand-in for a request whose target could not be read, so that it can be logged.
    pub fn unreadable() -> Self {
        let written = PathAndQuery::from_static("/");
        Self { authority: None, is_in_field: false, host_length: 0, lowered: None, written, path: None }
    }

    fn with_authority(authority: Option<HeaderValue>) -> Result<Self, Rejection> {
        let mut target = Self::unreadable();
        let Some(value) = authority else { return Ok(target) };
        let host = host_of(value.to_str().map_err(|_| Rejection::Host)?).ok_or(Rejection::Host)?;
        target.host_length = host.len();
        if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            target.lowered = Some(host.to_ascii_lowercase().into());
        }
        target.authority = Some(value);
        Ok(target)
    }

    /// The host without port and without a final dot, in lower case; empty when an HTTP/1.0 request named none.
    pub fn host(&self) -> &str {
        let written = || {
            let text = self.authority.as_ref().and_then(|value| value.to_str().ok());
            text.and_then(|text| text.get(..self.host_length)).unwrap_or("")
        };
        self.lowered.as_deref().unwrap_or_else(written)
    }

    /// Host and port as the client wrote them, for the `Host` of the next hop.
    pub fn authority(&self) -> Option<&HeaderValue> {
        self.authority.as_ref()
    }

    /// Whether the head's own `Host` says the same already.
    pub fn is_in_field(&self) -> bool {
        self.is_in_field
    }

    /// The canonical path.
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or(self.written.path())
    }

    /// The query without `?`.
    pub fn query(&self) -> Option<&str> {
        self.written.query()
    }

    /// Path and query for the upstream, with `path` in place of the canonical path where a route rewrote it.
    pub fn with_path(&self, path: Option<&str>) -> Option<PathAndQuery> {
        match (path, &self.path) {
            (None, None) => Some(self.written.clone()),
            (path, _) => {
                let path = path.unwrap_or(self.path());
                let text = match self.query() {
                    Some(query) => format!("{path}?{query}"),
                    None => path.to_owned(),
                };
                PathAndQuery::try_from(text).ok()
            }
        }
    }
}

fn authority(head: &Parts) -> Result<Option<HeaderValue>, Rejection> {
    let mut fields = head.headers.get_all(header::HOST).iter();
    let (field, further) = (fields.next(), fields.next());
    let named = head.uri.authority();
    let may_lack_host =
        head.version < Version::HTTP_11 || (head.version == Version::HTTP_2 && named.is_some());
    if further.is_some() || (field.is_none() && !may_lack_host) {
        return Err(Rejection::Host);
    }
    let Some(authority) = named else { return Ok(field.cloned()) };
    let scheme = head.uri.scheme_str();
    let named = without_usual_port(authority.as_str().as_bytes(), scheme);
    let agrees =
        |field: &HeaderValue| without_usual_port(field.as_bytes(), scheme).eq_ignore_ascii_case(named);
    // The target's word stands above that of the field (RFC 9112, 3.2.2), but whoever does not know that reads another.
    let is_doubted = field.is_some_and(|field| !agrees(field));
    if is_doubted || !matches!(head.uri.scheme_str(), Some("http" | "https")) {
        return Err(Rejection::Host);
    }
    HeaderValue::from_str(authority.as_str()).map(Some).map_err(|_| Rejection::Host)
}

fn without_usual_port<'a>(authority: &'a [u8], scheme: Option<&str>) -> &'a [u8] {
    let port: &[u8] = if scheme == Some("https") { b":443" } else { b":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}

/// The host of `host`, `host:port`, `[v6]` or `[v6]:port`, a name without its final dot.
fn host_of(text: &str) -> Option<&str> {
    let length = match text.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => text.bytes().position(|byte| byte == b':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(length);
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return None;
    }
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().is_ok().then_some(host);
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (!host.is_empty() && host.bytes().all(is_plain)).then_some(host)
}

#[cfg(test)]
mod tests;
