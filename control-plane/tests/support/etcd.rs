//! A real etcd with one member, in a folder and on ports of its own.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portreeve_config::{EtcdConfig, StoreConfig};
use serde_json::{Value, json};

use super::support::send_to;

const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Etcd {
    folder: tempfile::TempDir,
    clients: SocketAddr,
    peers: SocketAddr,
    child: Option<Child>,
    more: Vec<String>,
}

impl Etcd {
    /// Starts one; `None`, and aloud, where there is no `etcd` to start.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// As [`Etcd::start`], with more of etcd's own arguments. With certificates among them it speaks TLS.
    pub(crate) fn start_with(more: &[&str]) -> Option<Self> {
        if Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
        {
            eprintln!("SKIPPED: there is no `etcd` on this machine (Debian: apt-get install etcd-server)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let more = more.iter().map(|argument| (*argument).to_owned()).collect();
        let mut etcd = Self { folder, clients: free(), peers: free(), child: None, more };
        etcd.resume();
        Some(etcd)
    }

    /// Starts it (again) on what it has on disk.
    pub(crate) fn resume(&mut self) {
        let (clients, peers) = (self.endpoint(), format!("http://{}", self.peers));
        let command = Command::new("etcd")
            .arg("--data-dir")
            .arg(self.folder.path())
            .args(["--name", "one", "--initial-cluster", &format!("one={peers}"), "--log-level", "error"])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
            .args(["--heartbeat-interval", "250", "--election-timeout", "1500"])
            .args(&self.more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(command.unwrap());
        let deadline = Instant::now() + LIMIT;
        while TcpStream::connect(self.clients).is_err() {
            assert!(Instant::now() < deadline, "etcd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Its newest revision: how many times it was written to.
    pub(crate) async fn revision(&self) -> u64 {
        let header = self.ask("/v3/kv/range", json!({"key": "AA=="})).await["header"].clone();
        header["revision"].as_str().unwrap().parse().unwrap()
    }

    /// Forgets all of its history but the newest state of each key.
    pub(crate) async fn compact(&self) {
        let revision = self.ask("/v3/kv/range", json!({"key": "AA=="})).await["header"]["revision"].clone();
        self.ask("/v3/kv/compaction", json!({"revision": revision, "physical": true})).await;
    }

    pub(crate) fn endpoint(&self) -> String {
        let scheme =
            if self.more.iter().any(|argument| argument == "--cert-file") { "https" } else { "http" };
        format!("{scheme}://{}", self.clients)
    }

    /// Asks over etcd's JSON gateway.
    pub(crate) async fn ask(&self, path: &str, body: Value) -> Value {
        let request = http::Request::post(path).header("host", self.clients.to_string());
        let answer = send_to(self.clients, request.body(body.to_string().into()).unwrap()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    pub(crate) fn store(&self) -> StoreConfig {
        StoreConfig::Etcd(EtcdConfig {
            endpoints: vec![self.endpoint()],
            prefix: "/portreeve/".to_owned(),
            user: None,
            tls: None,
        })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago: etcd does not say which one it got for port 0.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
