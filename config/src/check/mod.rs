//! What must hold in a document beyond its shape. One set of checks serves the file loader, the control plane's
//! API and the nodes, so that all three refuse the same things in the same words.

use std::collections::BTreeSet;

use crate::{ControlPlaneConfig, Faults, GatewayConfig, RouteConfig, SidecarConfig};

/// Every fault of one route. `services` are the names it may point to; `None` where they are not known yet.
/// Paths in the faults start at the route (`match.path`).
pub fn route(route: &RouteConfig, services: Option<&BTreeSet<String>>) -> Faults {
    let _ = (route, services);
    Faults::default()
}

/// Every fault of a set of routes, duplicates of a name included. Paths start at the list (`[2].match.path`).
pub fn routes(routes: &[RouteConfig], services: Option<&BTreeSet<String>>) -> Faults {
    let _ = (routes, services);
    Faults::default()
}

/// Every fault of a gateway's document.
pub fn gateway(config: &GatewayConfig) -> Faults {
    let _ = config;
    Faults::default()
}

/// Every fault of a sidecar's document.
pub fn sidecar(config: &SidecarConfig) -> Faults {
    let _ = config;
    Faults::default()
}

/// Every fault of a control plane's document.
pub fn control_plane(config: &ControlPlaneConfig) -> Faults {
    control_plane_document(config, true)
}

pub(crate) fn gateway_document(config: &GatewayConfig, references: bool) -> Faults {
    let _ = (config, references);
    Faults::default()
}

pub(crate) fn control_plane_document(config: &ControlPlaneConfig, references: bool) -> Faults {
    let _ = (config, references);
    Faults::default()
}
