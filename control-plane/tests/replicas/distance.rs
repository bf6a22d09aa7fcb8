//! An etcd that takes its time, and a replica that has much to tell it.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portreeve_config::{ControlPlaneConfig, EtcdConfig, StoreConfig};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::etcd::Etcd;
use super::process::Process;
use super::support::send_to;
use super::{blocking, ids, shared, until};

/// At the distance below they take longer to tell than a replica's lease lasts.
const INSTANCES: usize = 3_000;
const REGISTERING: usize = 30;
/// Milliseconds each way.
const FAR: u64 = 100;

#[tokio::test]
async fn a_replica_keeps_its_lease_while_it_tells_of_thousands() {
    let Some(etcd) = Etcd::start() else { return };
    let distance = Arc::new(AtomicU64::new(0));
    let near = etcd.endpoint().strip_prefix("http://").unwrap().parse().unwrap();
    let endpoint = format!("http://{}", relayed(near, distance.clone()).await);
    let StoreConfig::Etcd(store) = etcd.store() else { panic!("it is no etcd") };
    let store = StoreConfig::Etcd(EtcdConfig { endpoints: vec![endpoint], ..store });
    let config = ControlPlaneConfig { store, ..shared(&etcd) };
    // What it needs from etcd passes through here while it starts.
    let replica = blocking(move || Process::start(&config)).await;
    let mut registering = JoinSet::new();
    for first in (0..INSTANCES).step_by(INSTANCES / REGISTERING) {
        registering.spawn(register(replica.address, first..first + INSTANCES / REGISTERING));
    }
    registering.join_all().await;
    until("all of them are told", async || told(&etcd).await == INSTANCES).await;

    distance.store(FAR, Ordering::Relaxed);
    let leases = etcd.ask("/v3/lease/leases", json!({})).await["leases"].clone();
    for lease in leases.as_array().unwrap() {
        etcd.ask("/v3/lease/revoke", json!({"ID": lease["ID"]})).await;
    }
    assert!(told(&etcd).await < INSTANCES, "what was told has not gone with its lease");
    until("all of them are told anew", async || told(&etcd).await == INSTANCES).await;
    assert_eq!(ids(&replica).await.len(), INSTANCES);
}

/// How many claims stand in etcd.
async fn told(etcd: &Etcd) -> usize {
    let [key, range_end] =
        ["/portreeve/live/claims/", "/portreeve/live/claims0"].map(|key| STANDARD.encode(key));
    let question = json!({"key": key, "range_end": range_end, "count_only": true});
    // None is not written down.
    etcd.ask("/v3/kv/range", question).await["count"].as_str().map_or(0, |count| count.parse().unwrap())
}

async fn register(address: SocketAddr, numbers: Range<usize>) {
    for number in numbers {
        let body = json!({"address": "127.0.0.1:4001", "lease_ms": 300_000}).to_string();
        let request = http::Request::put(format!("/v1/services/orders/instances/orders-{number}"));
        let request = request.header("host", address.to_string()).header("content-type", "application/json");
        let answer = send_to(address, request.body(body.into()).unwrap()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}

/// Passes on whatever comes, both ways, `distance` milliseconds later.
async fn relayed(to: SocketAddr, distance: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(to).await else { continue };
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            tokio::spawn(pass(from_near, to_far, distance.clone()));
            tokio::spawn(pass(from_far, to_near, distance.clone()));
        }
    });
    address
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, distance: Arc<AtomicU64>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        tokio::time::sleep(Duration::from_millis(distance.load(Ordering::Relaxed))).await;
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
