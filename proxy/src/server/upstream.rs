//! Connections to instances: one pool a worker, the most recently used connection first, so that idle ones age out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use portreeve_config::Limits;
use tokio::net::TcpStream;

use super::body::RequestBody;

/// Idle connections a worker keeps to one instance.
const MAX_IDLE: usize = 64;
/// The least time between two looks for connections that are idle for too long.
const SHORTEST_ROUND: Duration = Duration::from_millis(100);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectFault {
    /// The instance refused, or could not be reached.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It did not accept in time.
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
    /// It closed the connection at once.
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

/// A worker's connections to instances.
pub(super) struct Upstreams {
    idle: RefCell<HashMap<SocketAddr, Vec<Idle>>>,
    connect_timeout: Duration,
    idle_timeout: Duration,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// A connection that carries one exchange. It goes back to the pool when the answer's body has come whole, and is
/// closed when it is dropped before that.
pub(super) struct Connection {
    pub(super) sender: SendRequest<RequestBody>,
    address: SocketAddr,
    pool: Rc<Upstreams>,
}

impl Upstreams {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            idle: RefCell::new(HashMap::new()),
            connect_timeout: limits.connect_timeout.get(),
            idle_timeout: limits.upstream_idle.get(),
        }
    }

    /// An idle connection to `address` that is still open, as far as can be known.
    pub(super) fn reuse(self: &Rc<Self>, address: SocketAddr) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let list = idle.get_mut(&address)?;
        while let Some(Idle { sender, since }) = list.pop() {
            if since.elapsed() >= self.idle_timeout {
                // Those below are older still.
                list.clear();
                break;
            }
            if sender.is_ready() {
                return Some(Connection { sender, address, pool: Rc::clone(self) });
            }
        }
        None
    }

    /// Closes what has been idle for too long, for as long as there is a pool: a connection to an instance that is
    /// gone is never asked for again. For a task of its own.
    pub(super) async fn close_idle(pool: Weak<Self>) {
        while let Some(pause) = pool.upgrade().map(|pool| pool.idle_timeout) {
            tokio::time::sleep(pause.max(SHORTEST_ROUND)).await;
            let Some(pool) = pool.upgrade() else { return };
            let is_of_use =
                |idle: &Idle| idle.since.elapsed() < pool.idle_timeout && !idle.sender.is_closed();
            pool.idle.borrow_mut().retain(|_, list| {
                list.retain(is_of_use);
                !list.is_empty()
            });
        }
    }

    /// A new connection to `address`.
    pub(super) async fn connect(self: &Rc<Self>, address: SocketAddr) -> Result<Connection, ConnectFault> {
        let connecting = tokio::time::timeout(self.connect_timeout, TcpStream::connect(address));
        let stream = connecting.await.map_err(|_| ConnectFault::TimedOut(self.connect_timeout))??;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::Builder::new().handshake(TokioIo::new(stream)).await?;
        // Its end is seen through the sender; there is nobody to tell here.
        tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        sender.ready().await?;
        Ok(Connection { sender, address, pool: Rc::clone(self) })
    }
}

impl Connection {
    /// Puts it back for the next exchange.
    pub(super) fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let mut idle = self.pool.idle.borrow_mut();
        let list = idle.entry(self.address).or_default();
        if list.len() == MAX_IDLE {
            list.remove(0);
        }
        list.push(Idle { sender: self.sender, since: Instant::now() });
    }
}
