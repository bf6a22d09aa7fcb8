//! The HTTP side: which path is whose, and what every request must pass before it gets there.

mod backup;
mod basic;
mod body;
mod configuration;
mod desired_state;
mod eureka;
mod guard;
mod health;
mod history;
mod instances;
mod nodes;
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
use axum::routing::{get, post, put};
use portreeve_config::ControlPlaneConfig;
use portreeve_config::wire::STREAM_PATH;
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
    let context = Context { state, traces, stopping: Stopping(stopping) };
    let guard = guard::Guard::new(&config.listen, address);
    let lasting = Router::new()
        .route(STREAM_PATH, post(stream::open))
        .route("/v1/revisions/{revision}/acknowledged", get(nodes::acknowledged));
    let requests = records().merge(health::router()).merge(zipkin::queries()).merge(console::router());
    Router::new()
        .merge(limited(requests, REQUESTS))
        .merge(limited(zipkin::collector(), MESSAGES))
        .merge(lasting)
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn_with_state(guard, guard::check))
        .with_state(context)
}

/// At most `most` of these requests at one time, each within its time.
fn limited(routes: Router<Context>, most: usize) -> Router<Context> {
    let limits = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(overloaded))
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::new(most))
        .layer(TimeoutLayer::new(REQUEST_TIMEOUT));
    routes.layer(limits)
}

fn records() -> Router<Context> {
    Router::new()
        .route("/v1/routes", get(routes::list).post(routes::create).put(routes::replace))
        .route("/v1/routes/{name}", get(routes::read).put(routes::put).delete(routes::remove))
        .route("/v1/services", get(services::list))
        .route("/v1/services/{service}", put(services::declare).delete(services::remove))
        .route("/v1/instances", get(instances::list))
        .route(
            "/v1/services/{service}/instances/{id}",
            get(instances::read).put(instances::register).delete(instances::deregister),
        )
        .route("/v1/services/{service}/instances/{id}/lease", put(instances::renew))
        .route("/v1/services/{service}/instances/{id}/status", put(instances::set_status))
        .route("/v1/config", get(configuration::list))
        .route(
            "/v1/config/{application}/{profile}",
            get(configuration::read)
                .put(configuration::put)
                .patch(configuration::patch)
                .delete(configuration::remove),
        )
        .route("/v1/config/{application}/{profile}/merged", get(configuration::merged))
        .route("/v1/nodes", get(nodes::list))
        .route("/v1/revision", get(nodes::revision))
        .route("/v1/backup", get(backup::read))
        .route("/v1/history", get(history::list))
        .route("/v1/revisions/{revision}", get(history::read))
        .route("/v1/revisions/{revision}/diff", get(history::compare))
        .route("/v1/revisions/{revision}/rollback", post(history::roll_back))
        .route("/v1/desired-state", get(desired_state::read).put(desired_state::put))
}

async fn overloaded(fault: BoxError) -> Problem {
    if fault.is::<Overloaded>() {
        return Problem::unavailable("too many requests at one time; try again").retry_after(1);
    }
    Problem::unavailable("the request took too long; a write may still be carried out").retry_after(1)
}
