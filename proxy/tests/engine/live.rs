//! Settings of the gateway as a whole that change while it runs: whom it believes, what it records, how many workers it
//! has. Nobody's connection ends because of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use portreeve_proxy::Gateway;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Client, get, limited, until};
use crate::origin::{Origin, Reply, answer};
use crate::stage::{config, everything, metric, parsed, start, with};
use crate::tunnels;

#[tokio::test]
async fn a_kept_connection_sees_who_is_believed_now() {
    let origin = Origin::saying("ok").await;
    let settings = || config(&[&origin], everything());
    let gateway = start(settings()).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    let mut forwarded = async || {
        client.ask("GET", "/", "x-forwarded-for: 192.0.2.1\r\n", "").await;
        origin.last().field("x-forwarded-for").unwrap().to_owned()
    };
    assert_eq!(forwarded().await, "127.0.0.1");
    for round in 0..2 {
        let trusting = with(settings(), "trusted_proxies", json!(["127.0.0.0/8"]));
        gateway.reload(parsed(trusting)).await.unwrap();
        assert_eq!(forwarded().await, "192.0.2.1, 127.0.0.1", "{round}");
        let elsewhere = with(settings(), "trusted_proxies", json!(["10.0.0.0/8"]));
        gateway.reload(parsed(elsewhere)).await.unwrap();
        assert_eq!(forwarded().await, "127.0.0.1", "{round}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn readings_of_paths_and_the_name_follow_the_file() {
    let origin = Origin::saying("ok").await;
    let settings = || config(&[&origin], everything());
    let gateway = start(settings()).await;
    let to = gateway.local_addrs().listen;
    assert_eq!((get(to, "/a//b").await.status, get(to, "/a;b").await.status), (400, 400));
    let merging = with(settings(), "duplicate_slashes", json!("merge"));
    let merging = with(merging, "path_parameters", json!("keep"));
    gateway.reload(parsed(with(merging, "tracing", json!({"service_name": "edge"})))).await.unwrap();
    let given = get(to, "/a//b").await;
    assert_eq!((given.status, given.field("via")), (200, Some("1.1 edge")));
    assert_eq!(origin.last().line(), "GET /a/b HTTP/1.1");
    assert_eq!(get(to, "/%61;b=1/c;").await.status, 200);
    assert_eq!(origin.last().line(), "GET /a;b=1/c; HTTP/1.1");
    gateway.shutdown().await;
}

async fn collector() -> Origin {
    Origin::start(|_| Reply::Keep(answer("202 Accepted", "", ""))).await
}

fn traced(origin: &Origin, collector: &Origin, sample: f64) -> Value {
    let endpoint = format!("http://{}/api/v2/spans", collector.address);
    let tracing = json!({"sample": sample, "zipkin": {"endpoint": endpoint}});
    with(config(&[origin], everything()), "tracing", tracing)
}

#[tokio::test]
async fn sampling_and_the_collector_follow_the_file() {
    let (origin, first, second) = (Origin::saying("ok").await, collector().await, collector().await);
    let gateway = start(traced(&origin, &first, 0.0)).await;
    let to = gateway.local_addrs().listen;
    let is_recorded = || origin.last().field("traceparent").unwrap().ends_with("-01");
    get(to, "/").await;
    assert!(!is_recorded());
    gateway.reload(parsed(traced(&origin, &first, 1.0))).await.unwrap();
    get(to, "/").await;
    assert!(is_recorded());
    gateway.reload(parsed(traced(&origin, &second, 1.0))).await.unwrap();
    until("what the first was given is sent", || first.count() == 1).await;
    get(to, "/").await;
    until("the second gets what comes after", || second.count() == 1).await;
    gateway.reload(parsed(traced(&origin, &second, 0.0))).await.unwrap();
    get(to, "/").await;
    assert!(!is_recorded());
    gateway.shutdown().await;
    assert_eq!((first.count(), second.count()), (1, 1));
}

/// Whether this process has a worker with this number. Other tests have workers too, but not so many.
fn runs(number: usize) -> bool {
    let name = format!("gateway-{number}\n");
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .flatten()
        .any(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm == name))
}

async fn becomes(gateway: &Gateway, settings: Value, workers: usize) {
    gateway.reload(parsed(with(settings, "workers", json!(workers)))).await.unwrap();
}

#[tokio::test]
async fn workers_come_and_go_under_load() {
    let origin = Origin::saying("ok").await;
    let settings = || config(&[&origin], everything());
    let gateway = start(with(settings(), "workers", json!(1))).await;
    let to = gateway.local_addrs().listen;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
        clients.spawn(async move {
            // A connection for each request: what waits in a socket as its worker goes is what could be lost.
            while !stop.load(Ordering::SeqCst) {
                assert_eq!(get(to, "/").await.status, 200);
                done.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    for workers in [9, 2, 10, 1, 3, 12, 1] {
        becomes(&gateway, settings(), workers).await;
        let goal = done.load(Ordering::SeqCst) + 100;
        until("requests go on", || done.load(Ordering::SeqCst) >= goal).await;
        if workers > 8 {
            until("they are there", || runs(workers - 1)).await;
        }
        if workers == 1 {
            until("they are gone", || !(8..12).any(runs)).await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let admin = gateway.local_addrs().admin;
    let counted = metric(admin, "portreeve_requests_total", &["status=\"2xx\""]).await;
    assert_eq!(counted as usize, done.load(Ordering::SeqCst), "also by workers that have gone");
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_a_worker_carries_goes_on_when_it_goes() {
    let service = tunnels::service().await;
    let settings = with(tunnels::settings(service), "limits", json!({"drain": "100ms"}));
    let gateway = start(with(settings.clone(), "workers", json!(6))).await;
    let mut sockets = Vec::new();
    for _ in 0..30 {
        sockets.push(tunnels::socket(&gateway).await);
    }
    becomes(&gateway, settings.clone(), 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    for socket in &mut sockets {
        tunnels::echoes(&mut socket.stream, b"still").await;
    }
    // As many again while the others are on their way out.
    becomes(&gateway, settings, 6).await;
    for socket in sockets {
        tunnels::closes(socket.stream).await;
    }
    let mut late = tunnels::socket(&gateway).await;
    tunnels::echoes(&mut late.stream, b"late").await;
    limited(gateway.shutdown()).await;
}

#[tokio::test]
async fn a_port_that_is_lost_changes_no_worker() {
    let origin = Origin::saying("ok").await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = || config(&[&origin], everything());
    let gateway = start(settings()).await;
    let more = json!([{"address": taken.local_addr().unwrap().to_string()}]);
    let faulty = with(with(settings(), "listeners", more), "workers", json!(15));
    let faults = gateway.reload(parsed(faulty)).await.unwrap_err();
    assert_eq!(faults.0[0].path, "listeners[0]", "{faults}");
    assert!(!runs(14));
    assert_eq!(get(gateway.local_addrs().listen, "/").await.status, 200);
    gateway.shutdown().await;
}
