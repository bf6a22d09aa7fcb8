//! `/v1/services`: the names that routes may point to, and how many instances answer for each.

use axum::extract::State;
use portreeve_config::wire::InstanceStatus;
use schemars::JsonSchema;
use serde::Serialize;

use super::body::{At, Path};
use super::problem::Problem;
use super::write::{Done, Writing};
use crate::state::{Command, State as ControlState};

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Services")]
pub(super) struct All {
    services: Vec<Service>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Service {
    name: String,
    /// All registered instances, and those of them that take requests.
    instances: usize,
    up: usize,
}

/// `GET /v1/services`
pub(super) async fn list(State(state): State<ControlState>) -> At<impl Serialize> {
    state.read(|model| {
        let service = |name: &String| {
            let instances = model.registry.of_service(name);
            let (count, up) = instances.fold((0, 0), |(count, up), instance| {
                (count + 1, up + usize::from(instance.status == InstanceStatus::Up))
            });
            Service { name: name.clone(), instances: count, up }
        };
        At::new(model.revision, All { services: model.catalog.services.iter().map(service).collect() })
    })
}

/// `PUT /v1/services/{service}`
pub(super) async fn declare(
    State(state): State<ControlState>,
    Path(service): Path<String>,
    writing: Writing,
) -> Result<At<Done>, Problem> {
    writing.carry_out(&state, Command::DeclareService(service)).await
}

/// `DELETE /v1/services/{service}`
pub(super) async fn remove(
    State(state): State<ControlState>,
    Path(service): Path<String>,
    writing: Writing,
) -> Result<At<Done>, Problem> {
    writing.carry_out(&state, Command::RemoveService(service)).await
}
