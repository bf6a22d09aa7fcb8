//! A control plane's document: mostly what it is seeded with, by the rules its API keeps later.

use std::collections::BTreeSet;

use super::{address, names, process, routes, store};
use crate::{ControlPlaneConfig, Fault, Faults, SeedConfig};

/// Without `references` no route is blamed for naming a service that is not there.
pub(super) fn faults(config: &ControlPlaneConfig, references: bool) -> Faults {
    let mut faults = Faults::default();
    faults.add("listen", address::listener(&config.listen).err());
    faults.add("data_dir", process::folder(&config.data_dir));
    faults.add("store", store::faults(&config.store));
    faults.add("seed", seed(&config.seed, references));
    if !(1..=10_000_000).contains(&config.trace_spans) {
        faults.push(Fault::new("trace_spans", format!("{} spans: it is 1 to 10000000", config.trace_spans)));
    }
    faults
}

fn seed(seed: &SeedConfig, references: bool) -> Faults {
    let mut faults = Faults::default();
    let mut services = BTreeSet::new();
    for (index, name) in seed.services.iter().enumerate() {
        let place = format!("services[{index}]");
        faults.add(&place, names::service_name(name));
        if !services.insert(name.clone()) {
            faults.push(Fault::new(place, format!("`{name}` is there twice")));
        }
    }
    faults.add("routes", routes(&seed.routes, references.then_some(&services)));
    for (application, profiles) in &seed.config {
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
