//! One registered instance, in the form in which a million of them fit into memory: what instances of one
//! service have in common is held once.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use portreeve_config::wire::{Instance, InstanceStatus};
use portreeve_config::{Faults, check};
use serde::{Deserialize, Serialize};

use super::{Details, Pairs};

/// The name of an instance among all instances.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct InstanceKey {
    pub(crate) service: Arc<str>,
    pub(crate) id: Arc<str>,
}

impl InstanceKey {
    pub(crate) fn new(service: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self { service: service.into(), id: id.into() }
    }
}

/// Where requests go, in two thirds of the memory. The zone of an IPv6 address is its host's own business and is
/// dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SocketAddr", into = "SocketAddr")]
pub(crate) struct Address {
    ip: IpAddr,
    port: u16,
}

impl Address {
    pub(crate) fn get(self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { ip: address.ip(), port: address.port() }
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        address.get()
    }
}

/// An instance as the registry keeps it. Its first six fields are those of [`Instance`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Registered {
    pub(crate) service: Arc<str>,
    pub(crate) id: Arc<str>,
    pub(crate) address: Address,
    pub(crate) status: InstanceStatus,
    pub(crate) lease_ms: u32,
    #[serde(default, skip_serializing_if = "Pairs::is_empty")]
    pub(crate) metadata: Pairs,
    /// Whether its latest change was one of status, and not a registration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) amended: bool,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub(crate) registered_at: u64,
    /// When anything of it changed last, in milliseconds since 1970.
    #[serde(default)]
    pub(crate) updated_at: u64,
    /// What it said as a client of Eureka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) eureka: Option<Box<Details>>,
}

impl Registered {
    pub(crate) fn key(&self) -> InstanceKey {
        InstanceKey { service: self.service.clone(), id: self.id.clone() }
    }

    /// As nodes are told of it.
    pub(crate) fn to_wire(&self) -> Instance {
        Instance {
            service: self.service.to_string(),
            id: self.id.to_string(),
            address: self.address.get(),
            status: self.status,
            lease_ms: self.lease_ms.into(),
            metadata: self.metadata.to_map(),
        }
    }

    /// What speaks against having it.
    pub(crate) fn faults(&self) -> Faults {
        let lease = Duration::from_millis(self.lease_ms.into());
        check::registration((&self.service, &self.id), self.address.get(), lease, self.metadata.iter())
    }

    /// Whether both say the same, apart from when they did.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let said = |one: &Self| Self { amended: false, registered_at: 0, updated_at: 0, ..one.clone() };
        said(self) == said(other)
    }

    /// Uses the other's memory for what both say alike.
    pub(super) fn share(&mut self, other: &Self) {
        self.metadata.share(&other.metadata);
        if let (Some(mine), Some(theirs)) = (&mut self.eureka, &other.eureka) {
            mine.share(theirs);
        }
    }
}

impl From<Instance> for Registered {
    /// The lease is bounded by the checks of an instance long before it reaches what fits.
    fn from(instance: Instance) -> Self {
        Self {
            service: instance.service.into(),
            id: instance.id.into(),
            address: instance.address.into(),
            status: instance.status,
            lease_ms: u32::try_from(instance.lease_ms).unwrap_or(u32::MAX),
            metadata: instance.metadata.into(),
            amended: false,
            registered_at: 0,
            updated_at: 0,
            eureka: None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// A million of them are to fit into 500 MB, with their leases, their places in order and their names.
    #[test]
    fn an_instance_stays_small() {
        assert!(size_of::<Registered>() <= 104, "{}", size_of::<Registered>());
        assert!(size_of::<Details>() <= 48, "{}", size_of::<Details>());
    }
}
