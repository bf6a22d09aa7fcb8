//! Whether the control plane lives, whether it can be used, and its figures for Prometheus.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use portreeve_config::wire::NodeKind;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Context;
use super::problem::Problem;
use super::rules::Served;
use crate::access::Need;
use crate::state::State as ControlState;
use crate::traces::TraceStore;

pub(super) fn served() -> Served {
    Served::default()
        .get("/livez", Need::Nothing, || async { "ok\n" })
        // Requests are served only once the database is open, so an answer means ready.
        .get("/readyz", Need::Nothing, || async { "ok\n" })
        .get("/metrics", Need::Read, metrics)
}

/// The figures are read when they are asked for; nothing is counted in between.
async fn metrics(State(Context { state, traces, .. }): State<Context>) -> Result<Response, Problem> {
    let mut registry = Registry::with_prefix("portreeve_control_plane");
    register(&mut registry, &state, &traces);
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|_| Problem::unavailable("the metrics could not be written"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

fn register(registry: &mut Registry, state: &ControlState, traces: &TraceStore) {
    let mut gauge = |name: &str, help: &str, value: u64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    let (revision, instances, routes, services) = state.read(|model| {
        let catalog = &model.catalog;
        (model.revision, model.registry.len(), catalog.routes.len(), catalog.services.len())
    });
    gauge("revision", "The newest revision", revision);
    gauge("instances", "Registered instances", instances as u64);
    gauge("routes", "Routes", routes as u64);
    gauge("services", "Known services", services as u64);
    gauge("spans", "Spans in the embedded trace store", traces.len() as u64);
    let watchers = Family::<[(&'static str, &'static str); 1], Gauge>::default();
    for kind in [("gateway", NodeKind::Gateway), ("sidecar", NodeKind::Sidecar)] {
        let count = state.publisher().watchers().iter().filter(|w| w.peer.kind == kind.1).count();
        watchers.get_or_create(&[("kind", kind.0)]).set(count as i64);
    }
    registry.register("watchers", "Open streams of nodes", watchers);
}
