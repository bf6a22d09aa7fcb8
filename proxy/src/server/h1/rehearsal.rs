//! A request's head by the codec of live connections, without a connection: read as a client would have sent it, and
//! written as an instance would get it.

use bytes::BytesMut;
use http::{HeaderValue, request};
use portreeve_config::{Limits, SampleRequest};

use super::connection::{head_limits, refusal_of};
use super::encode::{self, Call};
use super::head::{self, Framing, HeadFault};
use super::scan::Scan;
use crate::rejection::Rejection;

/// A head that was read.
pub(crate) struct Heard {
    pub(crate) parts: request::Parts,
    /// The length of the body that it announces; `None` where only the body's end will tell.
    pub(crate) body_length: Option<u64>,
    /// The protocol the client would like to switch to.
    pub(crate) upgrade: Option<HeaderValue>,
    framing: Framing,
}

impl Heard {
    /// Reads a checked request as the first bytes of a connection.
    ///
    /// # Errors
    /// What a client would be told that sent these bytes.
    pub(crate) fn read(sample: &SampleRequest, limits: &Limits) -> Result<Self, Rejection> {
        let mut input = BytesMut::from(&written(sample)[..]);
        let head = head::request(&mut input, &mut Scan::default(), &head_limits(limits), head::empty_request)
            .and_then(|head| head.ok_or(HeadFault::Malformed("the head is not whole")))
            .map_err(refusal_of)?;
        let body_length = match head.framing {
            Framing::Empty => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::Close => None,
        };
        Ok(Self { parts: *head.parts, body_length, upgrade: head.upgrade, framing: head.framing })
    }

    /// The head in the form in which it goes to an instance that speaks HTTP/1.1.
    pub(crate) fn written(&self, target: &str, upgrade: Option<&HeaderValue>) -> Vec<u8> {
        let mut out = Vec::new();
        let fields = &self.parts.headers;
        encode::request(
            &mut out,
            &Call { method: &self.parts.method, target, fields, upgrade },
            self.framing,
        );
        out
    }
}

/// The bytes that a client would send. The values were checked: none holds the end of a line.
fn written(sample: &SampleRequest) -> Vec<u8> {
    let rest = sample.url.split_once("://").map_or(&*sample.url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(end);
    // A fragment is never sent (RFC 9110, 7.1).
    let target = target.split('#').next().unwrap_or_default();
    let slash = if target.starts_with('/') { "" } else { "/" };
    let mut text = format!("{} {slash}{target} HTTP/1.1\r\n", sample.method);
    if !sample.headers.keys().any(|name| name.eq_ignore_ascii_case("host")) {
        text.push_str(&format!("Host: {host}\r\n"));
    }
    for (name, values) in &sample.headers {
        values.iter().for_each(|value| text.push_str(&format!("{name}: {value}\r\n")));
    }
    text.push_str("\r\n");
    text.into_bytes()
}
