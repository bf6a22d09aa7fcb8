//! Listeners: their addresses, certificates, and where connections that are not HTTP go.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{address, process, route};
use crate::place::ListenAddress;
use crate::{
    Alpn, CertificateConfig, ClientAuth, Fault, Faults, GatewayConfig, ListenerConfig, Networks, TcpForward,
    TlsConfig,
};

/// What `listen` says when there are only `listeners`.
const OFF: &str = "off";

/// Every address of a gateway, and what is said of its listeners. `services` as for [`route::service`].
pub(super) fn all(config: &GatewayConfig, services: Option<&BTreeSet<String>>) -> Faults {
    let mut faults = Faults::default();
    faults.add("listen", listen(config));
    for (index, listener) in config.listeners.iter().enumerate() {
        faults.add(&format!("listeners[{index}]"), one(listener, services));
        faults.add(&format!("listeners[{index}].forward"), unopened(&listener.forward, config));
    }
    faults.add("admin", address::listener(&config.admin).err());
    faults.add("", clashes(config));
    if let Err(found) = Networks::parse(&config.trusted_proxies) {
        faults.add("trusted_proxies", found);
    }
    faults
}

fn listen(config: &GatewayConfig) -> Option<Fault> {
    if config.listen != OFF {
        return address::listener(&config.listen).err();
    }
    config.listeners.is_empty().then(|| {
        Fault::new("", "nobody could connect: there are no `listeners` either")
            .hint("name an address, such as `127.0.0.1:19091`, or list `listeners`")
    })
}

fn clashes(config: &GatewayConfig) -> Vec<Fault> {
    let places: Vec<String> =
        (0..config.listeners.len()).map(|index| format!("listeners[{index}].address")).collect();
    let further =
        places.iter().zip(&config.listeners).map(|(place, one)| (place.as_str(), one.address.as_str()));
    let all: Vec<(&str, &str)> = [("listen", config.listen.as_str())]
        .into_iter()
        .chain(further)
        .chain([("admin", config.admin.as_str())])
        .collect();
    address::clashes(&all)
}

fn one(listener: &ListenerConfig, services: Option<&BTreeSet<String>>) -> Faults {
    let mut faults = Faults::default();
    faults.add("address", listener.address.parse::<ListenAddress>().err());
    if let Some(section) = &listener.tls {
        faults.add("tls", tls(section));
    }
    if let Some(section) = &listener.proxy_protocol {
        faults.add("proxy_protocol.from", senders(&section.from));
    }
    faults.add(
        "connections",
        listener.connections.and_then(|number| process::more_than_nothing(number as u64)),
    );
    faults.add("", by_protocol(listener));
    faults.add("forward", forward(&listener.forward, services));
    faults
}

/// What belongs to one protocol, and stands at a listener with the other.
fn by_protocol(listener: &ListenerConfig) -> Vec<Fault> {
    let mut faults = Vec::new();
    match (listener.protocol.is_http(), listener.forward.is_empty()) {
        (true, false) => faults.push(
            Fault::new("forward", "requests go by `routes`; `forward` is for what is not HTTP")
                .hint("say `protocol: tcp`, or take `forward` away"),
        ),
        (false, true) => faults.push(
            Fault::new("forward", "nothing says where connections go")
                .hint("write `forward: [{service: db}]`"),
        ),
        _ => {}
    }
    if !listener.protocol.is_http() && listener.tls.is_some() {
        faults.push(
            Fault::new("tls", "bytes are passed on as they come with `protocol: tcp`, those of TLS too")
                .hint("take `tls` away: the service's own certificate is what clients see"),
        );
    }
    faults
}

/// Services whose instances are to be spoken to in TLS by us, and get what clients send as it is.
fn unopened(list: &[TcpForward], config: &GatewayConfig) -> Vec<Fault> {
    let speaks_tls =
        |one: &TcpForward| config.services.get(&one.service).is_some_and(|service| service.tls.is_some());
    let found = list.iter().enumerate().filter(|(_, one)| speaks_tls(one));
    let fault = |(index, one): (usize, &TcpForward)| {
        let problem = format!(
            "bytes are passed on as they come, so that the `tls` of `{}` would not be used",
            one.service
        );
        Fault::new(format!("[{index}].service"), problem)
            .hint("name a service without `tls`: TLS is between the client and the instance")
    };
    found.map(fault).collect()
}

fn senders(from: &[String]) -> Faults {
    if from.is_empty() {
        let fault = Fault::new("", "a PROXY header would be taken from nobody");
        return fault.hint("list the balancers' addresses: `from: [\"10.0.0.0/8\"]`").into();
    }
    Networks::parse(from).err().unwrap_or_default()
}

fn forward(list: &[TcpForward], services: Option<&BTreeSet<String>>) -> Faults {
    let mut faults = Faults::default();
    let mut names = BTreeSet::new();
    let mut everything = None;
    for (index, one) in list.iter().enumerate() {
        let place = format!("[{index}]");
        faults.add(&format!("{place}.service"), route::service(&one.service, services));
        if let Some(earlier) = everything {
            let fault =
                Fault::new(&place, format!("`forward[{earlier}]` takes every connection before this one"));
            faults.push(fault.hint("put the one without `sni` last"));
        }
        if one.sni.is_empty() {
            everything = everything.or(Some(index));
        }
        for (number, name) in one.sni.iter().enumerate() {
            let place = format!("{place}.sni[{number}]");
            faults.add(&place, greeting_name(name));
            if !names.insert(name.to_ascii_lowercase()) {
                faults.push(
                    Fault::new(place, format!("`{name}` is there twice")).hint("the first that fits counts"),
                );
            }
        }
    }
    faults
}

/// A name that a TLS greeting can hold (RFC 6066, 3): never an address.
fn greeting_name(name: &str) -> Option<Fault> {
    let host = name.strip_prefix("*.").unwrap_or(name);
    if address::is_host(host) && host.parse::<std::net::Ipv4Addr>().is_err() {
        return None;
    }
    let fault = Fault::new("", format!("`{name}` is not a name that a TLS greeting can hold"));
    Some(fault.hint("write `db.example`, or `*.db.example` for every name below it"))
}

fn tls(section: &TlsConfig) -> Faults {
    let mut faults = Faults::default();
    if section.certificates.is_empty() {
        let fault = Fault::new("certificates", "TLS needs a certificate");
        faults.push(fault.hint("write `certificates: [{certificate: shop.pem, key: shop.key}]`"));
    }
    let mut seen = BTreeSet::new();
    for (index, one) in section.certificates.iter().enumerate() {
        let place = format!("certificates[{index}]");
        faults.add(&place, certificate(one));
        if !one.certificate.as_os_str().is_empty() && !seen.insert(&one.certificate) {
            let problem = format!("`{}` is there twice", one.certificate.display());
            faults.push(Fault::new(format!("{place}.certificate"), problem));
        }
    }
    if let Some(ClientAuth { ca, .. }) = &section.client_auth {
        faults.add("client_auth.ca", process::folder(ca));
    }
    faults.add("alpn", alpn(&section.alpn));
    faults
}

fn certificate(one: &CertificateConfig) -> Faults {
    let mut faults = Faults::default();
    let files: [(&str, Option<&Path>); 3] =
        [("certificate", Some(&one.certificate)), ("key", Some(&one.key)), ("ocsp", one.ocsp.as_deref())];
    for (field, path) in files {
        faults.add(field, path.and_then(process::folder));
    }
    if one.ocsp.as_ref().is_some_and(|ocsp: &PathBuf| *ocsp == one.certificate) {
        faults.push(Fault::new("ocsp", "this is the certificate, not an OCSP response about it"));
    }
    faults
}

fn alpn(list: &[Alpn]) -> Faults {
    let mut faults = Faults::default();
    if list.is_empty() {
        faults.push(Fault::new("", "nothing is offered").hint("leave `alpn` out, or write `[h2, http/1.1]`"));
    }
    for (index, one) in list.iter().enumerate() {
        if list[..index].contains(one) {
            faults.push(Fault::new(format!("[{index}]"), "this is there twice"));
        }
    }
    faults
}
