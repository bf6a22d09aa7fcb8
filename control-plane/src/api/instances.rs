//! `/v1/instances` and below a service: registering, renewing, changing and taking out instances over plain
//! HTTP, for whoever has no stream.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use portreeve_config::wire::{Instance, InstanceStatus};
use portreeve_config::{Faults, check};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{At, Document, Path, Query, Revised, each_key_once};
use super::problem::Problem;
use crate::registry::{Age, InstanceKey, Registered};
use crate::state::{Command, State as ControlState};

/// `?service=` narrows the list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Filter {
    service: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Instances")]
pub(super) struct All {
    instances: Vec<Shown>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OneInstance")]
pub(super) struct One {
    instance: Shown,
}

/// An instance and how long it is still believed without a sign of life.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RegisteredInstance")]
struct Shown {
    #[serde(flatten)]
    instance: Instance,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_left_ms: Option<u64>,
    /// Since its last sign of life.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent_ms: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewStatus {
    status: InstanceStatus,
}

/// What may be said of an instance in a body; its names are in the path and may be repeated.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    service: String,
    id: String,
    #[schemars(with = "String")]
    address: SocketAddr,
    #[serde(default = "up")]
    status: InstanceStatus,
    #[serde(default = "half_a_minute")]
    lease_ms: u64,
    #[serde(default, deserialize_with = "each_key_once")]
    metadata: BTreeMap<String, String>,
}

/// `GET /v1/instances`
pub(super) async fn list(
    State(state): State<ControlState>,
    Query(filter): Query<Filter>,
) -> At<impl Serialize> {
    let (revision, instances) = state.read(|model| {
        let instances: Vec<_> = match &filter.service {
            Some(service) => model.registry.of_service(service).cloned().collect(),
            None => model.registry.all().cloned().collect(),
        };
        (model.revision, instances)
    });
    At::new(revision, All { instances: instances.into_iter().map(|i| Shown::of(i, &state)).collect() })
}

/// `GET /v1/services/{service}/instances/{id}`
pub(super) async fn read(
    State(state): State<ControlState>,
    Path((service, id)): Path<(String, String)>,
) -> Result<At<impl Serialize>, Problem> {
    let key = InstanceKey::new(service, id);
    let (revision, found) = state.read(|model| (model.revision, model.registry.get(&key).cloned()));
    let instance = found.ok_or_else(unknown)?;
    Ok(At::new(revision, One { instance: Shown::of(instance, &state) }))
}

/// `PUT /v1/services/{service}/instances/{id}`
pub(super) async fn register(
    State(state): State<ControlState>,
    Path((service, id)): Path<(String, String)>,
    mut document: Document,
) -> Result<At<Revised>, Problem> {
    document.name("service", &service)?;
    document.name("id", &id)?;
    let instance = document.straight(Registration::faults)?.registered();
    tell_of_another_host(&state, &instance.key(), instance.address.get());
    Ok(At::new(state.write(Command::Register(Box::new(instance), None)).await?, Revised {}))
}

/// `PUT /v1/services/{service}/instances/{id}/lease`
pub(super) async fn renew(
    State(state): State<ControlState>,
    Path((service, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    match state.renew(&InstanceKey::new(service, id), None) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown()),
    }
}

/// `PUT /v1/services/{service}/instances/{id}/status`
pub(super) async fn set_status(
    State(state): State<ControlState>,
    Path((service, id)): Path<(String, String)>,
    document: Document,
) -> Result<At<Revised>, Problem> {
    let NewStatus { status } = document.parse()?;
    Ok(At::new(state.write(Command::SetStatus(InstanceKey::new(service, id), status)).await?, Revised {}))
}

/// `DELETE /v1/services/{service}/instances/{id}`
pub(super) async fn deregister(
    State(state): State<ControlState>,
    Path((service, id)): Path<(String, String)>,
) -> Result<At<Revised>, Problem> {
    Ok(At::new(state.write(Command::Deregister(InstanceKey::new(service, id), None)).await?, Revised {}))
}

impl Registration {
    fn faults(&self) -> Faults {
        let metadata = self.metadata.iter().map(|(key, value)| (&**key, &**value));
        let lease = Duration::from_millis(self.lease_ms);
        check::registration((&self.service, &self.id), self.address, lease, metadata)
    }

    fn registered(self) -> Registered {
        let Self { service, id, address, status, lease_ms, metadata } = self;
        Instance { service, id, address, status, lease_ms, metadata }.into()
    }
}

impl Shown {
    fn of(instance: Arc<Registered>, state: &ControlState) -> Self {
        let age = state.lease_age(&instance.key());
        let milliseconds = |part: fn(Age) -> Duration| age.map(|age| part(age).as_millis() as u64);
        Self {
            instance: instance.to_wire(),
            lease_left_ms: milliseconds(|age| age.left),
            silent_ms: milliseconds(|age| age.silent),
        }
    }
}

/// A client that comes back elsewhere under its name is normal; two that share one are not, and look the same.
pub(super) fn tell_of_another_host(state: &ControlState, key: &InstanceKey, address: SocketAddr) {
    let known = state.read(|model| model.registry.get(key).map(|known| known.address.get()));
    if let Some(known) = known.filter(|known| *known != address) {
        tracing::warn!(
            service = &*key.service,
            id = &*key.id,
            was = %known,
            is = %address,
            "an instance registered from another address under a name that is taken; the latest counts"
        );
    }
}

fn unknown() -> Problem {
    Problem::missing("this instance is not registered; register it (again)")
}

fn up() -> InstanceStatus {
    InstanceStatus::Up
}

fn half_a_minute() -> u64 {
    30_000
}
