//! Heads and bodies as they are written.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode, response};

use super::head::Framing;
use crate::policy::headers::may_trail;
use crate::server::wire::Wire;

/// What ends a chunked body that has no trailers.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A request as an instance gets it.
pub(in crate::server) struct Call<'a> {
    pub(in crate::server) method: &'a Method,
    pub(in crate::server) target: &'a str,
    pub(in crate::server) fields: &'a HeaderMap,
    /// The protocol to switch to.
    pub(in crate::server) upgrade: Option<&'a HeaderValue>,
}

/// Writes a request's head. How the body ends is said anew: what the client wrote about it is not copied.
pub(in crate::server) fn request(out: &mut Vec<u8>, call: &Call<'_>, framing: Framing) {
    let Call { method, target, fields, upgrade } = *call;
    for part in [method.as_str().as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"] {
        out.extend_from_slice(part);
    }
    let left = write_fields(out, fields);
    match upgrade {
        Some(protocol) => {
            write_field(out, b"connection", b"upgrade");
            write_field(out, b"upgrade", protocol.as_bytes());
        }
        // It is said for one hop, and so it must be named (RFC 9110, 10.1.4).
        None if left.names_te => write_field(out, b"connection", b"te"),
        None => {}
    }
    // Without it, some services wait for a body (RFC 9110, 8.6).
    let is_expected = left.length.is_some() || matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    match framing {
        Framing::Empty if is_expected => out.extend_from_slice(b"content-length: 0\r\n"),
        _ => end_of_body(out, framing),
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes an answer's head without its end; [`Framing::Empty`] keeps the length that stands there (an answer to HEAD),
/// unless none may stand there (RFC 9110, 8.6).
pub(in crate::server) fn answer(out: &mut Vec<u8>, status: StatusCode, fields: &HeaderMap, framing: Framing) {
    // The own version, also to a client of 1.0 (RFC 9110, 6.2).
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("Unknown").as_bytes());
    out.extend_from_slice(b"\r\n");
    let left = write_fields(out, fields);
    match (framing, left.length) {
        (Framing::Empty, Some(_)) if status.is_informational() || status == StatusCode::NO_CONTENT => {}
        (Framing::Empty, Some(length)) => write_field(out, b"content-length", length.as_bytes()),
        _ => end_of_body(out, framing),
    }
}

/// Writes the head that tells a client of the switch to another protocol.
pub(in crate::server) fn write_switch(out: &mut Vec<u8>, head: &response::Parts, protocol: &HeaderValue) {
    answer(out, head.status, &head.headers, Framing::Empty);
    write_field(out, b"connection", b"upgrade");
    write_field(out, b"upgrade", protocol.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes all fields but those that are said anew for each hop.
fn write_fields<'f>(out: &mut Vec<u8>, fields: &'f HeaderMap) -> Left<'f> {
    let mut left = Left { length: None, names_te: false };
    for (name, value) in fields {
        match *name {
            header::CONTENT_LENGTH => left.length = left.length.or(Some(value)),
            header::TRANSFER_ENCODING | header::CONNECTION => {}
            _ => {
                left.names_te |= *name == header::TE;
                write_field(out, name.as_str().as_bytes(), value.as_bytes());
            }
        }
    }
    left
}

/// What was seen while the fields were written.
struct Left<'f> {
    /// `Content-Length` as it came.
    length: Option<&'f HeaderValue>,
    names_te: bool,
}

/// Writes one field.
pub(in crate::server) fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn end_of_body(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::Empty | Framing::Close => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
}

/// Puts a piece of a body.
pub(in crate::server) fn piece(wire: &mut Wire, framing: Framing, data: Bytes) {
    if data.is_empty() {
        // As a chunk it would end the body.
        return;
    }
    match framing {
        Framing::Chunked => {
            let size = format!("{:x}\r\n", data.len());
            wire.output().extend_from_slice(size.as_bytes());
            wire.put(data, b"\r\n");
        }
        _ => wire.put(data, b""),
    }
}

/// Puts the end of a body.
pub(in crate::server) fn end(wire: &mut Wire, framing: Framing, trailers: Option<&HeaderMap>) {
    if framing != Framing::Chunked {
        return;
    }
    let out = wire.output();
    match trailers {
        None => out.extend_from_slice(LAST_CHUNK),
        Some(trailers) => {
            out.extend_from_slice(b"0\r\n");
            for (name, value) in trailers.iter().filter(|(name, _)| may_trail(name)) {
                write_field(out, name.as_str().as_bytes(), value.as_bytes());
            }
            out.extend_from_slice(b"\r\n");
        }
    }
}
