//! Where an instance is, and how it is spoken to: what the balancer hands to the engine.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use portreeve_config::{ProxyVersion, UpstreamProtocol};
use serde::{Serialize, Serializer};

use crate::tls::Connector;

/// Where an instance is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// By IP address and port.
    Tcp(SocketAddr),
    /// By a Unix socket.
    Unix(Arc<Path>),
}

impl Address {
    /// The IP address and port, where there is one.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// A stand-in with the form that rings of consistent hashing take: the address itself, and for a Unix socket one
    /// of a network that is kept for documentation (RFC 3849), made from the path.
    pub(crate) fn on_ring(&self) -> SocketAddr {
        match self {
            Self::Tcp(address) => *address,
            Self::Unix(path) => {
                let mut hasher = DefaultHasher::new();
                path.hash(&mut hasher);
                let [a, b, c, d] = [48, 32, 16, 0].map(|shift| (hasher.finish() >> shift) as u16);
                (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, a, b, c, d), 1).into()
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(out),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// How an instance is spoken to. One for all instances of a service that share it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dial {
    /// What it speaks.
    pub protocol: UpstreamProtocol,
    /// TLS towards it; plain text when absent. Connectors are equal when they were made from the same settings.
    pub tls: Option<Arc<Connector>>,
    /// The header that a connection begins with, if any.
    pub proxy_protocol: Option<ProxyVersion>,
    /// The host name that led to the address; what TLS asks for where its settings name nothing else.
    pub host: Option<Arc<str>>,
    /// A second address of the same host, tried when the first does not answer at once (RFC 8305).
    pub alternative: Option<SocketAddr>,
}
