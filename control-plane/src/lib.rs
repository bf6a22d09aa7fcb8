//! The control plane of Portreeve as a library: who is registered, which routes are in force, which
//! configuration applies, and what was traced, all on one HTTP port.
//!
//! Writes go through one writer (`state`), are stored (`store`), and are pushed to every node's stream
//! (`publisher`). The wire format of the stream is [`portreeve_config::wire`].

mod access;
mod api;
mod audit;
mod backup;
mod configuration;
mod console;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod history;
mod publisher;
mod redaction;
mod registry;
mod server;
mod state;
mod store;
mod tls;
mod traces;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use portreeve_config::{ControlPlaneConfig, Faults, StoreConfig, check};
use portreeve_tls::Acceptor;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::access::Tokens;
use crate::api::{Access, Users};
use crate::audit::Audit;
use crate::configuration::Configuration;
use crate::server::Door;
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
    /// The audit log cannot be written.
    #[error("the audit log{} cannot be written: {source}; give `audit.file` a place that can", shown(file))]
    Audit {
        /// Where it was to be.
        file: Option<PathBuf>,
        /// Why.
        source: io::Error,
    },
    /// The task that opens the database was stopped.
    #[error("the start was interrupted")]
    Interrupted,
}

/// Where connections come in, and what greets them; plain text is spoken without the latter.
type Socket = (TcpListener, Option<Acceptor>);

/// A listener for each protocol that is configured.
struct Doors {
    own: (Socket, SocketAddr),
    eureka: Option<(Socket, SocketAddr, Users)>,
    config_server: Option<(Socket, SocketAddr, Users)>,
}

impl ControlPlane {
    /// Opens the database, listens and serves on the caller's tokio runtime. On return it takes requests.
    pub async fn start(config: ControlPlaneConfig) -> Result<RunningControlPlane, StartError> {
        check::control_plane(&config).into_result(())?;
        let access = open_access(&config)?;
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
        followers.spawn(access.tokens.clone().follow());
        let audit = access.audit.clone();
        let waking = state.clone();
        followers.spawn(async move { waking.publisher().keep_waking().await });
        let (ending, mut stopped) = (state.clone(), stopping.clone());
        followers.spawn(async move {
            let _ = stopped.wait_for(|stop| *stop).await;
            ending.publisher().end("the control plane is stopping");
        });
        let mut served = doors.serve(&config, (&state, access), stopping, &mut followers).await?;
        let expiring = state.clone();
        followers.spawn(async move {
            // Nodes that are sent away by a stop are not gone.
            tokio::select! {
                () = state::expire_leases(expiring.clone()) => {}
                () = state::expire_orphans(expiring.clone()) => {}
                () = state::report_nodes(expiring, replica_name(address)) => {}
                _ = leaving.wait_for(|stop| *stop) => {}
            }
        });
        let task = tokio::spawn(async move {
            while served.join_next().await.is_some() {}
            followers.shutdown().await;
            state.end().await;
            audit.end().await;
        });
        tracing::info!(%address, "control plane ready");
        Ok(RunningControlPlane { address, eureka, config_server, stop, task })
    }
}

impl Doors {
    /// Reads every password and certificate and opens every listener; nothing is served yet.
    async fn open(config: &ControlPlaneConfig) -> Result<Self, StartError> {
        let [own, eureka_tls, config_server_tls] = tls::acceptors(config)?;
        let own = listen(&config.listen, own).await?;
        let (mut eureka, mut config_server) = (None, None);
        if let Some(config) = &config.eureka {
            let users = Users::read(&config.users, "Portreeve")?;
            let (socket, address) = listen(&config.listen, eureka_tls).await?;
            eureka = Some((socket, address, users));
        }
        if let Some(config) = &config.config_server {
            let users = Users::read(&config.users, "Portreeve")?;
            let (socket, address) = listen(&config.listen, config_server_tls).await?;
            config_server = Some((socket, address, users));
        }
        Ok(Self { own, eureka, config_server })
    }

    /// Serves on each of them. What must go on beside requests joins `followers`.
    async fn serve(
        self,
        config: &ControlPlaneConfig,
        (state, access): (&State, Access),
        stopping: watch::Receiver<bool>,
        followers: &mut JoinSet<()>,
    ) -> Result<JoinSet<()>, StartError> {
        let (limits, audit) = (&config.limits, &access.audit);
        let mut served = JoinSet::new();
        if let (Some(server), Some((listener, address, users))) = (&config.config_server, self.config_server)
        {
            let configuration = Configuration::open(server, &config.data_dir, state.clone()).await?;
            let serving = api::Serving { users, audit: audit.clone(), limits };
            let app = api::config_server::router(configuration.clone(), serving, server, address);
            served.spawn(server::serve(
                listener,
                Door::new(Arc::new(app), limits, api::too_fast_plain),
                stopping.clone(),
            ));
            followers.spawn(configuration.follow());
            tracing::info!(%address, "clients of Spring Cloud Config are served");
        }
        if let (Some(eureka), Some((listener, address, users))) = (&config.eureka, self.eureka) {
            let serving = api::Serving { users, audit: audit.clone(), limits };
            let app = api::eureka(state.clone(), serving, eureka, address);
            served.spawn(server::serve(
                listener,
                Door::new(app, limits, api::too_fast_plain),
                stopping.clone(),
            ));
            tracing::info!(%address, "Eureka clients are served");
        }
        let (listener, address) = self.own;
        let app = api::router(state.clone(), access.clone(), config, address, stopping.clone());
        served.spawn(server::serve(listener, Door::new(Arc::new(app), limits, api::too_fast), stopping));
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

/// Reads every token and opens the audit log.
fn open_access(config: &ControlPlaneConfig) -> Result<Access, StartError> {
    let tokens = Arc::new(Tokens::read(&config.tokens)?);
    let file = config.audit.file.clone();
    let audit = Audit::begin(file.as_deref()).map_err(|source| StartError::Audit { file, source })?;
    Ok(Access { tokens, audit })
}

fn shown(file: &Option<PathBuf>) -> String {
    file.as_ref().map(|file| format!(" {}", file.display())).unwrap_or_default()
}

async fn listen(address: &str, acceptor: Option<Acceptor>) -> Result<(Socket, SocketAddr), StartError> {
    let fault = |source| StartError::Listen { address: address.to_owned(), source };
    let listener = bind(address).await.map_err(fault)?;
    let address = listener.local_addr().map_err(fault)?;
    Ok(((listener, acceptor), address))
}

/// What people call this process among others that share its store.
fn replica_name(address: SocketAddr) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}:{}", address.port())
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
