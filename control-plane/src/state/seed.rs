//! What an empty database is filled with: one first revision, checked like any other write.

use std::sync::Arc;

use portreeve_config::{Faults, SeedConfig, check};

use super::BeginError;
use super::admission;
use super::draft::Draft;
use super::model::Model;
use crate::store::{Commit, LayerKey, Record, Store};

/// Fills `model` and `store` from `seed`; an empty seed changes nothing.
pub(super) fn fill(model: &mut Model, store: &mut impl Store, seed: SeedConfig) -> Result<(), BeginError> {
    let records = records(seed)?;
    let mut draft = Draft::of(model);
    draft.put(&records);
    if records.is_empty() {
        return Ok(());
    }
    store.commit(&[Commit { revision: draft.revision, records }])?;
    model.adopt(draft.revision, draft.catalog, draft.instances);
    Ok(())
}

/// The records of a seed, or all its faults with their places in the file.
fn records(seed: SeedConfig) -> Result<Vec<Record>, Faults> {
    let mut faults = Faults::default();
    let mut add = |found: Faults, prefix: &str| {
        faults.0.extend(found.0.into_iter().map(|fault| fault.under(prefix)));
    };
    for (index, name) in seed.services.iter().enumerate() {
        add(admission::service_name(name), &format!("seed.services[{index}]"));
    }
    let known = seed.services.iter().cloned().collect();
    add(check::routes(&seed.routes, Some(&known)), "seed.routes");
    let mut records: Vec<_> = known.into_iter().map(|name| Record::Service { name, known: true }).collect();
    for route in seed.routes {
        records.push(Record::Route { name: route.name.clone(), value: Some(Arc::new(route)) });
    }
    for (application, profiles) in seed.config {
        for (profile, values) in profiles {
            let prefix = format!("seed.config.{application}.{profile}");
            let key = LayerKey { application: application.clone(), profile };
            add(admission::layer(&key, &values), &prefix);
            records.push(Record::Layer { key, value: Some(Arc::new(values)) });
        }
    }
    faults.into_result(records)
}
