//! Heads of messages (RFC 9112, 2 to 6), read strictly: whatever two implementations are known to read in two ways is
//! a fault here. Splitting a head into its fields is httparse's work.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version, request, response};
use memchr::memchr;

use super::names;
use super::scan::Scan;
use super::telling::Telling;

/// Fields of a head that are read without asking for memory.
const FIELDS_ON_STACK: usize = 128;
/// The longest method; those that are registered have 17 letters at most.
const METHOD_BYTES: usize = 64;

/// Why a head is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::server) enum HeadFault {
    /// It breaks the grammar, or can be read in two ways.
    #[error("{0}")]
    Malformed(&'static str),
    /// Too many fields, or too long in all or in one.
    #[error("the head is too large")]
    TooLarge,
    /// The request's target is too long.
    #[error("the target is too long")]
    TargetTooLong,
    /// `Expect` names something that is not known.
    #[error("an expectation that is not known")]
    Expectation,
    /// Another protocol's first line.
    #[error("this is no request of HTTP")]
    Foreign,
}

use HeadFault::Malformed;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct HeadLimits {
    pub(in crate::server) bytes: usize,
    pub(in crate::server) fields: usize,
    pub(in crate::server) line: usize,
    pub(in crate::server) target: usize,
}

/// How a message's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Framing {
    /// There is none.
    Empty,
    /// After this many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection (answers only).
    Close,
}

/// A request's head, and what it says about its connection.
#[derive(Debug)]
pub(in crate::server) struct RequestHead {
    pub(in crate::server) parts: Box<request::Parts>,
    pub(in crate::server) framing: Framing,
    /// The client wants the connection to stay open.
    pub(in crate::server) persists: bool,
    pub(in crate::server) expects_continue: bool,
    /// The protocol the client would like to switch to.
    pub(in crate::server) upgrade: Option<HeaderValue>,
}

/// An answer's head.
#[derive(Debug)]
pub(in crate::server) struct AnswerHead {
    pub(in crate::server) parts: Box<response::Parts>,
    pub(in crate::server) framing: Framing,
    pub(in crate::server) persists: bool,
}

/// A request's head before it is read.
pub(in crate::server) fn empty_request() -> Box<request::Parts> {
    Box::new(Request::new(()).into_parts().0)
}

/// An answer's head before it is read.
pub(in crate::server) fn empty_answer() -> Box<response::Parts> {
    Box::new(Response::new(()).into_parts().0)
}

/// Takes a request's head from `input` when all of it is there.
///
/// # Errors
/// [`HeadFault`]; the connection cannot be read any further then.
pub(in crate::server) fn request(
    input: &mut BytesMut,
    scan: &mut Scan,
    limits: &HeadLimits,
    empty: impl FnOnce() -> Box<request::Parts>,
) -> Result<Option<RequestHead>, HeadFault> {
    // An empty line before a request is passed over (RFC 9112, 2.2), but only one.
    if !scan.has_skipped && input.starts_with(b"\r\n") {
        input.advance(2);
        *scan = Scan::after_empty_line();
    }
    if input.starts_with(b"\r\n") {
        return Err(Malformed("empty lines before the request"));
    }
    // Says at once what is no HTTP, such as a TLS greeting.
    if input.first().is_some_and(|first| !first.is_ascii_uppercase() && !is_token(*first) && *first != b'\r')
    {
        return Err(Malformed("this is no HTTP request"));
    }
    match scan.end(input)? {
        Some(length) if length > limits.bytes => Err(HeadFault::TooLarge),
        Some(length) => {
            *scan = Scan::default();
            read_request(input.split_to(length).freeze(), limits, empty()).map(Some)
        }
        None if memchr(b'\n', input).is_none() && input.len() > limits.target + LINE_BESIDE_TARGET => {
            Err(HeadFault::TargetTooLong)
        }
        None if input.len() >= limits.bytes => Err(HeadFault::TooLarge),
        None => Ok(None),
    }
}

/// What a request line holds beside its target, at most and without its last byte: the same request must have the same
/// answer however its bytes arrive.
const LINE_BESIDE_TARGET: usize = METHOD_BYTES + "  HTTP/1.1\r".len();

fn read_request(
    head: Bytes,
    limits: &HeadLimits,
    mut parts: Box<request::Parts>,
) -> Result<RequestHead, HeadFault> {
    let mut few = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let mut many = Vec::new();
    let fields = match few.get_mut(..limits.fields) {
        Some(few) => few,
        None => {
            many.resize_with(limits.fields, MaybeUninit::uninit);
            many.as_mut_slice()
        }
    };
    let mut parsed = httparse::Request::new(&mut []);
    let outcome = httparse::ParserConfig::default()
        .parse_request_with_uninit_headers(&mut parsed, &head, fields)
        .map_err(|error| if is_foreign(&head) { HeadFault::Foreign } else { fault_of(error) })?;
    let (httparse::Status::Complete(length), Some(method), Some(target), Some(version)) =
        (outcome, parsed.method, parsed.path, parsed.version)
    else {
        return Err(Malformed("the head is not whole"));
    };
    if length != head.len() {
        return Err(Malformed("an empty line within the head"));
    }
    if method.len() > METHOD_BYTES {
        return Err(Malformed("the method is too long"));
    }
    parts.method = Method::from_bytes(method.as_bytes()).map_err(|_| Malformed("the method"))?;
    parts.uri = target_of(&parts.method, &head.slice_ref(target.as_bytes()), limits)?;
    parts.version = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let telling = take_fields(parsed.headers, &head, limits, &mut parts.headers)?;
    finish_request(parts, &telling)
}

/// Whether a first line is three plain words, without target and version: it is another protocol's, or the preface of HTTP/2
/// gone wrong (RFC 9113, 3.4).
fn is_foreign(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let is_plain = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_alphabetic);
    line.split(|byte| *byte == b' ').count() == 3 && line.split(|byte| *byte == b' ').all(is_plain)
}

fn finish_request(parts: Box<request::Parts>, telling: &Telling<'_>) -> Result<RequestHead, HeadFault> {
    let is_11 = parts.version == Version::HTTP_11;
    if !telling.is_told() {
        let (framing, persists) = (Framing::Empty, is_11);
        return Ok(RequestHead { persists, expects_continue: false, framing, upgrade: None, parts });
    }
    let framing = match telling.body_length()? {
        Some(Framing::Chunked) if !is_11 => return Err(Malformed("a transfer coding in HTTP/1.0")),
        framing => framing.unwrap_or(Framing::Empty),
    };
    // Of HTTP/1.0 an expectation means nothing (RFC 9110, 10.1.1).
    let expects_continue = is_11 && telling.expects_continue()?;
    let options = &telling.options;
    let upgrade = match options.upgrade && is_11 {
        true => parts.headers.get(header::UPGRADE).cloned(),
        false => None,
    };
    Ok(RequestHead {
        persists: !options.close && (is_11 || options.keep_alive),
        expects_continue: expects_continue && framing != Framing::Empty,
        framing,
        upgrade,
        parts,
    })
}

/// The target in one of the forms that a request through a gateway can have (RFC 9112, 3.2).
fn target_of(method: &Method, text: &Bytes, limits: &HeadLimits) -> Result<Uri, HeadFault> {
    if text.len() > limits.target {
        return Err(HeadFault::TargetTooLong);
    }
    // A fragment never travels; some cut it off, and others take it for a part of the path.
    if !text.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
        return Err(Malformed("the target holds a character that cannot stand there"));
    }
    let form = match &text[..] {
        [b'/', ..] => PathAndQuery::from_maybe_shared(text.clone()).map(Uri::from).ok(),
        b"*" if *method == Method::OPTIONS => Some(Uri::from(PathAndQuery::from_static("*"))),
        b"*" => None,
        _ => Uri::from_maybe_shared(text.clone()).ok(),
    };
    form.ok_or(Malformed("the target"))
}

/// Takes an answer's head from `input` when all of it is there. `is_empty` says that the request's method leaves no
/// body in the answer.
///
/// # Errors
/// [`HeadFault`].
pub(in crate::server) fn answer(
    input: &mut BytesMut,
    scan: &mut Scan,
    limits: &HeadLimits,
    is_empty: bool,
    empty: impl FnOnce() -> Box<response::Parts>,
) -> Result<Option<AnswerHead>, HeadFault> {
    match scan.end(input)? {
        Some(length) if length > limits.bytes => Err(HeadFault::TooLarge),
        Some(length) => {
            *scan = Scan::default();
            read_answer(input.split_to(length).freeze(), limits, is_empty, empty()).map(Some)
        }
        None if input.len() >= limits.bytes => Err(HeadFault::TooLarge),
        None => Ok(None),
    }
}

fn read_answer(
    head: Bytes,
    limits: &HeadLimits,
    is_empty: bool,
    mut parts: Box<response::Parts>,
) -> Result<AnswerHead, HeadFault> {
    let mut few = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let fields = few.get_mut(..limits.fields.min(FIELDS_ON_STACK)).ok_or(HeadFault::TooLarge)?;
    let mut parsed = httparse::Response::new(&mut []);
    let outcome = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, &head, fields)
        .map_err(fault_of)?;
    let (httparse::Status::Complete(length), Some(version), Some(code)) =
        (outcome, parsed.version, parsed.code)
    else {
        return Err(Malformed("the head is not whole"));
    };
    if length != head.len() {
        return Err(Malformed("an empty line within the head"));
    }
    parts.status = StatusCode::from_u16(code).map_err(|_| Malformed("the status"))?;
    parts.version = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let telling = take_fields(parsed.headers, &head, limits, &mut parts.headers)?;
    let has_none = is_empty
        || parts.status.is_informational()
        || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let said = telling.body_length()?;
    let framing = match said {
        _ if has_none => Framing::Empty,
        Some(Framing::Chunked) if version == 0 => return Err(Malformed("a transfer coding in HTTP/1.0")),
        Some(framing) => framing,
        None => Framing::Close,
    };
    let options = &telling.options;
    let persists = !options.close && (version == 1 || options.keep_alive) && framing != Framing::Close;
    Ok(AnswerHead { parts, framing, persists })
}

/// Takes the fields over, and says what they tell.
fn take_fields<'h>(
    fields: &[httparse::Header<'h>],
    head: &Bytes,
    limits: &HeadLimits,
    taken: &mut HeaderMap,
) -> Result<Telling<'h>, HeadFault> {
    let mut telling = Telling::default();
    for field in fields {
        if field.name.len() + field.value.len() > limits.line {
            return Err(HeadFault::TooLarge);
        }
        let name = match names::usual(field.name.as_bytes()) {
            Some(name) => name,
            None => HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed("a field's name"))?,
        };
        let value = match field.value {
            [] => Bytes::new(),
            value => head.slice_ref(value),
        };
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| Malformed("a field's value"))?;
        telling.note(&name, field.value);
        taken.append(name, value);
    }
    Ok(telling)
}

fn fault_of(error: httparse::Error) -> HeadFault {
    match error {
        httparse::Error::TooManyHeaders => HeadFault::TooLarge,
        httparse::Error::HeaderName => Malformed("a field's name"),
        httparse::Error::HeaderValue => Malformed("a field's value"),
        httparse::Error::NewLine => Malformed("the end of a line"),
        httparse::Error::Status => Malformed("the status"),
        httparse::Error::Token => Malformed("the first line"),
        httparse::Error::Version => Malformed("the version of HTTP"),
    }
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
