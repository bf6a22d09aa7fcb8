//! A control plane in a process of its own, so that it can be killed: the test binary starts itself again, as one test
//! that does nothing unless it is told what to run.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bytes::Bytes;
use portreeve_config::ControlPlaneConfig;
use portreeve_control_plane::ControlPlane;
use serde_json::{Value, json};

use super::support::{Answer, Node, send_to};

const TOLD: &str = "PORTREEVE_TEST_CONTROL_PLANE";
const ADDRESS: &str = "listens on ";

/// What the test named `the_process` does.
pub(crate) fn be_the_process() {
    let Ok(config) = std::env::var(TOLD) else { return };
    let config: ControlPlaneConfig = serde_json::from_str(&config).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let running = ControlPlane::start(config).await.unwrap();
        println!("\n{ADDRESS}{}", running.address());
        // The other end is closed by a wish to stop, or by the end of whoever started this.
        let stdin = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        let _ = stdin.await;
        running.shutdown().await;
    });
}

pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    child: Child,
    stdin: Option<ChildStdin>,
    /// Kept open, for it goes on to print.
    _stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts one and waits until it serves.
    pub(crate) fn start(config: &ControlPlaneConfig) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_process", "--nocapture"])
            .env(TOLD, serde_json::to_string(config).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let lines = stdout.by_ref().lines().map_while(Result::ok);
        let address = lines.filter_map(|line| line.strip_prefix(ADDRESS)?.parse().ok()).next();
        let address = address.expect("the control plane did not start");
        let stdin = child.stdin.take();
        Self { address, child, stdin, _stdout: stdout }
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(&mut self) {
        self.stdin = None;
        self.child.wait().unwrap();
    }

    /// Sends it a signal: `STOP` or `CONT`.
    pub(crate) fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await.unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, Some(body)).await.unwrap()
    }

    pub(crate) async fn register(&self, service: &str, id: &str, lease_ms: u64) -> Answer {
        let body = json!({"address": "127.0.0.1:4001", "lease_ms": lease_ms});
        self.put(&format!("/v1/services/{service}/instances/{id}"), body).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, Box<dyn std::error::Error>> {
        let request =
            http::Request::builder().method(method).uri(path).header("host", self.address.to_string());
        let request = request.header("content-type", "application/json");
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        send_to(self.address, request.body(body)?).await
    }

    pub(crate) async fn node(&self, hello: Value) -> Node {
        Node::open_at(self.address, hello).await.unwrap_or_else(|answer| panic!("{}", answer.text))
    }

    pub(crate) async fn sidecar(&self, name: &str) -> Node {
        let scope = json!({"application": "orders", "profile": "default"});
        self.node(json!({"type": "hello", "node": name, "kind": "sidecar", "config": scope})).await
    }

    pub(crate) async fn gateway(&self, name: &str) -> Node {
        self.node(json!({"type": "hello", "node": name, "kind": "gateway"})).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
