//! The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt`): who a client behind a balancer is. Read
//! strictly, because its word decides about addresses, and never further than its own end.

mod v1;
mod v2;

use std::io;
use std::net::SocketAddr;

use portreeve_config::ProxyVersion;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Nothing about addresses: the balancer speaks for itself (`LOCAL`), or cannot say (`UNKNOWN`, a Unix socket).
    /// Those of the connection stand.
    Local,
    /// Whom the balancer speaks for.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// Where the client connected to.
        destination: SocketAddr,
    },
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The begin of a header; it has at least so many bytes more.
    NeedMore(usize),
    /// A whole header.
    Done {
        /// Its bytes; what follows belongs to the client.
        length: usize,
        /// What it says.
        header: Header,
    },
    /// No header.
    Bad(BadHeader),
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// The bytes are something else.
    #[error("it does not begin with a PROXY header")]
    NoHeader,
    /// It is longer than version 1 allows, or than is taken of version 2.
    #[error("the PROXY header is too long")]
    TooLong,
    /// A version, command, family or transport that does not exist or cannot come by a stream.
    #[error("the PROXY header is of an unknown kind")]
    UnknownKind,
    /// Addresses or ports that are none.
    #[error("an address in the PROXY header is none")]
    Address,
    /// Lengths that do not fit each other.
    #[error("lengths in the PROXY header do not fit")]
    Length,
}

/// Reads the begin of a connection. Pure: the same bytes give the same word, and a longer begin of the same
/// connection never changes [`Parsed::Done`] or [`Parsed::Bad`].
pub fn parse(bytes: &[u8]) -> Parsed {
    let common = |begin: &[u8]| bytes.iter().zip(begin).all(|(one, other)| one == other);
    if common(v2::SIGNATURE) && !bytes.is_empty() {
        v2::parse(bytes)
    } else if common(v1::BEGIN) {
        v1::parse(bytes)
    } else {
        Parsed::Bad(BadHeader::NoHeader)
    }
}

/// Why a connection has no header.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// It ended, or broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Its first bytes are none.
    #[error("{0}")]
    Bad(#[from] BadHeader),
}

/// Takes a header, and not a byte more, off a connection. The caller sets the time.
///
/// # Errors
/// [`ReadFault`]; the connection is of no use then.
pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Header, ReadFault> {
    let mut bytes = Vec::new();
    loop {
        match parse(&bytes) {
            Parsed::Done { header, .. } => return Ok(header),
            Parsed::Bad(fault) => return Err(fault.into()),
            Parsed::NeedMore(count) => {
                let begin = bytes.len();
                bytes.resize(begin + count, 0);
                from.read_exact(&mut bytes[begin..]).await?;
            }
        }
    }
}

/// The header that tells an instance who the client is. Without both addresses, or with addresses of two families
/// (which no header can hold), it says that nothing is known.
pub fn write(version: ProxyVersion, source: Option<SocketAddr>, destination: Option<SocketAddr>) -> Vec<u8> {
    let pair = source.zip(destination).map(|(source, destination)| one_family(source, destination));
    match version {
        ProxyVersion::V1 => v1::write(pair),
        ProxyVersion::V2 => v2::write(pair),
    }
}

/// IPv4 as such where both are; IPv4 in its IPv6 form beside IPv6.
fn one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let mapped = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        SocketAddr::V6(_) => address,
    };
    let (source, destination) = (canonical(source), canonical(destination));
    match source.is_ipv4() == destination.is_ipv4() {
        true => (source, destination),
        false => (mapped(source), mapped(destination)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    const PAIRS: [(&str, &str); 3] =
        [("10.0.0.1:1", "10.0.0.2:65535"), ("[2001:db8::1]:80", "[::1]:443"), ("1.2.3.4:5", "[::9]:10")];

    #[test]
    fn what_is_written_is_read_again_and_the_rest_is_the_clients() {
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            for (source, destination) in PAIRS.map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())) {
                let mut bytes = write(version, Some(source), Some(destination));
                let length = bytes.len();
                bytes.extend(b"GET / HTTP/1.1\r\n");
                let (source, destination) = one_family(source, destination);
                let header = Header::Proxied { source, destination };
                assert_eq!(parse(&bytes), Parsed::Done { length, header }, "{version:?}");
            }
            let nothing = write(version, None, Some("1.2.3.4:5".parse().unwrap()));
            assert_eq!(parse(&nothing), Parsed::Done { length: nothing.len(), header: Header::Local });
        }
    }

    #[tokio::test]
    async fn not_a_byte_after_the_header_is_taken_however_it_arrives() {
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            for (source, destination) in PAIRS.map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())) {
                let mut bytes = write(version, Some(source), Some(destination));
                let length = bytes.len();
                bytes.extend(b"rest");
                // What a prefix needs is never more than what is left.
                for end in 0..length {
                    let Parsed::NeedMore(count) = parse(&bytes[..end]) else { panic!("{end} of {length}") };
                    assert!(count > 0 && end + count <= length, "{end} + {count} of {length}");
                }
                let mut stream = bytes.as_slice();
                assert!(matches!(read(&mut stream).await, Ok(Header::Proxied { .. })));
                assert_eq!(stream, b"rest");
            }
        }
        assert!(matches!(read(&mut b"PROXY TCP4 1.2".as_slice()).await, Err(ReadFault::Io(_))));
        assert!(matches!(read(&mut b"GET / HTTP/1.1\r\n\r\n".as_slice()).await, Err(ReadFault::Bad(_))));
    }

    #[test]
    fn no_bytes_make_it_panic_or_change_its_mind() {
        // Whole headers with one byte changed, at every place and to every value.
        let (source, destination) = (Some("1.2.3.4:5".parse().unwrap()), Some("6.7.8.9:10".parse().unwrap()));
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let good = write(version, source, destination);
            for (place, value) in (0..good.len()).flat_map(|place| (0..=255).map(move |value| (place, value)))
            {
                let mut bytes = good.clone();
                bytes[place] = value;
                let whole = parse(&bytes);
                for end in 0..bytes.len() {
                    let early = parse(&bytes[..end]);
                    assert!(matches!(early, Parsed::NeedMore(_)) || early == whole, "{place} {value} {end}");
                }
            }
        }
    }
}
