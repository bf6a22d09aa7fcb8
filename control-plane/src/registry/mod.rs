//! Who is registered: instances in order of service and name, what changed of them lately, and (in [`lease`])
//! until when each is believed. Pure: it does no I/O and reads no clock, so every rule of it can be tested by
//! passing times in.

mod eureka;
mod evidence;
mod instance;
mod lease;
mod pairs;
mod recent;
mod succession;

use std::collections::BTreeMap;
use std::sync::Arc;

use portreeve_config::wire::Revision;

pub(crate) use eureka::{Application, Details, EurekaStatus, Pattern, ip_address, service_of};
pub(crate) use instance::{InstanceKey, Registered};
pub(crate) use lease::{Age, Holder, Leases};
pub(crate) use pairs::Pairs;
pub(crate) use recent::{Action, Changed, Recent};
pub(crate) use succession::Amendment;

/// Every registered instance.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// Each service's instances, in order of their names.
    services: BTreeMap<Arc<str>, Vec<Arc<Registered>>>,
    count: usize,
    recent: Recent,
    /// When an instance changed last.
    revision: Revision,
}

impl Registry {
    /// What a store held at `revision`, as of `now` (milliseconds since 1970).
    pub(crate) fn restore(instances: Vec<Arc<Registered>>, revision: Revision, now: u64) -> Self {
        let mut registry = Self { revision, ..Self::default() };
        for instance in instances {
            let mut instance = Arc::unwrap_or_clone(instance);
            registry.share(&mut instance);
            registry.put(Arc::new(instance));
        }
        if registry.count > 0 {
            registry.recent.begin_anew(now);
        }
        registry
    }

    pub(crate) fn get(&self, key: &InstanceKey) -> Option<&Arc<Registered>> {
        self.find(&key.service, &key.id)
    }

    /// As [`Registry::get`], for whoever has the two names only.
    pub(crate) fn find(&self, service: &str, id: &str) -> Option<&Arc<Registered>> {
        let instances = self.services.get(service)?;
        let at = instances.binary_search_by(|instance| (*instance.id).cmp(id)).ok()?;
        instances.get(at)
    }

    /// All instances in order of service and name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Registered>> {
        self.services.values().flatten()
    }

    /// The instances of one service, without a look at any other.
    pub(crate) fn of_service<'a>(
        &'a self,
        service: &str,
    ) -> impl Iterator<Item = &'a Arc<Registered>> + use<'a> {
        self.services.get(service).into_iter().flatten()
    }

    /// The first instance of this name, whatever its service.
    pub(crate) fn anywhere(&self, id: &str) -> Option<&Arc<Registered>> {
        let find = |instances: &Vec<Arc<Registered>>| instances.binary_search_by(|other| (*other.id).cmp(id));
        self.services.values().find_map(|instances| instances.get(find(instances).ok()?))
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// When an instance changed last.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// What changed lately.
    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Puts an instance in its place, or takes it out, as of `now` (milliseconds since 1970).
    pub(crate) fn set(&mut self, key: &InstanceKey, value: Option<Arc<Registered>>, at: (Revision, u64)) {
        let (revision, now) = at;
        self.revision = revision;
        match value {
            Some(instance) => {
                let action = if instance.amended { Action::Modified } else { Action::Added };
                self.recent.push(Changed { at: now, instance: instance.clone(), action });
                self.put(instance);
            }
            None => {
                if let Some(instance) = self.take(key) {
                    self.recent.push(Changed { at: now, instance, action: Action::Deleted });
                }
            }
        }
    }

    /// Lets a new instance use what an instance of its service holds already: most of what two instances of one
    /// service say of themselves is the same.
    pub(crate) fn share(&self, instance: &mut Registered) {
        let Some((service, siblings)) = self.services.get_key_value(&instance.service) else { return };
        instance.service = service.clone();
        let near = match siblings.binary_search_by(|sibling| sibling.id.cmp(&instance.id)) {
            Ok(at) | Err(at) => at,
        };
        for sibling in [near, near.wrapping_sub(1)].into_iter().filter_map(|at| siblings.get(at)) {
            instance.share(sibling);
        }
    }

    fn put(&mut self, instance: Arc<Registered>) {
        let instances = match self.services.get_mut(&instance.service) {
            Some(instances) => instances,
            None => self.services.entry(instance.service.clone()).or_default(),
        };
        match instances.binary_search_by(|other| other.id.cmp(&instance.id)) {
            Ok(at) => instances[at] = instance,
            Err(at) => {
                instances.insert(at, instance);
                self.count += 1;
            }
        }
    }

    fn take(&mut self, key: &InstanceKey) -> Option<Arc<Registered>> {
        let instances = self.services.get_mut(&key.service)?;
        let at = instances.binary_search_by(|instance| instance.id.cmp(&key.id)).ok()?;
        let taken = instances.remove(at);
        if instances.is_empty() {
            self.services.remove(&key.service);
        }
        self.count -= 1;
        Some(taken)
    }
}
