//! One service from its first breath to its last: opens its data, listens, serves, and on request finishes
//! what it has and lets go of everything.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::configuration::Configuration;
use crate::database::{Database, StorageError};
use crate::outbound::Outbound;
use crate::settings::{Settings, ShopService};
use crate::trace::Reporter;
use crate::{auth, frame, notifications, orders, payments, products, users};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long requests in flight get to finish when a service is asked to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the database gets to close, and the last spans to reach the collector.
const FLUSH: Duration = Duration::from_secs(1);

/// Runs a service until the process is asked to stop (SIGTERM or SIGINT), then drains it.
///
/// # Errors
/// When it cannot start; the text names the thing and the remedy.
pub async fn run(service: ShopService, settings: Settings) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    let running = start(service, settings).await?;
    tracing::info!(%service, address = %running.address(), "serving");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.shutdown().await;
    tracing::info!(%service, "stopped");
    Ok(())
}

/// Starts a service on the caller's runtime. When this returns it takes requests.
///
/// # Errors
/// When its address is taken or its data cannot be used.
pub async fn start(service: ShopService, settings: Settings) -> Result<RunningService, StartError> {
    let bind_fault = |source| StartError::Listen { address: settings.listen, source };
    let socket = bound(settings.listen).map_err(bind_fault)?;
    let address = socket.local_addr().map_err(bind_fault)?;
    let name = settings.service_name.as_deref().unwrap_or(service.name());
    let (reporter, reporting) = Reporter::start(settings.zipkin, name, address);
    let (configuration, following) = Configuration::follow(service, settings.config_file);
    let (stop, stopped) = watch::channel(false);
    let surroundings = Surroundings {
        data_dir: settings.data_dir,
        configuration: configuration.clone(),
        outbound: Outbound::new(settings.outbound, reporter.clone()),
        stopped,
    };
    let prepared = async {
        let opened = open(service, surroundings).await?;
        // Only now: whoever gets a connection gets a service that is ready.
        Ok((opened, socket.listen(BACKLOG).map_err(bind_fault)?))
    };
    let (Opened { routes, working, database }, listener) = prepared.await.inspect_err(|_: &StartError| {
        stop.send_replace(true);
        following.iter().for_each(JoinHandle::abort);
    })?;
    let (drain, drained) = watch::channel(false);
    let app = frame::around(routes, configuration, reporter, address);
    let serving = tokio::spawn(serve(listener, app, drained));
    Ok(RunningService { address, drain, stop, serving, working, database, reporting, following })
}

/// A socket that has its address and takes no connections yet.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the connections of the process before it to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// What a service is given to work with.
pub(crate) struct Surroundings {
    pub(crate) data_dir: PathBuf,
    pub(crate) configuration: Configuration,
    pub(crate) outbound: Outbound,
    /// Becomes true when background work must end.
    pub(crate) stopped: watch::Receiver<bool>,
}

/// A service that is ready to be served.
pub(crate) struct Opened {
    pub(crate) routes: Router,
    /// What works behind the routes until `stopped`.
    pub(crate) working: Vec<JoinHandle<()>>,
    /// Closed when nothing uses it any more.
    pub(crate) database: Database,
}

async fn open(service: ShopService, surroundings: Surroundings) -> Result<Opened, StartError> {
    match service {
        ShopService::Auth => auth::open(surroundings).await,
        ShopService::Users => users::open(surroundings).await,
        ShopService::Products => products::open(surroundings).await,
        ShopService::Orders => orders::open(surroundings).await,
        ShopService::Payments => payments::open(surroundings).await,
        ShopService::Notifications => notifications::open(surroundings).await,
    }
}

async fn serve(listener: TcpListener, app: Router, mut drained: watch::Receiver<bool>) {
    let listener = listener.tap_io(|connection| {
        // Small answers leave at once; where that cannot be set they only leave a little later.
        _ = connection.set_nodelay(true);
    });
    let asked = async move { _ = drained.wait_for(|drained| *drained).await };
    if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(asked).await {
        tracing::error!(%error, "serving ended");
    }
}

/// A service that takes requests. Dropped, it is asked to stop and not waited for.
pub struct RunningService {
    address: SocketAddr,
    drain: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    working: Vec<JoinHandle<()>>,
    database: Database,
    reporting: Option<JoinHandle<()>>,
    following: Option<JoinHandle<()>>,
}

impl RunningService {
    /// Where it listens, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new connections, lets requests in flight finish for at most ten seconds, ends its background
    /// work, and posts the last spans.
    pub async fn shutdown(mut self) {
        self.drain.send_replace(true);
        if timeout(DRAIN, &mut self.serving).await.is_err() {
            tracing::warn!("some requests did not finish in time and are cut off");
            self.serving.abort();
        }
        // The last requests may have left work behind: it stops after them.
        self.stop.send_replace(true);
        for mut task in self.working.drain(..) {
            if timeout(DRAIN, &mut task).await.is_err() {
                task.abort();
            }
        }
        // A request that was cut off may still hold a connection.
        _ = timeout(FLUSH, self.database.close()).await;
        // The reporter ends by itself once nothing that could report is left.
        if let Some(mut task) = self.reporting.take()
            && timeout(FLUSH, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

impl Drop for RunningService {
    fn drop(&mut self) {
        self.drain.send_replace(true);
        self.stop.send_replace(true);
        self.following.iter().for_each(JoinHandle::abort);
    }
}

/// Why a service could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its address cannot be listened on.
    #[error("cannot listen on {address}: {source}; end what has this address, or choose another one")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Its data cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// No key to sign with could be made.
    #[error("cannot make a signing key: {detail}")]
    SigningKey {
        /// Why.
        detail: String,
    },
    /// The process cannot be told to stop.
    #[error("cannot listen for SIGTERM and SIGINT: {0}")]
    Signals(io::Error),
}
