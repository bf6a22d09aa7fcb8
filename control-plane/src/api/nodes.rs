//! `/v1/nodes` and `/v1/revision`: who is connected, how far each has followed, and waiting until all have.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use portreeve_config::wire::{NodeKind, Revision};
use portreeve_config::{Fault, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Context;
use super::body::{At, Path, Query, Revised};
use super::problem::Problem;
use crate::state::{State as ControlState, report_of};
use crate::store::NodeReport;

/// The longest wait for acknowledgements.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long this replica gets to see what another one has written.
const CATCH_UP_WITHIN: Duration = Duration::from_millis(500);

/// `?timeout=2s`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Patience {
    #[serde(default = "two_seconds")]
    timeout: Period,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Nodes")]
pub(super) struct All {
    nodes: Vec<Node>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Node {
    node: String,
    kind: NodeKind,
    /// RFC 3339, in UTC.
    connected_since: String,
    /// The replica that its stream leads to, where it is not the one that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<String>,
    acknowledged: Revision,
    behind_by: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Refused>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Refused {
    revision: Revision,
    faults: Vec<Fault>,
}

/// `GET /v1/nodes`
pub(super) async fn list(State(state): State<ControlState>) -> At<impl Serialize> {
    let revision = state.publisher().revision();
    let nodes = state.followers(revision).nodes.into_values();
    let nodes = nodes.map(|(node, replica)| Node::of(node, replica, revision)).collect();
    At::new(revision, All { nodes })
}

/// `GET /v1/revision`
pub(super) async fn revision(State(state): State<ControlState>) -> At<Revised> {
    At::new(state.publisher().revision(), Revised {})
}

/// `GET /v1/revisions/{revision}/acknowledged`
pub(super) async fn acknowledged(
    State(Context { state, mut stopping, .. }): State<Context>,
    Path(revision): Path<Revision>,
    Query(patience): Query<Patience>,
) -> Result<Response, Problem> {
    if state.is_shared() {
        // It may have been made at another replica a moment ago.
        let _ = tokio::time::timeout(CATCH_UP_WITHIN, state.publisher().reached(revision)).await;
    }
    let newest = state.publisher().revision();
    if revision > newest {
        return Err(Problem::missing(format!("there is no revision {revision} yet; the newest is {newest}")));
    }
    let limit = patience.timeout.get().min(LONGEST_WAIT);
    let followed = async {
        tokio::join!(state.publisher().followed(revision, limit), state.followed_elsewhere(revision, limit))
    };
    let (here, elsewhere) = tokio::select! {
        followed = followed => followed,
        () = stopping.wait() => return Err(Problem::unavailable("the control plane is stopping")),
    };
    let here = here.iter().map(|watcher| laggard(&report_of(watcher), None));
    let elsewhere_behind = elsewhere.nodes.values().map(|(node, replica)| laggard(node, replica.as_deref()));
    let silent = elsewhere.silent.iter().map(|replica| {
        let fault = Fault::new(format!("replica {replica}"), "has not said how far its nodes are");
        fault.hint("it may be out of touch with the store")
    });
    let behind: Vec<Fault> = here.chain(elsewhere_behind).chain(silent).collect();
    if behind.is_empty() {
        return Ok(At::new(revision, Revised {}).into_response());
    }
    let detail =
        format!("{} of the connected nodes did not follow to revision {revision} in time", behind.len());
    Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, detail).with_faults(behind))
}

impl Node {
    fn of(node: NodeReport, replica: Option<String>, newest: Revision) -> Self {
        Self {
            node: node.node,
            kind: node.kind,
            connected_since: node.since.to_string(),
            replica,
            acknowledged: node.acknowledged,
            behind_by: newest.saturating_sub(node.acknowledged),
            refused: node.refused.map(|(revision, faults)| Refused { revision, faults }),
        }
    }
}

fn laggard(node: &NodeReport, replica: Option<&str>) -> Fault {
    let place = replica.map(|replica| format!(", at the replica {replica}")).unwrap_or_default();
    let fault = Fault::new(&*node.node, format!("is at revision {}{place}", node.acknowledged));
    match &node.refused {
        Some((revision, faults)) if *revision > node.acknowledged => {
            let first = faults.first().map(ToString::to_string).unwrap_or_default();
            fault.hint(format!("it refused revision {revision}: {first}"))
        }
        _ => fault,
    }
}

fn two_seconds() -> Period {
    Period::from_secs(2)
}
