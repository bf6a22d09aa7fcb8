//! A gateway's document: its sections, and what they say about each other.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{address, auth, names, process, routes};
use crate::{AuthRule, Fault, Faults, GatewayConfig, RouteConfig, ServiceConfig};

/// Without `references` no section is blamed for naming something of another section that is not there.
pub(super) fn faults(config: &GatewayConfig, references: bool) -> Faults {
    let mut faults = Faults::default();
    faults.add("listen", address::listener(&config.listen).err());
    faults.add("admin", address::listener(&config.admin).err());
    faults.add("", address::clashes(&[("listen", &config.listen), ("admin", &config.admin)]));
    faults.add("workers", config.workers.and_then(process::workers));
    if let Some(link) = &config.control_plane {
        faults.add("control_plane", process::control_plane_link(link));
    }
    faults.add("state_dir", config.state_dir.as_deref().and_then(process::folder));
    let services = references.then(|| known_services(config)).flatten();
    if let Some(section) = &config.auth {
        faults.add("auth", auth::faults(section, services.as_ref()));
    }
    faults.add("tracing", process::tracing(&config.tracing));
    faults.add("access_log", process::access_log(&config.access_log));
    faults.add("limits", process::limits(&config.limits));
    for (name, service) in &config.services {
        let place = format!("services.{name}");
        faults.add(&place, names::service_name(name));
        faults.add(&place, endpoints(service));
    }
    faults.add("routes", routes(&as_meant(config), services.as_ref()));
    if references && config.auth.is_none() {
        faults.add("routes", tokens_of_nobody(config));
    }
    faults
}

/// The routes with what the document as a whole says of them: without an `auth` section, one that does not ask
/// for a token is open.
fn as_meant(config: &GatewayConfig) -> Cow<'_, [RouteConfig]> {
    if config.auth.is_some() {
        return Cow::Borrowed(&config.routes);
    }
    let open =
        |route: &RouteConfig| RouteConfig { auth: route.auth.or(Some(AuthRule::None)), ..route.clone() };
    config.routes.iter().map(open).collect()
}

/// All services there can be; `None` when the control plane may know others.
fn known_services(config: &GatewayConfig) -> Option<BTreeSet<String>> {
    config.control_plane.is_none().then(|| config.services.keys().cloned().collect())
}

fn endpoints(service: &ServiceConfig) -> Faults {
    let mut faults = Faults::default();
    if service.endpoints.is_empty() {
        let fault = Fault::new("endpoints", "a service needs an endpoint");
        faults.push(fault.hint("list one address at least: `endpoints: [\"127.0.0.1:8080\"]`"));
    }
    let mut seen = BTreeSet::new();
    for (index, text) in service.endpoints.iter().enumerate() {
        let place = format!("endpoints[{index}]");
        match address::endpoint(text) {
            Err(fault) => faults.add(&place, [fault]),
            Ok(address) if !seen.insert(address) => {
                faults.push(Fault::new(place, format!("`{text}` is there twice")));
            }
            Ok(_) => {}
        }
    }
    faults
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
