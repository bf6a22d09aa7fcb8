//! The file's and the control plane's word together: whose routes there are, and which instances take requests.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use portreeve_config::wire::{Event, Instance, InstanceStatus};
use portreeve_config::{Fault, Faults, GatewayConfig, RouteConfig};

use crate::address::Dial;
use crate::names::{FixedService, Names};
use crate::policy::balance::EndpointSpec;

/// The routes of both sources.
///
/// # Errors
/// A route of the control plane that has the name of one of the file's.
pub(super) fn routes<'r>(
    file: &'r GatewayConfig,
    control: &'r [RouteConfig],
) -> Result<impl Iterator<Item = &'r RouteConfig>, Faults> {
    let own: HashSet<&str> = match control.is_empty() {
        true => HashSet::new(),
        false => file.routes.iter().map(|route| route.name.as_str()).collect(),
    };
    let mut faults = Faults::default();
    for (index, route) in control.iter().enumerate() {
        if own.contains(route.name.as_str()) {
            let problem = format!("the gateway's own file has a route `{}` too", route.name);
            faults.push(Fault::new(format!("[{index}].name"), problem).hint("rename one of the two"));
        }
    }
    faults.into_result(file.routes.iter().chain(control))
}

/// The services that a file fixes, made ready.
///
/// # Errors
/// Every fault of all of them, with paths that start at the document (`services.shop.tls.ca`).
pub(super) fn fixed_services(file: &GatewayConfig) -> Result<BTreeMap<String, FixedService>, Faults> {
    let (mut services, mut faults) = (BTreeMap::new(), Faults::default());
    for (name, config) in &file.services {
        match FixedService::compile(config) {
            Ok(service) => _ = services.insert(name.clone(), service),
            Err(found) => faults.add(&format!("services.{name}"), found),
        }
    }
    faults.into_result(services)
}

/// The instances of services that a file fixes, as far as their names are answered.
pub(super) fn fixed_endpoints<'a>(
    services: impl IntoIterator<Item = (&'a String, &'a FixedService)>,
    names: &Names,
) -> Vec<(String, Vec<EndpointSpec>)> {
    services.into_iter().map(|(name, service)| (name.clone(), service.instances(names))).collect()
}

/// The instances that take requests, for each of `services`.
pub fn endpoints_of(
    services: impl IntoIterator<Item = String>,
    instances: &[Instance],
) -> BTreeMap<String, Vec<EndpointSpec>> {
    let mut found: BTreeMap<String, Vec<EndpointSpec>> =
        services.into_iter().map(|service| (service, Vec::new())).collect();
    for instance in instances.iter().filter(|instance| instance.status == InstanceStatus::Up) {
        if let Some(list) = found.get_mut(&instance.service) {
            let plain = EndpointSpec::plain(instance.address, instance.id.as_str());
            let dial = Dial { protocol: instance.protocol(), ..Dial::default() };
            list.push(if dial == *plain.dial {
                plain
            } else {
                EndpointSpec { dial: Arc::new(dial), ..plain }
            });
        }
    }
    found
}

/// What a list of events touches.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Whether any route changed.
    pub routes: bool,
    /// The services whose instances changed.
    pub services: BTreeSet<String>,
}

/// Reads what a change touches.
pub fn touched(events: &[Event]) -> Touched {
    let mut touched = Touched::default();
    for event in events {
        match event {
            Event::RoutePut(_) | Event::RouteRemoved(_) => touched.routes = true,
            Event::ServicePut(service) | Event::ServiceRemoved(service) => {
                touched.services.insert(service.clone());
            }
            Event::InstancePut(Instance { service, .. }) | Event::InstanceRemoved { service, .. } => {
                touched.services.insert(service.clone());
            }
            Event::Config(_) => {}
        }
    }
    touched
}
