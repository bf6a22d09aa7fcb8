//! The one reading of a request path. Routing, cache key, log and the upstream all get this form, so that no
//! spelling of a path can be judged as one thing and forwarded as another.

use std::borrow::Cow;

use portreeve_config::{DuplicateSlashes, PathParameters};

/// A path that has no single safe reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It does not begin with `/`.
    #[error("the path must begin with `/`")]
    NotAbsolute,
    /// `.` or `..` as a segment, in any spelling.
    #[error("the path holds a `.` or `..` segment")]
    DotSegment,
    /// Two slashes in a row, where they are refused.
    #[error("the path holds an empty segment")]
    EmptySegment,
    /// A `;`, where it is refused.
    #[error("the path holds a `;`")]
    Parameter,
    /// An encoded `/`, `\` or control character, a plain `\`, or what ends a path: a space, `?`, `#`.
    #[error("the path holds an encoded separator or control character")]
    HiddenSeparator,
    /// A `%` that two hexadecimal digits do not follow.
    #[error("the path holds a broken percent-encoding")]
    BrokenEncoding,
}

/// What is made of paths that some servers read in one way and some in another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Two slashes in a row.
    pub slashes: DuplicateSlashes,
    /// What stands behind a `;`.
    pub parameters: PathParameters,
}

/// The canonical form of a path: percent-encoded unreserved characters decoded (RFC 3986, 6.2.2.2), the digits
/// of other encodings in upper case, bytes beyond ASCII encoded, and slashes in a row one slash where they are merged.
/// Borrowed when the path is canonical already, which nearly all are.
///
/// # Errors
/// Any [`PathFault`].
pub fn canonical(path: &str, reading: Reading) -> Result<Cow<'_, str>, PathFault> {
    if !path.starts_with('/') {
        return Err(PathFault::NotAbsolute);
    }
    let mut canonical = match path.bytes().any(|byte| byte == b'%' || !byte.is_ascii()) {
        true => Cow::Owned(with_one_encoding(path)?),
        false => Cow::Borrowed(path),
    };
    if reading.slashes == DuplicateSlashes::Merge && canonical.contains("//") {
        canonical = Cow::Owned(with_single_slashes(&canonical));
    }
    refuse_ambiguous(&canonical, reading.parameters)?;
    Ok(canonical)
}

fn with_single_slashes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for letter in path.chars() {
        if letter != '/' || !out.ends_with('/') {
            out.push(letter);
        }
    }
    out
}

fn with_one_encoding(path: &str) -> Result<String, PathFault> {
    let mut out = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => match encoded_byte(&mut bytes).ok_or(PathFault::BrokenEncoding)? {
                b'/' | b'\\' | 0..=0x1f | 0x7f => return Err(PathFault::HiddenSeparator),
                byte if is_unreserved(byte) => out.push(char::from(byte)),
                byte => encode(byte, &mut out),
            },
            byte if byte.is_ascii() => out.push(char::from(byte)),
            byte => encode(byte, &mut out),
        }
    }
    Ok(out)
}

/// The byte that the next two hexadecimal digits stand for.
fn encoded_byte(digits: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let mut digit = || char::from(digits.next()?).to_digit(16);
    u8::try_from(digit()? * 16 + digit()?).ok()
}

fn encode(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |half: u8| char::from(DIGITS[usize::from(half & 0xf)]);
    out.extend(['%', digit(byte >> 4), digit(byte)]);
}

fn refuse_ambiguous(path: &str, parameters: PathParameters) -> Result<(), PathFault> {
    let bytes = path.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\\' | b'?' | b'#' | 0..=b' ' | 0x7f => return Err(PathFault::HiddenSeparator),
            b';' if parameters == PathParameters::Refuse => return Err(PathFault::Parameter),
            b'/' => match &bytes[at + 1..] {
                [b'/', ..] => return Err(PathFault::EmptySegment),
                [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..] => {
                    return Err(PathFault::DotSegment);
                }
                // Some servers take parameters off a segment before they look at it: `..;x` is `..` to them.
                [b'.', b';', ..] | [b'.', b'.', b';', ..] => return Err(PathFault::DotSegment),
                _ => {}
            },
            _ => {}
        }
    }
    Ok(())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_or_none() {
        for (path, expected) in [
            ("/products", Ok("/products")),
            ("/", Ok("/")),
            ("/a/b/", Ok("/a/b/")),
            ("/%70roducts", Ok("/products")),
            ("/a%20b", Ok("/a%20b")),
            ("/caf%c3%a9", Ok("/caf%C3%A9")),
            ("/café", Ok("/caf%C3%A9")),
            ("/\u{202e}", Ok("/%E2%80%AE")),
            ("/%2525%70", Ok("/%2525p")),
            ("/.well-known/x", Ok("/.well-known/x")),
            ("/a..b/...", Ok("/a..b/...")),
            ("/a%3bx", Ok("/a%3Bx")),
            ("/a;x=1", Err(PathFault::Parameter)),
            ("/;/a", Err(PathFault::Parameter)),
            ("/a;", Err(PathFault::Parameter)),
            ("", Err(PathFault::NotAbsolute)),
            ("*", Err(PathFault::NotAbsolute)),
            ("/a//b", Err(PathFault::EmptySegment)),
            ("//host/x", Err(PathFault::EmptySegment)),
            ("/a/./b", Err(PathFault::DotSegment)),
            ("/a/..", Err(PathFault::DotSegment)),
            ("/a/%2e%2E/b", Err(PathFault::DotSegment)),
            ("/a/..;/b", Err(PathFault::DotSegment)),
            ("/a/.;x", Err(PathFault::DotSegment)),
            ("/a%2fb", Err(PathFault::HiddenSeparator)),
            ("/a%5Cb", Err(PathFault::HiddenSeparator)),
            ("/a\\b", Err(PathFault::HiddenSeparator)),
            ("/a b", Err(PathFault::HiddenSeparator)),
            ("/a?b", Err(PathFault::HiddenSeparator)),
            ("/a#b", Err(PathFault::HiddenSeparator)),
            ("/a%00", Err(PathFault::HiddenSeparator)),
            ("/a%0d%0ab", Err(PathFault::HiddenSeparator)),
            ("/a%7f", Err(PathFault::HiddenSeparator)),
            ("/a%", Err(PathFault::BrokenEncoding)),
            ("/a%2", Err(PathFault::BrokenEncoding)),
            ("/a%zz", Err(PathFault::BrokenEncoding)),
            ("/a%+1", Err(PathFault::BrokenEncoding)),
            ("/%é", Err(PathFault::BrokenEncoding)),
        ] {
            let read = canonical(path, Reading::default());
            assert_eq!(read.as_deref(), expected.as_ref().map(|text| *text), "{path}");
        }
    }

    #[test]
    fn slashes_in_a_row_are_one_where_they_are_merged() {
        for (path, expected) in [
            ("/products", Ok("/products")),
            ("//", Ok("/")),
            ("//admin", Ok("/admin")),
            ("/a///b//", Ok("/a/b/")),
            ("/%61//%70", Ok("/a/p")),
            ("/a//..", Err(PathFault::DotSegment)),
            ("/.//a", Err(PathFault::DotSegment)),
            ("/a/%2e/", Err(PathFault::DotSegment)),
            ("/%2f/", Err(PathFault::HiddenSeparator)),
        ] {
            let merging = Reading { slashes: DuplicateSlashes::Merge, ..Reading::default() };
            let read = canonical(path, merging);
            assert_eq!(read.as_deref(), expected.as_ref().map(|text| *text), "{path}");
        }
    }

    #[test]
    fn parameters_are_kept_where_that_is_asked_for_but_never_behind_dots() {
        let keeping = Reading { parameters: PathParameters::Keep, ..Reading::default() };
        for (path, expected) in [
            ("/a;x=1/b;y", Ok("/a;x=1/b;y")),
            ("/%61;", Ok("/a;")),
            ("/a/..;/b", Err(PathFault::DotSegment)),
            ("/.;x", Err(PathFault::DotSegment)),
        ] {
            let read = canonical(path, keeping);
            assert_eq!(read.as_deref(), expected.as_ref().map(|text| *text), "{path}");
        }
    }

    /// Two crates read paths, and must agree: a route that requests are never routed by guards nothing.
    #[test]
    fn a_route_is_taken_as_it_is_written_where_a_request_is_read_so() {
        let keeping = Reading { parameters: PathParameters::Keep, ..Reading::default() };
        let pieces =
            ["a", "%61", "%7e", "%c3%a9", "%C3%A9", "%20", "%2f", "%5C", "%00", "%", "..", ";x", ".", "%25"];
        for (first, second) in
            pieces.iter().flat_map(|first| pieces.iter().map(move |second| (first, second)))
        {
            let path = format!("/{first}{second}");
            let route = portreeve_config::RouteConfig::new("r", path.as_str(), "s");
            let is_taken = portreeve_config::check::route(&route, None).0.is_empty();
            assert_eq!(is_taken, canonical(&path, keeping).as_deref() == Ok(path.as_str()), "{path}");
        }
    }
}
