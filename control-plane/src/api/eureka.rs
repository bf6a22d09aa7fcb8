//! Eureka's REST protocol, v2, over the one registry: for services that are clients of a Eureka server and are to
//! stay as they are. What is special about the wire stands here; what a registration means, in `registry`.

mod answer;
mod documents;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
mod operations;
mod path;
mod registration;
mod replication;
mod request;
mod server_status;
mod view;
mod writing;
mod xml_body;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::error_handling::HandleErrorLayer;
use axum::extract::{Request, State};
use axum::middleware;
use axum::response::Response;
use http::request::Parts;
use http::{Method, header};
use portreeve_config::EurekaConfig;
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::timeout::TimeoutLayer;

use super::basic::Users;
use super::guard::{self, Guard};
use super::{REQUEST_TIMEOUT, Serving, overloaded, refusals, strangers};
use crate::access::{Caller, Visit};
use crate::audit::{Audit, Entry};
use crate::registry::service_of;
use crate::state::{State as ControlState, excerpt};

use answer::Fault;
use documents::Documents;
use path::Target;

/// What the handlers work with.
#[derive(Debug)]
struct Eureka {
    state: ControlState,
    users: Users,
    audit: Audit,
    documents: Documents,
}

/// Everything that a Eureka client asks for.
pub(crate) fn router(
    state: ControlState,
    Serving { users, audit, limits }: Serving<'_>,
    config: &EurekaConfig,
    address: SocketAddr,
) -> Router {
    if users.is_empty() && !address.ip().is_loopback() {
        tracing::warn!(%address, "anybody who reaches this address can register services; give `eureka.users`");
    }
    let eureka = Arc::new(Eureka { state, users, audit, documents: Documents::default() });
    let requests = limits.requests;
    let limits = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(async |fault| overloaded(fault).await.plain()))
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::new(requests))
        .layer(TimeoutLayer::new(REQUEST_TIMEOUT));
    let guard = Guard::of_any_name(&config.listen, address);
    Router::new()
        .fallback(serve)
        .layer(limits)
        .layer(middleware::from_fn_with_state(guard, guard::check_and_tell))
        .with_state(eureka)
}

async fn serve(State(eureka): State<Arc<Eureka>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let visit = head.extensions.get::<Arc<Visit>>();
    let target = Target::of(head.uri.path());
    let mut entry = eureka.entry(target.as_ref(), &head);
    let response = match eureka.users.check(&head.headers).await {
        Err(stranger) => {
            let response = stranger.answer(visit);
            if !strangers::is_spent(&response) {
                refusals::tell((&head.method, &head.uri), response.status(), strangers::WRONG);
            }
            response
        }
        Ok(caller) => {
            if let Some(entry) = &mut entry {
                entry.who = caller.who();
            }
            let outcome = match target {
                Some(target) => eureka.answer(target, (&head, &caller), body).await,
                None => Err(Fault::Unknown),
            };
            outcome.unwrap_or_else(|fault| fault.told(&head.method, &head.uri))
        }
    };
    if let Some(entry) = entry.filter(|_| !strangers::is_spent(&response)) {
        eureka.audit.note(entry.done(response.status().as_u16(), None));
    }
    response
}

impl Eureka {
    async fn answer(
        &self,
        target: Target<'_>,
        (head, caller): (&Parts, &Caller),
        body: Body,
    ) -> Result<Response, Fault> {
        if let Some(application) = target.written(&head.method) {
            refuse_others(caller, application)?;
        }
        let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
        match (method.as_str(), target) {
            ("PUT", Target::Instance(application, id)) => self.renew(&application, &id, head),
            ("GET", target) if target.methods().contains("GET") => self.read(target, &head.headers).await,
            ("POST", Target::Application(application)) => {
                self.register(&application, (head, caller), body).await
            }
            ("DELETE", Target::Instance(application, id)) => self.cancel(&application, &id).await,
            ("PUT", Target::Status(application, id)) => self.set_status(&application, &id, head).await,
            ("DELETE", Target::Status(application, id)) => self.clear_status(&application, &id, head).await,
            ("PUT", Target::Metadata(application, id)) => self.add_metadata(&application, &id, head).await,
            ("POST", Target::Batch) => self.take_batch((head, caller), body).await,
            ("PUT", Target::ScalingGroup) => {
                Err(Fault::Refused("scaling groups are known in Amazon's cloud only".to_owned()))
            }
            (_, target) => Err(Fault::Method(target.methods())),
        }
    }

    /// What is noted of an attempt to write; of a heartbeat nothing, and a batch notes each of its items.
    fn entry(&self, target: Option<&Target<'_>>, head: &Parts) -> Option<Entry> {
        let operation = match (head.method.as_str(), target?) {
            ("PUT", Target::Instance(..)) | ("GET" | "HEAD", _) => return None,
            ("POST", Target::Application(_)) => "register",
            ("DELETE", Target::Instance(..)) => "deregister",
            ("PUT", Target::Status(..)) => "override_status",
            ("DELETE", Target::Status(..)) => "clear_status",
            ("PUT", Target::Metadata(..)) => "add_metadata",
            ("POST", Target::Batch) => "replicate",
            _ => "",
        };
        if !self.audit.is_on() {
            return None;
        }
        let peer = head.extensions.get::<Arc<Visit>>().map(|visit| visit.peer);
        let mut entry = Entry::new("eureka", head.method.as_str(), head.uri.path(), peer);
        entry.operation = operation.into();
        Some(entry)
    }
}

/// A user that is limited to some services writes nobody else's instances.
fn refuse_others(caller: &Caller, application: &str) -> Result<(), Fault> {
    if !caller.is_limited() || service_of(application).is_some_and(|service| caller.speaks_for(&service)) {
        return Ok(());
    }
    let user = caller.name().map(|name| name.to_string()).unwrap_or_default();
    let application = excerpt(application);
    Err(Fault::Forbidden(format!("the user `{user}` does not speak for `{application}`")))
}

/// How a client says that it is another server, which has decided already.
fn is_replicated(headers: &http::HeaderMap) -> bool {
    headers.get("x-netflix-discovery-replication").is_some_and(|value| value == "true")
}

/// Whether `name` is among what a field lists.
fn lists(headers: &http::HeaderMap, field: header::HeaderName, name: &str) -> bool {
    headers.get_all(field).iter().filter_map(|value| value.to_str().ok()).any(|value| value.contains(name))
}
