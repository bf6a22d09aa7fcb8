//! A followed file that changes before anybody looks, and while the gateway stops.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve_config::{Checked, Document, GatewayConfig};
use portreeve_proxy::Gateway;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::client::{Client, get, limited, until};
use crate::origin::{Origin, Reply, ok};
use crate::stage::metric;

/// Longer than it takes until a change was noticed.
const LONG_ENOUGH: Duration = Duration::from_millis(700);

/// Puts a file there whose only route is for this path.
fn write(path: &Path, route: &str, origin: &Origin) {
    let fresh = path.with_extension("new");
    let text = format!(
        "kind: gateway\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\naccess_log: off\n\
         services: {{s: {{endpoints: [\"{}\"]}}}}\n\
         routes:\n  - {{name: only, match: {{path: {route}}}, service: s}}\n",
        origin.address
    );
    std::fs::write(&fresh, text).unwrap();
    std::fs::rename(&fresh, path).unwrap();
}

fn load(path: &Path) -> Checked<GatewayConfig> {
    match portreeve_config::load_file(path).unwrap() {
        Document::Gateway(config) => *config,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_change_between_load_and_follow_is_not_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    let origin = Origin::saying("ok").await;
    write(&path, "/old", &origin);
    let mut gateway = Gateway::builder().checked(load(&path)).serve().await.unwrap();
    write(&path, "/new", &origin);
    gateway.follow(&path).unwrap();
    let listen = gateway.local_addrs().listen;
    let change = async { while get(listen, "/new").await.status != 200 {} };
    limited(change).await;
    assert_eq!(get(listen, "/old").await.status, 404);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_file_that_is_in_force_is_not_put_in_force_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    let origin = Origin::saying("ok").await;
    write(&path, "/old", &origin);
    let mut gateway = Gateway::builder().checked(load(&path)).listen("127.0.0.1:0").serve().await.unwrap();
    gateway.follow_adjusted(&path, |config| config.listen = "127.0.0.1:0".to_owned()).unwrap();
    tokio::time::sleep(LONG_ENOUGH).await;
    let admin = gateway.local_addrs().admin;
    assert_eq!(metric(admin, "portreeve_reloads_total", &[]).await, 0.0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_gateway_that_stops_never_listens_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    let go = Arc::new(Notify::new());
    let held = Arc::clone(&go);
    let origin = Origin::start(move |_| Reply::Held(Arc::clone(&held), ok("finished"))).await;
    write(&path, "/held", &origin);
    let mut gateway = Gateway::builder().checked(load(&path)).serve().await.unwrap();
    gateway.follow(&path).unwrap();
    let listen = gateway.local_addrs().listen;
    let mut busy = Client::connect(listen).await;
    busy.send("GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the request is in flight", || origin.count() == 1).await;

    let stopping = tokio::spawn(gateway.shutdown());
    let refusal = async { while TcpStream::connect(listen).await.is_ok() {} };
    limited(refusal).await;
    write(&path, "/new", &origin);
    let changed = Instant::now();
    while changed.elapsed() < LONG_ENOUGH {
        assert!(TcpStream::connect(listen).await.is_err(), "its port is open again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!stopping.is_finished(), "it waits for the request in flight");
    go.notify_one();
    assert_eq!(busy.answer("GET").await.text(), "finished");
    limited(stopping).await.unwrap();
}
