//! A control plane that is killed again and again while it writes: whatever it has acknowledged is there afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/process.rs"]
mod process;
mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use process::Process;
use support::{config, route};

/// How often it is killed.
const KILLS: u64 = 200;
/// Writers at one time; each has keys of its own, so that it knows what must be there.
const WRITERS: u64 = 4;
const KEYS: u64 = 5;

#[test]
fn the_process() {
    process::be_the_process();
}

/// What one writer has asked for and what was acknowledged, by key: the number that was written last.
#[derive(Clone, Default)]
struct Known {
    asked: BTreeMap<String, u64>,
    acknowledged: BTreeMap<String, u64>,
    revision: u64,
}

/// Writes rising numbers under the writer's keys until the control plane is gone.
async fn write(address: SocketAddr, writer: u64, mut known: Known) -> (u64, Known) {
    let Ok(stream) = TcpStream::connect(address).await else { return (writer, known) };
    let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(stream)).await else {
        return (writer, known);
    };
    tokio::spawn(connection);
    for number in known.asked.values().max().map_or(1, |last| last + 1).. {
        let key = format!("w{writer}-{}", number % KEYS);
        known.asked.insert(key.clone(), number);
        let route = route(&key, &format!("/{number}"), "orders");
        let request = http::Request::put(format!("/v1/routes/{key}"))
            .header("host", address.to_string())
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(route.to_string())));
        let Ok(answer) = sender.send_request(request.unwrap()).await else { break };
        assert_eq!(answer.status(), 200);
        let Ok(body) = answer.into_body().collect().await else { break };
        let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
        known.revision = body["revision"].as_u64().unwrap();
        known.acknowledged.insert(key, number);
    }
    (writer, known)
}

/// Everything that was acknowledged is there, or something newer that was asked for.
async fn check(process: &Process, known: &BTreeMap<u64, Known>) {
    let revision = process.get("/v1/revision").await.revision();
    let document = process.get("/v1/routes").await.json();
    let routes = document["routes"].as_array().unwrap();
    let found = |key: &str| {
        let route = routes.iter().find(|route| route["name"] == key)?;
        route["match"]["path"].as_str().unwrap()[1..].parse::<u64>().ok()
    };
    for known in known.values() {
        assert!(revision >= known.revision, "an acknowledged revision is gone");
        for (key, acknowledged) in &known.acknowledged {
            let found = found(key).unwrap_or_else(|| panic!("{key} is gone"));
            let asked = known.asked[key];
            assert!((*acknowledged..=asked).contains(&found), "{key}: {acknowledged} <= {found} <= {asked}");
        }
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.seed.services = vec!["orders".to_owned()];
    let mut known: BTreeMap<u64, Known> = (0..WRITERS).map(|writer| (writer, Known::default())).collect();
    for kill in 0..KILLS {
        let mut process = Process::start(&config);
        check(&process, &known).await;
        let mut writers = JoinSet::new();
        for (writer, known) in std::mem::take(&mut known) {
            writers.spawn(write(process.address, writer, known));
        }
        // From the very first write to well into the traffic.
        tokio::time::sleep(Duration::from_micros(kill * 7_919 % 25_000)).await;
        process.kill();
        known = writers.join_all().await.into_iter().collect();
    }
    check(&Process::start(&config), &known).await;
    let acknowledged: u64 =
        known.values().map(|known| known.acknowledged.values().max().copied().unwrap_or(0)).sum();
    assert!(acknowledged > KILLS, "too little was written ({acknowledged}) to prove anything");
    println!("{KILLS} kills, about {acknowledged} acknowledged writes, none lost");
}
