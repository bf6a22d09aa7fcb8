//! What a data plane has for as long as it runs, whatever configuration is in force: its cache, its counters, where its
//! log lines go; and what a configuration says of the plane as a whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portreeve_config::{Networks, Propagation};

use crate::access_log::AccessLog;
use crate::metrics::{NOBODY, PlaneStats, RouteStats};
use crate::policy::cache::ResponseCache;
use crate::policy::headers::{Forwarding, Via};
use crate::policy::path::Reading;
use crate::policy::trace::Sampler;
use crate::snapshot::Snapshot;
use crate::telemetry::SpanSink;

/// One data plane: a gateway, or one direction of a sidecar.
pub struct Plane {
    /// `gateway`, `inbound` or `outbound`, for metrics.
    pub role: &'static str,
    /// What is said about where a request came from.
    pub forwarding: Forwarding,
    /// The response cache.
    pub cache: ResponseCache,
    /// Counters of the plane.
    pub stats: Arc<PlaneStats>,
    /// Counters of requests that no route took.
    pub unrouted: Arc<RouteStats>,
    /// The access log.
    pub log: Option<AccessLog>,
}

impl Plane {
    /// A plane for rehearsals: it decides as this one does, and its counters, cache and log lines lead nowhere.
    #[must_use]
    pub fn for_rehearsals(&self) -> Self {
        Self {
            role: self.role,
            forwarding: self.forwarding,
            cache: ResponseCache::new(0),
            stats: Arc::default(),
            unrouted: Arc::new(RouteStats::new(0)),
            log: None,
        }
    }
}

/// What a configuration says of a plane as a whole. Changes with it.
#[derive(Clone)]
pub struct Settings {
    /// The name in `Cache-Status`, `Proxy-Status` and traces.
    pub name: Arc<str>,
    /// This hop's entry in `Via`.
    pub via: Via,
    /// The realm in `WWW-Authenticate`.
    pub realm: String,
    /// Proxies in front whose word about a request's origin is taken, where that of clients is replaced.
    pub trusted_proxies: TrustedProxies,
    /// What is made of paths that can be read in two ways.
    pub paths: Reading,
    /// Decides which new traces are recorded.
    pub sampler: Sampler,
    /// The header form of new traces.
    pub propagation: Propagation,
    /// Where spans go; `None` records none.
    pub spans: Option<Arc<dyn SpanSink>>,
}

impl Settings {
    /// A plane with this name that trusts nobody and records nothing.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            via: Via::new(name),
            realm: String::new(),
            trusted_proxies: TrustedProxies::default(),
            paths: Reading::default(),
            sampler: Sampler::new(0.0),
            propagation: Propagation::W3c,
            spans: None,
        }
    }
}

/// A list of trusted proxies that can be told from every other one, so that a connection that has asked it once need
/// not ask it again.
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    networks: Networks,
    number: u64,
}

impl TrustedProxies {
    /// The proxies of these networks.
    pub fn new(networks: Networks) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { networks, number: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Where they are.
    pub fn networks(&self) -> &Networks {
        &self.networks
    }

    /// Which list it is: no other has this number, and none has 0.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Default for TrustedProxies {
    fn default() -> Self {
        Self::new(Networks::default())
    }
}

/// What one request holds on to from beginning to end. Every worker has its own, so that taking it touches no
/// memory that another worker writes to.
pub struct Pinned {
    /// The plane.
    pub plane: Arc<Plane>,
    /// What the configuration says of it.
    pub settings: Arc<Settings>,
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// The worker's number, from 0.
    pub worker: usize,
}

impl Pinned {
    /// A configuration as one worker holds it.
    pub fn new(plane: Arc<Plane>, snapshot: Arc<Snapshot>, worker: usize) -> Self {
        Self { plane, settings: Arc::clone(&snapshot.settings), snapshot, worker }
    }

    /// The same configuration for rehearsals: nothing is counted, kept, recorded or logged.
    pub fn for_rehearsals(plane: &Plane, snapshot: Arc<Snapshot>) -> Self {
        let settings = Settings { spans: None, ..Settings::clone(&snapshot.settings) };
        Self {
            plane: Arc::new(plane.for_rehearsals()),
            settings: Arc::new(settings),
            snapshot,
            worker: NOBODY,
        }
    }
}
