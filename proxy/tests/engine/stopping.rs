//! How a gateway ends, with a word and without, and how it does not begin.

use std::sync::Arc;
use std::time::Duration;

use portreeve_config::{Checked, RouteConfig};
use portreeve_proxy::{Gateway, StartError};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::client::{Client, get, limited, until};
use crate::origin::{Origin, Reply, ok};
use crate::stage::{before, config, everything, parsed, start, with};

async fn is_refused(address: std::net::SocketAddr) -> bool {
    match limited(TcpStream::connect(address)).await {
        Err(_) => true,
        Ok(stream) => Client::over(stream).is_closed().await,
    }
}

#[tokio::test]
async fn what_is_in_flight_is_finished_and_nothing_new_is_taken() {
    let go = Arc::new(Notify::new());
    let held = Arc::clone(&go);
    let origin = Origin::start(move |seen| match seen.line().contains("/held") {
        true => Reply::Held(Arc::clone(&held), ok("finished")),
        false => Reply::Keep(ok("ok")),
    })
    .await;
    // One worker, so that what one connection shows is true of all.
    let gateway = start(with(config(&[&origin], everything()), "workers", json!(1))).await;
    let (address, admin) = (gateway.local_addrs().listen, gateway.local_addrs().admin);
    let mut idle = Client::connect(address).await;
    assert_eq!(idle.get("/").await.status, 200);
    let mut busy = Client::connect(address).await;
    busy.send("GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the request is in flight", || origin.count() == 2).await;

    let stopping = tokio::spawn(gateway.shutdown());
    assert!(idle.is_closed().await, "an idle connection is closed at once");
    let refusal = async { while !is_refused(address).await {} };
    limited(refusal).await;
    let ready = get(admin, "/readyz").await;
    assert_eq!((ready.status, ready.text()), (503, "not ready: the gateway is stopping\n"));
    assert!(!stopping.is_finished(), "it waits for the request in flight");
    go.notify_one();
    let given = busy.answer("GET").await;
    assert_eq!((given.text(), given.field("connection")), ("finished", Some("close")));
    assert!(busy.is_closed().await);
    limited(stopping).await.unwrap();
    until("connections to the origin are closed", || origin.open() == 0).await;
}

#[tokio::test]
async fn a_request_that_never_ends_is_waited_for_no_longer_than_the_limit() {
    let origin = Origin::start(|_| Reply::Silence).await;
    let gateway = start(with(config(&[&origin], everything()), "limits", json!({"drain": "200ms"}))).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the request is in flight", || origin.count() == 1).await;
    let began = std::time::Instant::now();
    gateway.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_request_on_a_connection_nobody_had_accepted_yet_is_served() {
    for _ in 0..20 {
        let origin = Origin::saying("ok").await;
        let gateway = before(&origin).await;
        // The kernel makes these and takes their bytes without asking the gateway.
        let connect = |_| {
            let mut stream = std::net::TcpStream::connect(gateway.local_addrs().listen).unwrap();
            std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        };
        let streams: Vec<_> = (0..20).map(connect).collect();
        gateway.shutdown().await;
        for stream in streams {
            let mut client = Client::over(TcpStream::from_std(stream).unwrap());
            assert_eq!(client.answer("GET").await.text(), "ok");
        }
    }
}

#[tokio::test]
async fn a_dropped_gateway_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    let origin = Origin::saying("ok").await;
    let control_plane = Origin::start(|_| Reply::Silence).await;
    let link = json!({"url": format!("http://{}", control_plane.address)});
    let settings = with(config(&[&origin], everything()), "control_plane", link);
    // Spans would go to the control plane too.
    let mut gateway = start(with(settings, "tracing", json!({"sample": 0.0}))).await;
    gateway.follow(&path).unwrap();
    assert_eq!(get(gateway.local_addrs().listen, "/").await.status, 200);
    until("it has called the control plane", || control_plane.connections() > 0).await;
    let (address, admin) = (gateway.local_addrs().listen, gateway.local_addrs().admin);
    drop(gateway);
    for address in [address, admin] {
        let refusal = async { while !is_refused(address).await {} };
        limited(refusal).await;
    }
    until("its conversation with the control plane ends", || control_plane.open() == 0).await;
    let calls = control_plane.connections();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(control_plane.connections(), calls, "and is not begun again");
    until("connections to the origin are closed", || origin.open() == 0).await;
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_named() {
    let origin = Origin::saying("ok").await;
    let taken = origin.address.to_string();
    let good = || config(&[&origin], everything());
    for (settings, named) in [
        (with(good(), "listen", json!(taken)), taken.as_str()),
        (with(good(), "admin", json!(taken)), taken.as_str()),
        (with(good(), "access_log", json!({"file": "/nowhere/at/all.log"})), "/nowhere/at/all.log"),
        (with(good(), "state_dir", json!("/proc/nowhere")), "/proc/nowhere"),
        (
            with(good(), "routes", json!([{"name": "a", "match": {"path": "a"}, "service": "s"}])),
            "routes[0].match.path",
        ),
    ] {
        let fault: StartError = Gateway::builder().config(parsed(settings)).serve().await.err().expect(named);
        assert!(fault.to_string().contains(named), "{fault}");
    }
}

/// What was checked and then changed is checked again.
#[tokio::test]
async fn what_was_changed_after_its_checks_is_checked_again() {
    let origin = Origin::saying("ok").await;
    let checked = || Checked::try_from(parsed(config(&[&origin], everything()))).unwrap();
    let started =
        Gateway::builder().checked(checked()).route(RouteConfig::new("b", "no path", "s")).serve().await;
    let fault = started.err().expect("a route without a path");
    assert!(fault.to_string().contains("match.path"), "{fault}");
    Gateway::builder().checked(checked()).listen("127.0.0.1:0").serve().await.unwrap().shutdown().await;
}
