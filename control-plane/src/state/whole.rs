//! Putting a whole state in the place of what is there: a desired one, or what was in force at an earlier revision.
//! It is checked whole before any of it counts, as every other write is.

use std::sync::Arc;

use portreeve_config::wire::Revision;
use portreeve_config::{DesiredState, Faults, check};

use super::admission;
use super::command::{Precondition, Refusal};
use super::draft::{Draft, Ground};
use crate::history::Whole;
use crate::store::{LayerKey, Record};

/// A whole state with so many faults is not read any further.
const MOST_FAULTS: usize = 50;

impl Draft {
    pub(super) fn apply(
        &self,
        state: DesiredState,
        precondition: &Precondition,
        ground: &Ground<'_>,
    ) -> Result<Vec<Record>, Refusal> {
        precondition.check(Some(self.catalog.changed_at()))?;
        let faults = admission::desired_state(&state, &self.catalog.services);
        faults.into_result(()).map_err(Refusal::Invalid)?;
        let mut whole = Whole::of(&self.catalog);
        if let Some(services) = state.services {
            whole.services = services.into_iter().collect();
        }
        if let Some(routes) = state.routes {
            whole.routes = routes.into_iter().map(|route| (route.name.clone(), Arc::new(route))).collect();
        }
        if let Some(config) = state.config {
            let layers = config.into_iter().flat_map(|(application, profiles)| {
                profiles.into_iter().map(move |(profile, values)| {
                    (LayerKey { application: application.clone(), profile }, Arc::new(values))
                })
            });
            whole.layers = layers.collect();
        }
        Ok(self.become_whole(whole, ground))
    }

    pub(super) fn roll_back(
        &self,
        revision: Revision,
        precondition: &Precondition,
        ground: &Ground<'_>,
    ) -> Result<Vec<Record>, Refusal> {
        let (history, changed_at) = (&self.catalog.history, self.catalog.changed_at());
        precondition.check(Some(changed_at))?;
        if revision > self.revision {
            return Err(Refusal::NotYet { revision, newest: self.revision });
        }
        let oldest = history.oldest().unwrap_or(changed_at);
        let forgotten = Refusal::Forgotten { revision, oldest };
        if revision < oldest {
            return Err(forgotten);
        }
        let whole = history.whole_at(revision, Whole::of(&self.catalog)).ok_or(forgotten)?;
        faults(&whole).into_result(()).map_err(Refusal::Invalid)?;
        Ok(self.become_whole(whole, ground))
    }

    /// What makes `whole` of what is there. Services that have instances stay known: they would be again with
    /// the next registration.
    fn become_whole(&self, mut whole: Whole, ground: &Ground<'_>) -> Vec<Record> {
        let now = Whole::of(&self.catalog);
        let unnamed = now.services.iter().filter(|name| !whole.services.contains(*name));
        let alive: Vec<_> = unnamed.filter(|name| self.has_instances(name, ground)).cloned().collect();
        whole.services.extend(alive);
        let service = |name: &String, known| Record::Service { name: name.clone(), known };
        let route = |name: &String, value| Record::Route { name: name.clone(), value };
        let layer = |key: &LayerKey, value| Record::Layer { key: key.clone(), value };
        let mut records: Vec<_> =
            whole.services.difference(&now.services).map(|name| service(name, true)).collect();
        let gone = now.routes.keys().filter(|name| !whole.routes.contains_key(*name));
        records.extend(gone.map(|name| route(name, None)));
        let new = whole.routes.iter().filter(|(name, value)| now.routes.get(*name) != Some(value));
        records.extend(new.map(|(name, value)| route(name, Some(value.clone()))));
        let gone = now.layers.keys().filter(|key| !whole.layers.contains_key(*key));
        records.extend(gone.map(|key| layer(key, None)));
        let new = whole.layers.iter().filter(|(key, value)| now.layers.get(*key) != Some(value));
        records.extend(new.map(|(key, value)| layer(key, Some(value.clone()))));
        // Last, once no route points to them.
        records.extend(now.services.difference(&whole.services).map(|name| service(name, false)));
        records
    }
}

/// What was admitted once may break a rule of today.
fn faults(whole: &Whole) -> Faults {
    let mut faults = Faults::default();
    for (name, route) in &whole.routes {
        faults.add(&format!("routes.{name}"), check::route(route, Some(&whole.services)));
        if faults.0.len() > MOST_FAULTS {
            return faults;
        }
    }
    for (key, values) in &whole.layers {
        let place = format!("config.{}.{}", key.application, key.profile);
        faults.add(&place, admission::layer(key, values));
    }
    faults
}
