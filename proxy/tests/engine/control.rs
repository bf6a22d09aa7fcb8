//! A gateway beside its control plane, which is played by hand: whole states, changes, faults, and its absence.

mod coming_back;
mod hanging_disk;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portreeve_config::wire::{NodeMessage, STREAM_PROTOCOL};
use portreeve_proxy::Gateway;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{get, limited};
use crate::origin::Origin;
use crate::stage::{config, metric, parsed, start, with};

/// A control plane's end of one stream.
struct Stream {
    heard: BufReader<OwnedReadHalf>,
    out: OwnedWriteHalf,
    /// What it began with, until it is heard.
    hello: Option<NodeMessage>,
}

impl Stream {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = limited(listener.accept()).await.unwrap();
        Self::begin(stream).await
    }

    async fn begin(stream: TcpStream) -> Self {
        let (heard, out) = stream.into_split();
        let mut stream = Self { heard: BufReader::new(heard), out, hello: None };
        assert_eq!(stream.line().await, "POST /v1/stream HTTP/1.1");
        let mut length = 0;
        loop {
            let field = stream.line().await.to_ascii_lowercase();
            match field.split_once(": ") {
                Some(("content-length", said)) => length = said.parse().unwrap(),
                Some(("upgrade", protocol)) => assert_eq!(protocol, STREAM_PROTOCOL),
                Some(_) => {}
                None => break,
            }
        }
        let mut hello = vec![0; length];
        limited(stream.heard.read_exact(&mut hello)).await.unwrap();
        stream.hello = Some(serde_json::from_slice(&hello).unwrap());
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: portreeve-stream\r\n\r\n";
        stream.out.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        limited(self.heard.read_line(&mut line)).await.unwrap();
        line.trim_end().to_owned()
    }

    async fn say(&mut self, message: Value) {
        self.out.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    /// The next message of the gateway that is more than a sign of life.
    async fn hear(&mut self) -> NodeMessage {
        if let Some(hello) = self.hello.take() {
            return hello;
        }
        loop {
            let text = self.line().await;
            match serde_json::from_str(&text).expect(&text) {
                NodeMessage::Renew => {}
                message => return message,
            }
        }
    }

    async fn says_hello(&mut self) -> u64 {
        match self.hear().await {
            NodeMessage::Hello { node, revision, .. } => {
                assert_eq!(node, "tested");
                revision
            }
            other => panic!("{other:?}"),
        }
    }
}

fn route(name: &str, path: &str) -> Value {
    json!({"name": name, "match": {"path": path}, "service": "shop"})
}

fn instance(origin: &Origin) -> Value {
    let address = origin.address.to_string();
    json!({"service": "shop", "id": address, "address": address, "status": "up", "lease_ms": 3000})
}

fn snapshot(revision: u64, routes: Vec<Value>, origins: &[&Origin]) -> Value {
    let instances: Vec<Value> = origins.iter().map(|origin| instance(origin)).collect();
    json!({"type": "snapshot", "revision": revision, "services": ["shop"], "routes": routes, "instances": instances})
}

fn change(revision: u64, event: &str, of: Value) -> Value {
    json!({"type": "change", "revision": revision, "events": [{"event": event, "of": of}]})
}

fn settings(listener: &TcpListener, folder: &Path) -> Value {
    let url = format!("http://{}", listener.local_addr().unwrap());
    let settings = with(config(&[], json!([])), "services", json!({}));
    let settings = with(settings, "state_dir", json!(folder));
    // Spans would go to the control plane too.
    let settings = with(settings, "tracing", json!({"sample": 0.0}));
    with(settings, "control_plane", json!({"url": url, "node": "tested"}))
}

async fn begin(folder: &Path) -> (Gateway, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (start(settings(&listener, folder)).await, listener)
}

async fn status(gateway: &Gateway, path: &str) -> u16 {
    get(gateway.local_addrs().listen, path).await.status
}

#[tokio::test]
async fn states_and_changes_come_into_force_and_are_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let (left, right) = (Origin::saying("left").await, Origin::saying("right").await);
    let (gateway, listener) = begin(folder.path()).await;
    let mut stream = Stream::accept(&listener).await;
    assert_eq!(stream.says_hello().await, 0);
    assert_eq!(get(gateway.local_addrs().admin, "/readyz").await.status, 503);

    stream.say(snapshot(5, vec![route("a", "/a")], &[&left])).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 5 });
    assert_eq!(get(gateway.local_addrs().listen, "/a").await.text(), "left");
    assert_eq!(get(gateway.local_addrs().admin, "/readyz").await.status, 200);

    stream.say(change(6, "route_put", route("b", "/b"))).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 6 });
    assert_eq!(status(&gateway, "/b").await, 200);
    stream.say(change(7, "instance_put", instance(&right))).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 7 });
    let mut both =
        [get(gateway.local_addrs().listen, "/a").await, get(gateway.local_addrs().listen, "/a").await]
            .map(|a| a.text().to_owned());
    both.sort();
    assert_eq!(both, ["left", "right"]);
    stream
        .say(change(8, "instance_removed", json!({"service": "shop", "id": left.address.to_string()})))
        .await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 8 });
    for _ in 0..4 {
        assert_eq!(get(gateway.local_addrs().listen, "/a").await.text(), "right");
    }
    let mut draining = instance(&right);
    draining["status"] = json!("draining");
    stream.say(change(9, "instance_put", draining)).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 9 });
    get(gateway.local_addrs().listen, "/a").await.problem(503, "no_instance");
    stream.say(change(10, "route_removed", json!("a"))).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 10 });
    assert_eq!(status(&gateway, "/a").await, 404);
    assert_eq!(metric(gateway.local_addrs().admin, "portreeve_revision", &[]).await, 10.0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_route_that_cannot_be_used_is_refused_and_instances_go_on_changing() {
    let folder = tempfile::tempdir().unwrap();
    let (left, right) = (Origin::saying("left").await, Origin::saying("right").await);
    let (gateway, listener) = begin(folder.path()).await;
    let mut stream = Stream::accept(&listener).await;
    stream.says_hello().await;
    stream.say(snapshot(1, vec![route("a", "/a")], &[&left])).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 1 });
    // In order by itself, but this gateway accepts nobody's tokens.
    let mut locked = route("locked", "/locked");
    locked["auth"] = json!("required");
    let events = json!([
        {"event": "route_put", "of": locked},
        {"event": "instance_removed", "of": {"service": "shop", "id": left.address.to_string()}},
        {"event": "instance_put", "of": instance(&right)},
    ]);
    stream.say(json!({"type": "change", "revision": 2, "events": events})).await;
    match stream.hear().await {
        NodeMessage::Nack { revision: 2, faults } => assert_eq!(faults[0].path, "[1].auth"),
        other => panic!("{other:?}"),
    }
    assert_eq!(get(gateway.local_addrs().listen, "/a").await.text(), "right");
    assert_eq!(status(&gateway, "/locked").await, 404);
    // Instances go on, but whoever waits for revision 2 must not hear that it is in force, nor one behind it.
    stream.say(change(3, "instance_put", instance(&left))).await;
    stream.say(json!({"type": "registered", "revision": 3})).await;
    stream.say(change(4, "route_removed", json!("locked"))).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 4 });
    assert_eq!(metric(gateway.local_addrs().admin, "portreeve_reloads_refused_total", &[]).await, 1.0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn it_serves_without_the_control_plane_and_calls_again() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::saying("ok").await;
    let (gateway, listener) = begin(folder.path()).await;
    let mut stream = Stream::accept(&listener).await;
    stream.says_hello().await;
    stream.say(snapshot(4, vec![route("a", "/a")], &[&origin])).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 4 });
    for broken in [None, Some("this is not JSON\n"), Some("{\"type\": \"snapshot\", \"revision\": \"x\"}\n")]
    {
        if let Some(text) = broken {
            stream.out.write_all(text.as_bytes()).await.unwrap();
            let again = Stream::accept(&listener).await;
            drop(std::mem::replace(&mut stream, again));
        } else {
            drop(stream);
            assert_eq!(status(&gateway, "/a").await, 200, "nobody is there");
            stream = Stream::accept(&listener).await;
        }
        assert_eq!(stream.says_hello().await, 4);
        assert_eq!(status(&gateway, "/a").await, 200);
    }
    stream.say(snapshot(5, vec![route("b", "/b")], &[&origin])).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 5 });
    assert_eq!((status(&gateway, "/a").await, status(&gateway, "/b").await), (404, 200));
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_last_state_survives_a_restart_and_a_damaged_one_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::saying("ok").await;
    let (gateway, listener) = begin(folder.path()).await;
    let mut stream = Stream::accept(&listener).await;
    stream.says_hello().await;
    stream.say(snapshot(9, vec![route("a", "/a")], &[&origin])).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 9 });
    // At once: what was acknowledged a moment ago must not be lost by a stop.
    gateway.shutdown().await;
    let address = listener.local_addr().unwrap();
    drop((stream, listener));

    let dead = TcpListener::bind(address).await.unwrap();
    let gateway = start(settings(&dead, folder.path())).await;
    assert_eq!(status(&gateway, "/a").await, 200);
    assert_eq!(get(gateway.local_addrs().admin, "/readyz").await.status, 200);
    let mut stream = Stream::accept(&dead).await;
    assert_eq!(stream.says_hello().await, 9);
    gateway.shutdown().await;

    let kept = folder.path().join("tested.snapshot.json");
    let text = std::fs::read_to_string(&kept).unwrap();
    std::fs::write(&kept, text.replace("/a", "/b")).unwrap();
    let gateway = start(settings(&dead, folder.path())).await;
    assert_eq!((status(&gateway, "/a").await, status(&gateway, "/b").await), (404, 404));
    assert!(folder.path().join("tested.snapshot.json.damaged").exists());
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_file_and_the_control_plane_each_keep_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (own, shared) = (Origin::saying("own").await, Origin::saying("shared").await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let file = |path: &str| {
        let settings = with(
            settings(&listener, folder.path()),
            "services",
            json!({"fixed": {"endpoints": [own.address.to_string()]}}),
        );
        with(settings, "routes", json!([{"name": "own", "match": {"path": path}, "service": "fixed"}]))
    };
    let gateway = start(file("/own")).await;
    let mut stream = Stream::accept(&listener).await;
    stream.says_hello().await;
    stream.say(snapshot(1, vec![route("a", "/a")], &[&shared])).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 1 });
    assert_eq!(
        (
            get(gateway.local_addrs().listen, "/own").await.text(),
            get(gateway.local_addrs().listen, "/a").await.text()
        ),
        ("own", "shared")
    );
    stream.say(change(2, "route_put", route("own", "/theirs"))).await;
    assert!(matches!(stream.hear().await, NodeMessage::Nack { revision: 2, .. }), "two routes of one name");
    gateway.reload(parsed(file("/mine"))).await.unwrap();
    assert_eq!((status(&gateway, "/mine").await, status(&gateway, "/own").await), (200, 404));
    assert_eq!((status(&gateway, "/a").await, status(&gateway, "/theirs").await), (200, 404));
    stream.say(change(3, "route_removed", json!("own"))).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 3 });
    assert_eq!((status(&gateway, "/mine").await, status(&gateway, "/a").await), (200, 200));
    // A file that makes way for what was refused puts it in force.
    stream.say(change(4, "route_put", route("own", "/theirs"))).await;
    assert!(matches!(stream.hear().await, NodeMessage::Nack { revision: 4, .. }));
    gateway.reload(parsed(with(file("/mine"), "routes", json!([])))).await.unwrap();
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 4 });
    assert_eq!((status(&gateway, "/theirs").await, status(&gateway, "/mine").await), (200, 404));
    gateway.shutdown().await;
}

/// Each change is acknowledged while the next ones come in: neither side may wait for the other to make room.
#[tokio::test]
async fn a_burst_of_changes_holds_nothing_up() {
    const CHANGES: u64 = 3_000;
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::saying("ok").await;
    let (gateway, listener) = begin(folder.path()).await;
    let mut stream = Stream::accept(&listener).await;
    stream.says_hello().await;
    stream.say(snapshot(1, vec![route("a", "/a")], &[&origin])).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 1 });
    let mut burst = String::new();
    for revision in 2..2 + CHANGES {
        // What stands between two changes keeps them apart, and is acknowledged too.
        burst += &format!("{}\n", change(revision, "instance_put", instance(&origin)));
        burst += &format!("{}\n", json!({"type": "resumed", "revision": revision}));
    }
    stream.out.write_all(burst.as_bytes()).await.unwrap();
    while stream.hear().await != (NodeMessage::Ack { revision: 1 + CHANGES }) {}
    assert_eq!(status(&gateway, "/a").await, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_thousand_changes_under_load_fail_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let (left, right) = (Origin::saying("ok").await, Origin::saying("ok").await);
    let (gateway, listener) = begin(folder.path()).await;
    let mut stream = Stream::accept(&listener).await;
    stream.says_hello().await;
    stream.say(snapshot(1, vec![route("a", "/a")], &[&left])).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 1 });
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, address) = (Arc::clone(&stop), gateway.local_addrs().listen);
    let load = tokio::spawn(async move {
        let mut client = crate::client::Client::connect(address).await;
        while !stopped.load(Ordering::SeqCst) {
            assert_eq!(client.get("/a").await.status, 200);
        }
    });
    for round in 0..250_u64 {
        let revision = 2 + round * 4;
        stream.say(change(revision, "instance_put", instance(&right))).await;
        stream.say(change(revision + 1, "route_put", route("b", &format!("/b{round}")))).await;
        stream.say(change(revision + 2, "route_removed", json!("b"))).await;
        stream
            .say(change(
                revision + 3,
                "instance_removed",
                json!({"service": "shop", "id": right.address.to_string()}),
            ))
            .await;
        // What comes together may be acknowledged together.
        while stream.hear().await != (NodeMessage::Ack { revision: revision + 3 }) {}
    }
    stop.store(true, Ordering::SeqCst);
    load.await.unwrap();
    gateway.shutdown().await;
}
