//! What a data plane has for as long as it runs, whatever configuration is in force: its name, its cache, its
//! counters, where its spans and log lines go.

use std::sync::Arc;

use portreeve_config::{DuplicateSlashes, Networks, Propagation};

use crate::access_log::AccessLog;
use crate::metrics::{PlaneStats, RouteStats};
use crate::policy::cache::ResponseCache;
use crate::policy::headers::{Forwarding, Via};
use crate::policy::trace::Sampler;
use crate::snapshot::Snapshot;
use crate::telemetry::SpanSink;

/// One data plane: a gateway, or one direction of a sidecar.
pub struct Plane {
    /// `gateway`, `inbound` or `outbound`, for metrics.
    pub role: &'static str,
    /// The name in `Cache-Status`, `Proxy-Status` and traces.
    pub name: Arc<str>,
    /// The realm in `WWW-Authenticate`.
    pub realm: String,
    /// What is said about where a request came from.
    pub forwarding: Forwarding,
    /// Proxies in front whose word about a request's origin is taken, where `forwarding` replaces that of clients.
    pub trusted_proxies: Networks,
    /// What is done with paths that hold two slashes in a row.
    pub duplicate_slashes: DuplicateSlashes,
    /// This hop's entry in `Via`.
    pub via: Via,
    /// Decides which new traces are recorded.
    pub sampler: Sampler,
    /// The header form of new traces.
    pub propagation: Propagation,
    /// Where spans go; `None` records none.
    pub spans: Option<Arc<dyn SpanSink>>,
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
    /// A plane for rehearsals: it decides as this one does, and its counters, cache, spans and log lines lead nowhere.
    #[must_use]
    pub fn for_rehearsals(&self) -> Self {
        Self {
            role: self.role,
            name: Arc::clone(&self.name),
            realm: self.realm.clone(),
            forwarding: self.forwarding,
            trusted_proxies: self.trusted_proxies.clone(),
            duplicate_slashes: self.duplicate_slashes,
            via: self.via.clone(),
            sampler: self.sampler,
            propagation: self.propagation,
            spans: None,
            cache: ResponseCache::new(0),
            stats: Arc::default(),
            unrouted: Arc::new(RouteStats::new(0)),
            log: None,
        }
    }
}

/// What one request holds on to from beginning to end. Every worker has its own, so that taking it touches no
/// memory that another worker writes to.
pub struct Pinned {
    /// The plane.
    pub plane: Arc<Plane>,
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// The worker's number, from 0.
    pub worker: usize,
}
