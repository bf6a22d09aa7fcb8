//! `/v1/desired-state`: routes, services and configuration as one document, given and taken whole.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use portreeve_config::{DesiredState, Layers};
use serde::Serialize;

use super::body::{At, Document, Seen};
use super::problem::Problem;
use super::write::{Done, Writing};
use crate::access::Caller;
use crate::state::{self, Command, Precondition, State as ControlState};

/// The largest desired state: what a file of it may hold, with room for JSON's quotes.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// `GET /v1/desired-state`
pub(super) async fn read(
    State(state): State<ControlState>,
    caller: Caller,
) -> Result<At<impl Serialize>, Problem> {
    let catalog = state.read(|model| model.catalog.clone());
    let mut config = Layers::new();
    for (key, layer) in &catalog.layers {
        let profiles: &mut BTreeMap<_, _> = config.entry(key.application.clone()).or_default();
        profiles.insert(key.profile.clone(), (*layer.value).clone());
    }
    let routes = catalog.routes.values().map(|route| (*route.value).clone()).collect();
    let services = catalog.services.iter().cloned().collect();
    let whole = DesiredState { services: Some(services), routes: Some(routes), config: Some(config) };
    Ok(At::new(catalog.changed_at(), Seen::by(&caller, whole)?))
}

/// `PUT /v1/desired-state`
pub(super) async fn put(
    State(state): State<ControlState>,
    writing: Writing,
    precondition: Precondition,
    request: Request,
) -> Result<At<Done>, Problem> {
    let document = Document::read(request, MAX_BODY).await?;
    let catalog = state.read(|model| model.catalog.clone());
    // The writer checks again; here the faults of the shape are told together with those of the content.
    let desired =
        document.checked(|desired: &DesiredState| state::desired_state(desired, &catalog.services))?;
    writing.carry_out(&state, Command::Apply(Box::new(desired), precondition)).await
}
