//! A configuration made ready for traffic: immutable, complete, and swapped as a whole. What must outlive a
//! configuration (whose turn it is, who was set aside, counters, verified tokens) is carried over by name.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::FixedState;
use http::HeaderName;
use portreeve_config::{AuthRule, Balance, Fault, Faults, Limits, RouteConfig};

use crate::metrics::RouteStats;
use crate::plane::Settings;
use crate::policy::auth::Authenticator;
use crate::policy::balance::{EndpointSpec, Service};
use crate::policy::cache::{self, CacheRule};
use crate::policy::headers::HeaderChanges;
use crate::policy::retry::RetryRule;
use crate::policy::rewrite::PathRewrite;
use crate::policy::routing::{self, Conditions, Entry, Router};
use crate::policy::template::Template;

/// Everything a request needs to know, as of one moment.
#[derive(Clone)]
pub struct Snapshot {
    /// The control plane's revision it was made from, 0 without one.
    pub revision: u64,
    /// Finds a request's route, as a position in `routes`: a number is copied where a shared pointer would have
    /// every worker write to one cache line.
    pub router: Arc<Router<usize>>,
    /// All routes, in order of name.
    pub routes: Arc<[Arc<Route>]>,
    /// Verifies tokens; `None` when the configuration has no `auth` section.
    pub auth: Option<Arc<Authenticator>>,
    /// What clients may send and hold.
    pub limits: Arc<Limits>,
    /// What holds for the plane as a whole.
    pub settings: Arc<Settings>,
    /// Threads that carry traffic.
    pub workers: usize,
    services: ServiceTable,
}

/// A compiled route.
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// The service's name.
    pub service: Arc<str>,
    /// The route's path and query changes.
    pub rewrite: Option<PathRewrite>,
    /// Changes to the request's header fields.
    pub request_headers: HeaderChanges,
    /// Changes to the answer's header fields.
    pub response_headers: HeaderChanges,
    /// Whether a token is needed.
    pub needs_token: bool,
    /// The field whose value picks the instance; each takes its turn when absent.
    pub balance_by: Option<HeaderName>,
    /// How answers are kept.
    pub cache: Option<CacheRule>,
    /// Tags that a write through this route makes stale.
    pub invalidates: Vec<Template>,
    /// How long until the answer's head must be there.
    pub timeout: Duration,
    /// What is repeated.
    pub retry: RetryRule,
    /// The largest request body, in bytes.
    pub max_body: u64,
    /// Protocols that a request may switch to.
    pub upgrade: Box<[Box<str>]>,
    /// Whether gRPC-Web is translated into gRPC.
    pub grpc_web: bool,
    /// Its counters.
    pub stats: Arc<RouteStats>,
    /// Name and a digest of the configuration: part of cache keys, and how an unchanged route is recognised.
    pub identity: Box<str>,
    slot: usize,
}

/// Services by number. Numbers are never reused, so that a router stays valid while endpoints change.
#[derive(Clone, Default)]
struct ServiceTable {
    numbers: Arc<HashMap<Arc<str>, usize>>,
    list: Vec<Arc<Service>>,
}

impl Snapshot {
    /// No routes, no services.
    pub fn empty(workers: usize) -> Self {
        Self {
            revision: 0,
            router: Arc::new(Router::new([])),
            routes: Arc::new([]),
            auth: None,
            limits: Arc::default(),
            settings: Arc::new(Settings::named("portreeve")),
            workers,
            services: ServiceTable::default(),
        }
    }

    /// The same services with other routes. Routes that did not change are kept as they are.
    ///
    /// # Errors
    /// Every fault of every route, with paths that start at the list (`[2].match.path`).
    pub fn with_routes<'r>(
        &self,
        routes: impl IntoIterator<Item = &'r RouteConfig>,
        auth: Option<Arc<Authenticator>>,
    ) -> Result<Self, Faults> {
        let known: HashMap<&str, &Arc<Route>> =
            self.routes.iter().map(|route| (&*route.name, route)).collect();
        let mut services = self.services.clone();
        let routes = routes.into_iter();
        let mut compiled = Vec::with_capacity(routes.size_hint().0);
        let mut faults = Faults::default();
        for (index, config) in routes.enumerate() {
            let builder = RouteBuilder {
                config,
                previous: known.get(config.name.as_str()).copied(),
                slot: services.number(&config.service),
                has_auth: auth.is_some(),
                workers: self.workers,
            };
            match builder.build() {
                Ok(route) => compiled.push(route),
                Err(found) => {
                    faults.0.extend(found.0.into_iter().map(|fault| fault.under(&format!("[{index}]"))))
                }
            }
        }
        faults.into_result(())?;
        compiled.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        let routes = compiled.iter().map(|(_, route)| Arc::clone(route)).collect();
        let entries =
            compiled.into_iter().enumerate().map(|(at, (conditions, _))| Entry { conditions, target: at });
        Ok(Self { router: Arc::new(Router::new(entries)), routes, auth, services, ..self.clone() })
    }

    /// The same with other limits. Connections take them with their next request.
    #[must_use]
    pub fn with_limits(mut self, limits: &Limits) -> Self {
        if *self.limits != *limits {
            self.limits = Arc::new(limits.clone());
        }
        self
    }

    /// The same with other settings of the plane.
    #[must_use]
    pub fn with_settings(self, settings: Arc<Settings>) -> Self {
        Self { settings, ..self }
    }

    /// The same for another number of workers.
    #[must_use]
    pub fn with_workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// The same routes with other instances for the named services.
    #[must_use]
    pub fn with_endpoints(&self, changed: impl IntoIterator<Item = (String, Vec<EndpointSpec>)>) -> Self {
        let mut next = self.clone();
        for (name, endpoints) in changed {
            let slot = next.services.number(&name);
            let service = Service::new(&name, endpoints, Some(&next.services.list[slot]));
            next.services.list[slot] = Arc::new(service);
        }
        next
    }

    /// The service a route leads to.
    pub fn service_of(&self, route: &Route) -> &Arc<Service> {
        &self.services.list[route.slot]
    }

    /// A service by name.
    pub fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.numbers.get(name).and_then(|slot| self.services.list.get(*slot))
    }

    /// Names of all services that were ever named.
    pub fn service_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.services.list.iter().map(|service| &service.name)
    }
}

impl ServiceTable {
    /// The number of a service; a new one without instances when the name is new.
    fn number(&mut self, name: &str) -> usize {
        if let Some(slot) = self.numbers.get(name) {
            return *slot;
        }
        let service = Service::new(name, Vec::new(), None);
        let slot = self.list.len();
        Arc::make_mut(&mut self.numbers).insert(Arc::clone(&service.name), slot);
        self.list.push(Arc::new(service));
        slot
    }
}

/// What one route is compiled from.
struct RouteBuilder<'a> {
    config: &'a RouteConfig,
    previous: Option<&'a Arc<Route>>,
    slot: usize,
    has_auth: bool,
    workers: usize,
}

impl RouteBuilder<'_> {
    fn build(self) -> Result<(Conditions, Arc<Route>), Faults> {
        let conditions = routing::compile(self.config)?;
        let identity = identity(self.config);
        let needs_token = self.needs_token()?;
        if let Some(route) = self.previous
            && route.identity == identity
            && route.needs_token == needs_token
            && route.slot == self.slot
        {
            return Ok((conditions, Arc::clone(route)));
        }
        let route = Arc::new(self.route(&conditions.path.names, identity, needs_token)?);
        Ok((conditions, route))
    }

    fn route(&self, names: &[Box<str>], identity: Box<str>, needs_token: bool) -> Result<Route, Faults> {
        let config = self.config;
        let mut faults = Faults::default();
        let rewrite = config.rewrite.as_ref().map(|rewrite| PathRewrite::compile(rewrite, names));
        let rewrite = taken(rewrite.transpose(), "", &mut faults).flatten();
        let request_headers =
            taken(HeaderChanges::compile(&config.request_headers), "request_headers", &mut faults);
        let response_headers =
            taken(HeaderChanges::compile(&config.response_headers), "response_headers", &mut faults);
        let cache = taken(CacheRule::compile(config, names, needs_token), "", &mut faults).flatten();
        let invalidates = cache::compile_tags("invalidates", &config.invalidates, names, &mut faults);
        let balance_by = taken(balance_by(&config.balance), "balance", &mut faults).flatten();
        let stats = self.previous.map(|route| Arc::clone(&route.stats));
        faults.into_result(Route {
            name: config.name.as_str().into(),
            service: config.service.as_str().into(),
            rewrite,
            request_headers: request_headers.unwrap_or_default(),
            response_headers: response_headers.unwrap_or_default(),
            needs_token,
            balance_by,
            cache,
            invalidates,
            timeout: config.timeout.get(),
            retry: RetryRule::new(&config.retry),
            max_body: config.max_body.get(),
            grpc_web: config.grpc_web,
            upgrade: config.upgrade.iter().map(|protocol| protocol.as_str().into()).collect(),
            stats: stats.unwrap_or_else(|| Arc::new(RouteStats::new(self.workers))),
            identity,
            slot: self.slot,
        })
    }

    fn needs_token(&self) -> Result<bool, Faults> {
        match self.config.auth {
            Some(AuthRule::None) => Ok(false),
            None => Ok(self.has_auth),
            Some(AuthRule::Required) if self.has_auth => Ok(true),
            // Without an `auth` section there is nobody whose token could be accepted: refuse, never let in.
            Some(AuthRule::Required) => {
                let fault = Fault::new("auth", "the route wants a token, but the gateway accepts nobody's");
                Err(fault.hint("add an `auth` section to the gateway's file").into())
            }
        }
    }
}

fn balance_by(balance: &Balance) -> Result<Option<HeaderName>, Faults> {
    let Balance::ConsistentHash(field) = balance else { return Ok(None) };
    let fault = |_| Fault::new("consistent_hash", format!("`{field}` is not a header field's name"));
    HeaderName::from_bytes(field.as_bytes()).map(Some).map_err(|error| fault(error).into())
}

/// What there is, or its faults with their place among the others.
pub(crate) fn taken<T>(result: Result<T, Faults>, place: &str, faults: &mut Faults) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(found) => {
            faults.0.extend(found.0.into_iter().map(|fault| fault.under(place)));
            None
        }
    }
}

fn identity(config: &RouteConfig) -> Box<str> {
    let digest = FixedState::default().hash_one(config);
    format!("{}#{digest:016x}", config.name).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn route(name: &str, path: &str) -> RouteConfig {
        serde_json::from_value(serde_json::json!({"name": name, "match": {"path": path}, "service": "s"}))
            .unwrap()
    }

    #[test]
    fn unchanged_routes_and_live_state_are_carried_over() {
        let first = Snapshot::empty(1).with_routes(&[route("a", "/a"), route("b", "/b")], None).unwrap();
        let spec = EndpointSpec::plain(([127, 0, 0, 1], 1).into(), "one");
        let first = first.with_endpoints([("s".to_owned(), vec![spec])]);
        let second = first.with_routes(&[route("a", "/a"), route("b", "/changed")], None).unwrap();
        assert!(Arc::ptr_eq(&first.routes[0], &second.routes[0]));
        assert!(!Arc::ptr_eq(&first.routes[1], &second.routes[1]));
        assert!(Arc::ptr_eq(&first.routes[1].stats, &second.routes[1].stats));
        assert!(Arc::ptr_eq(first.service("s").unwrap(), second.service_of(&second.routes[1])));
    }

    #[test]
    fn all_faults_are_told_with_their_place() {
        let mut bad = route("b", "/b/{id}");
        bad.invalidates = vec!["x:{nope}".into()];
        bad.auth = None;
        let mut locked = route("c", "/c");
        locked.auth = Some(AuthRule::Required);
        let faults = Snapshot::empty(1).with_routes(&[route("a", "/a"), bad, locked], None).err().unwrap();
        let places: Vec<&str> = faults.0.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(places, ["[1].invalidates[0]", "[2].auth"]);
    }
}
