//! Who is registered: instances in order of service and name, and (in [`lease`]) until when.
//! Pure: it does no I/O and reads no clock, so every rule of it can be tested by passing times in.

mod lease;

use std::collections::BTreeMap;
use std::sync::Arc;

use portreeve_config::wire::Instance;
use serde::{Deserialize, Serialize};

pub(crate) use lease::{Holder, Leases};

/// The name of an instance among all instances.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct InstanceKey {
    pub(crate) service: String,
    pub(crate) id: String,
}

impl InstanceKey {
    pub(crate) fn new(service: impl Into<String>, id: impl Into<String>) -> Self {
        Self { service: service.into(), id: id.into() }
    }

    pub(crate) fn of(instance: &Instance) -> Self {
        Self::new(&instance.service, &instance.id)
    }
}

/// Every registered instance.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    instances: BTreeMap<InstanceKey, Arc<Instance>>,
}

impl Registry {
    pub(crate) fn get(&self, key: &InstanceKey) -> Option<&Arc<Instance>> {
        self.instances.get(key)
    }

    /// All instances in order of service and name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.values()
    }

    /// The instances of one service, without a look at any other.
    pub(crate) fn of_service<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Arc<Instance>> {
        self.instances
            .range(InstanceKey::new(service, "")..)
            .take_while(move |(key, _)| key.service == service)
            .map(|(_, instance)| instance)
    }

    pub(crate) fn len(&self) -> usize {
        self.instances.len()
    }

    /// Puts an instance in its place, or takes it out.
    pub(crate) fn set(&mut self, key: InstanceKey, value: Option<Arc<Instance>>) {
        match value {
            Some(instance) => self.instances.insert(key, instance),
            None => self.instances.remove(&key),
        };
    }
}
