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
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Method, header};
use portreeve_config::EurekaConfig;
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::timeout::TimeoutLayer;

use super::basic::Users;
use super::guard::{self, Guard};
use super::{REQUEST_TIMEOUT, overloaded, refusals};
use crate::state::State as ControlState;

use answer::Fault;
use documents::Documents;
use path::Target;

/// Requests at one time.
const REQUESTS: usize = 1_024;

/// What the handlers work with.
#[derive(Debug)]
struct Eureka {
    state: ControlState,
    users: Users,
    documents: Documents,
}

/// Everything that a Eureka client asks for.
pub(crate) fn router(
    state: ControlState,
    users: Users,
    config: &EurekaConfig,
    address: SocketAddr,
) -> Router {
    if users.is_empty() && !address.ip().is_loopback() {
        tracing::warn!(%address, "anybody who reaches this address can register services; give `eureka.users`");
    }
    let eureka = Arc::new(Eureka { state, users, documents: Documents::default() });
    let limits = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(async |fault| overloaded(fault).await.plain()))
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::new(REQUESTS))
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
    if !eureka.users.is_empty()
        && let Err(refusal) = eureka.users.check(&head.headers).await
    {
        let response = refusal.into_response();
        refusals::tell((&head.method, &head.uri), response.status(), "no user who is known");
        return response;
    }
    let outcome = match Target::of(head.uri.path()) {
        Some(target) => eureka.answer(target, &head, body).await,
        None => Err(Fault::Unknown),
    };
    outcome.unwrap_or_else(|fault| fault.told(&head.method, &head.uri))
}

impl Eureka {
    async fn answer(&self, target: Target<'_>, head: &Parts, body: Body) -> Result<Response, Fault> {
        let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
        match (method.as_str(), target) {
            ("PUT", Target::Instance(application, id)) => self.renew(&application, &id, head),
            ("GET", target) if target.methods().contains("GET") => self.read(target, &head.headers).await,
            ("POST", Target::Application(application)) => self.register(&application, head, body).await,
            ("DELETE", Target::Instance(application, id)) => self.cancel(&application, &id).await,
            ("PUT", Target::Status(application, id)) => self.set_status(&application, &id, head).await,
            ("DELETE", Target::Status(application, id)) => self.clear_status(&application, &id, head).await,
            ("PUT", Target::Metadata(application, id)) => self.add_metadata(&application, &id, head).await,
            ("POST", Target::Batch) => self.take_batch(head, body).await,
            ("PUT", Target::ScalingGroup) => {
                Err(Fault::Refused("scaling groups are known in Amazon's cloud only".to_owned()))
            }
            (_, target) => Err(Fault::Method(target.methods())),
        }
    }
}

/// How a client says that it is another server, which has decided already.
fn is_replicated(headers: &http::HeaderMap) -> bool {
    headers.get("x-netflix-discovery-replication").is_some_and(|value| value == "true")
}

/// Whether `name` is among what a field lists.
fn lists(headers: &http::HeaderMap, field: header::HeaderName, name: &str) -> bool {
    headers.get_all(field).iter().filter_map(|value| value.to_str().ok()).any(|value| value.contains(name))
}
