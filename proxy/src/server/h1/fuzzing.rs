//! What holds for any bytes that the HTTP/1 codec reads: the same verdict however they are cut, and one reading, also
//! of what is written from it.

#![allow(clippy::panic)]

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap};

use super::chunks::{BodyFault, Decoder, Piece};
use super::encode::{self, Call};
use super::head::{self, AnswerHead, Framing, HeadFault, HeadLimits, RequestHead};
use super::scan::Scan;

/// Small, so that they are met.
const LIMITS: HeadLimits = HeadLimits { bytes: 2048, fields: 16, line: 512, target: 256 };
/// For what is written from a head: blanks and a length may have been added.
const WIDER: HeadLimits = HeadLimits { bytes: 8192, fields: 32, line: 1024, target: 1024 };

type Verdict<H> = Result<Option<H>, HeadFault>;

/// A request's head.
pub fn request_head(bytes: &[u8]) {
    let read =
        |input: &mut BytesMut, scan: &mut Scan| head::request(input, scan, &LIMITS, head::empty_request);
    if let Some(RequestHead { mut parts, framing, .. }) = one_verdict(bytes, &read) {
        // Of HTTP/1.0 it means nothing, whatever it says.
        parts.headers.remove(header::EXPECT);
        let mut out = Vec::new();
        let target = parts.uri.to_string();
        let call = Call { method: &parts.method, target: &target, fields: &parts.headers, upgrade: None };
        encode::request(&mut out, &call, framing);
        let again = head::request(&mut (&out[..]).into(), &mut Scan::default(), &WIDER, head::empty_request);
        let Ok(Some(again)) = again else { panic!("{again:?} of what was written: {}", out.escape_ascii()) };
        assert_eq!((&again.parts.method, &again.parts.uri), (&parts.method, &parts.uri));
        assert_eq!(again.framing, framing, "{}", out.escape_ascii());
        assert_eq!(end_to_end(again.parts.headers), end_to_end(parts.headers));
        assert_eq!((again.upgrade, again.expects_continue), (None, false));
    }
}

/// An answer's head, to a request of any method.
pub fn answer_head(bytes: &[u8]) {
    for is_empty in [false, true] {
        let read = |input: &mut BytesMut, scan: &mut Scan| {
            head::answer(input, scan, &LIMITS, is_empty, head::empty_answer)
        };
        let Some(AnswerHead { parts, framing, .. }) = one_verdict(bytes, &read) else { continue };
        let mut out = Vec::new();
        encode::answer(&mut out, parts.status, &parts.headers, framing);
        out.extend_from_slice(b"\r\n");
        let again =
            head::answer(&mut (&out[..]).into(), &mut Scan::default(), &WIDER, is_empty, head::empty_answer);
        let Ok(Some(again)) = again else { panic!("{again:?} of what was written: {}", out.escape_ascii()) };
        assert_eq!((again.parts.status, again.framing), (parts.status, framing), "{}", out.escape_ascii());
        assert_eq!(end_to_end(again.parts.headers), end_to_end(parts.headers));
    }
}

/// Reads a head in one piece, and again cut at every byte: the last verdict is the same, and no verdict is taken back.
fn one_verdict<H: Debug>(bytes: &[u8], read: &impl Fn(&mut BytesMut, &mut Scan) -> Verdict<H>) -> Option<H> {
    let mut input = BytesMut::from(bytes);
    let whole = read(&mut input, &mut Scan::default());
    let mut grown = BytesMut::new();
    let mut scan = Scan::default();
    for byte in bytes {
        grown.extend_from_slice(&[*byte]);
        match (read(&mut grown, &mut scan), &whole) {
            (Ok(None), _) => {}
            (Ok(Some(head)), Ok(Some(expected))) => {
                assert_eq!(format!("{head:?}"), format!("{expected:?}"));
                assert!(grown.is_empty(), "more was taken than the head");
                return whole.ok().flatten();
            }
            (Err(_), Err(_)) => return None,
            (Err(_), Ok(None)) => {
                // Told earlier: the first line is too long before its end is there. What follows must not change it.
                let mut ended = BytesMut::from(&[bytes, b"\r\n\r\n"].concat()[..]);
                let outcome = read(&mut ended, &mut Scan::default());
                assert!(!matches!(outcome, Ok(Some(_))), "refused early, and then taken: {outcome:?}");
                return None;
            }
            (early, _) => panic!("{early:?}, and in one piece {whole:?}"),
        }
    }
    assert!(matches!(whole, Ok(None)), "in one piece {whole:?}, byte by byte nothing");
    None
}

/// The fields that are not written anew at each hop.
fn end_to_end(mut fields: HeaderMap) -> HeaderMap {
    for name in [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        fields.remove(name);
    }
    fields
}

/// A body in chunks, and what follows it.
pub fn chunked(bytes: &[u8]) {
    let whole = Body::read(bytes, bytes.len());
    for size in [1, 2, 3, 7] {
        assert_eq!(Body::read(bytes, size), whole, "in pieces of {size}");
    }
    if whole.outcome == Ok(true) {
        let again = Body::read(&whole.written(), usize::MAX);
        assert_eq!((&again.data, &again.trailers), (&whole.data, &whole.trailers), "written and read again");
        assert_eq!((again.outcome, again.taken), (Ok(true), whole.written().len()));
    }
}

/// What was read of a body.
#[derive(Debug, PartialEq)]
struct Body {
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// Whether its end was read.
    outcome: Result<bool, BodyFault>,
    /// Bytes that belong to it; not known of one that is broken.
    taken: usize,
}

impl Default for Body {
    fn default() -> Self {
        Self { data: Vec::new(), trailers: None, outcome: Ok(false), taken: 0 }
    }
}

impl Body {
    /// Reads it in pieces of `size` bytes.
    fn read(bytes: &[u8], size: usize) -> Self {
        let (mut decoder, mut input) = (Decoder::from(Framing::Chunked), BytesMut::new());
        let (mut body, mut given) = (Self::default(), 0);
        loop {
            match decoder.next(&mut input) {
                Ok(Piece::Data(data)) => {
                    assert!(!data.is_empty(), "an empty piece ends a body where it is written in chunks");
                    body.data.extend_from_slice(&data);
                }
                Ok(Piece::Trailers(trailers)) => body.trailers = Some(trailers),
                Ok(Piece::NeedMore) if given < bytes.len() => {
                    let end = given.saturating_add(size).min(bytes.len());
                    input.extend_from_slice(&bytes[given..end]);
                    given = end;
                }
                Ok(Piece::NeedMore) => {
                    assert!(!decoder.is_done() && decoder.closed().is_err(), "a body without end has ended");
                    return body;
                }
                Ok(Piece::End) => {
                    assert!(decoder.is_done());
                    return Self { outcome: Ok(true), taken: given - input.len(), ..body };
                }
                Err(fault) => {
                    assert!(decoder.next(&mut input).is_err(), "a fault was forgotten");
                    return Self { outcome: Err(fault), ..body };
                }
            }
        }
    }

    /// As it is passed on, in one chunk.
    fn written(&self) -> Bytes {
        let mut out = Vec::new();
        if !self.data.is_empty() {
            out.extend_from_slice(format!("{:x}\r\n", self.data.len()).as_bytes());
            out.extend_from_slice(&self.data);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n");
        for (name, value) in self.trailers.iter().flatten() {
            encode::write_field(&mut out, name.as_str().as_bytes(), value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.into()
    }
}
