//! What was changed, by whom, when and why: one entry for each accepted change of routes, services or configuration,
//! with what was there before and after, so that a kept revision can be shown and gone back to.

mod layers;
mod shown;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use jiff::Timestamp;
use portreeve_config::RouteConfig;
use portreeve_config::wire::Revision;
use serde::{Deserialize, Serialize};

use crate::state::Catalog;
use crate::store::{LayerKey, Record, Values};

use layers::LayerDifference;
pub(crate) use shown::{Change, Subject};

/// Entries that are kept; the oldest go first.
const MOST_ENTRIES: usize = 1_000;
/// What the kept entries hold together, as JSON. The newest one is kept whatever its size.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

/// Who makes a change, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Author {
    pub(crate) who: String,
    /// Empty where nothing was said.
    pub(crate) why: String,
}

impl Author {
    pub(crate) fn new(who: impl Into<String>, why: impl Into<String>) -> Self {
        Self { who: who.into(), why: why.into() }
    }
}

/// One accepted change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The revision at which what was `before` had come into force: the oldest that this entry leads back to.
    pub(crate) previous: Revision,
    pub(crate) at: Timestamp,
    pub(crate) who: String,
    pub(crate) why: String,
    pub(crate) differences: Vec<Difference>,
    /// The length of `differences` as JSON.
    pub(crate) bytes: u64,
}

/// One thing as it was and as it became. Both sides are kept, so that entries do not depend on each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Difference {
    Route {
        name: String,
        before: Option<Arc<RouteConfig>>,
        after: Option<Arc<RouteConfig>>,
    },
    Service {
        name: String,
        before: bool,
        after: bool,
    },
    Layer {
        key: LayerKey,
        #[serde(flatten)]
        values: LayerDifference,
    },
}

/// The kept entries, by the revisions they made.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    entries: BTreeMap<Revision, Arc<Entry>>,
}

/// Routes, services and configuration as one value that can be put in the place of what is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whole {
    pub(crate) services: BTreeSet<String>,
    pub(crate) routes: BTreeMap<String, Arc<RouteConfig>>,
    pub(crate) layers: BTreeMap<LayerKey, Arc<Values>>,
}

impl History {
    pub(crate) fn new(entries: impl IntoIterator<Item = (Revision, Arc<Entry>)>) -> Self {
        Self { entries: entries.into_iter().collect() }
    }

    /// Puts an entry in, or lets go of one.
    pub(crate) fn set(&mut self, revision: Revision, entry: Option<Arc<Entry>>) {
        match entry {
            Some(entry) => self.entries.insert(revision, entry),
            None => self.entries.remove(&revision),
        };
    }

    pub(crate) fn get(&self, revision: Revision) -> Option<&Arc<Entry>> {
        self.entries.get(&revision)
    }

    /// The newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = (Revision, &Arc<Entry>)> {
        self.entries.iter().rev().map(|(revision, entry)| (*revision, entry))
    }

    /// The revision of the last accepted change.
    pub(crate) fn newest(&self) -> Option<Revision> {
        self.entries.last_key_value().map(|(revision, _)| *revision)
    }

    /// The oldest revision that can be gone back to.
    pub(crate) fn oldest(&self) -> Option<Revision> {
        self.entries.first_key_value().map(|(_, entry)| entry.previous)
    }

    /// What keeps a change as `revision`: its entry, and the entries that are let go of for it.
    pub(crate) fn records(&self, revision: Revision, entry: Arc<Entry>) -> Vec<Record> {
        let mut bytes = entry.bytes + self.entries.values().map(|entry| entry.bytes).sum::<u64>();
        let mut count = self.entries.len() + 1;
        let mut records = Vec::new();
        for (oldest, entry) in &self.entries {
            if count <= MOST_ENTRIES && bytes <= MOST_BYTES {
                break;
            }
            count -= 1;
            bytes -= entry.bytes;
            records.push(Record::History { revision: *oldest, value: None });
        }
        records.push(Record::History { revision, value: Some(entry) });
        records
    }

    /// What changed from one revision to another, each thing once; backwards where `to` is the older one. Both
    /// must be no older than [`History::oldest`].
    pub(crate) fn between(&self, from: Revision, to: Revision) -> Vec<Difference> {
        let entries = self.entries.range((Excluded(from.min(to)), Included(from.max(to))));
        let mut merged: BTreeMap<Subject, Difference> = BTreeMap::new();
        for difference in entries.flat_map(|(_, entry)| &entry.differences) {
            match merged.get_mut(&difference.subject()) {
                Some(earlier) => earlier.continue_with(difference),
                None => drop(merged.insert(difference.subject(), difference.clone())),
            }
        }
        let differences = merged.into_values().filter(Difference::is_one);
        match from <= to {
            true => differences.collect(),
            false => differences.map(Difference::reversed).collect(),
        }
    }

    /// What was in force at `revision`, `now` being what is in force. `None` when that is no longer known. What
    /// came without an entry, such as a service that an instance brought along, stays.
    pub(crate) fn whole_at(&self, revision: Revision, mut now: Whole) -> Option<Whole> {
        if self.oldest().is_some_and(|oldest| revision < oldest) {
            return None;
        }
        for entry in self.entries.range((Excluded(revision), Unbounded)).rev().map(|(_, entry)| entry) {
            entry.differences.iter().for_each(|difference| now.undo(difference));
        }
        Some(now)
    }
}

impl Entry {
    /// The entry for what `records` make of `catalog`. `None` where they change nothing that is kept.
    pub(crate) fn of(
        catalog: &Catalog,
        records: &[Record],
        previous: Revision,
        author: &Author,
    ) -> Option<Self> {
        let differences: Vec<_> =
            records.iter().filter_map(|record| Difference::of(catalog, record)).collect();
        if differences.is_empty() {
            return None;
        }
        let bytes = serde_json::to_vec(&differences).map_or(0, |text| text.len() as u64);
        let Author { who, why } = author.clone();
        let previous = catalog.history.newest().unwrap_or(previous);
        Some(Self { previous, at: Timestamp::now(), who, why, differences, bytes })
    }
}

impl Difference {
    fn of(catalog: &Catalog, record: &Record) -> Option<Self> {
        match record.clone() {
            Record::Route { name, value: after } => {
                let before = catalog.routes.get(&name).map(|route| route.value.clone());
                Some(Self::Route { name, before, after })
            }
            Record::Service { name, known: after } => {
                let before = catalog.services.contains(&name);
                Some(Self::Service { name, before, after })
            }
            Record::Layer { key, value: after } => {
                let before = catalog.layers.get(&key).map(|layer| &*layer.value);
                Some(Self::Layer { values: LayerDifference::of(before, after.as_deref()), key })
            }
            Record::Instance { .. } | Record::History { .. } => None,
        }
    }

    /// Takes the outcome of a later change of the same thing.
    fn continue_with(&mut self, later: &Self) {
        match (self, later) {
            (Self::Route { after, .. }, Self::Route { after: last, .. }) => after.clone_from(last),
            (Self::Service { after, .. }, Self::Service { after: last, .. }) => *after = *last,
            (Self::Layer { values, .. }, Self::Layer { values: later, .. }) => values.continue_with(later),
            _ => {}
        }
    }

    /// Whether anything differs.
    fn is_one(&self) -> bool {
        match self {
            Self::Route { before, after, .. } => before != after,
            Self::Service { before, after, .. } => before != after,
            Self::Layer { values, .. } => values.before != values.after,
        }
    }

    fn reversed(self) -> Self {
        match self {
            Self::Route { name, before, after } => Self::Route { name, before: after, after: before },
            Self::Service { name, before, after } => Self::Service { name, before: after, after: before },
            Self::Layer { key, values } => Self::Layer { key, values: values.reversed() },
        }
    }
}

impl Whole {
    pub(crate) fn of(catalog: &Catalog) -> Self {
        Self {
            services: catalog.services.clone(),
            routes: catalog.routes.iter().map(|(name, route)| (name.clone(), route.value.clone())).collect(),
            layers: catalog.layers.iter().map(|(key, layer)| (key.clone(), layer.value.clone())).collect(),
        }
    }

    fn undo(&mut self, difference: &Difference) {
        match difference {
            Difference::Route { name, before, .. } => set(&mut self.routes, name, before),
            Difference::Layer { key, values } => {
                let before = values.undone(self.layers.get(key).map(|layer| &**layer));
                set(&mut self.layers, key, &before.map(Arc::new));
            }
            Difference::Service { name, before: true, .. } => drop(self.services.insert(name.clone())),
            Difference::Service { name, before: false, .. } => drop(self.services.remove(name)),
        }
    }
}

fn set<K: Ord + Clone, V: Clone>(map: &mut BTreeMap<K, V>, key: &K, value: &Option<V>) {
    match value {
        Some(value) => map.insert(key.clone(), value.clone()),
        None => map.remove(key),
    };
}

#[cfg(test)]
mod tests;
