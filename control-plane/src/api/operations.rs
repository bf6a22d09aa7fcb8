//! What the own API has: one table of which both the router and the OpenAPI document are made, so that neither can
//! have what the other has not.

use axum::Router;
use axum::extract::State;
use axum::handler::Handler;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use http::{StatusCode, header};
use portreeve_config::wire::{ControlMessage, NodeMessage, STREAM_PATH};
use portreeve_config::{DesiredState, RouteConfig};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::write::{self, Done};
use super::{
    Context, backup, body, configuration, desired_state, history, instances, nodes, routes, services, stream,
};
use crate::store::Values;

/// The path of the document.
const DOCUMENT: &str = "/v1/openapi.json";

/// What bodies are, as a rule.
pub(super) const JSON: &str = "application/json";
/// A compressed file.
const GZIP: &str = "application/gzip";

/// Makes the schema of a type, its parts among the generator's definitions.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One method of one path.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) query: Vec<SchemaOf>,
    pub(super) body: Option<SchemaOf>,
    /// Fields of the body that the path names, and the body need not.
    pub(super) in_path: &'static [&'static str],
    pub(super) status: StatusCode,
    pub(super) answer: Option<SchemaOf>,
    /// What bodies are; JSON has the revision beside what it shows, anything else has not.
    pub(super) content: &'static str,
    /// Whether `If-Match` is looked at.
    pub(super) is_conditional: bool,
    /// Whether it changes routes, services or configuration, in somebody's name.
    pub(super) is_kept: bool,
}

/// Operations and what serves them.
#[derive(Default)]
pub(super) struct Operations {
    pub(super) router: Router<Context>,
    pub(super) described: Vec<Operation>,
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Operation {
    fn new(method: &'static str, path: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            summary,
            query: Vec::new(),
            body: None,
            in_path: &[],
            status: StatusCode::OK,
            answer: None,
            content: JSON,
            is_conditional: false,
            is_kept: false,
        }
    }

    fn query<T: JsonSchema>(mut self) -> Self {
        self.query.push(T::json_schema);
        self
    }

    fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(schema_of::<T>);
        self
    }

    /// A body of which the path names some fields.
    fn body_of<T: JsonSchema>(self, in_path: &'static [&'static str]) -> Self {
        Self { body: Some(T::json_schema), in_path, ..self }
    }

    fn answer<T: JsonSchema>(mut self) -> Self {
        self.answer = Some(schema_of::<T>);
        self
    }

    fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    fn conditional(self) -> Self {
        Self { is_conditional: true, ..self }
    }

    /// A change of routes, services or configuration.
    fn kept(self) -> Self {
        Self { is_kept: true, ..self.query::<write::Parameters>().answer::<Done>() }
    }
}

impl Operations {
    fn add<H, T>(mut self, operation: Operation, handler: H) -> Self
    where
        H: Handler<T, Context>,
        T: 'static,
    {
        let filter = match operation.method {
            "get" => MethodFilter::GET,
            "put" => MethodFilter::PUT,
            "post" => MethodFilter::POST,
            "patch" => MethodFilter::PATCH,
            _ => MethodFilter::DELETE,
        };
        self.router = self.router.route(operation.path, on(filter, handler));
        self.described.push(operation);
        self
    }
}

fn get(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("get", path, summary)
}

fn put(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("put", path, summary)
}

fn post(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("post", path, summary)
}

fn delete(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("delete", path, summary)
}

/// Requests that are answered at once.
pub(super) fn records() -> Operations {
    let served = get(DOCUMENT, "This document.").answer::<serde_json::Value>();
    configurations(registrations(all_routes(Operations::default())))
        .add(
            get("/v1/nodes", "Connected nodes and how far each has followed.").answer::<nodes::All>(),
            nodes::list,
        )
        .add(get("/v1/revision", "The newest revision.").answer::<body::Revised>(), nodes::revision)
        .add(
            get("/v1/history", "Accepted changes, the newest first.")
                .query::<history::Page>()
                .answer::<history::Listed>(),
            history::list,
        )
        .add(get("/v1/revisions/{revision}", "One accepted change.").answer::<history::One>(), history::read)
        .add(
            get("/v1/revisions/{revision}/diff", "What differs between two revisions.")
                .query::<history::Until>()
                .answer::<history::Compared>(),
            history::compare,
        )
        .add(
            post("/v1/revisions/{revision}/rollback", "Puts in force again what was so at a revision.")
                .conditional()
                .kept(),
            history::roll_back,
        )
        .add(served, document)
}

fn all_routes(operations: Operations) -> Operations {
    let one = "/v1/routes/{name}";
    operations
        .add(get("/v1/routes", "All routes, in order of name.").answer::<routes::All>(), routes::list)
        .add(
            post("/v1/routes", "Makes a route.").body::<RouteConfig>().kept().status(StatusCode::CREATED),
            routes::create,
        )
        .add(
            put("/v1/routes", "Puts a set of routes in the place of all that are there.")
                .body::<routes::Replacement>()
                .conditional()
                .kept(),
            routes::replace,
        )
        .add(get(one, "One route.").answer::<routes::One>(), routes::read)
        .add(
            put(one, "Makes or changes a route.").body_of::<RouteConfig>(&["name"]).conditional().kept(),
            routes::put,
        )
        .add(delete(one, "Removes a route.").conditional().kept(), routes::remove)
}

fn registrations(operations: Operations) -> Operations {
    let (service, one) = ("/v1/services/{service}", "/v1/services/{service}/instances/{id}");
    let (lease, status) =
        ("/v1/services/{service}/instances/{id}/lease", "/v1/services/{service}/instances/{id}/status");
    let written = |operation: Operation| operation.answer::<body::Revised>();
    operations
        .add(get("/v1/services", "All known services.").answer::<services::All>(), services::list)
        .add(put(service, "Makes a service known.").kept(), services::declare)
        .add(delete(service, "Removes a service that nothing needs.").kept(), services::remove)
        .add(
            get("/v1/instances", "Registered instances.")
                .query::<instances::Filter>()
                .answer::<instances::All>(),
            instances::list,
        )
        .add(get(one, "One instance.").answer::<instances::One>(), instances::read)
        .add(
            written(
                put(one, "Registers an instance.").body_of::<instances::Registration>(&["service", "id"]),
            ),
            instances::register,
        )
        .add(written(delete(one, "Takes an instance out.")), instances::deregister)
        .add(put(lease, "Renews an instance's lease.").status(StatusCode::NO_CONTENT), instances::renew)
        .add(
            written(put(status, "Says what an instance does with requests.").body::<instances::NewStatus>()),
            instances::set_status,
        )
}

fn configurations(operations: Operations) -> Operations {
    let (layer, merged) = ("/v1/config/{application}/{profile}", "/v1/config/{application}/{profile}/merged");
    let all = "/v1/desired-state";
    operations
        .add(
            get("/v1/config", "All layers of configuration.").answer::<configuration::All>(),
            configuration::list,
        )
        .add(get(layer, "One layer.").answer::<configuration::Layer>(), configuration::read)
        .add(
            put(layer, "Makes or replaces a layer.").body::<Values>().conditional().kept(),
            configuration::put,
        )
        .add(
            Operation::new("patch", layer, "Merges into a layer; `null` removes a key.")
                .body::<configuration::Patch>()
                .conditional()
                .kept(),
            configuration::patch,
        )
        .add(delete(layer, "Removes a layer.").conditional().kept(), configuration::remove)
        .add(
            get(merged, "The layers that apply to a profile of an application, merged.")
                .answer::<configuration::Layer>(),
            configuration::merged,
        )
        .add(
            get(all, "Services, routes and configuration as one document.").answer::<DesiredState>(),
            desired_state::read,
        )
        .add(
            put(all, "Puts a whole document in force, or nothing of it.")
                .body::<DesiredState>()
                .conditional()
                .kept(),
            desired_state::put,
        )
}

/// Requests that take as long as they need.
pub(super) fn lasting() -> Operations {
    let stream = Operation {
        content: "application/x-ndjson",
        ..post(STREAM_PATH, "A node's stream, a JSON object a line in both directions.")
            .body::<NodeMessage>()
            .answer::<ControlMessage>()
    };
    let everything =
        Operation { content: GZIP, ..get("/v1/backup", "Everything as one file, for a restore.") };
    let acknowledged = get(
        "/v1/revisions/{revision}/acknowledged",
        "Waits until every connected node has a revision in force (504 when some have not in time).",
    );
    Operations::default()
        .add(stream, stream::open)
        .add(everything, backup::read)
        .add(acknowledged.query::<nodes::Patience>().answer::<body::Revised>(), nodes::acknowledged)
}

/// `GET /v1/openapi.json`
async fn document(State(document): State<Document>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document.0)
}

/// The OpenAPI document, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Document(pub(super) Bytes);
