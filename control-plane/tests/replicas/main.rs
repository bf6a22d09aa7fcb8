//! Control planes that share an etcd: one history for all, and what becomes of their nodes when one of them dies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod distance;
#[path = "../support/etcd.rs"]
mod etcd;
mod followers;
mod history;
mod losses;
mod nodes;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use portreeve_config::ControlPlaneConfig;

use etcd::Etcd;
use process::Process;
use support::{LIMIT, config};

#[test]
fn the_process() {
    process::be_the_process();
}

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

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn revision(replica: &Process) -> u64 {
    replica.get("/v1/revision").await.revision()
}

async fn ids(replica: &Process) -> BTreeSet<String> {
    let instances = replica.get("/v1/instances").await.json()["instances"].clone();
    instances.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}
