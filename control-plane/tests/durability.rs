//! What survives: a restart, a kill, and what must never be overwritten.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use portreeve_control_plane::{ControlPlane, StartError, StoreError};
use serde_json::json;

use support::{LIMIT, Plane, config, route};

const FILE: &str = "control-plane.redb";

async fn fill(plane: &Plane) {
    plane.put("/v1/services/orders", json!({})).await;
    plane.put("/v1/routes/orders", route("orders", "/orders", "orders")).await;
    plane.put("/v1/config/orders/default", json!({"greeting": "hello"})).await;
    plane.register("orders", "orders-1", 4001).await;
    plane.register("orders", "orders-2", 4002).await;
    assert_eq!(plane.delete("/v1/services/orders/instances/orders-2").await.revision(), 6);
}

async fn is_filled(plane: &Plane) {
    assert_eq!(plane.get("/v1/revision").await.revision(), 6);
    assert_eq!(plane.get("/v1/routes/orders").await.revision(), 2);
    assert_eq!(plane.get("/v1/routes").await.revision(), 2);
    assert_eq!(plane.get("/v1/config/orders/default").await.json()["values"]["greeting"], "hello");
    let instances = plane.get("/v1/instances").await.json()["instances"].clone();
    assert_eq!(instances.as_array().unwrap().len(), 1);
    assert_eq!(instances[0]["id"], "orders-1");
    assert!(instances[0]["lease_left_ms"].as_u64().unwrap() > 50_000, "its lease is a fresh one");
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    fill(&plane).await;
    plane.running.shutdown().await;
    is_filled(&Plane::start(folder.path()).await).await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    fill(&plane).await;
    // The file as it is on disk while the process runs is what a killed process leaves behind.
    let left_behind = tempfile::tempdir().unwrap();
    fs::copy(folder.path().join(FILE), left_behind.path().join(FILE)).unwrap();
    is_filled(&Plane::start(left_behind.path()).await).await;
}

#[tokio::test]
async fn a_stored_instance_whose_node_stays_away_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let body = json!({"address": "127.0.0.1:4001", "lease_ms": 1_000});
    plane.put("/v1/services/orders/instances/orders-1", body).await;
    plane.running.shutdown().await;
    let plane = Plane::start(folder.path()).await;
    let mut gateway = plane.gateway("gateway-1").await;
    let mut seen = gateway.snapshot().await;
    assert_eq!(seen.instances.len(), 1);
    gateway.follow(&mut seen, |seen| seen.instances.is_empty()).await;
}

#[tokio::test]
async fn the_seed_fills_an_empty_database_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut seeded = config(folder.path());
    seeded.seed.services = vec!["orders".to_owned()];
    seeded.seed.routes = vec![serde_json::from_value(route("orders", "/orders", "orders")).unwrap()];
    let values = BTreeMap::from([("greeting".to_owned(), "hello".to_owned())]);
    seeded.seed.config.insert("orders".to_owned(), BTreeMap::from([("default".to_owned(), values)]));
    let plane = Plane::with(seeded.clone()).await;
    assert_eq!(plane.get("/v1/routes").await.revision(), 1);
    assert_eq!(plane.get("/v1/config/orders/default/merged").await.json()["values"]["greeting"], "hello");
    plane.delete("/v1/routes/orders").await;
    plane.running.shutdown().await;
    let plane = Plane::with(seeded.clone()).await;
    assert_eq!(plane.get("/v1/routes").await.json()["routes"], json!([]));
    plane.running.shutdown().await;

    let other = tempfile::tempdir().unwrap();
    seeded.data_dir = other.path().to_owned();
    seeded.seed.services.clear();
    let fault = ControlPlane::start(seeded).await.unwrap_err();
    assert!(matches!(fault, StartError::Faulty(_)), "{fault}");
    assert!(fault.to_string().contains("seed.routes[0].service"), "{fault}");
    assert!(!other.path().join(FILE).exists());
}

async fn refused(folder: &Path) -> (StoreError, String) {
    match ControlPlane::start(config(folder)).await {
        Err(StartError::Store(fault)) => {
            let text = fault.to_string();
            (fault, text)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_foreign_or_broken_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    for content in [&b""[..], b"short", &[0; 4096], &[b'x'; 100_000], b"SQLite format 3\0 and more of it"] {
        fs::write(&file, content).unwrap();
        let (fault, text) = refused(folder.path()).await;
        assert!(matches!(fault, StoreError::Corrupt { .. }), "{text}");
        assert!(text.contains(FILE) && text.contains("backup"), "{text}");
        assert_eq!(fs::read(&file).unwrap(), content, "the file was touched");
    }
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    fill(&plane).await;
    plane.running.shutdown().await;
    let file = folder.path().join(FILE);
    let whole = fs::read(&file).unwrap();
    for length in [100, 4096, whole.len() / 2, whole.len() - 4096] {
        fs::write(&file, &whole[..length]).unwrap();
        let (fault, text) = refused(folder.path()).await;
        assert!(matches!(fault, StoreError::Corrupt { .. }), "{length}: {text}");
    }
}

#[tokio::test]
async fn a_second_control_plane_on_the_same_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _plane = Plane::start(folder.path()).await;
    let (fault, text) = refused(folder.path()).await;
    assert!(matches!(fault, StoreError::InUse(_)), "{text}");
    assert!(text.contains("data_dir"), "{text}");
}

#[tokio::test]
async fn dropping_it_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    fill(&plane).await;
    drop(plane);
    let deadline = Instant::now() + LIMIT;
    let again = loop {
        match ControlPlane::start(config(folder.path())).await {
            Ok(running) => break Plane { running },
            Err(fault) => assert!(Instant::now() < deadline, "{fault}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    is_filled(&again).await;
}

#[tokio::test]
async fn many_writes_at_once_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let node = plane.sidecar("many", "orders", "default").await;
    for n in 0..200u16 {
        node.register("orders", &format!("orders-{n}"), 5000 + n, 60_000);
    }
    let deadline = Instant::now() + LIMIT;
    while plane.get("/v1/revision").await.revision() < 200 {
        assert!(Instant::now() < deadline);
    }
    plane.running.shutdown().await;
    let plane = Plane::start(folder.path()).await;
    assert_eq!(plane.get("/v1/instances").await.json()["instances"].as_array().unwrap().len(), 200);
}
