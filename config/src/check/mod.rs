//! What must hold in a document beyond its shape. One set of checks serves the file loader, the control plane's
//! API and the nodes, so that all three refuse the same things in the same words.

mod access;
mod address;
mod auth;
mod config_server;
mod eureka;
mod exposure;
mod gateway;
mod headers;
mod limits;
mod link;
mod listener;
mod names;
mod path;
mod process;
mod registry;
mod repository;
mod route;
mod route_test;
mod seed;
mod sidecar;
mod store;
mod upstream;

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::mend::MOST_FAULTS;
use crate::wire::Instance;
use crate::{
    ControlPlaneConfig, ControlPlaneLink, DesiredState, Fault, Faults, GatewayConfig, RouteConfig,
    SampleRequest, SidecarConfig,
};

pub(crate) use address::{is_host, reachable};
pub use auth::{KEY_REFRESH, LONGEST_LEEWAY, NO_CLAIMS};
pub use names::{config_key, config_value, instance_id, node_name, profile_name, route_name, service_name};
pub(crate) use path::is_plain_segment;

/// Every fault of one route. `services` are the names it may point to; `None` where they are not known yet.
/// Paths in the faults start at the route (`match.path`).
pub fn route(route: &RouteConfig, services: Option<&BTreeSet<String>>) -> Faults {
    route::faults(route, services, Asking::Tokens)
}

/// Every fault of a set of routes, duplicates of a name included. Paths start at the list (`[2].match.path`).
/// The search ends after 50 faults: a set so wrong is not read any further.
pub fn routes(routes: &[RouteConfig], services: Option<&BTreeSet<String>>) -> Faults {
    routes_asking(routes, services, Asking::Tokens)
}

/// What routes ask of clients that do not say so themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    /// A token.
    Tokens,
    /// Nothing: nobody's tokens are accepted here.
    Nothing,
}

fn routes_asking(routes: &[RouteConfig], services: Option<&BTreeSet<String>>, asking: Asking) -> Faults {
    let mut faults = Faults::default();
    let mut names = HashSet::with_capacity(routes.len());
    for (index, route) in routes.iter().enumerate() {
        if faults.0.len() >= MOST_FAULTS {
            break;
        }
        let mut found = route::faults(route, services, asking);
        if !names.insert(&route.name) {
            let problem = format!("another route is called `{}` already", route.name);
            found.push(Fault::new("name", problem).hint("give each route a name of its own"));
        }
        if !found.0.is_empty() {
            faults.add(&format!("[{index}]"), found);
        }
    }
    faults
}

/// Every fault of a request that is to be explained. Paths start at the request (`url`).
pub fn sample_request(request: &SampleRequest) -> Faults {
    route_test::request(request)
}

/// Every fault of a gateway's document.
pub fn gateway(config: &GatewayConfig) -> Faults {
    gateway::faults(config, true)
}

/// Every fault of a sidecar's document.
pub fn sidecar(config: &SidecarConfig) -> Faults {
    sidecar::faults(config)
}

/// Every fault of a control plane's document.
pub fn control_plane(config: &ControlPlaneConfig) -> Faults {
    seed::faults(config, true)
}

/// Every fault of a desired state. `known` are the services that routes may point to where the state does not say
/// which there are; `None` where they are not known. Paths start at the document (`routes[2].match.path`).
pub fn desired_state(state: &DesiredState, known: Option<&BTreeSet<String>>) -> Faults {
    seed::desired_state(state, known, true)
}

/// Every fault of a node's way to the control plane. Paths start at the link (`replicas[0]`).
pub fn control_plane_link(link: &ControlPlaneLink) -> Faults {
    link::faults(link)
}

/// Whether a URL leads to another machine as plain text, so that a token on this way could be read by others.
pub fn is_overheard(url: &str) -> bool {
    address::url(url, &["http"]).is_ok_and(|url| !address::is_loopback(url.host))
}

/// Every fault of an instance that wants to be registered. Paths start at the instance (`lease_ms`).
pub fn instance(instance: &Instance) -> Faults {
    let metadata = instance.metadata.iter().map(|(key, value)| (&**key, &**value));
    let lease = Duration::from_millis(instance.lease_ms);
    registration((&instance.service, &instance.id), instance.address, lease, metadata)
}

/// As [`instance`], for whoever keeps it in another form. `name` is that of the service, and its own; of `metadata` each
/// key comes once.
pub fn registration<'a>(
    name: (&str, &str),
    address: SocketAddr,
    lease: Duration,
    metadata: impl Iterator<Item = (&'a str, &'a str)>,
) -> Faults {
    registry::faults(name, address, lease, metadata)
}

/// As [`gateway`]; without `references` nobody is blamed for naming what may have been dropped as faulty.
pub(crate) fn gateway_document(config: &GatewayConfig, references: bool) -> Faults {
    gateway::faults(config, references)
}

/// As [`control_plane`]; `references` as for [`gateway_document`].
pub(crate) fn control_plane_document(config: &ControlPlaneConfig, references: bool) -> Faults {
    seed::faults(config, references)
}

/// As [`desired_state`] with nothing known beside it; `references` as for [`gateway_document`].
pub(crate) fn desired_state_document(state: &DesiredState, references: bool) -> Faults {
    seed::desired_state(state, None, references)
}
