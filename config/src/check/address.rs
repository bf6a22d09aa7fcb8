//! Addresses and URLs: read strictly, and told apart from what people write instead. A URL may carry a password,
//! so a fault never repeats it.

use std::net::SocketAddr;

use super::names;
use crate::Fault;
use crate::place::{EndpointAddress, ListenAddress};

/// An IP address and port to listen on; port 0 takes any free port.
pub(super) fn listener(text: &str) -> Result<SocketAddr, Fault> {
    match text.parse::<ListenAddress>()? {
        ListenAddress::Tcp(address) => Ok(address),
        ListenAddress::Unix(_) | ListenAddress::Systemd(_) => {
            Err(Fault::new("", format!("`{text}` is not an IP address and a port"))
                .hint("a gateway's `listeners` can be Unix sockets and those of systemd"))
        }
    }
}

/// The address of one instance: by IP address, for names are looked up only where services are listed.
pub(super) fn endpoint(text: &str) -> Result<SocketAddr, Fault> {
    let hint = "an IP address and a port: `127.0.0.1:8080`";
    match text.parse::<EndpointAddress>() {
        Ok(EndpointAddress::Tcp(address)) => Ok(address),
        Ok(EndpointAddress::Host { .. }) => {
            Err(Fault::new("", format!("`{text}` is a host name, and names are not looked up here"))
                .hint(hint))
        }
        Ok(EndpointAddress::Srv(_) | EndpointAddress::Unix(_)) => {
            Err(Fault::new("", format!("`{text}` is not an IP address and a port")).hint(hint))
        }
        Err(fault) => Err(fault),
    }
}

/// An address that something can be sent to has a port, and is one host's.
pub(crate) fn reachable(address: SocketAddr) -> Option<Fault> {
    if address.port() == 0 {
        return Some(Fault::new("", "port 0 cannot be connected to").hint("name the port"));
    }
    let anywhere = address.ip().is_unspecified() || address.ip().is_multicast();
    anywhere.then(|| {
        Fault::new("", format!("nothing can be sent to {}", address.ip()))
            .hint("name the address of one host")
    })
}

/// Listeners that cannot both be opened: the same port, on the same address or on all of them, or the same socket.
/// The fault is that of the later one.
pub(super) fn clashes(listeners: &[(&str, &str)]) -> Vec<Fault> {
    let open: Vec<(&str, ListenAddress)> =
        listeners.iter().filter_map(|(field, text)| Some((*field, text.parse().ok()?))).collect();
    let mut faults = Vec::new();
    for (index, (field, address)) in open.iter().enumerate() {
        let earlier = open[..index].iter().find(|(_, other)| is_taken(address, other));
        if let Some((earlier, _)) = earlier {
            let fault = match address {
                ListenAddress::Tcp(address) => {
                    Fault::new(*field, format!("`{earlier}` uses port {} already", address.port()))
                        .hint("give each its own port")
                }
                ListenAddress::Unix(_) | ListenAddress::Systemd(_) => {
                    Fault::new(*field, format!("`{earlier}` uses this socket already"))
                        .hint("give each its own socket")
                }
            };
            faults.push(fault);
        }
    }
    faults
}

fn is_taken(one: &ListenAddress, other: &ListenAddress) -> bool {
    let (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) = (one, other) else { return one == other };
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (one.ip() == other.ip() || everywhere)
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

/// Whether the host of a URL is this machine (RFC 6761, 6.3, for the names).
pub(super) fn is_loopback(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_address = |address: std::net::IpAddr| address.to_canonical().is_loopback();
    name.parse().is_ok_and(is_address) || name == "localhost" || name.ends_with(".localhost")
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
pub(crate) fn is_host(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(sound);
    text.len() <= 253 && text.split('.').all(label)
}
