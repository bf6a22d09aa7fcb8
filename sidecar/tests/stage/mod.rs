//! What the tests act on: a real control plane, services that answer with their name, sidecars in this process.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::{Request, Response};
use portreeve_config::SidecarConfig;
use portreeve_control_plane::{ControlPlane, RunningControlPlane};
use portreeve_proxy::client::{Client, Limit};
use portreeve_sidecar::{Command, Order, Sidecar, StartError};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// The longest any step of a test may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(15);

/// A control plane and its database, which outlives restarts.
pub(crate) struct Plane {
    running: Option<RunningControlPlane>,
    address: SocketAddr,
    folder: TempDir,
    client: Client,
}

impl Plane {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = open(folder.path(), "127.0.0.1:0".to_owned()).await;
        Self { address: running.address(), running: Some(running), folder, client: client() }
    }

    pub(crate) async fn stop(&mut self) {
        self.running.take().unwrap().shutdown().await;
    }

    /// At the same address, with the same database.
    pub(crate) async fn restart(&mut self) {
        self.running = Some(open(self.folder.path(), self.address.to_string()).await);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.url()));
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = request.header("content-type", "application/json").body(body).unwrap();
        let answer = send(&self.client, request).await;
        assert!(answer.status().is_success(), "{} {path}: {:?}", answer.status(), answer.body());
        serde_json::from_slice(answer.body()).unwrap_or(Value::Null)
    }

    /// The registered instances of a service.
    pub(crate) async fn instances(&self, service: &str) -> Vec<Value> {
        let all = self.call("GET", "/v1/instances", Value::Null).await;
        let all = all["instances"].as_array().unwrap().clone();
        all.into_iter().filter(|instance| instance["service"] == service).collect()
    }

    pub(crate) async fn registered(&self, service: &str, count: usize) -> Vec<Value> {
        eventually(|| async {
            let found = self.instances(service).await;
            (found.len() == count).then_some(found)
        })
        .await
    }

    pub(crate) async fn configure(&self, application: &str, values: Value) {
        self.call("PUT", &format!("/v1/config/{application}/default"), values).await;
    }
}

async fn open(folder: &Path, listen: String) -> RunningControlPlane {
    let config = json!({"listen": listen, "data_dir": folder});
    ControlPlane::start(serde_json::from_value(config).unwrap()).await.unwrap()
}

/// A service. Its port is taken from the beginning, and answers once it is opened.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    name: &'static str,
    socket: Option<TcpSocket>,
    task: Option<JoinHandle<()>>,
}

impl App {
    pub(crate) fn closed(name: &'static str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self { address: socket.local_addr().unwrap(), name, socket: Some(socket), task: None }
    }

    pub(crate) async fn start(name: &'static str) -> Self {
        let mut app = Self::closed(name);
        app.open().await;
        app
    }

    pub(crate) async fn open(&mut self) {
        let listener = match self.socket.take() {
            Some(socket) => socket.listen(64).unwrap(),
            None => TcpListener::bind(self.address).await.unwrap(),
        };
        let name = self.name;
        let slow = || async {
            sleep(Duration::from_millis(500)).await;
            "slow"
        };
        let router = Router::new()
            .route("/healthz", get(|| async { "well" }))
            .route("/slow", get(slow))
            .fallback(move || async move { name });
        self.task = Some(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    }

    pub(crate) async fn close(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        let _ = task.await;
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}

/// A sidecar that runs.
pub(crate) struct Running {
    pub(crate) inbound: SocketAddr,
    pub(crate) outbound: SocketAddr,
    pub(crate) admin: SocketAddr,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<Result<u8, StartError>>,
}

impl Running {
    pub(crate) async fn start(config: Value, script: Option<&str>) -> Self {
        let words = |script: &str| ["sh", "-c", script].map(str::to_owned).to_vec();
        let command = script.map(|script| Command { words: words(script), shim: None });
        let sidecar = Sidecar::start(checked(config), command).await.unwrap();
        let (orders, ordered) = mpsc::channel(8);
        Self {
            inbound: sidecar.inbound_address(),
            outbound: sidecar.outbound_address(),
            admin: sidecar.admin_address(),
            orders,
            task: tokio::spawn(sidecar.live(ordered)),
        }
    }

    pub(crate) async fn order(&self, order: Order) {
        self.orders.send(order).await.unwrap();
    }

    /// Waits for the exit code.
    pub(crate) async fn ended(self) -> u8 {
        tokio::time::timeout(LIMIT, self.task).await.expect("it did not end").unwrap().unwrap()
    }

    pub(crate) async fn stopped(self) -> u8 {
        self.order(Order::Stop).await;
        self.ended().await
    }
}

/// The smallest configuration, beside `app`. Node names must differ, for all run in one process.
pub(crate) fn beside(app: &App, service: &str, plane: Option<&Plane>) -> Value {
    static NODES: AtomicU32 = AtomicU32::new(0);
    let mut config = json!({"service": service, "app": app.address.to_string()});
    if let Some(plane) = plane {
        let node = format!("{service}-{}", NODES.fetch_add(1, Ordering::Relaxed));
        config["control_plane"] = json!({"url": plane.url(), "node": node});
    }
    config
}

pub(crate) fn checked(config: Value) -> SidecarConfig {
    serde_json::from_value(config).unwrap()
}

pub(crate) fn client() -> Client {
    Client::new(Arc::new(|_: &str| Vec::new())).unwrap()
}

/// A GET with its status and body. `host` stands in for the address where it is given.
pub(crate) async fn fetch(address: SocketAddr, path: &str, host: Option<&str>) -> (u16, String) {
    let mut request = Request::get(format!("http://{address}{path}"));
    if let Some(host) = host {
        request = request.header("host", host);
    }
    let answer = send(&client(), request.body(Bytes::new()).unwrap()).await;
    (answer.status().as_u16(), String::from_utf8(answer.into_body().to_vec()).unwrap())
}

async fn send(client: &Client, request: Request<Bytes>) -> Response<Bytes> {
    client.send(request, Limit { bytes: 1 << 20, timeout: LIMIT }).await.unwrap()
}

/// Looks again and again until there is something to see.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> T {
    let limit = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < limit, "it did not happen within {LIMIT:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for a file with something in it.
pub(crate) async fn written(path: &Path) -> String {
    eventually(|| async { std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n')) }).await
}
