//! A sidecar's document.

use std::time::Duration;

use super::path::Template;
use super::{address, limits, link, names, process};
use crate::{Fault, Faults, SidecarConfig, UpstreamProtocol};

const DAY: Duration = Duration::from_secs(86_400);
/// One less than a node can name: its own service is named beside them.
const MOST_CALLED: usize = 1_023;

pub(super) fn faults(config: &SidecarConfig) -> Faults {
    let mut faults = Faults::default();
    faults.add("service", names::service_name(&config.service));
    faults.add("app", address::endpoint(&config.app).err());
    faults.add("instance", config.instance.as_deref().and_then(names::instance_id));
    faults.add("profile", config.profile.as_deref().and_then(names::profile_name));
    if let Some(link) = &config.control_plane {
        faults.add("control_plane", link::faults(link));
    }
    for (index, service) in config.calls.iter().flatten().enumerate() {
        faults.add(&format!("calls[{index}]"), names::service_name(service));
    }
    if config.calls.as_ref().is_some_and(|calls| calls.len() > MOST_CALLED) {
        let problem = format!("more than {MOST_CALLED} services");
        faults.push(Fault::new("calls", problem).hint("leave `calls` out to reach all"));
    }
    let listeners =
        [("inbound", &*config.inbound), ("outbound", &*config.outbound), ("admin", &*config.admin)];
    for (field, text) in listeners {
        faults.add(field, address::listener(text).err());
    }
    let [inbound, outbound, admin] = listeners;
    faults.add("", address::clashes(&[("app", &config.app), inbound, outbound, admin]));
    faults.add("timeout", process::longer_than_nothing(config.timeout, DAY));
    faults.add("workers", process::workers(config.workers));
    faults.add("state_dir", config.state_dir.as_deref().and_then(process::folder));
    faults.add("ready.path", config.ready.path.as_deref().and_then(ready_path));
    if config.ready.path.is_some() && config.protocol == UpstreamProtocol::Http2 {
        let fault = Fault::new("ready.path", "a path is asked by HTTP/1.1, which the service does not speak");
        faults.push(fault.hint("leave it out: a connection that is accepted is enough then"));
    }
    faults.add("ready.timeout", process::longer_than_nothing(config.ready.timeout, DAY));
    faults.add("lease", lease(config.lease.get()));
    faults.add("tracing", process::tracing(&config.tracing));
    faults.add("access_log", process::access_log(&config.access_log));
    faults.add("limits", limits::faults(&config.limits));
    faults
}

/// How long a lease may last: 1 s to 10 min.
pub(super) fn lease(lease: Duration) -> Option<Fault> {
    let sound = (Duration::from_secs(1)..=Duration::from_secs(600)).contains(&lease);
    (!sound)
        .then(|| Fault::new("", "a lease lasts 1 s to 10 min").hint("3 s finds a dead instance soon enough"))
}

fn ready_path(path: &str) -> Option<Fault> {
    match Template::parse(path) {
        Err(fault) => Some(fault),
        Ok(template) if template.prefix || !template.names.is_empty() => {
            Some(Fault::new("", "one path is asked, so it holds no placeholders").hint("such as `/healthz`"))
        }
        Ok(_) => None,
    }
}
