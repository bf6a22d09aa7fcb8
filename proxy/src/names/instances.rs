//! The instances of a service that a file fixes: what its endpoints lead to at this moment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use portreeve_config::{EndpointAddress, Faults, ServiceConfig};

use super::dial::ServiceDial;
use super::{Name, Names};
use crate::address::{Address, Dial};
use crate::policy::balance::EndpointSpec;

/// A service of a gateway's file, made ready.
#[derive(Clone, Debug)]
pub struct FixedService {
    dial: ServiceDial,
    places: Vec<Place>,
}

#[derive(Clone, Debug)]
enum Place {
    Address(SocketAddr),
    Unix(PathBuf),
    /// The port is that of records which bring none.
    Name {
        name: Name,
        port: u16,
    },
}

impl FixedService {
    /// Makes a service ready.
    ///
    /// # Errors
    /// Every fault of its endpoints and of how they are spoken to, with paths that start at the service.
    pub fn compile(config: &ServiceConfig) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let mut places = Vec::new();
        for (index, text) in config.endpoints.iter().enumerate() {
            match text.parse::<EndpointAddress>() {
                Ok(endpoint) => places.push(Place::from(endpoint)),
                Err(fault) => faults.add(&format!("endpoints[{index}]"), [fault]),
            }
        }
        match ServiceDial::compile(config) {
            Ok(dial) => faults.into_result(Self { dial, places }),
            Err(found) => {
                faults.add("", found);
                Err(faults)
            }
        }
    }

    /// The names it depends on.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.places.iter().filter_map(|place| match place {
            Place::Name { name, .. } => Some(name),
            Place::Address(_) | Place::Unix(_) => None,
        })
    }

    /// Its instances, as far as names are answered.
    pub fn instances(&self, names: &Names) -> Vec<EndpointSpec> {
        let plain = Arc::new(self.dial.to(None, None));
        let mut specs = Vec::new();
        for place in &self.places {
            match place {
                Place::Address(address) => specs.push(at((*address).into(), &plain)),
                Place::Unix(path) => specs.push(at(Address::Unix(path.as_path().into()), &plain)),
                Place::Name { name, port } => self.named(name, *port, names, &mut specs),
            }
        }
        specs
    }

    fn named(&self, name: &Name, port: u16, names: &Names, specs: &mut Vec<EndpointSpec>) {
        let Some(answer) = names.answer(name) else { return };
        let host: Arc<str> = identity(name).into();
        let alone = Arc::new(self.dial.to(Some(Arc::clone(&host)), None));
        for ((address, alternative), weight) in answer.instances(port) {
            let dial = match alternative {
                None => Arc::clone(&alone),
                Some(_) => Arc::new(self.dial.to(Some(Arc::clone(&host)), alternative)),
            };
            let id = format!("{}/{address}", name.bare()).into();
            specs.push(EndpointSpec { address: address.into(), id, dial, weight });
        }
    }
}

fn at(address: Address, dial: &Arc<Dial>) -> EndpointSpec {
    EndpointSpec { id: address.to_string().into(), address, dial: Arc::clone(dial), weight: 1 }
}

/// The host whose certificate an instance must have. For SRV records that is the name they belong to: their targets
/// come from the network, where anybody could have put in a host that has a certificate (RFC 6125, 1.8).
fn identity(name: &Name) -> &str {
    match name {
        Name::Host(_) => name.bare(),
        Name::Srv(_) => {
            let mut rest = name.bare();
            while let Some((label, parent)) = rest.split_once('.')
                && label.starts_with('_')
            {
                rest = parent;
            }
            rest
        }
    }
}

impl From<EndpointAddress> for Place {
    fn from(endpoint: EndpointAddress) -> Self {
        match endpoint {
            EndpointAddress::Tcp(address) => Self::Address(address),
            EndpointAddress::Unix(path) => Self::Unix(path),
            EndpointAddress::Host { name, port } => Self::Name { name: Name::Host(name.into()), port },
            EndpointAddress::Srv(name) => Self::Name { name: Name::Srv(name.into()), port: 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use portreeve_config::ProxyVersion;

    use super::*;

    #[test]
    fn addresses_and_sockets_need_no_answer() {
        let config = ServiceConfig {
            endpoints: ["127.0.0.1:80", "unix:/run/shop.sock", "shop:80"].map(str::to_owned).to_vec(),
            proxy_protocol: Some(ProxyVersion::V2),
            ..Default::default()
        };
        let service = FixedService::compile(&config).unwrap();
        assert_eq!(service.names().collect::<Vec<_>>(), [&Name::Host("shop".into())]);
        let specs = service.instances(&Names::default());
        let ids: Vec<&str> = specs.iter().map(|spec| &*spec.id).collect();
        assert_eq!(ids, ["127.0.0.1:80", "unix:/run/shop.sock"]);
        assert!(Arc::ptr_eq(&specs[0].dial, &specs[1].dial));
        assert_eq!(specs[1].address, Address::Unix(std::path::Path::new("/run/shop.sock").into()));
        assert_eq!((specs[0].dial.proxy_protocol, &specs[0].dial.host), (Some(ProxyVersion::V2), &None));
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let config = ServiceConfig {
            endpoints: ["127.0.0.1:80", "127.1:80", "unix:x"].map(str::to_owned).to_vec(),
            ..Default::default()
        };
        let faults = FixedService::compile(&config).unwrap_err();
        let places: Vec<&str> = faults.0.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(places, ["endpoints[1]", "endpoints[2]"]);
    }

    #[test]
    fn the_certificate_of_srv_targets_is_that_of_the_name_asked_for() {
        for (name, host) in [
            ("_http._tcp.shop.internal.", "shop.internal"),
            ("shop.service.consul", "shop.service.consul"),
            ("_http._tcp", "_tcp"),
        ] {
            assert_eq!(identity(&Name::Srv(name.into())), host);
        }
        assert_eq!(identity(&Name::Host("my_shop.".into())), "my_shop");
    }
}
