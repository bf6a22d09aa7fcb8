//! An instance that wants to be registered, whoever sends it: a sidecar, the API, or an old client.

use std::net::SocketAddr;
use std::time::Duration;

use super::{address, names, sidecar};
use crate::{Fault, Faults};

/// `name` is that of the service, and its own.
pub(super) fn faults<'a>(
    name: (&str, &str),
    target: SocketAddr,
    lease: Duration,
    metadata: impl Iterator<Item = (&'a str, &'a str)>,
) -> Faults {
    let mut faults = Faults::default();
    faults.add("service", names::service_name(name.0));
    faults.add("id", names::instance_id(name.1));
    faults.add("address", address::reachable(target));
    faults.add("lease_ms", sidecar::lease(lease));
    let (mut entries, mut bytes, mut is_named) = (0, 0, true);
    for (key, value) in metadata {
        entries += 1;
        bytes += key.len() + value.len();
        is_named &= !key.is_empty();
    }
    if entries > 64 {
        faults.push(Fault::new("metadata", format!("{entries} entries: at most 64")));
    }
    if bytes > 16 * 1024 {
        faults.push(Fault::new("metadata", format!("{bytes} bytes: at most 16 KiB")));
    }
    if !is_named {
        faults.push(Fault::new("metadata", "an entry has a name"));
    }
    faults
}
