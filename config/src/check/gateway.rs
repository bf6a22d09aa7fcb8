//! A gateway's document: its sections, and what they say about each other.

use std::collections::BTreeSet;

use super::{Asking, auth, limits, link, listener, names, process, route_test, routes_asking, upstream};
use crate::{AuthRule, Fault, Faults, GatewayConfig};

/// Without `references` no section is blamed for naming something of another section that is not there.
pub(super) fn faults(config: &GatewayConfig, references: bool) -> Faults {
    let mut faults = Faults::default();
    let services = references.then(|| known_services(config)).flatten();
    faults.add("", listener::all(config, services.as_ref()));
    faults.add("workers", config.workers.and_then(process::workers));
    if let Some(link) = &config.control_plane {
        faults.add("control_plane", link::faults(link));
    }
    faults.add("state_dir", config.state_dir.as_deref().and_then(process::folder));
    if let Some(section) = &config.auth {
        faults.add("auth", auth::faults(section, services.as_ref()));
    }
    faults.add("tracing", process::tracing(&config.tracing));
    faults.add("access_log", process::access_log(&config.access_log));
    faults.add("limits", limits::faults(&config.limits));
    faults.add("dns", config.dns.addresses().err().unwrap_or_default());
    for (name, service) in &config.services {
        let place = format!("services.{name}");
        faults.add(&place, names::service_name(name));
        faults.add(&place, upstream::faults(service));
    }
    faults.add("tests", route_test::faults(&config.tests));
    // Without an `auth` section, a route that does not ask for a token is open.
    let asking = if config.auth.is_some() { Asking::Tokens } else { Asking::Nothing };
    faults.add("routes", routes_asking(&config.routes, services.as_ref(), asking));
    if references && config.auth.is_none() {
        faults.add("routes", tokens_of_nobody(config));
    }
    faults
}

/// All services there can be; `None` when the control plane may know others.
fn known_services(config: &GatewayConfig) -> Option<BTreeSet<String>> {
    config.control_plane.is_none().then(|| config.services.keys().cloned().collect())
}

fn tokens_of_nobody(config: &GatewayConfig) -> Vec<Fault> {
    let wanting =
        config.routes.iter().enumerate().filter(|(_, route)| route.auth == Some(AuthRule::Required));
    let fault = |index: usize| {
        Fault::new(
            format!("[{index}].auth"),
            "this route wants a token, and the gateway has no `auth` section",
        )
        .hint("say under `auth` whose tokens are accepted")
    };
    wanting.map(|(index, _)| fault(index)).collect()
}
