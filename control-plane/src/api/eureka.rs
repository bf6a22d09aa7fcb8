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

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::body::{Body, HttpBody as _};
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderValue, Method, Request, header};
use hyper::body::Incoming;
use portreeve_config::EurekaConfig;
use tokio::sync::Semaphore;

use super::basic::Users;
use super::guard::{self, Guard};
use super::{REQUEST_TIMEOUT, Serving, refusals, strangers, too_late, too_many};
use crate::access::{Caller, Visit};
use crate::audit::{Audit, Entry};
use crate::registry::service_of;
use crate::server::Serve;
use crate::state::{State as ControlState, excerpt};

use answer::Fault;
use documents::Documents;
use path::Target;

/// What stands in for a Eureka server. Not a router with layers: a sign of life is an empty answer to an empty request, and
/// a box for each layer, both ways, would cost as much as everything else that is done for it.
#[derive(Debug)]
pub(crate) struct Eureka {
    state: ControlState,
    users: Users,
    audit: Audit,
    documents: Documents,
    guard: Guard,
    /// Requests at one time.
    places: Semaphore,
}

/// A request without its body, and whose it is.
#[derive(Clone, Copy)]
struct Asked<'a> {
    head: &'a Parts,
    visit: &'a Visit,
    caller: &'a Caller,
}

/// Everything that a Eureka client asks for.
pub(crate) fn server(
    state: ControlState,
    Serving { users, audit, limits }: Serving<'_>,
    config: &EurekaConfig,
    address: SocketAddr,
) -> Arc<Eureka> {
    if users.is_empty() && !address.ip().is_loopback() {
        tracing::warn!(%address, "anybody who reaches this address can register services; give `eureka.users`");
    }
    Arc::new(Eureka {
        state,
        users,
        audit,
        documents: Documents::default(),
        guard: Guard::of_any_name(&config.listen, address),
        places: Semaphore::new(limits.requests),
    })
}

impl Serve for Eureka {
    async fn serve(&self, request: Request<Incoming>, visit: &Arc<Visit>) -> Response {
        let (head, body) = request.into_parts();
        if let Some(problem) = guard::refuse(&self.guard, &head.uri, &head.method, &head.headers) {
            let why = problem.reason();
            let response = problem.into_response();
            refusals::tell((&head.method, &head.uri), response.status(), &why);
            return response;
        }
        let response = self.within_limits(&head, visit, body).await;
        let response = strangers::slow_down(response, Some(visit)).await;
        if head.method == Method::HEAD { without_body(response) } else { response }
    }
}

/// What is answered to `HEAD`.
fn without_body(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
    Response::from_parts(head, Body::empty())
}

impl Eureka {
    async fn within_limits(&self, head: &Parts, visit: &Arc<Visit>, body: Incoming) -> Response {
        let Ok(_place) = self.places.try_acquire() else { return too_many().plain().into_response() };
        let mut taken = pin!(self.let_in(head, visit, body));
        // What is done at once needs no clock.
        if let Poll::Ready(response) = poll_fn(|context| Poll::Ready(taken.as_mut().poll(context))).await {
            return response;
        }
        match tokio::time::timeout(REQUEST_TIMEOUT, taken).await {
            Ok(response) => response,
            Err(_) => too_late().plain().into_response(),
        }
    }

    async fn let_in(&self, head: &Parts, visit: &Arc<Visit>, body: Incoming) -> Response {
        let target = Target::of(head.uri.path());
        let mut entry = self.entry(target.as_ref(), head, visit);
        let response = match self.users.check(&head.headers, Some(visit.client_address())).await {
            Err(stranger) => {
                let response = stranger.answer(Some(visit));
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
                    Some(target) => self.answer(target, Asked { head, visit, caller: &caller }, body).await,
                    None => Err(Fault::Unknown),
                };
                outcome.unwrap_or_else(|fault| fault.told(&head.method, &head.uri))
            }
        };
        if let Some(entry) = entry.filter(|_| !strangers::is_spent(&response)) {
            self.audit.note(entry.done(response.status().as_u16(), None));
        }
        response
    }

    async fn answer(&self, target: Target<'_>, asked: Asked<'_>, body: Incoming) -> Result<Response, Fault> {
        let Asked { head, caller, .. } = asked;
        if let Some(application) = target.written(&head.method) {
            refuse_others(caller, application)?;
        }
        match target {
            Target::Instance(application, id) if head.method == Method::PUT => {
                self.renew(&application, &id, head)
            }
            // In a box, for a sign of life needs none of what these hold while they wait.
            target => Box::pin(self.answer_rare(target, asked, body)).await,
        }
    }

    /// Everything but signs of life.
    async fn answer_rare(
        &self,
        target: Target<'_>,
        asked: Asked<'_>,
        body: Incoming,
    ) -> Result<Response, Fault> {
        let head = asked.head;
        let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
        match (method.as_str(), target) {
            ("GET", target) if target.methods().contains("GET") => self.read(target, &head.headers).await,
            ("POST", Target::Application(application)) => {
                self.register(&application, asked, Body::new(body)).await
            }
            ("DELETE", Target::Instance(application, id)) => self.cancel(&application, &id).await,
            ("PUT", Target::Status(application, id)) => self.set_status(&application, &id, head).await,
            ("DELETE", Target::Status(application, id)) => self.clear_status(&application, &id, head).await,
            ("PUT", Target::Metadata(application, id)) => self.add_metadata(&application, &id, head).await,
            ("POST", Target::Batch) => self.take_batch(asked, Body::new(body)).await,
            ("PUT", Target::ScalingGroup) => {
                Err(Fault::Refused("scaling groups are known in Amazon's cloud only".to_owned()))
            }
            (_, target) => Err(Fault::Method(target.methods())),
        }
    }

    /// What is noted of an attempt to write; of a heartbeat nothing, and a batch notes each of its items.
    fn entry(&self, target: Option<&Target<'_>>, head: &Parts, visit: &Visit) -> Option<Entry> {
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
        let mut entry = Entry::new("eureka", head.method.as_str(), head.uri.path(), Some(visit.peer));
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
