//! A control plane's document and a desired state: services, routes and configuration by the rules that the API keeps.

use std::collections::BTreeSet;

use super::{access, address, config_server, eureka, exposure, names, process, routes, store};
use crate::{ControlPlaneConfig, DesiredState, Fault, Faults, Layers, SeedConfig};

/// Without `references` no route is blamed for naming a service that is not there.
pub(super) fn faults(config: &ControlPlaneConfig, references: bool) -> Faults {
    let mut faults = Faults::default();
    faults.add("listen", address::listener(&config.listen).err());
    faults.add("data_dir", process::folder(&config.data_dir));
    faults.add("store", store::faults(&config.store));
    faults.add("seed", seed(&config.seed, references));
    faults.add("config_server", config.config_server.iter().flat_map(config_server::faults));
    if let Some(config) = &config.eureka {
        faults.add("eureka", eureka::faults(config));
    }
    faults.add("tokens", access::tokens(&config.tokens));
    faults.add("audit", access::audit(&config.audit));
    faults.add("limits", access::limits(&config.limits));
    faults.add("", clashes(config));
    faults.add("", exposure::faults(config));
    if !(1..=10_000_000).contains(&config.trace_spans) {
        faults.push(Fault::new("trace_spans", format!("{} spans: it is 1 to 10000000", config.trace_spans)));
    }
    faults
}

/// Two listeners cannot have one address.
fn clashes(config: &ControlPlaneConfig) -> Vec<Fault> {
    let mut listeners = vec![("listen", config.listen.as_str())];
    listeners.extend(config.eureka.as_ref().map(|eureka| ("eureka.listen", eureka.listen.as_str())));
    let config_server = config.config_server.as_ref();
    listeners.extend(config_server.map(|server| ("config_server.listen", server.listen.as_str())));
    address::clashes(&listeners)
}

/// Without `references` no route is blamed for naming a service that is not there.
pub(super) fn desired_state(
    state: &DesiredState,
    known: Option<&BTreeSet<String>>,
    references: bool,
) -> Faults {
    let mut faults = Faults::default();
    let named = state.services.as_deref().map(|names| services(names, &mut faults));
    let known = named.as_ref().or(known).filter(|_| references);
    faults.add("routes", routes(state.routes.as_deref().unwrap_or_default(), known));
    faults.0.extend(state.config.iter().flat_map(layers));
    faults
}

fn seed(seed: &SeedConfig, references: bool) -> Faults {
    let mut faults = Faults::default();
    let known = services(&seed.services, &mut faults);
    faults.add("routes", routes(&seed.routes, references.then_some(&known)));
    faults.0.extend(layers(&seed.config));
    faults
}

fn services(names: &[String], faults: &mut Faults) -> BTreeSet<String> {
    let mut services = BTreeSet::new();
    for (index, name) in names.iter().enumerate() {
        let place = format!("services[{index}]");
        faults.add(&place, names::service_name(name));
        if !services.insert(name.clone()) {
            faults.push(Fault::new(place, format!("`{name}` is there twice")));
        }
    }
    services
}

fn layers(config: &Layers) -> Faults {
    let mut faults = Faults::default();
    for (application, profiles) in config {
        let place = format!("config.{application}");
        faults.add(&place, names::service_name(application));
        for (profile, values) in profiles {
            let place = format!("{place}.{profile}");
            faults.add(&place, names::profile_name(profile));
            for (key, value) in values {
                let place = format!("{place}.{key}");
                faults.add(&place, names::config_key(key));
                faults.add(&place, names::config_value(value));
            }
        }
    }
    faults
}
