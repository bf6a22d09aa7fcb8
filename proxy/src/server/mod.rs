//! The engine room: all socket I/O of the data plane. One thread a worker, each with its own event loop, its own
//! `SO_REUSEPORT` socket of every TCP listener and its own pool of connections to instances; a request never changes
//! its thread.

mod accept;
mod admin;
mod alarm;
mod body;
mod census;
mod connection;
mod crew;
mod doors;
mod entrance;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod h1;
mod h2;
mod listener;
mod passthrough;
pub mod proxy_protocol;
mod rate;
mod request_body;
pub(crate) mod stream;
mod systemd;
mod tunnel;
mod unix;
mod upstream;
mod visit;
mod wire;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portreeve_config::{ListenerConfig, Protocol};

pub use admin::{AdminServer, AdminSocket, Report};
pub(crate) use doors::{Doors, as_faults};
pub use doors::{Inherited, Written};
pub(crate) use h1::Heard;
pub use listener::ListenError;
pub(crate) use unix::HandoverSocket;

use crate::address::Address;
use crate::plane::Plane;
use crate::reload::Live;
use crew::Crew;
use entrance::Phase;

/// What a server is started with. Its limits are those of the snapshot in force.
#[derive(Debug, Default)]
pub struct ServerSettings {
    /// Where clients connect.
    pub listeners: Vec<Written>,
    /// Threads.
    pub workers: usize,
    /// Listening sockets that an earlier process left, used in place of new ones.
    pub inherited: Inherited,
}

impl ServerSettings {
    /// One listener for HTTP in plain text. Port 0 takes any free port.
    pub fn plain(listen: SocketAddr, workers: usize) -> Self {
        let listener = ("listen".to_owned(), plain_listener(listen.to_string()));
        Self { listeners: vec![listener], workers, inherited: Inherited::default() }
    }
}

/// A listener for HTTP in plain text, without limits of its own.
pub fn plain_listener(address: String) -> ListenerConfig {
    ListenerConfig {
        address,
        protocol: Protocol::Http,
        tls: None,
        proxy_protocol: None,
        connections: None,
        forward: Vec::new(),
    }
}

/// A running server. Dropping it closes the listeners and lets go of connections without waiting; use
/// [`Server::drain`] for a stop that nobody notices.
pub struct Server {
    doors: Arc<Doors>,
    has_ended: bool,
}

impl Server {
    /// Binds the listeners and starts the workers.
    ///
    /// # Errors
    /// [`ListenError`] when an address cannot be listened on, a listener's settings have faults, or a thread cannot
    /// be started.
    pub fn start(
        settings: ServerSettings,
        plane: &Arc<Plane>,
        live: &Arc<Live>,
    ) -> Result<Self, ListenError> {
        let ServerSettings { listeners, workers, mut inherited } = settings;
        let doors = Arc::new(Doors::new(Crew::new(plane, live)));
        // Nothing is accepted before everything is open.
        let change = doors.prepare(&listeners, workers, &mut inherited).map_err(doors::first_fault)?;
        let server = Self { doors, has_ended: false };
        server.doors.make(change).map_err(|source| ListenError::Thread { source })?;
        Ok(server)
    }

    /// Where it listens, in the order of the settings, with the ports that were given for port 0.
    pub fn addresses(&self) -> Vec<Address> {
        self.doors.addresses()
    }

    /// The first TCP address clients connect to, with the port that was given for port 0; `0.0.0.0:0` when there is
    /// none.
    pub fn address(&self) -> SocketAddr {
        let tcp = self.doors.addresses().iter().find_map(Address::socket);
        tcp.unwrap_or_else(|| ([0, 0, 0, 0], 0).into())
    }

    /// Its listeners, to change them or to hand them over.
    pub(crate) fn doors(&self) -> &Arc<Doors> {
        &self.doors
    }

    /// Stops taking connections, lets requests in flight finish for at most `limit`, then closes what is left.
    pub async fn drain(self, limit: Duration) {
        self.end(Phase::Stopping, limit).await;
    }

    /// The same when a successor has the listening sockets: idle connections may send one more request, so that no
    /// client loses one that it is just sending.
    pub(crate) async fn drain_handed_over(self, limit: Duration) {
        self.end(Phase::HandedOver, limit).await;
    }

    async fn end(mut self, phase: Phase, limit: Duration) {
        self.has_ended = true;
        let threads = self.doors.release(phase);
        let all = async {
            for thread in threads {
                thread.end().await;
            }
        };
        if tokio::time::timeout(limit + Duration::from_millis(500), all).await.is_err() {
            tracing::warn!("workers did not stop in time; their connections are closed");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.has_ended {
            drop(self.doors.release(Phase::Stopping));
        }
    }
}
