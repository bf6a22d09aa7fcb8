//! Who is asked about the names of instances.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Fault, Faults};

/// The port of name servers (RFC 1035, 4.2).
const PORT: u16 = 53;
/// More servers only make it longer until a failure is known.
const MOST_SERVERS: usize = 8;

/// Who is asked about the names of instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    /// Name servers, by address or address and port (`10.0.0.2`, `127.0.0.1:5353`), at most 8. They are asked over UDP,
    /// and over TCP where an answer is too long for it; names are taken as they are written. When empty,
    /// `/etc/resolv.conf` says whom to ask, and in which domains to search. `/etc/hosts` comes first in any case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
}

impl DnsConfig {
    /// Whether it is the default.
    pub fn is_default(&self) -> bool {
        self.servers.is_empty()
    }

    /// The addresses and ports of `servers`.
    ///
    /// # Errors
    /// Everything that is wrong with them, with paths that start at the section (`servers[1]`).
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, Faults> {
        let (mut addresses, mut faults) = (Vec::new(), Faults::default());
        if self.servers.len() > MOST_SERVERS {
            let problem = format!("{} name servers: at most {MOST_SERVERS}", self.servers.len());
            faults.push(Fault::new("servers", problem));
        }
        for (index, text) in self.servers.iter().enumerate() {
            let place = format!("servers[{index}]");
            match server(text) {
                Ok(address) if addresses.contains(&address) => {
                    faults.push(Fault::new(place, format!("`{text}` is there twice")));
                }
                Ok(address) => addresses.push(address),
                Err(fault) => faults.add(&place, [fault]),
            }
        }
        faults.into_result(addresses)
    }
}

fn server(text: &str) -> Result<SocketAddr, Fault> {
    let bare = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    let Ok(address) = text.parse().or_else(|_| bare()) else {
        let fault = Fault::new("", format!("`{text}` is not the address of a name server"));
        return Err(fault.hint("an IP address, with or without a port: `10.0.0.2` or `127.0.0.1:5353`"));
    };
    match crate::check::reachable(address) {
        Some(fault) => Err(fault),
        None => Ok(address),
    }
}
