//! Which route takes a request. Look-up cost depends on the length of the path, not on the number of routes.
//!
//! The most specific route wins: an exact host before a wildcard before none; then an exact path before a
//! template before the longest prefix; then the higher `priority`, then more conditions (methods, headers,
//! query), then the name in order of the alphabet. When the best path's other conditions fail, the next best is
//! tried.

mod conditions;
mod paths;
mod pattern;
mod witness;

use foldhash::HashMap;
use http::{HeaderMap, Method};
use portreeve_config::{Fault, Faults, RouteConfig};

pub use conditions::{Check, Conditions, Part};
pub use pattern::{Captures, PathPattern};
pub use witness::{Nobody, Trial, Witness};

use paths::PathTable;

/// Routes ready for look-up. `R` is whatever a match leads to.
pub struct Router<R> {
    exact_hosts: HashMap<Box<str>, PathTable<R>>,
    /// Keyed by what follows `*.`.
    wildcard_hosts: HashMap<Box<str>, PathTable<R>>,
    any_host: PathTable<R>,
}

/// One route to compile.
pub struct Entry<R> {
    /// Host, path, methods and the rest.
    pub conditions: Conditions,
    /// Where it leads.
    pub target: R,
}

/// What is known of a request when it is routed.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    /// The host without its port, in lower case.
    pub host: &'a str,
    /// The canonical path.
    pub path: &'a str,
    /// The query without `?`.
    pub query: Option<&'a str>,
    /// The method.
    pub method: &'a Method,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

/// The answer of a look-up.
#[derive(Debug, PartialEq, Eq)]
pub enum Match<'a, R> {
    /// This route, and what its path captured.
    Found(&'a R, Captures),
    /// Some route takes the path, but not with this method; these would be taken.
    MethodNotAllowed(Vec<Method>),
    /// No route takes the path, or a header or query condition failed.
    NotFound,
}

impl<R> Router<R> {
    /// Builds the tables. Entries keep their order where nothing else decides.
    pub fn new(entries: impl IntoIterator<Item = Entry<R>>) -> Self {
        let mut router = Self {
            exact_hosts: HashMap::default(),
            wildcard_hosts: HashMap::default(),
            any_host: PathTable::default(),
        };
        for entry in entries {
            router.table_for(entry.conditions.host.as_deref()).insert(entry.conditions, entry.target);
        }
        router.exact_hosts.values_mut().for_each(PathTable::sort);
        router.wildcard_hosts.values_mut().for_each(PathTable::sort);
        router.any_host.sort();
        router
    }

    /// The route for a request.
    pub fn find<'a>(&'a self, request: &RequestView<'_>) -> Match<'a, R> {
        self.find_before(request, &mut Nobody)
    }

    /// The route for a request; `witness` is told of every route that is tried on the way.
    pub fn find_before<'a>(
        &'a self,
        request: &RequestView<'_>,
        witness: &mut impl Witness<R>,
    ) -> Match<'a, R> {
        let parent = request.host.split_once('.').map(|(_, parent)| parent);
        let tables = [
            self.exact_hosts.get(request.host),
            parent.and_then(|parent| self.wildcard_hosts.get(parent)),
            Some(&self.any_host),
        ];
        let mut refused = Vec::new();
        for table in tables.into_iter().flatten() {
            if let Some((target, captures)) = table.find(request, &mut refused, witness) {
                return Match::Found(target, captures);
            }
        }
        match refused.is_empty() {
            true => Match::NotFound,
            false => Match::MethodNotAllowed(allowed(refused)),
        }
    }

    /// Shows every route, in no order that means anything.
    pub fn visit<'a>(&'a self, mut see: impl FnMut(&'a Conditions, &'a R)) {
        let hosts = self.exact_hosts.values().chain(self.wildcard_hosts.values());
        hosts.chain([&self.any_host]).for_each(|table| table.visit(&mut see));
    }

    fn table_for(&mut self, host: Option<&str>) -> &mut PathTable<R> {
        match host {
            None => &mut self.any_host,
            Some(host) => match host.strip_prefix("*.") {
                Some(parent) => self.wildcard_hosts.entry(parent.into()).or_default(),
                None => self.exact_hosts.entry(host.into()).or_default(),
            },
        }
    }
}

fn allowed(mut methods: Vec<Method>) -> Vec<Method> {
    if methods.contains(&Method::GET) {
        methods.push(Method::HEAD);
    }
    methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    methods.dedup();
    methods
}

/// The conditions of a written route, or what is wrong with them (paths start at the route).
pub fn compile(route: &RouteConfig) -> Result<Conditions, Faults> {
    Conditions::compile(route).map_err(|fault: Fault| Faults::from(fault))
}

#[cfg(test)]
mod tests;
