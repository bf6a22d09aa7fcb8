//! `/v1/routes`: reading and changing routes, one by one or all at once.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use portreeve_config::{Faults, RouteConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body::{At, Document, Path, Query, shown};
use super::problem::Problem;
use super::shape;
use crate::state::{Command, Precondition, State as ControlState};

/// `?dry_run=true` checks and changes nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Mode {
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct All {
    routes: Vec<Arc<RouteConfig>>,
}

#[derive(Debug, Serialize)]
struct One {
    route: Arc<RouteConfig>,
}

/// What a write answers beside the revision.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

/// `GET /v1/routes`
pub(super) async fn list(State(state): State<ControlState>) -> At<impl Serialize> {
    state.read(|model| {
        let routes = model.catalog.routes.values().map(|route| route.value.clone()).collect();
        At::new(model.catalog.routes_revision, All { routes })
    })
}

/// `GET /v1/routes/{name}`
pub(super) async fn read(
    State(state): State<ControlState>,
    Path(name): Path<String>,
) -> Result<At<impl Serialize>, Problem> {
    let route = state.read(|model| model.catalog.routes.get(&name).cloned());
    let route = route.ok_or_else(|| Problem::missing(format!("there is no route {}", shown(&name))))?;
    Ok(At::new(route.revision, One { route: route.value }))
}

/// `POST /v1/routes`
pub(super) async fn create(
    State(state): State<ControlState>,
    Query(mode): Query<Mode>,
    Document(value): Document,
) -> Result<Response, Problem> {
    let route: RouteConfig = shape::parse(value).map_err(Problem::faulty)?;
    let location = HeaderValue::try_from(format!("/v1/routes/{}", route.name));
    let done = write(&state, Command::CreateRoute(Box::new(route)), &mode).await?;
    if mode.dry_run {
        return Ok(done.into_response());
    }
    let mut response = done.created().into_response();
    // The name was checked: it has only characters that a header field can carry.
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `PUT /v1/routes/{name}`
pub(super) async fn put(
    State(state): State<ControlState>,
    Path(name): Path<String>,
    Query(mode): Query<Mode>,
    precondition: Precondition,
    Document(mut value): Document,
) -> Result<At<Done>, Problem> {
    if let Value::Object(fields) = &mut value {
        let stated = fields.entry("name").or_insert_with(|| name.clone().into());
        if stated.is_string() && *stated != *name {
            let detail =
                "the `name` in the body is not the one in the path; leave it out or make them the same";
            return Err(Problem::bad_request(detail));
        }
    }
    let route = shape::parse(value).map_err(Problem::faulty)?;
    write(&state, Command::PutRoute(Box::new(route), precondition), &mode).await
}

/// `PUT /v1/routes`: a list, or an object with the list in `routes`.
pub(super) async fn replace(
    State(state): State<ControlState>,
    Query(mode): Query<Mode>,
    precondition: Precondition,
    Document(value): Document,
) -> Result<At<Done>, Problem> {
    let routes = parse_all(value)?;
    write(&state, Command::ReplaceRoutes(routes, precondition), &mode).await
}

/// `DELETE /v1/routes/{name}`
pub(super) async fn remove(
    State(state): State<ControlState>,
    Path(name): Path<String>,
    Query(mode): Query<Mode>,
    precondition: Precondition,
) -> Result<At<Done>, Problem> {
    write(&state, Command::RemoveRoute(name, precondition), &mode).await
}

async fn write(state: &ControlState, command: Command, mode: &Mode) -> Result<At<Done>, Problem> {
    let revision = match mode.dry_run {
        true => state.check(command).await?,
        false => state.write(command).await?,
    };
    Ok(At::new(revision, Done { dry_run: mode.dry_run }))
}

/// Each route is read by itself, so that a fault in one does not hide the faults of the others.
fn parse_all(value: Value) -> Result<Vec<RouteConfig>, Problem> {
    let list = match value {
        Value::Object(mut fields) if fields.len() == 1 => fields.shift_remove("routes"),
        other => Some(other),
    };
    let Some(Value::Array(list)) = list else {
        return Err(Problem::bad_request("send a list of routes, or an object with only the list `routes`"));
    };
    let (mut routes, mut faults) = (Vec::with_capacity(list.len()), Faults::default());
    for (index, value) in list.into_iter().enumerate() {
        match shape::parse(value) {
            Ok(route) => routes.push(route),
            Err(found) => {
                let prefix = format!("[{index}]");
                faults.0.extend(found.0.into_iter().map(|fault| fault.under(&prefix)));
            }
        }
    }
    faults.into_result(routes).map_err(Problem::faulty)
}
