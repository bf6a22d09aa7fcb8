//! A whole gateway: listener, admin listener, routes from file and control plane, spans, log. What the binary's
//! `gateway` command runs, and what an embedder starts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portreeve_config::wire::NodeKind;
use portreeve_config::{
    AccessLog as Destination, ControlPlaneLink, Document, Fault, Faults, GatewayConfig, Networks,
    TracingConfig,
};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::access_log::AccessLog;
use crate::builder::GatewayBuilder;
use crate::client::{Client, FetchError};
use crate::metrics::{Exposition, PlaneStats, RouteStats, encode};
use crate::plane::Plane;
use crate::policy::auth::KeySources;
use crate::policy::cache::ResponseCache;
use crate::policy::headers::{Forwarding, Via};
use crate::policy::trace::Sampler;
use crate::reload::{
    FileUpdate, Live, Reloader, SaveFault, SavedState, Session, SessionSettings, watch_file,
};
use crate::server::{AdminServer, ListenError, Report, Server, ServerSettings};
use crate::snapshot::Snapshot;
use crate::telemetry::{SpanSink, TelemetryFault, ZipkinExport, ZipkinSink};

/// How long state and spans get each when the gateway stops.
const LAST_ERRANDS: Duration = Duration::from_secs(1);

/// Why a gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be put in force.
    #[error("the configuration has faults: {0}")]
    Config(#[from] Faults),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] SaveFault),
    /// The access log cannot be opened.
    #[error("the access log {path} cannot be opened: {source}; check that its folder exists and is writable")]
    AccessLog {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Spans cannot be exported.
    #[error(transparent)]
    Telemetry(#[from] TelemetryFault),
    /// The client for keys, spans and the control plane cannot be made.
    #[error(transparent)]
    Client(#[from] FetchError),
    /// The file cannot be watched.
    #[error("{path} cannot be watched for changes: {source}")]
    Watch {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: notify::Error,
    },
}

/// A running gateway. Dropping it stops it without waiting for requests in flight; use [`Gateway::shutdown`] for a
/// stop that nobody notices.
pub struct Gateway {
    server: Server,
    admin: AdminServer,
    plane: Arc<Plane>,
    state: Arc<Shown>,
    spans: Option<Arc<dyn SpanSink>>,
    /// The reloader ends when this and its copies are gone.
    files: mpsc::Sender<FileUpdate>,
    reloader: JoinHandle<()>,
    followers: JoinSet<()>,
    drain: Duration,
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
    pub(crate) async fn start(config: GatewayConfig) -> Result<Self, StartError> {
        let faults = portreeve_config::check::gateway(&config);
        faults.into_result(())?;
        let workers = config.workers.unwrap_or_else(cores);
        let live = Live::new(Snapshot::empty(workers));
        let client = Client::new(Arc::clone(&live) as _)?;
        let spans = span_sink(&config.tracing, config.control_plane.as_ref(), &client, "gateway")?;
        let plane = Arc::new(gateway_plane(&config, workers, &spans)?);
        let keys = KeySources::new(Arc::new(client.clone()), Handle::current());
        let node = node_name(&config);
        let saved =
            config.state_dir.as_deref().map(|folder| SavedState::in_folder(folder, &node)).transpose()?;
        let reloader =
            Reloader::start(config.clone(), Arc::clone(&live), keys, Arc::clone(&plane.stats), saved).await?;

        let settings = ServerSettings {
            listen: address(&config.listen, "listen")?,
            workers,
            limits: config.limits.clone(),
        };
        let server = Server::start(&settings, &plane, &live)?;
        let state = Arc::new(Shown { plane: Arc::clone(&plane), live, is_stopping: AtomicBool::new(false) });
        let admin = AdminServer::start(address(&config.admin, "admin")?, Arc::clone(&state) as _).await?;

        let (events, heard) = mpsc::channel(256);
        let session = config.control_plane.as_ref().map(|link| {
            let settings = SessionSettings {
                url: link.url.clone(),
                node,
                kind: NodeKind::Gateway,
                config: None,
                renew_every: Duration::from_secs(1),
            };
            Session::start(client, settings, reloader.revision(), events)
        });
        let (files, changed) = mpsc::channel(4);
        let reloader = tokio::spawn(reloader.run(session, heard, changed));
        let (followers, drain) = (JoinSet::new(), config.limits.drain.get());
        Ok(Self { server, admin, plane, state, spans, files, reloader, followers, drain })
    }

    /// The addresses in use, with the ports that were given for port 0.
    pub fn local_addrs(&self) -> LocalAddrs {
        LocalAddrs { listen: self.server.address(), admin: self.admin.address() }
    }

    /// Puts another configuration in force: its routes, fixed services, `dns` and `auth`. Everything else in it takes
    /// effect at the next start.
    ///
    /// # Errors
    /// Every fault; nothing has changed then.
    pub async fn reload(&self, config: GatewayConfig) -> Result<(), Faults> {
        apply(&self.files, config).await
    }

    /// Follows a file: whenever it changes and is in order it is put in force, when it has faults they are logged
    /// and what is in force stays.
    ///
    /// # Errors
    /// [`StartError::Watch`].
    pub fn follow(&mut self, path: &Path) -> Result<(), StartError> {
        let mut watch =
            watch_file(path).map_err(|source| StartError::Watch { path: path.to_owned(), source })?;
        let (path, files) = (path.to_owned(), self.files.clone());
        self.followers.spawn(async move {
            let mut last = std::fs::read(&path).ok();
            while watch.changed().await.is_some() {
                let now = std::fs::read(&path).ok();
                if now.is_some() && now != last {
                    last = now;
                    take_file(&path, &files).await;
                }
            }
        });
        Ok(())
    }

    /// Stops: readiness goes, connections finish what they carry for at most `limits.drain`, state, spans and log
    /// lines are written.
    pub async fn shutdown(self) {
        let Self { server, admin, plane, state, spans, files, reloader, followers, drain } = self;
        state.is_stopping.store(true, Ordering::Relaxed);
        server.drain(drain).await;
        drop((files, followers));
        // It only writes its last state now.
        let _ = tokio::time::timeout(LAST_ERRANDS, reloader).await;
        if let Some(spans) = spans {
            spans.flush(LAST_ERRANDS).await;
        }
        if let Some(log) = &plane.log {
            log.close();
        }
        drop(admin);
    }
}

async fn apply(files: &mpsc::Sender<FileUpdate>, config: GatewayConfig) -> Result<(), Faults> {
    portreeve_config::check::gateway(&config).into_result(())?;
    let (told, outcome) = oneshot::channel();
    // Without a reloader `told` is dropped, and that is what is answered.
    let _ = files.send((config, told)).await;
    outcome.await.unwrap_or_else(|_| Err(Fault::new("", "the gateway is stopping").into()))
}

async fn take_file(path: &Path, files: &mpsc::Sender<FileUpdate>) {
    let config = match portreeve_config::load_file(path) {
        Ok(Document::Gateway(config)) => *config,
        Ok(_) => {
            return tracing::error!(path = %path.display(), "the file is no longer of `kind: gateway`; it is not used");
        }
        Err(error) => {
            return tracing::error!(
                "{} was changed and has faults; what is in force stays\n{error}",
                path.display()
            );
        }
    };
    if apply(files, config).await.is_ok() {
        tracing::info!(path = %path.display(), "the changed file is in force");
    }
}

fn gateway_plane(
    config: &GatewayConfig,
    workers: usize,
    spans: &Option<Arc<dyn SpanSink>>,
) -> Result<Plane, StartError> {
    let stats = Arc::new(PlaneStats::default());
    let log = AccessLog::open(&config.access_log, workers, Arc::clone(&stats))
        .map_err(|source| StartError::AccessLog { path: destination(&config.access_log), source })?;
    let name = config.tracing.service_name.as_deref().unwrap_or("gateway");
    Ok(Plane {
        role: "gateway",
        name: name.into(),
        realm: config.auth.as_ref().map_or_else(String::new, |auth| auth.realm.clone()),
        forwarding: Forwarding::Replace,
        // A document is checked before it comes here; a list that cannot be read trusts nobody.
        trusted_proxies: Networks::parse(&config.trusted_proxies).unwrap_or_default(),
        duplicate_slashes: config.duplicate_slashes,
        via: Via::new(name),
        sampler: Sampler::new(config.tracing.sample),
        propagation: config.tracing.propagation,
        spans: spans.clone(),
        cache: ResponseCache::new(config.cache.max_size.get()),
        stats,
        unrouted: Arc::new(RouteStats::new(workers)),
        log,
    })
}

fn destination(log: &Destination) -> String {
    match log {
        Destination::Off => "off".to_owned(),
        Destination::Stdout => "to standard output".to_owned(),
        Destination::File(path) => path.display().to_string(),
    }
}

/// Where spans go: to the configured collector, else to the control plane's store, else nowhere.
///
/// # Errors
/// [`TelemetryFault`] when the endpoint cannot be one.
pub fn span_sink(
    tracing: &TracingConfig,
    control_plane: Option<&ControlPlaneLink>,
    client: &Client,
    service: &str,
) -> Result<Option<Arc<dyn SpanSink>>, TelemetryFault> {
    let Some(endpoint) = span_endpoint(tracing, control_plane) else { return Ok(None) };
    let service = tracing.service_name.as_deref().unwrap_or(service).to_owned();
    let export = ZipkinExport { endpoint, service, address: None };
    Ok(Some(ZipkinSink::start(export, client.clone(), &Handle::current())?))
}

/// The URL spans are posted to: the configured collector's, else the control plane's.
pub fn span_endpoint(tracing: &TracingConfig, control_plane: Option<&ControlPlaneLink>) -> Option<String> {
    let configured = tracing.zipkin.as_ref().map(|zipkin| zipkin.endpoint.clone());
    let embedded = || control_plane.map(|link| format!("{}/api/v2/spans", link.url.trim_end_matches('/')));
    configured.or_else(embedded)
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

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// What the admin listener shows of a gateway.
struct Shown {
    plane: Arc<Plane>,
    live: Arc<Live>,
    is_stopping: AtomicBool,
}

impl Report for Shown {
    fn metrics(&self) -> String {
        encode(vec![exposition(&self.plane, &self.live)])
    }

    fn ready(&self) -> Result<(), String> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return Err("the gateway is stopping".to_owned());
        }
        match self.live.load().routes.is_empty() {
            true => Err("there are no routes yet".to_owned()),
            false => Ok(()),
        }
    }
}

/// What a scrape reads of one plane.
pub fn exposition(plane: &Plane, live: &Live) -> Exposition {
    let snapshot = live.load();
    let mut routes: Vec<_> = snapshot
        .routes
        .iter()
        .map(|route| (Arc::clone(&route.name), Arc::clone(&route.service), Arc::clone(&route.stats)))
        .collect();
    // No route can have this name.
    routes.push(("(none)".into(), "(none)".into(), Arc::clone(&plane.unrouted)));
    Exposition {
        plane: plane.role,
        stats: Arc::clone(&plane.stats),
        routes,
        revision: snapshot.revision,
        cache: plane.cache.size(),
        spans_dropped: plane.spans.as_ref().map_or(0, |spans| spans.dropped()),
    }
}
