//! Listening sockets: one per worker on the same address, so that the kernel spreads connections and workers share
//! nothing.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

const BACKLOG: i32 = 4096;

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Something listens there already.
    #[error("{address} is in use: stop the process that listens there, or choose another address")]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A worker's thread could not be started.
    #[error("cannot start a worker thread: {source}; lower `workers` or raise the process's limits")]
    Thread {
        /// Why.
        source: io::Error,
    },
}

/// Sockets of one address.
pub(super) struct Listeners {
    pub(super) address: SocketAddr,
    pub(super) sockets: Vec<TcpListener>,
}

/// Binds `count` sockets to `address`.
pub(super) fn bind(address: SocketAddr, count: usize) -> Result<Listeners, ListenError> {
    let told = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address },
        _ => ListenError::Bind { address, source },
    };
    if address.port() != 0 {
        // With SO_REUSEPORT a second process of the same user would share the port without a word, and each would
        // get half of the connections. A socket without it finds out.
        drop(socket(address, false).map_err(told)?);
    }
    let first = socket(address, true).map_err(told)?;
    let address = first.local_addr().map_err(told)?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(socket(address, true).map_err(told)?);
    }
    Ok(Listeners { address, sockets })
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
