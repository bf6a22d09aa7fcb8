//! The two directions of a sidecar, each a data plane like a gateway's: *inbound* leads to the one service beside
//! it, *outbound* to every service by its name. Neither checks tokens nor caches: that is the gateway's to decide.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portreeve_config::{ByteSize, Faults, PathParameters, Period, RetryConfig, RouteConfig, SidecarConfig};
use portreeve_proxy::access_log::AccessLog;
use portreeve_proxy::address::Dial;
use portreeve_proxy::client::Client;
use portreeve_proxy::metrics::{Exposition, PlaneStats, RouteStats};
use portreeve_proxy::plane::{Plane, Settings};
use portreeve_proxy::policy::balance::EndpointSpec;
use portreeve_proxy::policy::cache::ResponseCache;
use portreeve_proxy::policy::headers::Forwarding;
use portreeve_proxy::policy::path::Reading;
use portreeve_proxy::policy::trace::Sampler;
use portreeve_proxy::reload::Live;
use portreeve_proxy::server::{ListenError, Server, ServerSettings};
use portreeve_proxy::snapshot::Snapshot;
use portreeve_proxy::telemetry::SpanSink;
use portreeve_proxy::{exposition, linked, span_sink};

use crate::start::{StartError, address};

/// How long the service may take. Whoever called has a limit of its own, and leaves when that is over.
const INBOUND_TIMEOUT: Period = Period::from_secs(86_400);
/// No limit: the gateway has looked at a client's body, and the service may send what it wants.
const ANY_SIZE: ByteSize = ByteSize(u64::MAX);

/// Both directions, listening.
pub(crate) struct Planes {
    pub(crate) inbound: Direction,
    pub(crate) outbound: Direction,
    pub(crate) inbound_address: SocketAddr,
    pub(crate) outbound_address: SocketAddr,
    pub(crate) servers: Servers,
    pub(crate) client: Client,
    pub(crate) spans: Option<Arc<dyn SpanSink>>,
}

impl Planes {
    /// Opens both; outbound knows no service yet.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left open then.
    pub(crate) fn open(config: &SidecarConfig, app: SocketAddr) -> Result<Self, StartError> {
        let outbound_live = Live::new(Snapshot::empty(config.workers).with_limits(&config.limits));
        let client = linked(&Client::new(Arc::clone(&outbound_live) as _)?, config.control_plane.as_ref())?;
        let spans = span_sink(&config.tracing, config.control_plane.as_ref(), &client, &trace_name(config))?;
        let settings = Arc::new(settings(config, &spans));
        let empty = Snapshot::clone(&outbound_live.load());
        outbound_live.swap(empty.with_settings(Arc::clone(&settings)));
        let inbound = inbound(config, app)?.with_settings(settings);
        let inbound = Direction::new("inbound", config, Live::new(inbound))?;
        let outbound = Direction::new("outbound", config, outbound_live)?;
        let inbound_server = inbound.serve(address(&config.inbound, "inbound")?, config)?;
        let outbound_server = outbound.serve(address(&config.outbound, "outbound")?, config)?;
        let (inbound_address, outbound_address) = (inbound_server.address(), outbound_server.address());
        let servers = Servers {
            inbound: Some(inbound_server),
            outbound: Some(outbound_server),
            limit: config.limits.drain.get(),
        };
        Ok(Self { inbound, outbound, inbound_address, outbound_address, servers, client, spans })
    }
}

/// One direction: what it does, and the configuration it does it by.
#[derive(Clone)]
pub(crate) struct Direction {
    pub(crate) plane: Arc<Plane>,
    pub(crate) live: Arc<Live>,
}

impl Direction {
    /// A direction that nothing uses yet. `role` is its name in metrics.
    ///
    /// # Errors
    /// [`StartError::AccessLog`].
    fn new(role: &'static str, config: &SidecarConfig, live: Arc<Live>) -> Result<Self, StartError> {
        let stats = Arc::new(PlaneStats::default());
        let log = AccessLog::open(&config.access_log, config.workers, Arc::clone(&stats))
            .map_err(|source| StartError::access_log(&config.access_log, source))?;
        let plane = Arc::new(Plane {
            role,
            forwarding: Forwarding::Keep,
            cache: ResponseCache::new(0),
            stats,
            unrouted: Arc::new(RouteStats::new(config.workers)),
            log,
        });
        Ok(Self { plane, live })
    }

    /// Listens and carries requests.
    ///
    /// # Errors
    /// [`ListenError`].
    fn serve(&self, listen: SocketAddr, config: &SidecarConfig) -> Result<Server, ListenError> {
        Server::start(ServerSettings::plain(listen, config.workers), &self.plane, &self.live)
    }

    /// What a scrape reads.
    pub(crate) fn exposition(&self) -> Exposition {
        exposition(&self.plane, &self.live)
    }
}

/// What both directions have in common.
fn settings(config: &SidecarConfig, spans: &Option<Arc<dyn SpanSink>>) -> Settings {
    // Its callers are gateways and services: a path that was read once is not read anew, and nobody's word is replaced.
    Settings {
        sampler: Sampler::new(config.tracing.sample),
        propagation: config.tracing.propagation,
        paths: Reading { parameters: PathParameters::Keep, ..Reading::default() },
        spans: spans.clone(),
        ..Settings::named(&trace_name(config))
    }
}

/// The sidecar's name in traces.
fn trace_name(config: &SidecarConfig) -> String {
    config.tracing.service_name.clone().unwrap_or_else(|| format!("{}-sidecar", config.service))
}

/// Inbound's whole configuration: everything goes to the service beside it.
fn inbound(config: &SidecarConfig, app: SocketAddr) -> Result<Snapshot, Faults> {
    let dial = Dial { protocol: config.protocol, ..Dial::default() };
    let endpoint = EndpointSpec { dial: Arc::new(dial), ..EndpointSpec::plain(app, app.to_string()) };
    let all = RouteConfig {
        // There is no other instance here; the caller knows some.
        retry: RetryConfig { attempts: 1, ..RetryConfig::default() },
        ..route(&config.service, None, INBOUND_TIMEOUT)
    };
    let services = [(config.service.clone(), vec![endpoint])];
    let empty = Snapshot::empty(config.workers).with_limits(&config.limits);
    empty.with_endpoints(services).with_routes(&[all], None)
}

/// Outbound's routes: one for every service, by its name as host.
pub(crate) fn outbound_routes<'a>(
    services: impl IntoIterator<Item = &'a str>,
    timeout: Period,
) -> Vec<RouteConfig> {
    services.into_iter().map(|service| route(service, Some(service), timeout)).collect()
}

fn route(service: &str, host: Option<&str>, timeout: Period) -> RouteConfig {
    let mut route = RouteConfig::new(service, "/*", service);
    route.matches.host = host.map(str::to_owned);
    route.timeout = timeout;
    route.max_body = ANY_SIZE;
    // Whether a request may switch is decided where it comes in, and by the service.
    route.upgrade = vec!["websocket".to_owned()];
    route
}

/// The servers of both directions, which stop one after the other.
pub(crate) struct Servers {
    inbound: Option<Server>,
    outbound: Option<Server>,
    limit: Duration,
}

impl Servers {
    /// Takes no more requests for the service, and finishes those it has.
    pub(crate) async fn drain_inbound(&mut self) {
        if let Some(server) = self.inbound.take() {
            server.drain(self.limit).await;
        }
    }

    /// The same for the service's own requests.
    pub(crate) async fn drain_outbound(&mut self) {
        if let Some(server) = self.outbound.take() {
            server.drain(self.limit).await;
        }
    }
}
