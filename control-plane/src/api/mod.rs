//! The HTTP side: which path is whose, and what every request must pass before it gets there.

mod backup;
mod basic;
mod body;
pub(crate) mod config_server;
mod configuration;
mod desired_state;
mod entrance;
mod eureka;
mod guard;
mod health;
mod history;
mod instances;
mod nodes;
mod openapi;
mod operations;
mod problem;
mod refusals;
mod routes;
mod rules;
mod services;
mod strangers;
mod stream;
mod write;
mod zipkin;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use axum::Router;
use axum::error_handling::HandleErrorLayer;
use axum::extract::FromRef;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use portreeve_config::{ControlPlaneConfig, ControlPlaneLimits};
use tokio::sync::watch;
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::load_shed::error::Overloaded;
use tower::timeout::TimeoutLayer;

use crate::access::{Need, Tokens};
use crate::audit::Audit;
use crate::state::State;
use crate::traces::TraceStore;

use entrance::Entrance;
use problem::Problem;
use rules::Served;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing {
    pub use super::config_server::fuzzing::config_path;
    pub use super::eureka::fuzzing::{eureka_json, eureka_xml};
}

pub(crate) use basic::Users;
pub(crate) use eureka::server as eureka;

/// Messages of spans at one time; each may take 10 MiB twice.
const MESSAGES: usize = 16;
/// How long a request may take; streams and waits have limits of their own.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// What handlers work with.
#[derive(Clone, Debug)]
struct Context {
    state: State,
    traces: Arc<TraceStore>,
    document: operations::Document,
    stopping: Stopping,
    audit: Audit,
}

impl FromRef<Context> for State {
    fn from_ref(context: &Context) -> Self {
        context.state.clone()
    }
}

impl FromRef<Context> for Arc<TraceStore> {
    fn from_ref(context: &Context) -> Self {
        context.traces.clone()
    }
}

impl FromRef<Context> for operations::Document {
    fn from_ref(context: &Context) -> Self {
        context.document.clone()
    }
}

/// Tells long-lived answers to end.
#[derive(Clone, Debug)]
struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Waits until the control plane stops.
    async fn wait(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// What a listener that stands in for another server needs.
#[derive(Debug)]
pub(crate) struct Serving<'a> {
    pub(crate) users: Users,
    pub(crate) audit: Audit,
    pub(crate) limits: &'a ControlPlaneLimits,
}

/// Who may do what, and where it is noted.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) audit: Audit,
}

/// Every path of the control plane.
pub(crate) fn router(
    state: State,
    access: Access,
    config: &ControlPlaneConfig,
    address: SocketAddr,
    stopping: watch::Receiver<bool>,
) -> Router {
    let traces = Arc::new(TraceStore::new(config.trace_spans));
    let (served, document) = served(config);
    let Access { tokens, audit } = access;
    let context = Context { state, traces, document, stopping: Stopping(stopping), audit: audit.clone() };
    let guard = guard::Guard::new(&config.listen, address).over_tls(config.tls.is_some());
    let entrance = Arc::new(Entrance { guard, tokens, rules: served.rules, audit });
    served
        .router
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn_with_state(entrance, entrance::enter))
        .layer(middleware::from_fn(refusals::told))
        .with_state(context)
}

/// Everything that is served, with what it asks of its caller.
fn served(config: &ControlPlaneConfig) -> (Served, operations::Document) {
    let (records, lasting) = (operations::records(), operations::lasting());
    let document = openapi::document(&[&*records.described, &lasting.described].concat());
    let requests = records.served.merge(health::served()).merge(zipkin::queries()).merge(zipkin::page());
    let spans = if config.anonymous_spans { Need::Nothing } else { Need::Spans };
    let served = requests
        .around(|routes| limited(routes, config.limits.requests))
        .merge(zipkin::collector(spans).around(|routes| limited(routes, MESSAGES)))
        .merge(lasting.served);
    (served, operations::Document(document.to_string().into()))
}

/// At most `most` of these requests at one time, each within its time.
fn limited<S: Clone + Send + Sync + 'static>(routes: Router<S>, most: usize) -> Router<S> {
    let limits = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(overloaded))
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::new(most))
        .layer(TimeoutLayer::new(REQUEST_TIMEOUT));
    routes.layer(limits)
}

/// What a client of the own API is told that asks too often.
pub(crate) fn too_fast() -> Response {
    let detail = "too many requests came from this address; ask more slowly";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(1).into_response()
}

/// As [`too_fast`], where there are no problem documents.
pub(crate) fn too_fast_plain() -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], "too many requests\n").into_response()
}

async fn overloaded(fault: BoxError) -> Problem {
    if fault.is::<Overloaded>() { too_many() } else { too_late() }
}

fn too_many() -> Problem {
    Problem::unavailable("too many requests at one time; try again").retry_after(1)
}

fn too_late() -> Problem {
    Problem::unavailable("the request took too long; a write may still be carried out").retry_after(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::collections::BTreeSet;

    use super::*;
    use crate::store::EmbeddedStore;

    fn config() -> ControlPlaneConfig {
        serde_json::from_str("{}").unwrap()
    }

    fn operations() -> Vec<operations::Operation> {
        [operations::records().described, operations::lasting().described].concat()
    }

    /// axum has no list of its routes but in the text for debugging: what stands there in quotes and begins as ours.
    #[tokio::test]
    async fn every_path_has_a_rule_and_every_one_of_the_own_api_is_described() {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(folder.path()).unwrap();
        let state = State::begin(store, Default::default()).unwrap();
        let access =
            Access { tokens: Arc::new(Tokens::read(&[]).unwrap()), audit: Audit::begin(None).unwrap() };
        let (_stop, stopping) = watch::channel(false);
        let router = router(state, access, &config(), "127.0.0.1:0".parse().unwrap(), stopping);
        let served = format!("{router:?}");
        let is_ours = |text: &&str| text.starts_with('/') && !text.contains("__private__axum_fallback");
        let served: BTreeSet<_> = served.split('"').filter(is_ours).collect();
        let rules = super::served(&config()).0.rules;
        let ruled: BTreeSet<_> = rules.all().map(|(path, ..)| path).collect();
        assert_eq!(served, ruled);
        let own: BTreeSet<_> = served.into_iter().filter(|path| path.starts_with("/v1/")).collect();
        let described: BTreeSet<_> = operations().iter().map(|operation| operation.path).collect();
        assert_eq!(own, described);
        assert!(own.len() > 15);
    }

    #[test]
    fn nothing_but_health_is_open_and_nobody_writes_by_reading() {
        let rules = super::served(&config()).0.rules;
        for (path, method, rule) in rules.all() {
            let open = matches!(path, "/livez" | "/readyz");
            assert_eq!(rule.need == Need::Nothing, open, "{path}");
            let looks = matches!(rule.need, Need::Look | Need::Read);
            let takes = matches!(rule.need, Need::Spans | Need::Admin | Need::Nothing | Need::Stream);
            assert!(takes || looks == method.is_safe(), "{method} {path} needs {}", rule.need);
        }
        for operation in operations() {
            let rule = rules.of(operation.path, &operation.method).unwrap();
            assert_eq!(rule.need, operation.need, "{}", operation.path);
        }
    }
}
