//! Version 2: the binary form.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{BadHeader, Header, Parsed};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED: usize = 16;
/// The most that is taken after that. Balancers send a few hundred bytes.
const MOST: usize = 4096;

const VERSION: u8 = 0x20;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;
/// Two paths of 108 bytes.
const UNIX_LENGTH: usize = 216;

/// Reads bytes that begin like [`SIGNATURE`].
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let Some((&[kind, family, high, low], rest)) =
        bytes.get(SIGNATURE.len()..).and_then(|rest| rest.split_first_chunk::<4>())
    else {
        return Parsed::NeedMore(FIXED - bytes.len());
    };
    if kind & 0xf0 != VERSION || !matches!(kind, LOCAL | PROXY) {
        return Parsed::Bad(BadHeader::UnknownKind);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MOST {
        return Parsed::Bad(BadHeader::TooLong);
    }
    let Some(content) = rest.get(..length) else { return Parsed::NeedMore(length - rest.len()) };
    let header = if kind == LOCAL { Ok(Header::Local) } else { addresses(family, content) };
    match header {
        Ok(header) => Parsed::Done { length: FIXED + length, header },
        Err(fault) => Parsed::Bad(fault),
    }
}

fn addresses(family: u8, content: &[u8]) -> Result<Header, BadHeader> {
    let (header, rest) = match family {
        // Nothing is known of what follows.
        UNSPECIFIED => return Ok(Header::Local),
        TCP4 => {
            let (from, rest) = content.split_first_chunk::<4>().ok_or(BadHeader::Length)?;
            let (to, rest) = rest.split_first_chunk::<4>().ok_or(BadHeader::Length)?;
            proxied(Ipv4Addr::from(*from).into(), Ipv4Addr::from(*to).into(), rest)?
        }
        TCP6 => {
            let (from, rest) = content.split_first_chunk::<16>().ok_or(BadHeader::Length)?;
            let (to, rest) = rest.split_first_chunk::<16>().ok_or(BadHeader::Length)?;
            proxied(Ipv6Addr::from(*from).into(), Ipv6Addr::from(*to).into(), rest)?
        }
        UNIX_STREAM => (Header::Local, content.get(UNIX_LENGTH..).ok_or(BadHeader::Length)?),
        _ => return Err(BadHeader::UnknownKind),
    };
    skip_extensions(rest)?;
    Ok(header)
}

fn proxied(from: std::net::IpAddr, to: std::net::IpAddr, rest: &[u8]) -> Result<(Header, &[u8]), BadHeader> {
    let (&[a, b, c, d], rest) = rest.split_first_chunk::<4>().ok_or(BadHeader::Length)?;
    let source = SocketAddr::new(from, u16::from_be_bytes([a, b]));
    let destination = SocketAddr::new(to, u16::from_be_bytes([c, d]));
    Ok((Header::Proxied { source, destination }, rest))
}

/// Type, length and value, to the end. None of them is needed here.
fn skip_extensions(mut rest: &[u8]) -> Result<(), BadHeader> {
    while !rest.is_empty() {
        let (&[_, high, low], value) = rest.split_first_chunk::<3>().ok_or(BadHeader::Length)?;
        rest = value.get(usize::from(u16::from_be_bytes([high, low]))..).ok_or(BadHeader::Length)?;
    }
    Ok(())
}

pub(super) fn write(pair: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    let ports = |source: SocketAddr, destination: SocketAddr| {
        [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat()
    };
    match pair {
        Some((SocketAddr::V4(from), SocketAddr::V4(to))) => {
            bytes.extend([PROXY, TCP4, 0, 12]);
            bytes.extend([from.ip().octets(), to.ip().octets()].concat());
            bytes.extend(ports(from.into(), to.into()));
        }
        Some((SocketAddr::V6(from), SocketAddr::V6(to))) => {
            bytes.extend([PROXY, TCP6, 0, 36]);
            bytes.extend([from.ip().octets(), to.ip().octets()].concat());
            bytes.extend(ports(from.into(), to.into()));
        }
        _ => bytes.extend([LOCAL, UNSPECIFIED, 0, 0]),
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: u8, family: u8, length: u16, content: &[u8]) -> Vec<u8> {
        [SIGNATURE, &[kind, family], &length.to_be_bytes(), content].concat()
    }

    fn parsed(kind: u8, family: u8, content: &[u8]) -> Parsed {
        parse(&header(kind, family, u16::try_from(content.len()).unwrap_or(u16::MAX), content))
    }

    #[test]
    fn extensions_are_skipped_and_must_fill_what_is_left() {
        let addresses = [1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 1, 187];
        let with = |more: &[u8]| parsed(PROXY, TCP4, &[&addresses, more].concat());
        let whole = |more: &[u8]| Parsed::Done {
            length: FIXED + addresses.len() + more.len(),
            header: Header::Proxied {
                source: ([1, 2, 3, 4], 80).into(),
                destination: ([5, 6, 7, 8], 443).into(),
            },
        };
        for more in [b"".as_slice(), b"\x04\0\0", b"\x04\0\x02ab", b"\x04\0\x02ab\x02\0\x01h"] {
            assert_eq!(with(more), whole(more), "{more:?}");
        }
        for more in [b"\x04".as_slice(), b"\x04\0", b"\x04\0\x02a", b"\x04\xff\xffa", b"\x04\0\0\x01"] {
            assert_eq!(with(more), Parsed::Bad(BadHeader::Length), "{more:?}");
        }
    }

    #[test]
    fn what_names_no_client_leaves_the_connections_addresses() {
        for (kind, family, content) in [
            (LOCAL, UNSPECIFIED, vec![]),
            (LOCAL, TCP4, vec![9; 3]),
            (LOCAL, 0xff, vec![]),
            (PROXY, UNSPECIFIED, vec![9; 5]),
            (PROXY, UNIX_STREAM, vec![b'/'; UNIX_LENGTH]),
        ] {
            let length = FIXED + content.len();
            assert_eq!(parsed(kind, family, &content), Parsed::Done { length, header: Header::Local });
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (kind, family, content, fault) in [
            (0x11, TCP4, vec![0; 12], BadHeader::UnknownKind),
            (0x22, TCP4, vec![0; 12], BadHeader::UnknownKind),
            (PROXY, 0x12, vec![0; 12], BadHeader::UnknownKind),
            (PROXY, 0x10, vec![0; 12], BadHeader::UnknownKind),
            (PROXY, 0x41, vec![0; 12], BadHeader::UnknownKind),
            (PROXY, TCP4, vec![0; 11], BadHeader::Length),
            (PROXY, TCP6, vec![0; 35], BadHeader::Length),
            (PROXY, UNIX_STREAM, vec![0; 215], BadHeader::Length),
            (PROXY, TCP4, vec![0; MOST + 1], BadHeader::TooLong),
        ] {
            assert_eq!(parsed(kind, family, &content), Parsed::Bad(fault), "{kind:x} {family:x}");
        }
        // Seen before the content has come.
        assert_eq!(parse(&header(PROXY, TCP4, 5000, &[])), Parsed::Bad(BadHeader::TooLong));
        assert_eq!(parse(&header(PROXY, TCP4, 12, &[0; 5])), Parsed::NeedMore(7));
    }
}
