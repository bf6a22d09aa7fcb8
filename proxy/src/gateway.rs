//! A whole gateway: listener, admin listener, routes from file and control plane, spans, log. What the binary's
//! `gateway` command runs, and what an embedder starts.

mod changes;
mod fault;
mod handover;
mod settings;
mod shown;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portreeve_config::wire::NodeKind;
use portreeve_config::{AccessLog as Destination, Checked, ControlPlaneLink, Fault, Faults, GatewayConfig};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

pub use fault::StartError;
pub(crate) use settings::settings_of;
pub use settings::{span_endpoint, span_sink};
pub use shown::exposition;

use crate::access_log::AccessLog;
use crate::address::Address;
use crate::builder::GatewayBuilder;
use crate::client::Client;
use crate::handover::Takeover;
use crate::metrics::{PlaneStats, RouteStats};
use crate::plane::Plane;
use crate::policy::auth::KeySources;
use crate::policy::cache::ResponseCache;
use crate::policy::headers::Forwarding;
use crate::reload::{Live, Reloader, SavedState, Session, SessionEvent, SessionSettings, watch_file};
use crate::server::{AdminServer, AdminSocket, ListenError, Server, ServerSettings};
use crate::snapshot::Snapshot;
use changes::{Adjust, Changes, Followed, listeners};
use handover::Handover;
use settings::Exporting;
use shown::Shown;

/// How long state and spans get each when the gateway stops.
const LAST_ERRANDS: Duration = Duration::from_secs(1);

/// A running gateway. Dropping it stops it without waiting for requests in flight; use [`Gateway::shutdown`] for a
/// stop that nobody notices.
pub struct Gateway {
    server: Server,
    admin: AdminServer,
    plane: Arc<Plane>,
    state: Arc<Shown>,
    changes: Arc<Changes>,
    reloader: JoinHandle<()>,
    followed: Vec<Followed>,
    followers: JoinSet<()>,
    handover: Handover,
}

/// Where a gateway is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddrs {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/livez` and `/readyz` are.
    pub admin: SocketAddr,
}

impl Gateway {
    /// A gateway to be, for a program that starts one.
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::default()
    }

    /// See [`GatewayBuilder::serve`].
    pub(crate) async fn start(
        config: Checked<GatewayConfig>,
        mut takeover: Option<Takeover>,
    ) -> Result<Self, StartError> {
        let config = Arc::new(config.into_inner());
        let workers = workers(&config);
        let live = Live::new(Snapshot::empty(workers));
        let client = Client::new(Arc::clone(&live) as _)?;
        let linked = linked(&client, config.control_plane.as_ref())?;
        let mut exporting = Exporting::new(linked.clone(), config.control_plane.clone());
        live.swap(Snapshot::empty(workers).with_settings(exporting.settings(&config)?));
        let plane = Arc::new(gateway_plane(&config, workers)?);
        let reloader = reloader(&config, &live, &client, &plane).await?;

        let left = takeover.as_mut().map(|takeover| takeover.admin(&config.admin)).unwrap_or_default();
        let admin = AdminSocket::open(address(&config.admin, "admin")?, left)?;
        let given =
            admin.handle().map_err(|source| ListenError::Bind { address: config.admin.clone(), source })?;
        let inherited = takeover.as_mut().map(Takeover::sockets).unwrap_or_default();
        let state = Shown { plane: Arc::clone(&plane), live, is_stopping: AtomicBool::new(false) };
        let state = Arc::new(state);
        let admin = AdminServer::serve(admin, Arc::clone(&state) as _)?;
        // After all that could fail: from here on connections are accepted.
        let settings = ServerSettings { listeners: listeners(&config), workers, inherited };
        let server = Server::start(settings, &plane, &state.live)?;

        let (events, heard) = mpsc::channel(256);
        let session = session(&config, linked, &reloader, events);
        let (files, changed) = mpsc::channel(4);
        let reloader = tokio::spawn(reloader.run(session, heard, changed));
        let handover = Handover::new(&config, takeover, Arc::clone(server.doors()), given);
        let stats = Arc::clone(&plane.stats);
        let changes = Changes::new(Arc::clone(server.doors()), files, stats, (config, exporting));
        let changes = Arc::new(changes);
        let (followed, followers) = (Vec::new(), JoinSet::new());
        Ok(Self { server, admin, plane, state, changes, reloader, followed, followers, handover })
    }

    /// The addresses in use, with the ports that were given for port 0.
    pub fn local_addrs(&self) -> LocalAddrs {
        LocalAddrs { listen: self.server.address(), admin: self.admin.address() }
    }

    /// Everything clients connect to, as it is now: `listen`, then the others in the order of the configuration.
    pub fn listeners(&self) -> Vec<Address> {
        self.server.addresses()
    }

    /// Puts another configuration in force. Listeners that are new open, those that are gone close and their connections
    /// come to an end, the others stay untouched; so it is with `workers`, but that the connections of one that goes may
    /// take the time they need. `admin`, `control_plane`, `state_dir`, `handover`, `access_log` and `cache` take effect at
    /// the next start.
    ///
    /// # Errors
    /// Every fault, also an address that is in use; nothing has changed then.
    pub async fn reload(&self, config: GatewayConfig) -> Result<(), Faults> {
        self.changes.apply(config.try_into()?).await
    }

    /// Follows a file: whenever it changes and is in order it is put in force, when it has faults they are logged
    /// and what is in force stays. So it is at once when the file says anything else than what is in force: it may have
    /// changed since it was loaded.
    ///
    /// # Errors
    /// [`StartError::Watch`].
    pub fn follow(&mut self, path: &Path) -> Result<(), StartError> {
        self.follow_as(path, None)
    }

    /// The same, with something that is changed in whatever the file says, such as an address from a command line.
    ///
    /// # Errors
    /// [`StartError::Watch`].
    pub fn follow_adjusted(
        &mut self,
        path: &Path,
        adjust: impl Fn(&mut GatewayConfig) + Send + Sync + 'static,
    ) -> Result<(), StartError> {
        self.follow_as(path, Some(Arc::new(adjust)))
    }

    fn follow_as(&mut self, path: &Path, adjust: Option<Arc<Adjust>>) -> Result<(), StartError> {
        let watch = watch_file(path).map_err(|source| StartError::Watch { path: path.to_owned(), source })?;
        let (path, changes) = (path.to_owned(), Arc::clone(&self.changes));
        let known = changes.in_force();
        let followed = Followed { path, adjust, changes };
        self.followers.spawn(followed.clone().follow(watch, known));
        self.followed.push(followed);
        Ok(())
    }

    /// Reads the followed files once more, changed or not, and puts them in force. What becomes of them is logged.
    pub async fn reload_followed(&self) {
        for followed in &self.followed {
            followed.take().await;
        }
    }

    /// The last step of a start that takes the place of another gateway ([`GatewayBuilder::takeover`]): tells that one
    /// that this one serves, so that it ends. From here on this one can be succeeded in the same way, if its
    /// configuration names a place to meet.
    ///
    /// # Errors
    /// [`StartError::Handover`] when a socket that the configuration names cannot be used.
    pub async fn open_handover(&mut self) -> Result<(), StartError> {
        Ok(self.handover.open().await?)
    }

    /// Waits until a successor has all listening sockets and serves; gives its process id. What is left is
    /// [`Gateway::shutdown`]. For ever without [`Gateway::open_handover`]. Can be dropped and asked again.
    pub async fn handed_over(&mut self) -> u32 {
        self.handover.taken().await
    }

    /// Stops: readiness goes, connections finish what they carry for at most `limits.drain`, state, spans and log
    /// lines are written. After a handover, idle connections get one more request in that time, and the state is the
    /// successor's to keep.
    pub async fn shutdown(self) {
        let Self { server, admin, plane, state, changes, reloader, followed, followers, handover } = self;
        state.is_stopping.store(true, Ordering::Relaxed);
        // What a file says from here on is for the next start.
        drop((followed, followers));
        let drain = state.live.load().limits.drain.get();
        if handover.is_done() {
            // The successor answers there, and has a conversation with the control plane of its own.
            drop(admin);
            reloader.abort();
            server.drain_handed_over(drain).await;
        } else {
            // Nobody may take what is being given up.
            drop(handover);
            server.drain(drain).await;
            drop(changes);
            // It only writes its last state now.
            let _ = tokio::time::timeout(LAST_ERRANDS, reloader).await;
            drop(admin);
        }
        if let Some(spans) = &state.live.load().settings.spans {
            spans.flush(LAST_ERRANDS).await;
        }
        if let Some(log) = &plane.log {
            log.close();
        }
    }
}

async fn reloader(
    config: &Arc<GatewayConfig>,
    live: &Arc<Live>,
    client: &Client,
    plane: &Plane,
) -> Result<Reloader, StartError> {
    let keys = KeySources::new(Arc::new(client.clone()), Handle::current());
    let folder = config.state_dir.as_deref();
    let saved = folder.map(|folder| SavedState::in_folder(folder, &node_name(config))).transpose()?;
    let reloader =
        Reloader::start(Arc::clone(config), Arc::clone(live), keys, Arc::clone(&plane.stats), saved);
    Ok(reloader.await?)
}

/// A client for whom the control plane is somebody special, where there is one.
///
/// # Errors
/// Every fault of the link's files, with its place in the document (`control_plane.ca`).
pub fn linked(client: &Client, link: Option<&ControlPlaneLink>) -> Result<Client, Faults> {
    let Some(link) = link else { return Ok(client.clone()) };
    client.toward(link).map_err(|found| {
        let mut faults = Faults::default();
        faults.add("control_plane", found);
        faults
    })
}

fn session(
    config: &GatewayConfig,
    client: Client,
    reloader: &Reloader,
    events: mpsc::Sender<SessionEvent>,
) -> Option<Session> {
    let settings = SessionSettings {
        urls: config.control_plane.as_ref()?.urls().map(str::to_owned).collect(),
        node: node_name(config),
        kind: NodeKind::Gateway,
        config: None,
        services: None,
        epoch: reloader.epoch().to_owned(),
        renew_every: Duration::from_secs(1),
    };
    Some(Session::start(client, settings, reloader.revision(), events))
}

fn gateway_plane(config: &GatewayConfig, workers: usize) -> Result<Plane, StartError> {
    let stats = Arc::new(PlaneStats::default());
    let log = AccessLog::open(&config.access_log, workers, Arc::clone(&stats))
        .map_err(|source| StartError::AccessLog { path: destination(&config.access_log), source })?;
    Ok(plane_of(config, workers, stats, log))
}

/// The data plane of a configuration; where lines go is said beside it.
pub(crate) fn plane_of(
    config: &GatewayConfig,
    workers: usize,
    stats: Arc<PlaneStats>,
    log: Option<AccessLog>,
) -> Plane {
    Plane {
        role: "gateway",
        forwarding: Forwarding::Replace,
        cache: ResponseCache::new(config.cache.max_size.get()),
        stats,
        unrouted: Arc::new(RouteStats::new(workers)),
        log,
    }
}

fn destination(log: &Destination) -> String {
    match log {
        Destination::Off => "off".to_owned(),
        Destination::Stdout => "to standard output".to_owned(),
        Destination::File(path) => path.display().to_string(),
    }
}

fn node_name(config: &GatewayConfig) -> String {
    let named = config.control_plane.as_ref().and_then(|link| link.node.clone());
    named.unwrap_or_else(|| format!("gateway-{}", host_name()))
}

/// This machine's name, for names of nodes.
pub fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_str().unwrap_or("localhost").to_owned()
}

fn address(text: &str, field: &str) -> Result<SocketAddr, Faults> {
    let fault = |_| Fault::new(field, format!("`{text}` is not an address such as `127.0.0.1:8080`"));
    text.parse().map_err(fault).map_err(Faults::from)
}

/// Threads that carry traffic: as many as are wanted, or one per core.
fn workers(config: &GatewayConfig) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    config.workers.unwrap_or_else(cores)
}
