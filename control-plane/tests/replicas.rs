//! Control planes that share an etcd: one history for all, and what becomes of their nodes when one of them dies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/etcd.rs"]
mod etcd;
mod support;

use std::time::{Duration, Instant};

use portreeve_config::ControlPlaneConfig;
use serde_json::json;

use etcd::Etcd;
use support::{LIMIT, Plane, config, route};

fn shared(etcd: &Etcd) -> ControlPlaneConfig {
    ControlPlaneConfig { store: etcd.store(), ..config("nothing-is-kept-here".as_ref()) }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + 3 * LIMIT;
    while !holds().await {
        assert!(Instant::now() < deadline, "did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_restart_finds_everything_again() {
    let Some(etcd) = Etcd::start() else { return };
    let plane = Plane::with(shared(&etcd)).await;
    assert_eq!(plane.put("/v1/services/orders", json!({})).await.revision(), 1);
    assert_eq!(plane.put("/v1/routes/orders", route("orders", "/orders", "orders")).await.revision(), 2);
    plane.put("/v1/config/orders/default", json!({"greeting": "hello"})).await;
    plane.register("orders", "orders-1", 4001).await;
    plane.register("orders", "orders-2", 4002).await;
    assert_eq!(plane.delete("/v1/services/orders/instances/orders-2").await.revision(), 6);
    plane.running.shutdown().await;

    let plane = Plane::with(shared(&etcd)).await;
    assert_eq!(plane.get("/v1/revision").await.revision(), 6);
    assert_eq!(plane.get("/v1/routes/orders").await.revision(), 2);
    assert_eq!(plane.get("/v1/config/orders/default").await.json()["values"]["greeting"], "hello");
    let instances = plane.get("/v1/instances").await.json()["instances"].clone();
    assert_eq!((instances.as_array().unwrap().len(), &instances[0]["id"]), (1, &json!("orders-1")));
    assert_eq!(plane.put("/v1/services/users", json!({})).await.revision(), 7);
}
