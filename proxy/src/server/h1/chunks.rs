//! Bodies on the wire (RFC 9112, 6 and 7): where a piece ends and where the whole does. Chunks are read strictly:
//! digits and nothing else before the extension, CR LF after each piece, and an extension that is short.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use super::head::Framing;
use super::scan::Scan;
use crate::policy::headers::may_trail;

/// Hexadecimal digits of a chunk's size; more would not fit.
const SIZE_DIGITS: usize = 16;
/// The longest line of a chunk's size, its extension included.
const SIZE_LINE: usize = 256;
/// The longest section of trailers, and the most fields in it.
const TRAILER_BYTES: usize = 8 * 1024;
const TRAILER_FIELDS: usize = 32;

/// A body that is not framed as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a body that is not framed as it must be")]
pub(in crate::server) struct BodyFault;

/// How far a body was read.
#[derive(Debug)]
pub(in crate::server) enum Decoder {
    /// All of it.
    Done,
    /// This many bytes are still to come.
    Length(u64),
    /// It ends with the connection.
    Close,
    /// A chunk's size comes next.
    Size,
    /// This many bytes of a chunk are still to come.
    Chunk(u64),
    /// The line end after a chunk.
    ChunkEnd,
    /// The trailers.
    Trailers(Scan),
    /// It broke the rules; nothing more is read.
    Failed,
}

/// What was read of a body.
#[derive(Debug)]
pub(in crate::server) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// Nothing, before more has come.
    NeedMore,
}

impl From<Framing> for Decoder {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Empty => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Size,
            Framing::Close => Self::Close,
        }
    }
}

impl Decoder {
    /// Whether all of the body was read.
    pub(in crate::server) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Whether it broke off, or broke the rules.
    pub(in crate::server) fn has_failed(&self) -> bool {
        matches!(self, Self::Failed)
    }

    /// How many bytes are still to come, where that was said.
    pub(in crate::server) fn left(&self) -> Option<u64> {
        match self {
            Self::Done => Some(0),
            Self::Length(left) => Some(*left),
            _ => None,
        }
    }

    /// The next piece of what is in `input`.
    ///
    /// # Errors
    /// [`BodyFault`], now and ever after.
    pub(in crate::server) fn next(&mut self, input: &mut BytesMut) -> Result<Piece, BodyFault> {
        let outcome = self.step(input);
        if outcome.is_err() {
            *self = Self::Failed;
        }
        outcome
    }

    fn step(&mut self, input: &mut BytesMut) -> Result<Piece, BodyFault> {
        loop {
            match self {
                Self::Done => return Ok(Piece::End),
                Self::Failed => return Err(BodyFault),
                _ if input.is_empty() => return Ok(Piece::NeedMore),
                Self::Length(left) => {
                    let data = take(input, left);
                    if *left == 0 {
                        *self = Self::Done;
                    }
                    return Ok(Piece::Data(data));
                }
                Self::Close => return Ok(Piece::Data(input.split().freeze())),
                Self::Size => match size_line(input)? {
                    None => return Ok(Piece::NeedMore),
                    Some(0) => *self = Self::Trailers(Scan::default()),
                    Some(size) => *self = Self::Chunk(size),
                },
                Self::Chunk(left) => {
                    let data = take(input, left);
                    if *left == 0 {
                        *self = Self::ChunkEnd;
                    }
                    return Ok(Piece::Data(data));
                }
                Self::ChunkEnd => match &input[..] {
                    [b'\r', b'\n', ..] => {
                        input.advance(2);
                        *self = Self::Size;
                    }
                    [b'\r'] => return Ok(Piece::NeedMore),
                    _ => return Err(BodyFault),
                },
                Self::Trailers(scan) => {
                    let Some(trailers) = trailers(input, scan)? else { return Ok(Piece::NeedMore) };
                    *self = Self::Done;
                    return Ok(match trailers.is_empty() {
                        true => Piece::End,
                        false => Piece::Trailers(trailers),
                    });
                }
            }
        }
    }

    /// The peer has closed.
    ///
    /// # Errors
    /// [`BodyFault`] when that is not how the body ends.
    pub(in crate::server) fn closed(&mut self) -> Result<(), BodyFault> {
        match self {
            Self::Done | Self::Close => {
                *self = Self::Done;
                Ok(())
            }
            _ => {
                *self = Self::Failed;
                Err(BodyFault)
            }
        }
    }
}

fn take(input: &mut BytesMut, left: &mut u64) -> Bytes {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    *left -= length as u64;
    input.split_to(length).freeze()
}

/// The size of the next chunk, when its line is whole. Extensions are read over (RFC 9112, 7.1.1) and end here.
fn size_line(input: &mut BytesMut) -> Result<Option<u64>, BodyFault> {
    let window = &input[..input.len().min(SIZE_LINE)];
    let Some(end) = memchr(b'\n', window) else {
        return match window.len() == SIZE_LINE || !may_begin_size(window) {
            true => Err(BodyFault),
            false => Ok(None),
        };
    };
    let line = window[..end].strip_suffix(b"\r").ok_or(BodyFault)?;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let extension = &line[digits..];
    let is_sound = (1..=SIZE_DIGITS).contains(&digits)
        && (extension.is_empty() || extension[0] == b';')
        && extension.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
    let digits = line.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok());
    let size = digits.filter(|_| is_sound).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    input.advance(end + 1);
    size.map(Some).ok_or(BodyFault)
}

/// Whether a line that is not whole yet can become a size: nonsense is told at once, for its end may never come.
fn may_begin_size(part: &[u8]) -> bool {
    let digits = part.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    digits <= SIZE_DIGITS && part.get(digits).is_none_or(|next| digits > 0 && matches!(next, b';' | b'\r'))
}

/// The trailers, when all of them are there; those that would change what was said before are left out.
fn trailers(input: &mut BytesMut, scan: &mut Scan) -> Result<Option<HeaderMap>, BodyFault> {
    match &input[..] {
        [b'\r', b'\n', ..] => {
            input.advance(2);
            return Ok(Some(HeaderMap::new()));
        }
        [b'\r'] => return Ok(None),
        _ => {}
    }
    let Some(length) = scan.end(input).map_err(|_| BodyFault)? else {
        return if input.len() > TRAILER_BYTES { Err(BodyFault) } else { Ok(None) };
    };
    if length > TRAILER_BYTES {
        return Err(BodyFault);
    }
    let section = input.split_to(length).freeze();
    let mut fields = [httparse::EMPTY_HEADER; TRAILER_FIELDS];
    let Ok(httparse::Status::Complete((end, fields))) = httparse::parse_headers(&section, &mut fields) else {
        return Err(BodyFault);
    };
    if end != length {
        return Err(BodyFault);
    }
    let mut trailers = HeaderMap::new();
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BodyFault)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| BodyFault)?;
        if may_trail(&name) {
            trailers.append(name, value);
        }
    }
    Ok(Some(trailers))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A body's data, its trailers, and what was left.
    type Read = (Vec<u8>, Option<HeaderMap>, Vec<u8>);

    /// Reads a body that comes in two parts.
    fn read(framing: Framing, text: &[u8], cut: usize) -> Result<Read, BodyFault> {
        let (mut decoder, mut input) = (Decoder::from(framing), BytesMut::from(&text[..cut]));
        let (mut data, mut fields, mut more) = (Vec::new(), None, Some(&text[cut..]));
        loop {
            match decoder.next(&mut input)? {
                Piece::Data(piece) => data.extend_from_slice(&piece),
                Piece::Trailers(trailers) => fields = Some(trailers),
                Piece::End => return Ok((data, fields, [&input[..], more.unwrap_or_default()].concat())),
                Piece::NeedMore => match more.take() {
                    Some(part) => input.extend_from_slice(part),
                    None => return decoder.closed().map(|()| (data, fields, Vec::new())),
                },
            }
        }
    }

    #[test]
    fn chunks_are_read_however_they_are_cut() {
        let text =
            b"5;a=\"b\"\r\nhello\r\n00006\r\n world\r\n0\r\nexpires: now\r\ncontent-length: 7\r\n\r\nnext";
        for cut in 0..text.len() {
            let (data, trailers, rest) = read(Framing::Chunked, text, cut).unwrap();
            assert_eq!((data.as_slice(), rest.as_slice()), (&b"hello world"[..], &b"next"[..]), "{cut}");
            assert_eq!(trailers.unwrap().len(), 1, "{cut}: a trailer cannot frame");
        }
        assert_eq!(read(Framing::Length(3), b"abcd", 1).unwrap(), (b"abc".to_vec(), None, b"d".to_vec()));
        assert_eq!(read(Framing::Close, b"abcd", 2).unwrap().0, b"abcd");
        assert!(read(Framing::Length(5), b"abcd", 2).is_err());
    }

    #[test]
    fn chunks_with_two_readings_are_none() {
        let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(300));
        for text in [
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhellooo\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5_\r\nhello\r\n0\r\n\r\n",
            "\r\nhello\r\n0\r\n\r\n",
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
            "5;a\rb\r\nhello\r\n0\r\n\r\n",
            "5;a\0b\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\nx y: z\r\n\r\n",
            "5\r\nhello\r\n0\r\na: b\n\r\n",
            &long,
            "5\r\nhello\r\n",
        ] {
            assert_eq!(read(Framing::Chunked, text.as_bytes(), 0), Err(BodyFault), "{text:?}");
        }
    }
}
