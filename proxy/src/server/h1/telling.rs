//! What the fields of a head say of the message itself and of its connection: where its body ends, whether the
//! connection stays open, what is asked for. Noted while the fields are read, so that none is searched for again.

use http::header::{self, HeaderName};

use super::head::{Framing, HeadFault};

use HeadFault::Malformed;

/// Digits of a length that surely fits.
const LENGTH_DIGITS: usize = 19;

/// The fields of a head that say something about the message or its connection. Most requests have none of them.
#[derive(Default)]
pub(super) struct Telling<'h> {
    lengths: Lines<'h>,
    codings: Lines<'h>,
    expectations: Lines<'h>,
    pub(super) options: Options,
    is_told: bool,
}

/// The lines of one field: of the framing ones there may be one.
#[derive(Clone, Copy, Default)]
enum Lines<'h> {
    #[default]
    None,
    One(&'h [u8]),
    More,
}

impl<'h> Lines<'h> {
    fn add(&mut self, value: &'h [u8]) {
        *self = match self {
            Self::None => Self::One(value),
            Self::One(_) | Self::More => Self::More,
        };
    }
}

impl<'h> Telling<'h> {
    /// Notes a field.
    pub(super) fn note(&mut self, name: &HeaderName, value: &'h [u8]) {
        match *name {
            header::CONTENT_LENGTH => self.lengths.add(value),
            header::TRANSFER_ENCODING => self.codings.add(value),
            header::EXPECT => self.expectations.add(value),
            header::CONNECTION => self.options.read(value),
            _ => return,
        }
        self.is_told = true;
    }

    /// Whether there was any.
    pub(super) fn is_told(&self) -> bool {
        self.is_told
    }

    /// How the fields say that the body ends, if they do (RFC 9112, 6.3): one length in plain digits, or the coding
    /// `chunked` and nothing else. Both together are what smuggling is made of.
    pub(super) fn body_length(&self) -> Result<Option<Framing>, HeadFault> {
        match (self.codings, self.lengths) {
            (Lines::None, Lines::None) => Ok(None),
            (Lines::None, Lines::One(length)) => length_of(length).map(|length| match length {
                0 => Some(Framing::Empty),
                length => Some(Framing::Length(length)),
            }),
            (Lines::None, Lines::More) => Err(Malformed("two lengths")),
            (_, Lines::One(_) | Lines::More) => Err(Malformed("a length beside a transfer coding")),
            (Lines::One(coding), Lines::None) if coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Some(Framing::Chunked))
            }
            _ => Err(Malformed("a transfer coding that is not `chunked`, once")),
        }
    }

    /// Whether the client waits for a word before it sends its body (RFC 9110, 10.1.1).
    pub(super) fn expects_continue(&self) -> Result<bool, HeadFault> {
        match self.expectations {
            Lines::None => Ok(false),
            Lines::One(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(true),
            Lines::One(_) | Lines::More => Err(HeadFault::Expectation),
        }
    }
}

fn length_of(digits: &[u8]) -> Result<u64, HeadFault> {
    let is_plain = (1..=LENGTH_DIGITS).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && (digits.len() == 1 || digits[0] != b'0');
    if !is_plain {
        return Err(Malformed("the length"));
    }
    Ok(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// What `Connection` says about the connection itself.
#[derive(Default)]
pub(super) struct Options {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
}

impl Options {
    fn read(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }
}
