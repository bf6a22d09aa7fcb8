//! One history for all replicas: a restart, writers at one time, changes of any size, backups.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::etcd::Etcd;
use super::process::Process;
use super::support::{self, Plane, config, route};
use super::{blocking, ids, revision, shared, until};

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

#[tokio::test]
async fn replicas_make_one_history() {
    const EACH: usize = 25;
    let Some(etcd) = Etcd::start() else { return };
    let replicas: Vec<_> = (0..3).map(|_| Process::start(&shared(&etcd))).collect();
    let mut watchers = Vec::new();
    for (index, replica) in replicas.iter().enumerate() {
        let mut watcher = replica.gateway(&format!("gateway-{index}")).await;
        let seen = watcher.snapshot().await;
        watchers.push((watcher, seen));
    }
    let writes = replicas.iter().enumerate().map(|(index, replica)| async move {
        let mut revisions = Vec::new();
        for number in 0..EACH {
            let answer = replica.register("orders", &format!("orders-{index}-{number}"), 600_000).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            revisions.push(answer.revision());
        }
        revisions
    });
    let [a, b, c] = <[_; 3]>::try_from(writes.collect::<Vec<_>>()).ok().unwrap();
    let (a, b, c) = tokio::join!(a, b, c);
    let all: BTreeSet<u64> = [a, b, c].concat().into_iter().collect();
    // The first of them declares the service in the same revision.
    assert_eq!(all, (1..=3 * EACH as u64).collect(), "a revision was given twice or left out");
    for (watcher, seen) in &mut watchers {
        watcher.follow(seen, |seen| seen.instances.len() == 3 * EACH).await;
        assert_eq!(seen.revision, 3 * EACH as u64);
    }
    for replica in &replicas {
        until("every replica has all", async || ids(replica).await.len() == 3 * EACH).await;
        assert_eq!(revision(replica).await, 3 * EACH as u64);
    }
}

#[tokio::test]
async fn of_writers_that_saw_the_same_one_wins() {
    let Some(etcd) = Etcd::start() else { return };
    let replicas: Vec<_> = (0..3).map(|_| Process::start(&shared(&etcd))).collect();
    replicas[0].put("/v1/config/orders/default", json!({"winner": "nobody"})).await;
    for round in 1..=10 {
        for replica in &replicas {
            until("every replica has the last round", async || revision(replica).await == round).await;
        }
        let tries = replicas.iter().enumerate().map(|(index, replica)| {
            let request = http::Request::put("/v1/config/orders/default")
                .header("host", replica.address.to_string())
                .header("content-type", "application/json")
                .header("if-match", format!("\"{round}\""));
            let body = json!({"winner": format!("{round}-{index}")}).to_string();
            support::send_to(replica.address, request.body(body.into()).unwrap())
        });
        let [a, b, c] = <[_; 3]>::try_from(tries.collect::<Vec<_>>()).ok().unwrap();
        let (a, b, c) = tokio::join!(a, b, c);
        let mut statuses = [a, b, c].map(|answer| answer.unwrap().status);
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412, 412]);
    }
}

/// As many routes as no single request to etcd could hold.
fn many_routes(count: usize, note: &str) -> Value {
    let route = |number: usize| {
        let headers = json!({"set": {"X-Note": format!("{note}-{number}-{}", "x".repeat(600))}});
        json!({"name": format!("route-{number}"), "match": {"path": format!("/{number}")}, "service": "orders",
            "request_headers": headers})
    };
    (0..count).map(route).collect()
}

async fn put_routes(replica: &Process, routes: &Value) {
    // Each body has a limit; a whole desired state has a larger one.
    let state = json!({"services": ["orders"], "routes": routes});
    let answer = replica.put("/v1/desired-state", state).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

async fn routes(replica: &Process) -> usize {
    replica.get("/v1/routes").await.json()["routes"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_change_larger_than_any_request_is_one_revision() {
    let Some(etcd) = Etcd::start() else { return };
    let (first, second) = (Process::start(&shared(&etcd)), Process::start(&shared(&etcd)));
    let mut gateway = second.gateway("gateway").await;
    let mut seen = gateway.snapshot().await;
    for (round, count) in [4_000, 3_000].into_iter().enumerate() {
        put_routes(&first, &many_routes(count, &format!("round-{round}"))).await;
        gateway.follow(&mut seen, |seen| seen.routes.len() == count).await;
        assert_eq!(seen.revision, round as u64 + 1);
        until("the second replica has them", async || routes(&second).await == count).await;
    }
    // Whoever comes later, or writes on top, finds the same.
    assert_eq!(second.put("/v1/services/users", json!({})).await.revision(), 3);
    let third = Process::start(&shared(&etcd));
    assert_eq!((routes(&third).await, revision(&third).await), (3_000, 3));
}

#[tokio::test]
async fn a_backup_goes_from_etcd_to_a_file_and_back() {
    let Some(etcd) = Etcd::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (file, etcd_file) = (folder.path().join("file.backup"), folder.path().join("etcd.backup"));
    let replica = Process::start(&shared(&etcd));
    replica.put("/v1/services/orders", json!({})).await;
    replica.put("/v1/routes/orders", route("orders", "/orders", "orders")).await;
    portreeve_control_plane::keep(&replica.get("/v1/backup").await.bytes, &file).unwrap();
    let (from, to) = (shared(&etcd), etcd_file.clone());
    blocking(move || portreeve_control_plane::backup(&from, &to)).await.unwrap();
    assert_eq!(
        portreeve_control_plane::restore(&config(folder.path()), &etcd_file, false).unwrap().revision,
        2
    );
    assert_eq!(Plane::start(folder.path()).await.get("/v1/routes/orders").await.revision(), 2);

    replica.put("/v1/services/users", json!({})).await;
    let restore = |replace| {
        let (to, file) = (shared(&etcd), file.clone());
        blocking(move || portreeve_control_plane::restore(&to, &file, replace))
    };
    assert!(restore(false).await.unwrap_err().to_string().contains("--replace"));
    restore(true).await.unwrap();
    until("the replica follows", async || {
        let services = replica.get("/v1/services").await.json();
        services["services"].as_array().unwrap().len() == 1
    })
    .await;
    assert_eq!(revision(&replica).await, 4);
}
