//! What an empty database is filled with: one first revision. The seed is checked with the rest of the file.

use std::sync::Arc;

use portreeve_config::SeedConfig;

use super::draft::Draft;
use super::model::Model;
use crate::history::Author;
use crate::store::{Commit, LayerKey, Record, Store, StoreError};

/// Fills `model` and `store` from `seed`; an empty seed changes nothing.
pub(super) fn fill(model: &mut Model, store: &mut impl Store, seed: SeedConfig) -> Result<(), StoreError> {
    let records = records(seed);
    if records.is_empty() {
        return Ok(());
    }
    let mut draft = Draft::of(model, 1);
    let author = Author::new("seed", "the database was empty");
    let (records, _) = draft.keep(records, &author);
    draft.put(&records);
    store.commit(&[Commit { revision: draft.revision, records }])?;
    model.adopt(draft.revision, draft.catalog, draft.instances);
    Ok(())
}

fn records(seed: SeedConfig) -> Vec<Record> {
    let services = seed.services.into_iter().map(|name| Record::Service { name, known: true });
    let routes = seed
        .routes
        .into_iter()
        .map(|route| Record::Route { name: route.name.clone(), value: Some(Arc::new(route)) });
    let layers = seed.config.into_iter().flat_map(|(application, profiles)| {
        profiles.into_iter().map(move |(profile, values)| {
            let key = LayerKey { application: application.clone(), profile };
            Record::Layer { key, value: Some(Arc::new(values)) }
        })
    });
    services.chain(routes).chain(layers).collect()
}
