//! `/v1/config`: layers of configuration, raw and merged.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use portreeve_config::wire::{ConfigScope, Revision};
use portreeve_config::{Fault, Faults};
use serde::Serialize;
use serde_json::Value;

use super::body::{At, Document, Path};
use super::problem::Problem;
use super::services::Done;
use crate::state::{Command, Precondition, State as ControlState, excerpt, is_name};
use crate::store::{LayerKey, Values};

#[derive(Debug, Serialize)]
struct All {
    layers: Vec<Summary>,
}

#[derive(Debug, Serialize)]
struct Summary {
    application: String,
    profile: String,
    changed_at: Revision,
    keys: usize,
}

#[derive(Debug, Serialize)]
struct Layer {
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
    Path(key): Path<(String, String)>,
) -> Result<At<impl Serialize>, Problem> {
    let key = layer_key(key);
    let layer = state.read(|model| model.catalog.layers.get(&key).cloned());
    let layer = layer.ok_or_else(|| Problem::missing("this layer has no configuration"))?;
    Ok(At::new(layer.revision, Layer { key, values: layer.value }))
}

/// `GET /v1/config/{application}/{profile}/merged`
pub(super) async fn merged(
    State(state): State<ControlState>,
    Path(key): Path<(String, String)>,
) -> Result<At<impl Serialize>, Problem> {
    let key = layer_key(key);
    if !is_name(&key.application) || !is_name(&key.profile) {
        return Err(Problem::missing("no application or profile can have this name"));
    }
    let scope = ConfigScope { application: key.application.clone(), profile: key.profile.clone() };
    let (revision, values) = state.read(|model| (model.revision, model.catalog.merged(&scope)));
    Ok(At::new(revision, Layer { key, values: Arc::new(values) }))
}

/// `PUT /v1/config/{application}/{profile}`
pub(super) async fn put(
    State(state): State<ControlState>,
    Path(key): Path<(String, String)>,
    precondition: Precondition,
    Document(value): Document,
) -> Result<At<Done>, Problem> {
    let values = entries(value, false)?.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    write(&state, Command::PutLayer(layer_key(key), values, precondition)).await
}

/// `PATCH /v1/config/{application}/{profile}`
pub(super) async fn patch(
    State(state): State<ControlState>,
    Path(key): Path<(String, String)>,
    precondition: Precondition,
    Document(value): Document,
) -> Result<At<Done>, Problem> {
    let patch = entries(value, true)?;
    write(&state, Command::PatchLayer(layer_key(key), patch, precondition)).await
}

/// `DELETE /v1/config/{application}/{profile}`
pub(super) async fn remove(
    State(state): State<ControlState>,
    Path(key): Path<(String, String)>,
    precondition: Precondition,
) -> Result<At<Done>, Problem> {
    write(&state, Command::RemoveLayer(layer_key(key), precondition)).await
}

async fn write(state: &ControlState, command: Command) -> Result<At<Done>, Problem> {
    Ok(At::new(state.write(command).await?, Done {}))
}

fn layer_key((application, profile): (String, String)) -> LayerKey {
    LayerKey { application, profile }
}

/// A flat object of strings; `null` only where it removes a key.
fn entries(value: Value, with_null: bool) -> Result<BTreeMap<String, Option<String>>, Problem> {
    let Value::Object(fields) = value else {
        return Err(Problem::bad_request("send one JSON object: keys and their values as strings"));
    };
    let (mut entries, mut faults) = (BTreeMap::new(), Faults::default());
    for (key, value) in fields {
        match value {
            Value::String(text) => drop(entries.insert(key, Some(text))),
            Value::Null if with_null => drop(entries.insert(key, None)),
            Value::Number(_) | Value::Bool(_) => {
                let fault = Fault::new(excerpt(&key), "values are strings");
                faults.push(fault.hint(format!("write \"{value}\" with quotation marks")));
            }
            Value::Null => faults.push(
                Fault::new(excerpt(&key), "values are strings")
                    .hint("leave the key out, or PATCH it with null"),
            ),
            Value::Array(_) | Value::Object(_) => faults.push(
                Fault::new(excerpt(&key), "values are strings")
                    .hint("give each part a key of its own: `a.b`, `a[0]`"),
            ),
        }
    }
    faults.into_result(entries).map_err(Problem::faulty)
}
