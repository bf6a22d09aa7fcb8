//! Configurations that change while requests run: no request fails, a bad one changes nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use portreeve_proxy::Gateway;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Client, get, limited};
use crate::origin::Origin;
use crate::stage::{config, everything, metric, parsed, start};

/// Clients that ask for `/` without a pause and want nothing but 200.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    clients: JoinSet<()>,
}

impl Load {
    pub(crate) fn on(gateway: &Gateway) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for _ in 0..4 {
            let (stop, done, address) = (Arc::clone(&stop), Arc::clone(&done), gateway.local_addrs().listen);
            clients.spawn(async move {
                let mut client = Client::connect(address).await;
                while !stop.load(Ordering::SeqCst) {
                    assert_eq!(client.get("/").await.status, 200);
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Self { stop, done, clients }
    }

    /// Waits until at least this many more requests were answered.
    pub(crate) async fn goes_on(&self, more: usize) {
        let goal = self.done.load(Ordering::SeqCst) + more;
        let done = &self.done;
        crate::client::until("requests go on", || done.load(Ordering::SeqCst) >= goal).await;
    }

    pub(crate) async fn end(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
    }
}

fn with_extra(origins: &[&Origin], extra: Value) -> Value {
    let mut routes = everything();
    routes.as_array_mut().unwrap().push(extra);
    config(origins, routes)
}

#[tokio::test]
async fn routes_come_change_and_go_under_load() {
    let (left, right) = (Origin::saying("left").await, Origin::saying("right").await);
    let gateway = start(config(&[&left, &right], everything())).await;
    let load = Load::on(&gateway);
    for round in 0..20 {
        load.goes_on(5).await;
        let text = format!("round-{round}");
        let extra = json!({"name": "extra", "match": {"path": "/extra"}, "service": "s", "response_headers": {"set": {"X-Round": text}}});
        gateway.reload(parsed(with_extra(&[&left, &right], extra))).await.unwrap();
        assert_eq!(get(gateway.local_addrs().listen, "/extra").await.field("x-round"), Some(text.as_str()));
        let only = if round % 2 == 0 { [&left] } else { [&right] };
        gateway.reload(parsed(config(&only, everything()))).await.unwrap();
        assert_eq!(get(gateway.local_addrs().listen, "/extra").await.field("x-round"), None);
    }
    load.end().await;
    assert_eq!(metric(gateway.local_addrs().admin, "portreeve_reloads_total", &[]).await, 40.0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_bad_configuration_is_refused_whole() {
    let origin = Origin::saying("ok").await;
    let gateway = start(config(&[&origin], everything())).await;
    let mut routes = everything();
    routes[0]["response_headers"] = json!({"set": {"X-New": "1"}});
    routes.as_array_mut().unwrap().push(json!({"name": "all", "match": {"path": "no"}, "service": "nobody"}));
    let faults = gateway.reload(parsed(config(&[&origin], routes))).await.unwrap_err();
    let places: Vec<&str> = faults.0.iter().map(|fault| fault.path.as_str()).collect();
    for place in ["routes[1].name", "routes[1].match.path", "routes[1].service"] {
        assert!(places.contains(&place), "{places:?}");
    }
    let given = get(gateway.local_addrs().listen, "/").await;
    assert_eq!((given.status, given.field("x-new")), (200, None));
    gateway.shutdown().await;
}

fn write(path: &Path, routes: &str, origin: &Origin) {
    let fresh = path.with_extension("new");
    let text = format!(
        "kind: gateway\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\naccess_log: off\n\
         services: {{s: {{endpoints: [\"{}\"]}}}}\nroutes:\n{routes}\n",
        origin.address
    );
    std::fs::write(&fresh, text).unwrap();
    std::fs::rename(&fresh, path).unwrap();
}

/// Waits until a path is answered with this status.
async fn becomes(gateway: &Gateway, path: &str, status: u16) {
    let change = async { while get(gateway.local_addrs().listen, path).await.status != status {} };
    limited(change).await;
}

#[tokio::test]
async fn a_followed_file_counts_when_it_is_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    let origin = Origin::saying("ok").await;
    let all = "  - {name: root, match: {path: /}, service: s}";
    write(&path, all, &origin);
    let portreeve_config::Document::Gateway(settings) = portreeve_config::load_file(&path).unwrap() else {
        panic!()
    };
    let mut gateway = Gateway::builder().checked(*settings).serve().await.unwrap();
    gateway.follow(&path).unwrap();
    let load = Load::on(&gateway);
    assert_eq!(get(gateway.local_addrs().listen, "/new").await.status, 404);

    let more = format!("{all}\n  - {{name: new, match: {{path: /new}}, service: s}}");
    write(&path, &more, &origin);
    becomes(&gateway, "/new", 200).await;
    for bad in ["  - {name: root, match: {path: /}, servce: s}", "  - {name: [}", ""] {
        write(&path, bad, &origin);
    }
    std::fs::remove_file(&path).unwrap();
    // Nothing can be waited for where nothing may happen: the pause only gives a fault time to show.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(get(gateway.local_addrs().listen, "/new").await.status, 200, "the last good one stays");

    // Something else in the folder never rests.
    let noise = folder.path().join("noise");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let busy = tokio::spawn(async move {
        while !stopped.load(Ordering::SeqCst) {
            std::fs::write(&noise, "x").unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    write(&path, all, &origin);
    becomes(&gateway, "/new", 404).await;
    stop.store(true, Ordering::SeqCst);
    busy.await.unwrap();
    load.end().await;
    gateway.shutdown().await;
}
