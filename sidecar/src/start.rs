//! Opens everything a sidecar needs, in the order in which it can fail: addresses, state of the last run, the
//! configuration file, the stream to the control plane. What happens then is in `life`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portreeve_config::wire::{ConfigScope, NodeKind};
use portreeve_config::{AccessLog, Fault, Faults, SidecarConfig};
use portreeve_proxy::client::{Client, FetchError};
use portreeve_proxy::metrics::encode;
use portreeve_proxy::reload::{Keeper, SaveFault, SavedState, Session, SessionEvent, SessionSettings};
use portreeve_proxy::server::{AdminServer, ListenError, Report};
use portreeve_proxy::telemetry::{SpanSink, TelemetryFault};
use tokio::sync::{mpsc, watch};

use crate::app::App;
use crate::child::{Command, CommandFault};
use crate::follower::{Follower, Following, Setting, Standing};
use crate::handover::ConfigurationFile;
use crate::identity::Identity;
use crate::planes::{Direction, Planes, Servers};

/// Why a sidecar could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has faults.
    #[error("the configuration has faults: {0}")]
    Config(#[from] Faults),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] SaveFault),
    /// The service's configuration file cannot be written.
    #[error("the service's configuration file {path} cannot be written: {source}; check `state_dir`")]
    Handover {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The access log cannot be opened.
    #[error("the access log {path} cannot be opened: {source}; check that its folder exists and is writable")]
    AccessLog {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Spans cannot be exported.
    #[error(transparent)]
    Telemetry(#[from] TelemetryFault),
    /// The client for spans and the control plane cannot be made.
    #[error(transparent)]
    Client(#[from] FetchError),
    /// The command cannot be started.
    #[error(transparent)]
    Command(#[from] CommandFault),
    /// The process cannot be told of signals.
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
}

impl StartError {
    /// The exit code of a process that ends with this: 78 (`EX_CONFIG` of sysexits.h) when the configuration is
    /// at fault, 127 or 126 as a shell's when the command is not there or cannot be executed, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 78,
            Self::Command(CommandFault::Start { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                127
            }
            Self::Command(_) => 126,
            _ => 1,
        }
    }

    pub(crate) fn access_log(destination: &AccessLog, source: io::Error) -> Self {
        let path = match destination {
            AccessLog::File(path) => path.display().to_string(),
            AccessLog::Off | AccessLog::Stdout => "on standard output".to_owned(),
        };
        Self::AccessLog { path, source }
    }
}

/// A sidecar that has opened everything and carries requests. Its command is started by [`Sidecar::live`].
pub struct Sidecar {
    pub(crate) config: SidecarConfig,
    pub(crate) command: Option<Command>,
    pub(crate) identity: Identity,
    pub(crate) addresses: Addresses,
    pub(crate) client: Client,
    pub(crate) app: App,
    pub(crate) servers: Servers,
    pub(crate) follower: Follower,
    pub(crate) configuration_file: PathBuf,
    pub(crate) spans: Option<Arc<dyn SpanSink>>,
    pub(crate) is_app_up: Arc<AtomicBool>,
    _admin: AdminServer,
}

/// Where a sidecar listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) inbound: SocketAddr,
    pub(crate) outbound: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Sidecar {
    /// Opens a sidecar on the caller's tokio runtime. `command` starts the service; without one it is started by
    /// somebody else. Serving begins before the control plane is reached, with what the last run kept.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub async fn start(config: SidecarConfig, command: Option<Command>) -> Result<Self, StartError> {
        portreeve_config::check::sidecar(&config).into_result(())?;
        let app_address = address(&config.app, "app")?;
        let identity = Identity::of(&config, app_address);
        let planes = Planes::open(&config, app_address)?;
        let (following, configuration_file) = begin_following(&config, &identity, &planes.outbound)?;
        let is_app_up = Arc::new(AtomicBool::new(false));
        let shown = Shown {
            directions: [planes.inbound, planes.outbound],
            standing: config.control_plane.as_ref().map(|_| following.standing()),
            is_app_up: Arc::clone(&is_app_up),
        };
        let admin = AdminServer::start(address(&config.admin, "admin")?, Arc::new(shown)).await?;
        let addresses = Addresses {
            inbound: planes.inbound_address,
            outbound: planes.outbound_address,
            admin: admin.address(),
        };
        // Last: nobody hears of a sidecar that did not start.
        let (session, events) = session(&config, &identity, &planes.client, &following);
        let app = App::new(app_address, config.ready.path.clone(), planes.client.clone());
        Ok(Self {
            config,
            command,
            identity,
            addresses,
            client: planes.client,
            app,
            servers: planes.servers,
            follower: following.follow(session, events),
            configuration_file,
            spans: planes.spans,
            is_app_up,
            _admin: admin,
        })
    }

    /// Where others reach the service.
    pub fn inbound_address(&self) -> SocketAddr {
        self.addresses.inbound
    }

    /// Where the service reaches others.
    pub fn outbound_address(&self) -> SocketAddr {
        self.addresses.outbound
    }

    /// Where `/metrics`, `/livez` and `/readyz` are.
    pub fn admin_address(&self) -> SocketAddr {
        self.addresses.admin
    }
}

fn begin_following(
    config: &SidecarConfig,
    identity: &Identity,
    outbound: &Direction,
) -> Result<(Following, PathBuf), StartError> {
    let folder = config.state_dir.as_deref();
    // Under the instance's name: the node's may be another one after a restart.
    let saved = folder.map(|folder| SavedState::in_folder(folder, &identity.instance)).transpose()?;
    let handover = |path: PathBuf| move |source| StartError::Handover { path, source };
    let place = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let file = ConfigurationFile::new(folder, &identity.instance).map_err(handover(place))?;
    let path = file.path().to_owned();
    let setting =
        Setting { outbound: outbound.clone(), timeout: config.timeout, file, keeper: Keeper::new(saved) };
    let following = Following::begin(setting).map_err(handover(path.clone()))?;
    Ok((following, path))
}

fn session(
    config: &SidecarConfig,
    identity: &Identity,
    client: &Client,
    following: &Following,
) -> (Option<Session>, mpsc::Receiver<SessionEvent>) {
    let (events, heard) = mpsc::channel(256);
    let session = config.control_plane.as_ref().map(|link| {
        let scope = ConfigScope { application: identity.service.clone(), profile: identity.profile.clone() };
        let settings = SessionSettings {
            urls: link.urls().map(str::to_owned).collect(),
            node: identity.node.clone(),
            kind: NodeKind::Sidecar,
            config: Some(scope),
            services: config
                .calls
                .as_ref()
                .map(|calls| calls.iter().chain([&identity.service]).cloned().collect()),
            epoch: following.epoch().to_owned(),
            // Three signs of life a lease, so that one that is late ends nothing.
            renew_every: (config.lease.get() / 3).min(Duration::from_secs(1)),
        };
        Session::start(client.clone(), settings, following.revision(), events)
    });
    (session, heard)
}

/// An address of the configuration.
pub(crate) fn address(text: &str, field: &str) -> Result<SocketAddr, Faults> {
    text.parse().map_err(|_| Fault::new(field, format!("`{text}` is not an address")).into())
}

/// What the admin listener shows.
struct Shown {
    directions: [Direction; 2],
    /// `None` without a control plane.
    standing: Option<watch::Receiver<Standing>>,
    is_app_up: Arc<AtomicBool>,
}

impl Report for Shown {
    fn metrics(&self) -> String {
        encode(self.directions.iter().map(Direction::exposition).collect())
    }

    fn ready(&self) -> Result<(), String> {
        if !self.is_app_up.load(Ordering::Relaxed) {
            return Err("the service does not take requests".to_owned());
        }
        match &self.standing {
            Some(standing) if !standing.borrow().registered => {
                Err("the control plane has not confirmed the registration".to_owned())
            }
            _ => Ok(()),
        }
    }
}
