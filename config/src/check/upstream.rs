//! Services with fixed endpoints: where their instances are, and how they are spoken to.

use std::collections::BTreeSet;

use super::process;
use crate::place::{EndpointAddress, is_verifiable};
use crate::{Fault, Faults, ServiceConfig, UpstreamTls};

pub(super) fn faults(service: &ServiceConfig) -> Faults {
    let mut faults = Faults::default();
    if service.endpoints.is_empty() {
        let fault = Fault::new("endpoints", "a service needs an endpoint");
        faults.push(fault.hint("list one address at least: `endpoints: [\"127.0.0.1:8080\"]`"));
    }
    let mut seen = BTreeSet::new();
    let mut has_nameless = false;
    for (index, text) in service.endpoints.iter().enumerate() {
        let place = format!("endpoints[{index}]");
        match text.parse::<EndpointAddress>() {
            Err(fault) => faults.add(&place, [fault]),
            Ok(address) => {
                has_nameless |= matches!(address, EndpointAddress::Unix(_));
                if !seen.insert(address) {
                    faults.push(Fault::new(place, format!("`{text}` is there twice")));
                }
            }
        }
    }
    if let Some(section) = &service.tls {
        faults.add("tls", tls(section, has_nameless));
    }
    faults
}

fn tls(section: &UpstreamTls, has_nameless: bool) -> Faults {
    let mut faults = Faults::default();
    let files = [("ca", &section.ca), ("certificate", &section.certificate), ("key", &section.key)];
    for (field, path) in files {
        faults.add(field, path.as_deref().and_then(process::folder));
    }
    match (&section.certificate, &section.key) {
        (Some(_), None) => {
            let fault = Fault::new("certificate", "a certificate is of no use without its key");
            faults.push(fault.hint("name its file in `key`"));
        }
        (None, Some(_)) => {
            let fault = Fault::new("key", "there is no certificate for this key");
            faults.push(fault.hint("name its file in `certificate`, or take `key` away"));
        }
        _ => {}
    }
    match &section.server_name {
        Some(name) if !is_verifiable(name) => {
            let fault =
                Fault::new("server_name", format!("`{name}` is neither a host name nor an IP address"));
            faults.push(fault.hint("the name in the instances' certificates: `shop.internal`"));
        }
        None if has_nameless => {
            let fault =
                Fault::new("server_name", "a Unix socket has no name that a certificate could be for");
            faults.push(fault.hint("say which name the certificate must have: `server_name: shop.internal`"));
        }
        _ => {}
    }
    faults
}
