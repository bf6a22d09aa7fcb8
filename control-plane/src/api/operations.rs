//! What the own API has: one table of which the router, the check of who may call and the OpenAPI document are made, so
//! that none can have what another has not.

use axum::extract::State;
use axum::handler::Handler;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use portreeve_config::wire::{ControlMessage, NodeMessage, STREAM_PATH};
use portreeve_config::{DesiredState, RouteConfig};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::rules::{Noted, Rule, Served};
use super::write::{self, Done};
use super::{
    Context, backup, body, configuration, desired_state, history, instances, nodes, routes, services, stream,
};
use crate::access::Need;
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
    pub(super) method: Method,
    /// What it asks of its caller.
    pub(super) need: Need,
    pub(super) noted: Noted,
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
    pub(super) served: Served,
    pub(super) described: Vec<Operation>,
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Operation {
    fn new(method: Method, path: &'static str, need: Need, summary: &'static str) -> Self {
        Self {
            noted: if method.is_safe() { Noted::Never } else { Noted::Always },
            method,
            need,
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

    /// Its name, in the document and in the audit log.
    pub(super) fn id(&self) -> String {
        let words = self.path.split(['/', '.', '-']).filter(|word| !word.is_empty() && *word != "v1");
        let words = words.map(|word| word.trim_matches(['{', '}']));
        let method = self.method.as_str().to_ascii_lowercase();
        [method.as_str()].into_iter().chain(words).collect::<Vec<_>>().join("_")
    }

    fn noted(self, noted: Noted) -> Self {
        Self { noted, ..self }
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
        let Operation { need, noted, .. } = operation;
        let rule = Rule { need, noted, operation: operation.id().into() };
        self.served = self.served.add(&operation.method, operation.path, rule, handler);
        self.described.push(operation);
        self
    }
}

fn get(path: &'static str, need: Need, summary: &'static str) -> Operation {
    Operation::new(Method::GET, path, need, summary)
}

fn put(path: &'static str, need: Need, summary: &'static str) -> Operation {
    Operation::new(Method::PUT, path, need, summary)
}

fn post(path: &'static str, need: Need, summary: &'static str) -> Operation {
    Operation::new(Method::POST, path, need, summary)
}

fn delete(path: &'static str, need: Need, summary: &'static str) -> Operation {
    Operation::new(Method::DELETE, path, need, summary)
}

/// Requests that are answered at once.
pub(super) fn records() -> Operations {
    let served = get(DOCUMENT, Need::Look, "This document.").answer::<serde_json::Value>();
    configurations(registrations(all_routes(Operations::default())))
        .add(
            get("/v1/nodes", Need::Read, "Connected nodes and how far each has followed.")
                .answer::<nodes::All>(),
            nodes::list,
        )
        .add(
            get("/v1/revision", Need::Look, "The newest revision.").answer::<body::Revised>(),
            nodes::revision,
        )
        .add(
            get("/v1/history", Need::Read, "Accepted changes, the newest first.")
                .query::<history::Page>()
                .answer::<history::Listed>(),
            history::list,
        )
        .add(
            get("/v1/revisions/{revision}", Need::Read, "One accepted change.").answer::<history::One>(),
            history::read,
        )
        .add(
            get("/v1/revisions/{revision}/diff", Need::Read, "What differs between two revisions.")
                .query::<history::Until>()
                .answer::<history::Compared>(),
            history::compare,
        )
        .add(
            post(
                "/v1/revisions/{revision}/rollback",
                Need::Operate,
                "Puts in force again what was so at a revision.",
            )
            .conditional()
            .kept(),
            history::roll_back,
        )
        .add(served, document)
}

fn all_routes(operations: Operations) -> Operations {
    let one = "/v1/routes/{name}";
    operations
        .add(
            get("/v1/routes", Need::Read, "All routes, in order of name.").answer::<routes::All>(),
            routes::list,
        )
        .add(
            post("/v1/routes", Need::Operate, "Makes a route.")
                .body::<RouteConfig>()
                .kept()
                .status(StatusCode::CREATED),
            routes::create,
        )
        .add(
            put("/v1/routes", Need::Operate, "Puts a set of routes in the place of all that are there.")
                .body::<routes::Replacement>()
                .conditional()
                .kept(),
            routes::replace,
        )
        .add(get(one, Need::Read, "One route.").answer::<routes::One>(), routes::read)
        .add(
            put(one, Need::Operate, "Makes or changes a route.")
                .body_of::<RouteConfig>(&["name"])
                .conditional()
                .kept(),
            routes::put,
        )
        .add(delete(one, Need::Operate, "Removes a route.").conditional().kept(), routes::remove)
}

fn registrations(operations: Operations) -> Operations {
    let (service, one) = ("/v1/services/{service}", "/v1/services/{service}/instances/{id}");
    let (lease, status) =
        ("/v1/services/{service}/instances/{id}/lease", "/v1/services/{service}/instances/{id}/status");
    let written = |operation: Operation| operation.answer::<body::Revised>();
    operations
        .add(get("/v1/services", Need::Look, "All known services.").answer::<services::All>(), services::list)
        .add(put(service, Need::Operate, "Makes a service known.").kept(), services::declare)
        .add(delete(service, Need::Operate, "Removes a service that nothing needs.").kept(), services::remove)
        .add(
            get("/v1/instances", Need::Look, "Registered instances.")
                .query::<instances::Filter>()
                .answer::<instances::All>(),
            instances::list,
        )
        .add(get(one, Need::Look, "One instance.").answer::<instances::One>(), instances::read)
        .add(
            written(
                put(one, Need::Instances, "Registers an instance.")
                    .body_of::<instances::Registration>(&["service", "id"]),
            ),
            instances::register,
        )
        .add(written(delete(one, Need::Instances, "Takes an instance out.")), instances::deregister)
        .add(
            put(lease, Need::Instances, "Renews an instance's lease.")
                .status(StatusCode::NO_CONTENT)
                .noted(Noted::Denied),
            instances::renew,
        )
        .add(
            written(
                put(status, Need::Instances, "Says what an instance does with requests.")
                    .body::<instances::NewStatus>(),
            ),
            instances::set_status,
        )
}

fn configurations(operations: Operations) -> Operations {
    let (layer, merged) = ("/v1/config/{application}/{profile}", "/v1/config/{application}/{profile}/merged");
    let all = "/v1/desired-state";
    operations
        .add(
            get("/v1/config", Need::Read, "All layers of configuration.").answer::<configuration::All>(),
            configuration::list,
        )
        .add(get(layer, Need::Read, "One layer.").answer::<configuration::Layer>(), configuration::read)
        .add(
            put(layer, Need::Operate, "Makes or replaces a layer.").body::<Values>().conditional().kept(),
            configuration::put,
        )
        .add(
            Operation::new(Method::PATCH, layer, Need::Operate, "Merges into a layer; `null` removes a key.")
                .body::<configuration::Patch>()
                .conditional()
                .kept(),
            configuration::patch,
        )
        .add(delete(layer, Need::Operate, "Removes a layer.").conditional().kept(), configuration::remove)
        .add(
            get(merged, Need::Read, "The layers that apply to a profile of an application, merged.")
                .answer::<configuration::Layer>(),
            configuration::merged,
        )
        .add(
            get(all, Need::Read, "Services, routes and configuration as one document.")
                .answer::<DesiredState>(),
            desired_state::read,
        )
        .add(
            put(all, Need::Operate, "Puts a whole document in force, or nothing of it.")
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
        status: StatusCode::SWITCHING_PROTOCOLS,
        ..post(
            STREAM_PATH,
            Need::Stream,
            "A node's stream, by `Upgrade: portreeve-stream` and a `hello`: then a JSON object a line, both ways.",
        )
        .body::<NodeMessage>()
        .answer::<ControlMessage>()
        .noted(Noted::Denied)
    };
    let everything = Operation {
        content: GZIP,
        ..get("/v1/backup", Need::Admin, "Everything as one file, for a restore.").noted(Noted::Always)
    };
    let acknowledged = get(
        "/v1/revisions/{revision}/acknowledged",
        Need::Look,
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
