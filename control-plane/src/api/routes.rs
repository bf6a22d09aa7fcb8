//! `/v1/routes`: reading and changing routes, one by one or all at once.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use portreeve_config::{Faults, RouteConfig, check};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{At, Document, Path, Seen, shown};
use super::problem::Problem;
use super::write::{Done, Writing};
use crate::access::Caller;
use crate::state::{Command, Precondition, State as ControlState};

/// A set of routes as an object.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteSet {
    routes: Vec<RouteConfig>,
}

/// What all routes can be replaced with.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what is read by hand, so that faults keep their places")]
pub(super) enum Replacement {
    List(Vec<RouteConfig>),
    Set(RouteSet),
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Routes")]
pub(super) struct All {
    routes: Vec<Arc<RouteConfig>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Route")]
pub(super) struct One {
    route: Arc<RouteConfig>,
}

/// `GET /v1/routes`
pub(super) async fn list(
    State(state): State<ControlState>,
    caller: Caller,
) -> Result<At<impl Serialize>, Problem> {
    let (revision, routes) = state.read(|model| {
        let routes = model.catalog.routes.values().map(|route| route.value.clone()).collect();
        (model.catalog.routes_revision, routes)
    });
    Ok(At::new(revision, Seen::by(&caller, All { routes })?))
}

/// `GET /v1/routes/{name}`
pub(super) async fn read(
    State(state): State<ControlState>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<At<impl Serialize>, Problem> {
    let route = state.read(|model| model.catalog.routes.get(&name).cloned());
    let route = route.ok_or_else(|| Problem::missing(format!("there is no route {}", shown(&name))))?;
    Ok(At::new(route.revision, Seen::by(&caller, One { route: route.value })?))
}

/// `POST /v1/routes`
pub(super) async fn create(
    State(state): State<ControlState>,
    writing: Writing,
    document: Document,
) -> Result<Response, Problem> {
    let route = parse_one(&state, &document)?;
    let location = HeaderValue::try_from(format!("/v1/routes/{}", route.name));
    let dry_run = writing.dry_run;
    let done = writing.carry_out(&state, Command::CreateRoute(Box::new(route))).await?;
    if dry_run {
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
    writing: Writing,
    precondition: Precondition,
    mut document: Document,
) -> Result<At<Done>, Problem> {
    document.name("name", &name)?;
    let route = parse_one(&state, &document)?;
    writing.carry_out(&state, Command::PutRoute(Box::new(route), precondition)).await
}

/// `PUT /v1/routes`: a list, or an object with the list in `routes`.
pub(super) async fn replace(
    State(state): State<ControlState>,
    writing: Writing,
    precondition: Precondition,
    document: Document,
) -> Result<At<Done>, Problem> {
    let routes = parse_all(&state, &document)?;
    writing.carry_out(&state, Command::ReplaceRoutes(routes, precondition)).await
}

/// `DELETE /v1/routes/{name}`
pub(super) async fn remove(
    State(state): State<ControlState>,
    Path(name): Path<String>,
    writing: Writing,
    precondition: Precondition,
) -> Result<At<Done>, Problem> {
    writing.carry_out(&state, Command::RemoveRoute(name, precondition)).await
}

/// The writer checks again, against what is in force when the route's turn comes; this check is here because
/// it can be reported together with the faults of the shape.
fn parse_one(state: &ControlState, document: &Document) -> Result<RouteConfig, Problem> {
    let catalog = state.read(|model| model.catalog.clone());
    document.checked(|route| check::route(route, Some(&catalog.services)))
}

/// A list of routes, or an object with only the list `routes`.
fn parse_all(state: &ControlState, document: &Document) -> Result<Vec<RouteConfig>, Problem> {
    let catalog = state.read(|model| model.catalog.clone());
    if document.is_list() {
        return document.checked(|routes: &Vec<_>| check::routes(routes, Some(&catalog.services)));
    }
    let check = |set: &RouteSet| {
        let mut faults = Faults::default();
        faults.add("routes", check::routes(&set.routes, Some(&catalog.services)).0);
        faults
    };
    document.checked(check).map(|set| set.routes)
}
