//! Version 1: one line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{BadHeader, Header, Parsed};

pub(super) const BEGIN: &[u8] = b"PROXY ";
/// The longest line, with its end.
const MOST: usize = 107;
/// The shortest: `PROXY UNKNOWN`.
const LEAST: usize = 15;
/// Blanks between the six words of a line that names addresses.
const BLANKS: usize = 5;

/// Reads bytes that begin like [`BEGIN`].
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let line = &bytes[..bytes.len().min(MOST)];
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() {
            MOST.. => Parsed::Bad(BadHeader::TooLong),
            _ => Parsed::NeedMore(needed(line)),
        };
    };
    let Some(text) = line[..end].strip_suffix(b"\r").and_then(|text| text.strip_prefix(BEGIN)) else {
        return Parsed::Bad(BadHeader::NoHeader);
    };
    match read(text) {
        Ok(header) => Parsed::Done { length: end + 1, header },
        Err(fault) => Parsed::Bad(fault),
    }
}

/// What is missing at least.
fn needed(line: &[u8]) -> usize {
    if line.len() < LEAST {
        return LEAST - line.len();
    }
    let end = if line.ends_with(b"\r") { 1 } else { 2 };
    if line[BEGIN.len()..].starts_with(b"UNKNOWN") {
        return end;
    }
    let blanks = line.iter().filter(|byte| **byte == b' ').count();
    // A blank and a character for each word that is missing, and one where a word has not begun.
    end + 2 * BLANKS.saturating_sub(blanks) + usize::from(line.ends_with(b" "))
}

fn read(text: &[u8]) -> Result<Header, BadHeader> {
    if text == b"UNKNOWN" || text.starts_with(b"UNKNOWN ") {
        // What follows is to be ignored.
        return Ok(Header::Local);
    }
    let text = std::str::from_utf8(text).map_err(|_| BadHeader::Address)?;
    let mut words = text.split(' ');
    let mut word = || words.next().ok_or(BadHeader::Length);
    let (family, source, destination) = (word()?, word()?, word()?);
    let (source_port, destination_port) = (port(word()?)?, port(word()?)?);
    if words.next().is_some() {
        return Err(BadHeader::Length);
    }
    let (source, destination) = match family {
        "TCP4" => (address::<Ipv4Addr>(source)?, address::<Ipv4Addr>(destination)?),
        "TCP6" => (address::<Ipv6Addr>(source)?, address::<Ipv6Addr>(destination)?),
        _ => return Err(BadHeader::UnknownKind),
    };
    let at = |address: IpAddr, port: u16| SocketAddr::new(address, port);
    Ok(Header::Proxied { source: at(source, source_port), destination: at(destination, destination_port) })
}

fn address<A: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, BadHeader> {
    text.parse::<A>().map(Into::into).map_err(|_| BadHeader::Address)
}

/// A decimal number without sign or leading zeros.
fn port(text: &str) -> Result<u16, BadHeader> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).ok_or(BadHeader::Address)
}

pub(super) fn write(pair: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let Some((source, destination)) = pair else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_strictly() {
        let longest = "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n";
        for (line, is_good) in [
            ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", true),
            ("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ::1 0 1\r\n", true),
            (longest, true),
            ("PROXY UNKNOWN\r\n", true),
            ("PROXY UNKNOWNX\r\n", false),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", false),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", false),
            ("PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", false),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", false),
            ("PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n", false),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", false),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", false),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", false),
            ("PROXY TCP4 ::1 ::1 1 2\r\n", false),
            ("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", false),
            ("PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", false),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r 2\r\n", false),
            ("proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", false),
        ] {
            let parsed = super::super::parse(line.as_bytes());
            let is_done = matches!(parsed, Parsed::Done { length, .. } if length == line.len());
            assert_eq!(is_done, is_good, "{line:?}: {parsed:?}");
            assert!(is_good || matches!(parsed, Parsed::Bad(_)), "{line:?}: {parsed:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_not_waited_for() {
        let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        assert!(matches!(parse(&endless[..MOST - 1]), Parsed::NeedMore(_)));
        assert_eq!(parse(&endless[..MOST]), Parsed::Bad(BadHeader::TooLong));
        assert_eq!(parse(&endless), Parsed::Bad(BadHeader::TooLong));
    }
}
