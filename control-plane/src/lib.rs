//! The control plane of Portreeve as a library: who is registered, which routes are in force, which
//! configuration applies, and what was traced, all on one HTTP port.
//!
//! Writes go through one writer (`state`), are stored (`store`), and are pushed to every node's stream
//! (`publisher`). The wire format of the stream is [`portreeve_config::wire`].

mod api;
mod backup;
mod configuration;
mod console;
mod history;
mod publisher;
mod redaction;
mod registry;
mod server;
mod state;
mod store;
mod traces;

use std::io;
use std::net::SocketAddr;

use portreeve_config::{ControlPlaneConfig, Faults, StoreConfig, check};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::api::Users;
use crate::configuration::Configuration;
use crate::state::State;
use crate::store::{EmbeddedStore, EtcdStore};

pub use crate::backup::{BackupError, Summary, backup, keep, restore};
pub use crate::configuration::ConfigurationError;
pub use crate::store::StoreError;

/// Connections that may wait to be accepted, as far as the system allows: all nodes may come at once.
const WAITING: u32 = 16_384;

/// A control plane that can be started.
#[derive(Debug)]
pub struct ControlPlane;

/// A control plane that runs. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct RunningControlPlane {
    address: SocketAddr,
    eureka: Option<SocketAddr>,
    config_server: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Why a control plane cannot start. `Display` names the thing and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; {}", listen_remedy(source))]
    Listen {
        /// As it was configured.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration is faulty; nothing was opened.
    #[error("the configuration of the control plane cannot be used: {0}")]
    Faulty(#[from] Faults),
    /// The config server cannot open what it was told to.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// What a user of HTTP Basic is known by cannot be read.
    #[error("the password of the user `{user}` cannot be read: {problem}")]
    Password {
        /// The user's name.
        user: String,
        /// Why.
        problem: String,
    },
    /// The task that opens the database was stopped.
    #[error("the start was interrupted")]
    Interrupted,
}

/// A listener for each protocol that is configured.
struct Doors {
    own: (TcpListener, SocketAddr),
    eureka: Option<(TcpListener, SocketAddr, Users)>,
    config_server: Option<(TcpListener, SocketAddr, Users)>,
}

impl ControlPlane {
    /// Opens the database, listens and serves on the caller's tokio runtime. On return it takes requests.
    pub async fn start(config: ControlPlaneConfig) -> Result<RunningControlPlane, StartError> {
        check::control_plane(&config).into_result(())?;
        let doors = Doors::open(&config).await?;
        let (data_dir, seed) = (config.data_dir.clone(), config.seed.clone());
        let store = config.store.clone();
        let opening = move || match store {
            StoreConfig::Embedded => State::begin(EmbeddedStore::open(&data_dir)?, seed),
            StoreConfig::Etcd(etcd) => State::begin(EtcdStore::open(&etcd)?, seed),
        };
        let state = tokio::task::spawn_blocking(opening).await.map_err(|_| StartError::Interrupted)??;
        let (stop, stopping) = watch::channel(false);
        let address = doors.own.1;
        let eureka = doors.eureka.as_ref().map(|(_, address, _)| *address);
        let config_server = doors.config_server.as_ref().map(|(_, address, _)| *address);
        let mut followers = JoinSet::new();
        let mut leaving = stopping.clone();
        let mut served = doors.serve(&config, &state, stopping, &mut followers).await?;
        let expiring = state.clone();
        followers.spawn(async move {
            // Nodes that are sent away by a stop are not gone.
            tokio::select! {
                () = state::expire_leases(expiring.clone()) => {}
                () = state::expire_orphans(expiring) => {}
                _ = leaving.wait_for(|stop| *stop) => {}
            }
        });
        let task = tokio::spawn(async move {
            while served.join_next().await.is_some() {}
            followers.shutdown().await;
            state.end().await;
        });
        tracing::info!(%address, "control plane ready");
        Ok(RunningControlPlane { address, eureka, config_server, stop, task })
    }
}

impl Doors {
    /// Reads every password and opens every listener; nothing is served yet.
    async fn open(config: &ControlPlaneConfig) -> Result<Self, StartError> {
        let own = listen(&config.listen).await?;
        let (mut eureka, mut config_server) = (None, None);
        if let Some(config) = &config.eureka {
            let users = Users::read(&config.users, "Portreeve")?;
            let (listener, address) = listen(&config.listen).await?;
            eureka = Some((listener, address, users));
        }
        if let Some(config) = &config.config_server {
            let users = Users::read(&config.users, "Portreeve")?;
            let (listener, address) = listen(&config.listen).await?;
            config_server = Some((listener, address, users));
        }
        Ok(Self { own, eureka, config_server })
    }

    /// Serves on each of them. What must go on beside requests joins `followers`.
    async fn serve(
        self,
        config: &ControlPlaneConfig,
        state: &State,
        stopping: watch::Receiver<bool>,
        followers: &mut JoinSet<()>,
    ) -> Result<JoinSet<()>, StartError> {
        let mut served = JoinSet::new();
        if let (Some(server), Some((listener, address, users))) = (&config.config_server, self.config_server)
        {
            let configuration = Configuration::open(server, &config.data_dir, state.clone()).await?;
            let app = api::config_server::router(configuration.clone(), users, server, address);
            served.spawn(server::serve(listener, app, stopping.clone()));
            followers.spawn(configuration.follow());
            tracing::info!(%address, "clients of Spring Cloud Config are served");
        }
        if let (Some(config), Some((listener, address, users))) = (&config.eureka, self.eureka) {
            let app = api::eureka(state.clone(), users, config, address);
            served.spawn(server::serve(listener, app, stopping.clone()));
            tracing::info!(%address, "Eureka clients are served");
        }
        let (listener, address) = self.own;
        let app = api::router(state.clone(), config, address, stopping.clone());
        served.spawn(server::serve(listener, app, stopping));
        Ok(served)
    }
}

impl RunningControlPlane {
    /// The address it listens on; the real port where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the config server, where one is configured.
    pub fn config_server_address(&self) -> Option<SocketAddr> {
        self.config_server
    }

    /// The address of its Eureka server; `None` where it is none.
    pub fn eureka_address(&self) -> Option<SocketAddr> {
        self.eureka
    }

    /// Waits until it has stopped.
    pub async fn stopped(&mut self) {
        let _ = (&mut self.task).await;
    }

    /// Ends all streams, finishes the requests that run (for 5 s at most) and closes the database.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        self.stopped().await;
    }
}

async fn listen(address: &str) -> Result<(TcpListener, SocketAddr), StartError> {
    let fault = |source| StartError::Listen { address: address.to_owned(), source };
    let listener = bind(address).await.map_err(fault)?;
    let address = listener.local_addr().map_err(fault)?;
    Ok((listener, address))
}

/// Binds the first of the addresses that `address` stands for and that can be had.
async fn bind(address: &str) -> io::Result<TcpListener> {
    let mut last = None;
    for address in tokio::net::lookup_host(address).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(WAITING)) {
            Ok(listener) => return Ok(listener),
            Err(fault) => last = Some(fault),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the name has no address")))
}

fn listen_remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "stop what uses it, or give `listen` another port",
        io::ErrorKind::PermissionDenied => "give `listen` a port above 1023",
        io::ErrorKind::AddrNotAvailable => "give `listen` an address of this machine",
        _ => "give `listen` an address such as 127.0.0.1:7070",
    }
}
