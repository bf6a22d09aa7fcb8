//! The HTTP side: which path is whose, and what every request must pass before it gets there.

mod backup;
mod basic;
mod body;
pub(crate) mod config_server;
mod configuration;
mod desired_state;
mod eureka;
mod guard;
mod health;
mod history;
mod instances;
mod nodes;
mod openapi;
mod operations;
mod problem;
mod routes;
mod services;
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
use portreeve_config::ControlPlaneConfig;
use tokio::sync::watch;
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::load_shed::error::Overloaded;
use tower::timeout::TimeoutLayer;

use crate::console;
use crate::state::State;
use crate::traces::TraceStore;

use problem::Problem;

pub(crate) use basic::Users;
pub(crate) use eureka::router as eureka;

/// Requests at one time, streams not counted; what comes on top is told to come back.
const REQUESTS: usize = 512;
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

/// Every path of the control plane.
pub(crate) fn router(
    state: State,
    config: &ControlPlaneConfig,
    address: SocketAddr,
    stopping: watch::Receiver<bool>,
) -> Router {
    let traces = Arc::new(TraceStore::new(config.trace_spans));
    let (records, lasting) = (operations::records(), operations::lasting());
    let document = openapi::document(&[&*records.described, &lasting.described].concat());
    let document = operations::Document(document.to_string().into());
    let context = Context { state, traces, document, stopping: Stopping(stopping) };
    let guard = guard::Guard::new(&config.listen, address).over_tls(config.tls.is_some());
    let requests = records.router.merge(health::router()).merge(zipkin::queries()).merge(console::router());
    Router::new()
        .merge(limited(requests, REQUESTS))
        .merge(limited(zipkin::collector(), MESSAGES))
        .merge(lasting.router)
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn_with_state(guard, guard::check))
        .with_state(context)
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

async fn overloaded(fault: BoxError) -> Problem {
    if fault.is::<Overloaded>() {
        return Problem::unavailable("too many requests at one time; try again").retry_after(1);
    }
    Problem::unavailable("the request took too long; a write may still be carried out").retry_after(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::collections::BTreeSet;

    use super::*;
    use crate::store::EmbeddedStore;

    /// axum has no list of its routes but in the text for debugging: what stands there in quotes and begins as ours.
    #[tokio::test]
    async fn every_path_of_the_own_api_is_described_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(folder.path()).unwrap();
        let state = State::begin(store, Default::default()).unwrap();
        let config: ControlPlaneConfig = serde_json::from_str("{}").unwrap();
        let (_stop, stopping) = watch::channel(false);
        let served = format!("{:?}", router(state, &config, "127.0.0.1:0".parse().unwrap(), stopping));
        let served: BTreeSet<_> = served.split('"').filter(|text| text.starts_with("/v1/")).collect();
        let operations = [operations::records().described, operations::lasting().described].concat();
        let described: BTreeSet<_> = operations.iter().map(|operation| operation.path).collect();
        assert_eq!(served, described);
        assert!(served.len() > 15);
    }
}
