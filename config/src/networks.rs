//! Whom a list of addresses and networks takes in: one reading of such lists for the checks and for the data plane.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{Fault, Faults};

/// Addresses and networks as `trusted_proxies` and `proxy_protocol.from` list them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Box<[IpNet]>);

impl Networks {
    /// Reads a written list: networks (`10.0.0.0/8`) and bare addresses (`::1`), which are networks of one.
    ///
    /// # Errors
    /// Every entry that is neither, with paths that start at the list (`[1]`).
    pub fn parse(written: &[String]) -> Result<Self, Faults> {
        let mut networks = Vec::with_capacity(written.len());
        let mut faults = Faults::default();
        for (index, text) in written.iter().enumerate() {
            let place = format!("[{index}]");
            match network(text) {
                Ok(network) if networks.contains(&network) => {
                    faults.push(Fault::new(place, format!("`{text}` is there twice")));
                }
                Ok(network) => networks.push(network),
                Err(fault) => faults.add(&place, [fault]),
            }
        }
        faults.into_result(Self(networks.into()))
    }

    /// Whether an address is in one of the networks. An IPv4 address that is wrapped in IPv6 (`::ffff:10.0.0.1`), as
    /// sockets for both give it, is taken as the IPv4 address it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn network(text: &str) -> Result<IpNet, Fault> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let network: IpNet = text.parse().map_err(|_| {
        Fault::new("", format!("`{text}` is neither an address nor a network"))
            .hint("write `10.0.0.0/8`, `fd00::/8`, or one address such as `10.1.2.3`")
    })?;
    if network.addr().to_canonical() != network.addr() {
        let fault = Fault::new("", format!("`{text}` wraps an IPv4 network in IPv6"));
        return Err(fault.hint("write the IPv4 network itself"));
    }
    if network.trunc() != network {
        let fault = Fault::new("", format!("`{text}` has bits set beyond its prefix"));
        return Err(fault.hint(format!(
            "write `{}`, or `{}` for the one address",
            network.trunc(),
            network.addr()
        )));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn networks(written: &[&str]) -> Result<Networks, Faults> {
        Networks::parse(&written.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_address_is_in_the_networks_that_hold_it_however_it_is_wrapped() {
        let list = networks(&["10.0.0.0/8", "192.0.2.7", "fd00::/8", "::ffff:198.51.100.1"]).unwrap();
        for (address, expected) in [
            ("10.255.0.1", true),
            ("::ffff:10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("fd12::1", true),
            ("fe80::1", false),
            ("198.51.100.1", true),
            ("::a00:1", false),
        ] {
            assert_eq!(list.contains(address.parse().unwrap()), expected, "{address}");
        }
        assert!(!networks(&[]).unwrap().contains("127.0.0.1".parse().unwrap()));
        assert!(networks(&["0.0.0.0/0"]).unwrap().contains("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faults =
            networks(&["10.1.0.0/8", "10.0.0.0/33", "shop", "::1", "::1/128", "::ffff:10.0.0.0/104"]);
        let told: Vec<String> = faults.unwrap_err().0.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told[0].contains("write `10.0.0.0/8`, or `10.1.0.0`"), "{told:?}");
        assert!(told[3].starts_with("[4]: `::1/128` is there twice"), "{told:?}");
        assert!(told[4].contains("IPv4 network itself"), "{told:?}");
    }
}
