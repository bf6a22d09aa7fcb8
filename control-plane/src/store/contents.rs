//! Contents as a list of records and back: what stores of keys and values, and backups, are made of.

use std::sync::Arc;

use portreeve_config::wire::Revision;

use super::{Commit, Contents, Record, Versioned};

impl Contents {
    /// Adds one record of a list that names each thing once and takes nothing away.
    pub(crate) fn add(&mut self, revision: Revision, record: Record) {
        match record {
            Record::Route { value: Some(value), .. } => self.routes.push(Versioned { revision, value }),
            Record::Service { name, known: true } => self.services.push(name),
            Record::Instance { value: Some(instance), .. } => self.instances.push(instance),
            Record::Layer { key, value: Some(value) } => {
                self.layers.push((key, Versioned { revision, value }))
            }
            Record::History { revision, value: Some(entry) } => self.history.push((revision, entry)),
            Record::Route { value: None, .. }
            | Record::Service { known: false, .. }
            | Record::Instance { value: None, .. }
            | Record::Layer { value: None, .. }
            | Record::History { value: None, .. } => {}
        }
    }

    /// Everything as records, each with the revision that made it as far as that is known (0 otherwise).
    pub(crate) fn records(&self) -> impl Iterator<Item = Versioned<Record>> {
        let routes = self.routes.iter().map(|Versioned { revision, value }| {
            let record = Record::Route { name: value.name.clone(), value: Some(value.clone()) };
            Versioned { revision: *revision, value: record }
        });
        let services = self.services.iter().map(|name| Record::Service { name: name.clone(), known: true });
        let instances = self
            .instances
            .iter()
            .map(|instance| Record::Instance { key: instance.key(), value: Some(Arc::clone(instance)) });
        let unversioned = services.chain(instances).map(|value| Versioned { revision: 0, value });
        let layers = self.layers.iter().map(|(key, Versioned { revision, value })| {
            let record = Record::Layer { key: key.clone(), value: Some(value.clone()) };
            Versioned { revision: *revision, value: record }
        });
        let history = self.history.iter().map(|(revision, entry)| {
            let record = Record::History { revision: *revision, value: Some(entry.clone()) };
            Versioned { revision: *revision, value: record }
        });
        routes.chain(unversioned).chain(layers).chain(history)
    }
}

impl Record {
    /// What takes its thing away.
    pub(crate) fn removed(self) -> Self {
        match self {
            Self::Route { name, .. } => Self::Route { name, value: None },
            Self::Service { name, .. } => Self::Service { name, known: false },
            Self::Instance { key, .. } => Self::Instance { key, value: None },
            Self::Layer { key, .. } => Self::Layer { key, value: None },
            Self::History { revision, .. } => Self::History { revision, value: None },
        }
    }

    /// Whether it takes its thing away.
    pub(crate) fn is_removal(&self) -> bool {
        match self {
            Self::Route { value, .. } => value.is_none(),
            Self::Service { known, .. } => !known,
            Self::Instance { value, .. } => value.is_none(),
            Self::Layer { value, .. } => value.is_none(),
            Self::History { value, .. } => value.is_none(),
        }
    }
}

/// When the set of routes changed last, after `commits` on top of `before`.
pub(crate) fn routes_revision(before: Revision, commits: &[Commit]) -> Revision {
    let touches =
        |commit: &&Commit| commit.records.iter().any(|record| matches!(record, Record::Route { .. }));
    commits.iter().rev().find(touches).map_or(before, |commit| commit.revision)
}
