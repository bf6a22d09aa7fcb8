//! Where a listener listens and where an instance is, read from what was written: one reading for the checks and for
//! the data plane.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use crate::Fault;
use crate::check::{is_host, reachable};

/// What the name of a Unix socket can hold (`sun_path` of Linux, less its final NUL).
const SOCKET_PATH: usize = 107;

/// An address that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenAddress {
    /// `127.0.0.1:8080`; port 0 takes any free port.
    Tcp(SocketAddr),
    /// `unix:/run/shop.sock`: an absolute path.
    Unix(PathBuf),
    /// `systemd:web`: a socket that was handed over under this name.
    Systemd(String),
}

impl FromStr for ListenAddress {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(Self::Unix);
        }
        if let Some(name) = text.strip_prefix("systemd:") {
            return descriptor_name(name).map(Self::Systemd);
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            let fault = Fault::new("", format!("`{text}` is not an address to listen on"));
            let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
            fault.hint(format!("an IP address and a port: `127.0.0.1:{}`", port.unwrap_or(8080)))
        })
    }
}

/// An address that requests are sent to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointAddress {
    /// `127.0.0.1:8080`.
    Tcp(SocketAddr),
    /// `shop.internal:8080`: every address of the name, in lower case as names are compared.
    Host {
        /// The name; with a final dot it is not searched for below other names.
        name: String,
        /// The port, never 0.
        port: u16,
    },
    /// `srv:_http._tcp.shop.internal`: what the SRV records of the name say (RFC 2782).
    Srv(String),
    /// `unix:/run/shop.sock`: an absolute path.
    Unix(PathBuf),
}

impl FromStr for EndpointAddress {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(Self::Unix);
        }
        if let Some(name) = text.strip_prefix("srv:") {
            return records_name(name).map(Self::Srv);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return reachable(address).map_or(Ok(Self::Tcp(address)), Err);
        }
        host_and_port(text)
    }
}

fn host_and_port(text: &str) -> Result<EndpointAddress, Fault> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let fault = Fault::new("", format!("an endpoint has no `{scheme}://`"));
        let rest = rest.split(['/', '?', '#']).next().unwrap_or("");
        return Err(
            fault.hint(format!("write `{rest}`; what is spoken there is for `protocol` and `tls` to say"))
        );
    }
    let not_one = || {
        Fault::new("", format!("`{text}` is not an address"))
            .hint("an IP address or host name and a port: `127.0.0.1:8080`, `shop.internal:8080`")
    };
    let (name, port) = text.rsplit_once(':').ok_or_else(not_one)?;
    let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let port: u16 = port.and_then(|port| port.parse().ok()).ok_or_else(not_one)?;
    if !is_name(name) {
        return Err(not_one());
    }
    if port == 0 {
        return Err(Fault::new("", "port 0 cannot be connected to").hint("name the port"));
    }
    Ok(EndpointAddress::Host { name: name.to_ascii_lowercase(), port })
}

fn records_name(name: &str) -> Result<String, Fault> {
    if is_name(name) {
        return Ok(name.to_ascii_lowercase());
    }
    let fault = Fault::new("", format!("`{name}` is not the name of SRV records"));
    Err(match name.rsplit_once(':') {
        Some((rest, _)) if is_name(rest) => {
            fault.hint(format!("the records name the port: write `srv:{rest}`"))
        }
        _ => fault.hint("write `srv:_http._tcp.shop.internal`"),
    })
}

/// Whether a text can be a name that is looked up: a final dot is allowed, and what looks like an IPv4 address is
/// none (a broken one would be sent to a name server).
fn is_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or("");
    is_host(name) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn socket_path(path: &str) -> Result<PathBuf, Fault> {
    if !path.starts_with('/') {
        let fault = Fault::new("", format!("`{path}` is not the absolute path of a Unix socket"));
        return Err(fault.hint("write `unix:/run/shop.sock`"));
    }
    if path.len() > SOCKET_PATH || path.contains('\0') {
        let fault = Fault::new("", "the system takes no such path for a Unix socket");
        return Err(fault.hint(format!("at most {SOCKET_PATH} bytes, and no NUL")));
    }
    Ok(path.into())
}

/// A name as `FileDescriptorName=` takes it (sd_listen_fds_with_names).
fn descriptor_name(name: &str) -> Result<String, Fault> {
    let sound = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b':';
    if (1..=255).contains(&name.len()) && name.bytes().all(sound) {
        return Ok(name.to_owned());
    }
    let fault = Fault::new("", format!("`{name}` cannot be the name of a socket from systemd"));
    Err(fault.hint("the `FileDescriptorName` of the unit: `systemd:web`"))
}

/// Whether a text can be what a certificate is verified for: a host name or an IP address.
pub(crate) fn is_verifiable(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok() || is_name(name)
}
