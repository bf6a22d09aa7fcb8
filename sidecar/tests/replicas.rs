//! A sidecar that knows several control planes: when its own is gone it goes to the next one at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use std::time::{Duration, Instant};

use serde_json::json;
use stage::{App, Plane, Running, beside, eventually};

#[tokio::test]
async fn when_its_control_plane_is_gone_a_sidecar_goes_to_the_next() {
    let mut planes = [Plane::start().await, Plane::start().await];
    let app = App::start("orders").await;
    let mut config = beside(&app, "orders", Some(&planes[0]));
    config["control_plane"]["replicas"] = json!([planes[1].url()]);
    let sidecar = Running::start(config, None).await;
    // It begins at either of them.
    let mut own = eventually(|| async {
        let registered = [planes[0].instances("orders").await, planes[1].instances("orders").await];
        registered.iter().position(|instances| instances.len() == 1)
    })
    .await;
    for _ in 0..2 {
        let next = 1 - own;
        planes[own].stop().await;
        let gone = Instant::now();
        planes[next].registered("orders", 1).await;
        println!("registered at the next after {:?}", gone.elapsed());
        assert!(gone.elapsed() < Duration::from_secs(2), "it took {:?}", gone.elapsed());
        // The one it was at comes back, and the other goes.
        planes[own].restart().await;
        own = next;
    }
    assert_eq!(sidecar.stopped().await, 0);
}
