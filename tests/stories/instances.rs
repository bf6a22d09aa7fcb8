//! Story 7: an instance comes, is killed, and leaves, under load and without an error.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::demo::{Demo, PORTREEVE, eventually, free_port, send_signal};
use crate::load::Load;

/// Starts a third instance of products with one sidecar command; gives the sidecar's process id and the port.
fn third(demo: &mut Demo) -> (i32, u16) {
    let port = free_port();
    let words = [
        "sidecar",
        "--service",
        "products",
        "--app",
        &format!("127.0.0.1:{port}"),
        "--control-plane",
        &format!("http://{}", demo.address("control_plane")),
        "--instance",
        "products-third",
        "--",
        PORTREEVE,
        "demo-service",
        "products",
        "--listen",
        &format!("127.0.0.1:{port}"),
        "--data-dir",
        &demo.data().join("shop").display().to_string(),
    ]
    .map(str::to_owned);
    (demo.spawn(&words, &[]), port)
}

async fn is_registered(demo: &Demo) -> bool {
    let listed = demo.control_plane().get("/v1/instances?service=products").await.json();
    let instances = listed["instances"].as_array().cloned().unwrap_or_default();
    instances.iter().any(|instance| instance["id"] == "products-third" && instance["status"] == "up")
}

struct Scene {
    demo: Demo,
    load: Load,
    sidecar: i32,
    port: String,
}

/// A third instance that takes its turn under 200 requests a second.
async fn scene() -> Scene {
    let mut demo = Demo::start().await;
    let alice = demo.user("alice").await;
    let id = alice.post("/products", json!({"name": "Lamp", "price": 2, "stock": 9})).await.expect(201)["id"]
        .clone();
    let load = Load::start(alice, &format!("/products/{id}"), 200);
    load.more(50).await;
    let (sidecar, port) = third(&mut demo);
    let port = port.to_string();
    eventually("it is registered", async || is_registered(&demo).await).await;
    let registered = Instant::now();
    eventually("it takes traffic", async || load.port(&port).is_some()).await;
    // The story says 200 ms; the bound leaves room for a busy machine, and a poll every few seconds would break it.
    assert!(registered.elapsed() < Duration::from_secs(1), "{:?}", registered.elapsed());
    load.more(100).await;
    Scene { demo, load, sidecar, port }
}

/// Waits until the instance has had no request for a while; says how long after `since` it had its last.
async fn last_answer(load: &Load, port: &str, since: Instant) -> Duration {
    load.more(400).await;
    load.port(port).unwrap().1.saturating_duration_since(since)
}

#[tokio::test]
async fn a_killed_instance_costs_no_get_an_error() {
    let Scene { mut demo, load, sidecar, port } = scene().await;
    let killed = Instant::now();
    send_signal(sidecar, "KILL");
    let gone = eventually("it is out of the registry", async || !is_registered(&demo).await).await;
    assert!(gone < Duration::from_secs(3), "{gone:?}");
    assert!(last_answer(&load, &port, killed).await < Duration::from_secs(1));
    demo.spawned_ended().await;
    eventually("its service has ended with it", async || {
        demo.processes(&["demo-service", &format!("127.0.0.1:{port}")]).is_empty()
    })
    .await;
    let noted = load.stop().await;
    assert_eq!(noted.failures, Vec::<String>::new(), "of {}", noted.answers);
    demo.stop().await;
}

#[tokio::test]
async fn a_killed_service_costs_no_get_an_error_and_its_sidecar_takes_it_out() {
    let Scene { mut demo, load, port, .. } = scene().await;
    demo.signal(&["demo-service", &format!("127.0.0.1:{port}")], "KILL");
    eventually("it is out of the registry", async || !is_registered(&demo).await).await;
    assert_eq!(demo.spawned_ended().await, Some(128 + 9), "the sidecar ends with its service's code");
    load.more(100).await;
    let noted = load.stop().await;
    assert_eq!(noted.failures, Vec::<String>::new(), "of {}", noted.answers);
    demo.stop().await;
}

#[tokio::test]
async fn a_stopped_instance_is_out_of_rotation_before_it_stops() {
    let Scene { mut demo, load, sidecar, port } = scene().await;
    send_signal(sidecar, "TERM");
    assert_eq!(demo.spawned_ended().await, Some(0));
    let ended = Instant::now();
    assert!(!is_registered(&demo).await);
    assert_eq!(last_answer(&load, &port, ended).await, Duration::ZERO, "nothing after it had stopped");
    let noted = load.stop().await;
    assert_eq!(noted.failures, Vec::<String>::new(), "of {}", noted.answers);
    demo.stop().await;
}
