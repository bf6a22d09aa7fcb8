//! Addresses and URLs: read strictly, and told apart from what people write instead. A URL may carry a password,
//! so a fault never repeats it.

use std::net::SocketAddr;

use super::names;
use crate::Fault;

/// An address to listen on; port 0 takes any free port.
pub(super) fn listener(text: &str) -> Result<SocketAddr, Fault> {
    text.parse().map_err(|_| {
        let fault = Fault::new("", format!("`{text}` is not an address to listen on"));
        let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        fault.hint(format!("an IP address and a port: `127.0.0.1:{}`", port.unwrap_or(8080)))
    })
}

/// An address requests are sent to.
pub(super) fn endpoint(text: &str) -> Result<SocketAddr, Fault> {
    let address: SocketAddr = text.parse().map_err(|_| match named(text) {
        true => Fault::new("", format!("`{text}` is a host name, and names are not resolved here"))
            .hint("write its IP address and port: `127.0.0.1:8080`"),
        false => Fault::new("", format!("`{text}` is not an address"))
            .hint("an IP address and a port: `127.0.0.1:8080`"),
    })?;
    match reachable(address) {
        Some(fault) => Err(fault),
        None => Ok(address),
    }
}

/// An address that something can be sent to has a port, and is one host's.
pub(super) fn reachable(address: SocketAddr) -> Option<Fault> {
    if address.port() == 0 {
        return Some(Fault::new("", "port 0 cannot be connected to").hint("name the port"));
    }
    let anywhere = address.ip().is_unspecified() || address.ip().is_multicast();
    anywhere.then(|| {
        Fault::new("", format!("nothing can be sent to {}", address.ip()))
            .hint("name the address of one host")
    })
}

fn named(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok())
}

/// Listeners that cannot both be opened: the same port, on the same address or on all of them. The fault is
/// that of the later one.
pub(super) fn clashes(listeners: &[(&str, &str)]) -> Vec<Fault> {
    let open: Vec<(&str, SocketAddr)> = listeners
        .iter()
        .filter_map(|(field, text)| Some((*field, text.parse().ok()?)))
        .filter(|(_, address): &(&str, SocketAddr)| address.port() != 0)
        .collect();
    let clash = |one: SocketAddr, other: SocketAddr| {
        let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
        one.port() == other.port() && (one.ip() == other.ip() || everywhere)
    };
    let mut faults = Vec::new();
    for (index, (field, address)) in open.iter().enumerate() {
        if let Some((earlier, _)) = open[..index].iter().find(|(_, other)| clash(*address, *other)) {
            let fault = Fault::new(*field, format!("`{earlier}` uses port {} already", address.port()));
            faults.push(fault.hint("give each its own port"));
        }
    }
    faults
}

/// The parts of a URL that was found to be sound.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url<'a> {
    pub(super) scheme: &'a str,
    pub(super) host: &'a str,
    /// From the `/` on; empty when there is none.
    pub(super) path: &'a str,
}

/// Reads an absolute URL (RFC 3986, 4.3) of one of the schemes, without user, query and fragment. The host of
/// `lb://` is a service's name.
pub(super) fn url<'a>(text: &'a str, schemes: &[&str]) -> Result<Url<'a>, Fault> {
    let forms = schemes.iter().map(|scheme| format!("`{scheme}://`")).collect::<Vec<_>>().join(", ");
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| schemes.contains(scheme)) else {
        return Err(Fault::new("", format!("a URL here begins with {forms}")));
    };
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::new("", "a URL holds neither spaces nor characters outside ASCII")
            .hint("percent-encode them"));
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(Fault::new("", "a URL here holds no user name and password").hint("take them out"));
    }
    if path.contains('?') || path.contains('#') {
        return Err(Fault::new("", "a URL here ends before `?` and `#`"));
    }
    let host = host_of(authority).ok_or_else(|| Fault::new("", "this URL names no sound host and port"))?;
    if scheme == "lb" && (host != authority || names::service_name(host).is_some()) {
        return Err(Fault::new("", "the host of an `lb://` URL is a service's name, without a port"));
    }
    Ok(Url { scheme, host, path })
}

/// The host of `host`, `host:port`, `[v6]` or `[v6]:port`.
fn host_of(authority: &str) -> Option<&str> {
    let sound_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        let sound = after.is_empty() || after.strip_prefix(':').is_some_and(sound_port);
        return (sound && host.parse::<std::net::Ipv6Addr>().is_ok()).then_some(host);
    }
    let (host, sound) = match authority.split_once(':') {
        Some((host, port)) => (host, sound_port(port)),
        None => (authority, true),
    };
    (sound && is_host(host)).then_some(host)
}

/// Whether a text can be a host name or an IPv4 address (RFC 1123, 2.1; `_` as Docker uses it).
pub(super) fn is_host(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(sound);
    text.len() <= 253 && text.split('.').all(label)
}
