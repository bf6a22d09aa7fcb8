//! What is true now: the catalogue (routes, services, configuration) and the registry, as of one revision.
//! Only the writer changes it, and only after the store has kept the change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use portreeve_config::RouteConfig;
use portreeve_config::wire::{ConfigScope, Revision};

use crate::configuration::Standing;
use crate::history::History;
use crate::registry::{InstanceKey, Registered, Registry};
use crate::store::{Contents, LayerKey, Record, Values, Versioned};

/// Everything that nodes and API clients can see.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) revision: Revision,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) registry: Registry,
    /// Where configuration comes from, the built-in store among it.
    pub(crate) standing: Arc<Standing>,
}

/// Routes, services and configuration: few and small, so a group of writes works on its own cheap copy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) routes: BTreeMap<String, Versioned<Arc<RouteConfig>>>,
    /// When the set of routes changed last.
    pub(crate) routes_revision: Revision,
    pub(crate) services: BTreeSet<String>,
    pub(crate) layers: BTreeMap<LayerKey, Versioned<Arc<Values>>>,
    pub(crate) history: History,
}

/// Instances that a group of writes changes; `None` is removed.
pub(crate) type InstanceChanges = HashMap<InstanceKey, Option<Arc<Registered>>>;

impl Model {
    /// What the store held.
    pub(crate) fn restore(contents: Contents) -> Self {
        let routes = contents.routes.into_iter().map(|route| (route.value.name.clone(), route));
        let catalog = Catalog {
            routes: routes.collect(),
            routes_revision: contents.routes_revision,
            services: contents.services.into_iter().collect(),
            layers: contents.layers.into_iter().collect(),
            history: History::new(contents.history),
        };
        let registry = Registry::restore(contents.instances, contents.revision, now());
        Self { revision: contents.revision, catalog: Arc::new(catalog), registry, standing: Arc::default() }
    }

    /// The configuration that a sidecar of `scope` gets.
    pub(crate) fn merged(&self, scope: &ConfigScope) -> Values {
        self.standing.merged(scope, &self.catalog.layers)
    }

    /// Everything, as a store would hold it.
    pub(crate) fn contents(&self) -> Contents {
        Contents {
            revision: self.revision,
            routes_revision: self.catalog.routes_revision,
            routes: self.catalog.routes.values().cloned().collect(),
            services: self.catalog.services.iter().cloned().collect(),
            instances: self.registry.all().cloned().collect(),
            layers: self.catalog.layers.iter().map(|(key, layer)| (key.clone(), layer.clone())).collect(),
            history: self.catalog.history.newest_first().map(|(at, entry)| (at, entry.clone())).collect(),
        }
    }

    /// Takes over what a group of writes made of this model.
    pub(crate) fn adopt(&mut self, revision: Revision, catalog: Arc<Catalog>, instances: InstanceChanges) {
        self.revision = revision;
        self.catalog = catalog;
        let at = (revision, now());
        for (key, value) in instances {
            self.registry.set(&key, value, at);
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}

impl Catalog {
    /// Puts one record in force. Instances are the registry's.
    pub(crate) fn apply(&mut self, record: &Record, revision: Revision) {
        match record {
            Record::Route { name, value } => {
                self.routes_revision = revision;
                match value {
                    Some(value) => {
                        self.routes.insert(name.clone(), Versioned { revision, value: value.clone() });
                    }
                    None => drop(self.routes.remove(name)),
                }
            }
            Record::Service { name, known: true } => drop(self.services.insert(name.clone())),
            Record::Service { name, known: false } => drop(self.services.remove(name)),
            Record::Layer { key, value: Some(value) } => {
                self.layers.insert(key.clone(), Versioned { revision, value: value.clone() });
            }
            Record::Layer { key, value: None } => drop(self.layers.remove(key)),
            Record::History { revision, value } => self.history.set(*revision, value.clone()),
            Record::Instance { .. } => {}
        }
    }

    /// When routes, services or configuration were last changed on purpose: what a precondition on all of them is
    /// compared with. A database from before there was history knows it of routes and configuration only.
    pub(crate) fn changed_at(&self) -> Revision {
        self.history.newest().unwrap_or_else(|| {
            let layers = self.layers.values().map(|layer| layer.revision);
            layers.chain([self.routes_revision]).max().unwrap_or_default()
        })
    }
}
