//! Listening sockets. On TCP one per worker on the same address, so that the kernel spreads connections and workers
//! share nothing; a Unix socket and one of systemd's is one that all workers share.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use portreeve_config::ListenAddress;
use rustix::net::{AddressFamily, SocketType};
use socket2::{Domain, Protocol, Socket, Type};

use super::{systemd, unix};
use crate::address::Address;

/// Connections that the kernel makes before anybody accepts them, for each socket.
pub(super) const BACKLOG: i32 = 4096;

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Something listens there already.
    #[error("{address} is in use: stop the process that listens there, or choose another address")]
    InUse {
        /// The address.
        address: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The settings of a listener have faults.
    #[error("the configuration has faults: {0}")]
    Settings(#[from] portreeve_config::Faults),
    /// A worker's thread could not be started.
    #[error("cannot start a worker thread: {source}; lower `workers` or raise the process's limits")]
    Thread {
        /// Why.
        source: io::Error,
    },
}

impl ListenError {
    pub(super) fn at(address: impl ToString, source: io::Error) -> Self {
        let address = address.to_string();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            _ => Self::Bind { address, source },
        }
    }
}

/// A socket that connections are accepted from.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    /// A second handle of the same socket.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
        }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Self::Unix(listener) => {
                let address = listener.local_addr()?;
                Ok(Address::Unix(address.as_pathname().unwrap_or("".as_ref()).into()))
            }
        }
    }

    /// A descriptor that another process gave, when it is a listening socket for streams.
    pub(super) fn from_descriptor(descriptor: OwnedFd) -> io::Result<Self> {
        let no = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
        if rustix::net::sockopt::socket_type(&descriptor)? != SocketType::STREAM
            || !rustix::net::sockopt::socket_acceptconn(&descriptor)?
        {
            return Err(no("it is not a socket that listens for streams"));
        }
        let listening = match rustix::net::sockopt::socket_domain(&descriptor)? {
            AddressFamily::INET | AddressFamily::INET6 => Self::Tcp(descriptor.into()),
            AddressFamily::UNIX => Self::Unix(descriptor.into()),
            _ => return Err(no("it is neither a TCP nor a Unix socket")),
        };
        listening.set_nonblocking()?;
        Ok(listening)
    }

    pub(super) fn into_descriptor(self) -> OwnedFd {
        match self {
            Self::Tcp(listener) => listener.into(),
            Self::Unix(listener) => listener.into(),
        }
    }

    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.set_nonblocking(true),
            Self::Unix(listener) => listener.set_nonblocking(true),
        }
    }
}

/// Sockets of one place.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) address: Address,
    pub(super) sockets: Vec<Listening>,
    /// The file of a Unix socket that this process made; gone with the last holder.
    pub(super) file: Option<unix::SocketFile>,
}

/// Opens `place`, which is `written` so, for `count` workers, with the sockets that an earlier process left for it.
pub(super) fn open(
    place: &ListenAddress,
    written: &str,
    count: usize,
    left: Vec<OwnedFd>,
) -> Result<Listeners, ListenError> {
    let told = |source| ListenError::at(written, source);
    let left: io::Result<Vec<_>> = left.into_iter().map(Listening::from_descriptor).collect();
    let mut sockets = left.map_err(told)?;
    match place {
        ListenAddress::Tcp(address) => {
            let bound = bind(*address, count, &mut sockets).map_err(told)?;
            Ok(Listeners { address: bound.into(), sockets, file: None })
        }
        ListenAddress::Unix(path) => {
            let (socket, file) = match sockets.into_iter().next() {
                Some(left) => (left, unix::SocketFile::of(path).map_err(told)?),
                None => unix::bind(path).map_err(told)?,
            };
            let address = Address::Unix(path.as_path().into());
            Ok(Listeners { address, sockets: vec![socket], file: Some(file) })
        }
        ListenAddress::Systemd(name) => {
            let left = sockets.into_iter().next();
            let socket = left.map_or_else(|| systemd::socket(name), Ok).map_err(told)?;
            let address = socket.address().map_err(told)?;
            Ok(Listeners { address, sockets: vec![socket], file: None })
        }
    }
}

/// Fills up `sockets` to `count` and gives the address they have.
fn bind(address: SocketAddr, count: usize, sockets: &mut Vec<Listening>) -> io::Result<SocketAddr> {
    let bound = match sockets.first() {
        Some(left) => left.address()?.socket().ok_or(io::ErrorKind::InvalidInput)?,
        None => {
            if address.port() != 0 {
                // With SO_REUSEPORT a second process of the same user would share the port without a word, and each
                // would get half of the connections. A socket without it finds out.
                drop(socket(address, false)?);
            }
            let first = socket(address, true)?;
            let bound = first.local_addr()?;
            sockets.push(Listening::Tcp(first));
            bound
        }
    };
    sockets.extend(more(bound, count.saturating_sub(sockets.len()))?);
    Ok(bound)
}

/// Further sockets for an address that is listened on already.
pub(super) fn more(bound: SocketAddr, count: usize) -> io::Result<Vec<Listening>> {
    (0..count).map(|_| socket(bound, true).map(Listening::Tcp)).collect()
}

/// A listening socket that no other process shares.
pub(super) fn alone(address: SocketAddr) -> Result<TcpListener, ListenError> {
    socket(address, false).map_err(|source| ListenError::at(address, source))
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
