//! New connections to instances.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use portreeve_config::{Alpn, UpstreamProtocol};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};

use super::{Call, Lease, Multiplexed, Upstreams};
use crate::address::Address;
use crate::policy::balance::Endpoint;
use crate::server::h1::Instance;
use crate::server::proxy_protocol;
use crate::server::stream::{Socket, Stream};
use crate::server::visit::Ends;
use crate::server::wire::Wire;
use crate::server::worker::Worker;
use crate::tls;

/// How long the first address of a host has for itself (RFC 8305, 8: Connection Attempt Delay).
const HEAD_START: Duration = Duration::from_millis(250);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(in crate::server) enum ConnectFault {
    /// The instance refused, or could not be reached.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It did not accept in time.
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
    /// TLS could not be agreed on.
    #[error("{0}")]
    Tls(#[from] tls::ConnectFault),
    /// It closed the connection at once.
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

/// What a connection is made for.
#[derive(Clone, Copy)]
pub(in crate::server) struct Purpose {
    /// Whose request it is to carry.
    pub(in crate::server) client: Ends,
    /// The client would like to switch to another protocol.
    pub(in crate::server) switches: bool,
}

/// A connection for a call.
pub(in crate::server) enum Line {
    /// For one call at a time.
    H1(Lease),
    /// For many.
    H2(Call),
}

impl Upstreams {
    /// A new connection to an instance, for this client's request.
    ///
    /// # Errors
    /// [`ConnectFault`].
    pub(in crate::server) async fn connect(
        self: &Rc<Self>,
        worker: &Worker,
        endpoint: &Endpoint,
        purpose: Purpose,
    ) -> Result<Line, ConnectFault> {
        let connecting = self.open(worker, endpoint, purpose);
        let limit = worker.limits().connect_timeout.get();
        tokio::time::timeout(limit, connecting).await.unwrap_or(Err(ConnectFault::TimedOut(limit)))
    }

    async fn open(
        self: &Rc<Self>,
        worker: &Worker,
        endpoint: &Endpoint,
        Purpose { client, switches }: Purpose,
    ) -> Result<Line, ConnectFault> {
        let mut socket = reach(endpoint).await?;
        let proxy = endpoint.dial.proxy_protocol;
        if let Some(version) = proxy {
            socket.write_all(&proxy_protocol::write(version, client.client, client.local)).await?;
        }
        let (stream, is_h2) = match &endpoint.dial.tls {
            None => (Stream::Plain(socket), endpoint.dial.protocol == UpstreamProtocol::Http2),
            Some(connector) => {
                let (stream, agreed) = connector.connect(socket, &name(endpoint), switches).await?;
                (Stream::Tls(Box::new(stream)), agreed == Some(Alpn::H2))
            }
        };
        if is_h2 {
            let connection = Rc::new(Multiplexed::open(stream, self.round.get(), worker.charge()).await?);
            if proxy.is_none() {
                self.share(endpoint.number, &connection);
            }
            return Ok(Line::H2(self.enter(&connection)));
        }
        let instance = Box::new(Instance::new(Wire::new(stream), worker.charge()));
        Ok(Line::H1(Lease { is_kept: proxy.is_none(), ..self.lease(instance, endpoint.number) }))
    }
}

/// The name that an instance's certificate must have, where its service's settings say none.
fn name(endpoint: &Endpoint) -> Cow<'_, str> {
    match (&endpoint.dial.host, &endpoint.address) {
        (Some(host), _) => Cow::Borrowed(host),
        (None, Address::Tcp(address)) => Cow::Owned(address.ip().to_string()),
        (None, Address::Unix(_)) => Cow::Borrowed("localhost"),
    }
}

/// A socket that is connected to the instance; of a host with two addresses the one that answers first.
pub(in crate::server) async fn reach(endpoint: &Endpoint) -> io::Result<Socket> {
    match (&endpoint.address, endpoint.dial.alternative) {
        (Address::Unix(path), _) => UnixStream::connect(path).await.map(Socket::Unix),
        (Address::Tcp(address), None) => tcp(*address).await,
        (Address::Tcp(address), Some(alternative)) => race(*address, alternative).await,
    }
}

async fn tcp(address: SocketAddr) -> io::Result<Socket> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(Socket::Tcp(stream))
}

/// Happy eyeballs (RFC 8305) for two addresses.
async fn race(first: SocketAddr, second: SocketAddr) -> io::Result<Socket> {
    let mut early = std::pin::pin!(tcp(first));
    if let Ok(outcome) = tokio::time::timeout(HEAD_START, early.as_mut()).await {
        return match outcome {
            Ok(socket) => Ok(socket),
            Err(_) => tcp(second).await,
        };
    }
    let mut late = std::pin::pin!(tcp(second));
    tokio::select! {
        outcome = early.as_mut() => match outcome {
            Ok(socket) => Ok(socket),
            Err(_) => late.await,
        },
        outcome = late.as_mut() => match outcome {
            Ok(socket) => Ok(socket),
            Err(_) => early.await,
        },
    }
}
