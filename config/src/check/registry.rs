//! An instance that wants to be registered, whoever sends it: a sidecar, the API, or an old client.

use std::time::Duration;

use super::{address, names, sidecar};
use crate::wire::Instance;
use crate::{Fault, Faults};

pub(super) fn faults(instance: &Instance) -> Faults {
    let mut faults = Faults::default();
    faults.add("service", names::service_name(&instance.service));
    faults.add("id", names::instance_id(&instance.id));
    faults.add("address", address::reachable(instance.address));
    faults.add("lease_ms", sidecar::lease(Duration::from_millis(instance.lease_ms)));
    let metadata = &instance.metadata;
    if metadata.len() > 64 {
        faults.push(Fault::new("metadata", format!("{} entries: at most 64", metadata.len())));
    }
    let bytes: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > 16 * 1024 {
        faults.push(Fault::new("metadata", format!("{bytes} bytes: at most 16 KiB")));
    }
    if metadata.contains_key("") {
        faults.push(Fault::new("metadata", "an entry has a name"));
    }
    faults
}
