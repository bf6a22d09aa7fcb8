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
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
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
    services: BTreeMap<Arc<str>, Service>,
    hasher: RandomState,
    count: usize,
    recent: Recent,
    /// When an instance changed last.
    revision: Revision,
}

/// The instances of one service.
#[derive(Debug, Default)]
struct Service {
    /// In order of their names.
    in_order: Vec<Arc<Registered>>,
    /// The same by name: each step of a search in order would be at another place in memory, and there is one for each
    /// sign of life of a Eureka client.
    by_id: HashTable<Arc<Registered>>,
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
        self.services.get(service)?.find(self.hasher.hash_one(id), id)
    }

    /// All instances in order of service and name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Registered>> {
        self.services.values().flat_map(|service| &service.in_order)
    }

    /// The instances of one service, without a look at any other.
    pub(crate) fn of_service<'a>(
        &'a self,
        service: &str,
    ) -> impl Iterator<Item = &'a Arc<Registered>> + use<'a> {
        self.services.get(service).into_iter().flat_map(|service| &service.in_order)
    }

    /// The first instance of this name, whatever its service.
    pub(crate) fn anywhere(&self, id: &str) -> Option<&Arc<Registered>> {
        let hash = self.hasher.hash_one(id);
        self.services.values().find_map(|service| service.find(hash, id))
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
        let Some((name, service)) = self.services.get_key_value(&instance.service) else { return };
        instance.service = name.clone();
        let (Ok(near) | Err(near)) = service.place(&instance.id);
        let siblings = &service.in_order;
        for sibling in [near, near.wrapping_sub(1)].into_iter().filter_map(|at| siblings.get(at)) {
            instance.share(sibling);
        }
    }

    fn put(&mut self, instance: Arc<Registered>) {
        let service = match self.services.get_mut(&instance.service) {
            Some(service) => service,
            None => self.services.entry(instance.service.clone()).or_default(),
        };
        self.count += usize::from(service.put(instance, &self.hasher));
    }

    fn take(&mut self, key: &InstanceKey) -> Option<Arc<Registered>> {
        let service = self.services.get_mut(&key.service)?;
        let taken = service.take(&key.id, &self.hasher)?;
        if service.in_order.is_empty() {
            self.services.remove(&key.service);
        }
        self.count -= 1;
        Some(taken)
    }
}

impl Service {
    fn find(&self, hash: u64, id: &str) -> Option<&Arc<Registered>> {
        self.by_id.find(hash, |other| &*other.id == id)
    }

    /// Where `id` stands in order, or would.
    fn place(&self, id: &str) -> Result<usize, usize> {
        self.in_order.binary_search_by(|other| (*other.id).cmp(id))
    }

    /// Whether it is one more.
    fn put(&mut self, instance: Arc<Registered>, hasher: &RandomState) -> bool {
        let hash = hasher.hash_one(&*instance.id);
        if let Some(former) = self.by_id.find_mut(hash, |other| other.id == instance.id) {
            former.clone_from(&instance);
            if let Ok(at) = self.place(&instance.id) {
                self.in_order[at] = instance;
            }
            return false;
        }
        self.by_id.insert_unique(hash, instance.clone(), |other| hasher.hash_one(&*other.id));
        let (Ok(at) | Err(at)) = self.place(&instance.id);
        self.in_order.insert(at, instance);
        true
    }

    fn take(&mut self, id: &str, hasher: &RandomState) -> Option<Arc<Registered>> {
        let (taken, _) = self.by_id.find_entry(hasher.hash_one(id), |other| &*other.id == id).ok()?.remove();
        if let Ok(at) = self.place(id) {
            self.in_order.remove(at);
        }
        Some(taken)
    }
}
