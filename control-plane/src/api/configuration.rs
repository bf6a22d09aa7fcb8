//! `/v1/config`: layers of configuration, raw and merged.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use portreeve_config::wire::{ConfigScope, Revision};
use portreeve_config::{Faults, check};
use schemars::JsonSchema;
use serde::Serialize;

use super::body::{At, Document, Path, Seen};
use super::problem::Problem;
use super::write::{Done, Writing};
use crate::access::Caller;
use crate::state::{Command, Precondition, State as ControlState};
use crate::store::{LayerKey, Values};

/// What a layer is merged with; `None` removes a key.
pub(super) type Patch = BTreeMap<String, Option<String>>;

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Layers")]
pub(super) struct All {
    layers: Vec<Summary>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "LayerSummary")]
struct Summary {
    application: String,
    profile: String,
    changed_at: Revision,
    keys: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Layer {
    #[serde(flatten)]
    key: LayerKey,
    values: Arc<Values>,
}

/// `GET /v1/config`
pub(super) async fn list(State(state): State<ControlState>) -> At<impl Serialize> {
    state.read(|model| {
        let layers = model.catalog.layers.iter().map(|(key, layer)| Summary {
            application: key.application.clone(),
            profile: key.profile.clone(),
            changed_at: layer.revision,
            keys: layer.value.len(),
        });
        At::new(model.revision, All { layers: layers.collect() })
    })
}

/// `GET /v1/config/{application}/{profile}`
pub(super) async fn read(
    State(state): State<ControlState>,
    caller: Caller,
    Path(key): Path<(String, String)>,
) -> Result<At<impl Serialize>, Problem> {
    let key = layer_key(key);
    let layer = state.read(|model| model.catalog.layers.get(&key).cloned());
    let layer = layer.ok_or_else(|| Problem::missing("this layer has no configuration"))?;
    Ok(At::new(layer.revision, Seen::by(&caller, Layer { key, values: layer.value })?))
}

/// `GET /v1/config/{application}/{profile}/merged`
pub(super) async fn merged(
    State(state): State<ControlState>,
    caller: Caller,
    Path(key): Path<(String, String)>,
) -> Result<At<impl Serialize>, Problem> {
    let key = layer_key(key);
    let mut faults = Faults::default();
    faults.add("application", check::service_name(&key.application));
    faults.add("profile", check::profile_name(&key.profile));
    faults.into_result(()).map_err(Problem::faulty)?;
    let scope = ConfigScope { application: key.application.clone(), profile: key.profile.clone() };
    let (revision, values) =
        state.read(|model| (model.revision, model.standing.sealed(&scope, &model.catalog.layers)));
    Ok(At::new(revision, Seen::by(&caller, Layer { key, values: Arc::new(values) })?))
}

/// `PUT /v1/config/{application}/{profile}`
pub(super) async fn put(
    State(state): State<ControlState>,
    Path(key): Path<(String, String)>,
    writing: Writing,
    precondition: Precondition,
    document: Document,
) -> Result<At<Done>, Problem> {
    let values = document.parse()?;
    writing.carry_out(&state, Command::PutLayer(layer_key(key), values, precondition)).await
}

/// `PATCH /v1/config/{application}/{profile}`
pub(super) async fn patch(
    State(state): State<ControlState>,
    Path(key): Path<(String, String)>,
    writing: Writing,
    precondition: Precondition,
    document: Document,
) -> Result<At<Done>, Problem> {
    let patch: Patch = document.parse()?;
    writing.carry_out(&state, Command::PatchLayer(layer_key(key), patch, precondition)).await
}

/// `DELETE /v1/config/{application}/{profile}`
pub(super) async fn remove(
    State(state): State<ControlState>,
    Path(key): Path<(String, String)>,
    writing: Writing,
    precondition: Precondition,
) -> Result<At<Done>, Problem> {
    writing.carry_out(&state, Command::RemoveLayer(layer_key(key), precondition)).await
}

fn layer_key((application, profile): (String, String)) -> LayerKey {
    LayerKey { application, profile }
}
