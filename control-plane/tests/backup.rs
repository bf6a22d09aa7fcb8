//! Backups of a control plane that runs and of one that is closed, and what a restore refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;

use portreeve_control_plane::{BackupError, StoreError, backup, keep, restore};
use serde_json::{Value, json};

use support::{Plane, config, route};

const FILE: &str = "control-plane.redb";

async fn fill(plane: &Plane) {
    plane.put("/v1/services/orders", json!({})).await;
    plane.put("/v1/routes/orders", route("orders", "/orders", "orders")).await;
    plane.put("/v1/config/orders/default", json!({"greeting": "hello"})).await;
    plane.register("orders", "orders-1", 4001).await;
}

/// All that clients can see, but for the time that passes.
async fn seen(plane: &Plane) -> Vec<Value> {
    let mut seen = Vec::new();
    for path in ["/v1/revision", "/v1/routes", "/v1/services", "/v1/config/orders/default", "/v1/history"] {
        let answer = plane.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        seen.push(answer.json());
    }
    let mut instances = plane.get("/v1/instances").await.json();
    for instance in instances["instances"].as_array_mut().unwrap() {
        for passing in ["lease_left_ms", "silent_ms"] {
            instance.as_object_mut().unwrap().remove(passing);
        }
    }
    seen.push(instances);
    seen
}

async fn from_the_running_one(plane: &Plane, to: &Path) {
    keep(&plane.get("/v1/backup").await.bytes, to).unwrap();
}

#[tokio::test]
async fn a_backup_brings_back_all_there_was() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("one"), folder.path().join("two"));
    let (running, closed) = (folder.path().join("running.backup"), folder.path().join("closed.backup"));
    let plane = Plane::start(&first).await;
    fill(&plane).await;
    let before = seen(&plane).await;
    assert!(matches!(backup(&config(&first), &closed), Err(BackupError::Store(StoreError::InUse(_)))));
    from_the_running_one(&plane, &running).await;
    plane.running.shutdown().await;
    backup(&config(&first), &closed).unwrap();

    for file in [running, closed] {
        let summary = restore(&config(&second), &file, false).unwrap();
        assert_eq!((summary.revision, summary.records), (4, 7), "{summary:?}");
        let plane = Plane::start(&second).await;
        assert_eq!(seen(&plane).await, before);
        assert_eq!(plane.put("/v1/services/users", json!({})).await.revision(), 5);
        plane.running.shutdown().await;
        fs::remove_dir_all(&second).unwrap();
    }
}

#[tokio::test]
async fn a_restore_overwrites_nothing_unless_it_is_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("portreeve.backup"));
    let plane = Plane::start(&data).await;
    fill(&plane).await;
    from_the_running_one(&plane, &file).await;
    assert!(
        matches!(keep(&fs::read(&file).unwrap(), &file), Err(BackupError::File { .. })),
        "it is there already"
    );
    plane.put("/v1/services/users", json!({})).await;
    let in_use = restore(&config(&data), &file, true).unwrap_err();
    assert!(matches!(in_use, BackupError::Store(StoreError::InUse(_))), "{in_use}");
    plane.running.shutdown().await;

    let database = fs::read(data.join(FILE)).unwrap();
    let refused = restore(&config(&data), &file, false).unwrap_err();
    assert!(matches!(refused, BackupError::Store(StoreError::Exists(_))), "{refused}");
    let whole = fs::read(&file).unwrap();
    for torn in [&whole[..whole.len() / 2], b"", b"something else"] {
        fs::write(&file, torn).unwrap();
        let refused = restore(&config(&data), &file, true).unwrap_err();
        assert!(matches!(refused, BackupError::Damaged { .. }), "{refused}");
    }
    assert_eq!(fs::read(data.join(FILE)).unwrap(), database, "the database was touched");

    fs::write(&file, whole).unwrap();
    restore(&config(&data), &file, true).unwrap();
    assert_eq!(Plane::start(&data).await.get("/v1/revision").await.revision(), 4);
    assert!(data.join("control-plane.redb.replaced").exists());
}

#[tokio::test]
async fn a_damaged_database_can_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("portreeve.backup"));
    let plane = Plane::start(&data).await;
    fill(&plane).await;
    from_the_running_one(&plane, &file).await;
    plane.running.shutdown().await;
    fs::write(data.join(FILE), "no database").unwrap();
    assert!(restore(&config(&data), &file, false).is_err());
    restore(&config(&data), &file, true).unwrap();
    assert_eq!(fs::read(data.join("control-plane.redb.replaced")).unwrap(), b"no database");
    assert_eq!(Plane::start(&data).await.get("/v1/revision").await.revision(), 4);
}

#[test]
fn there_is_no_backup_of_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let fault = backup(&config(folder.path()), &folder.path().join("x")).unwrap_err();
    assert!(matches!(fault, BackupError::Store(StoreError::Missing(_))), "{fault}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something was made");
}
