//! A gateway is replaced by its successor, again and again, and no client notices.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::demo::{LIMIT, PORTREEVE, eventually, send_signal};

/// A gateway's folder: its file, its sockets, and what its processes log.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(origin: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { folder };
        place.write(&format!(
            "listeners:\n- address: unix:{}\nservices: {{s: {{endpoints: [\"{origin}\"]}}}}\n\
             routes: [{{name: all, match: {{path: /*}}, service: s}}]\n",
            place.path("web.sock").display(),
        ));
        place
    }

    fn write(&self, rest: &str) {
        let begin = "kind: gateway\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 2\naccess_log: off\n";
        let handover =
            format!("handover: {}\nlimits: {{drain: 20s}}\n", self.path("handover.sock").display());
        fs::write(self.path("gateway.yaml"), format!("{begin}{handover}{rest}")).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    fn spawn(&self, more: &[&str]) -> Child {
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        Command::new(PORTREEVE)
            .args(["gateway", "--config"])
            .arg(self.path("gateway.yaml"))
            .arg("--address-file")
            .arg(self.path("addresses.json"))
            .args(more)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    fn addresses(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.path("addresses.json")).ok()?).ok()
    }

    /// Waits until a process other than `before` says that it serves, and gives its addresses.
    async fn served_by_another_than(&self, before: u64) -> Value {
        let pid = |addresses: Value| addresses["pid"].as_u64();
        eventually("another process serves", async || {
            self.addresses().and_then(pid).is_some_and(|pid| pid != before)
        })
        .await;
        self.addresses().unwrap()
    }
}

/// An origin that answers every request and keeps its connections.
async fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while read_head(&mut stream).await.is_ok() {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Result<String, String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            other => return Err(format!("{other:?} after {:?}", String::from_utf8_lossy(&head))),
        }
    }
    Ok(String::from_utf8(head).unwrap())
}

/// One exchange. Says whether the connection may be used again.
async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<bool, String> {
    let exchange = async {
        let request = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        request.map_err(|error| format!("sending: {error}"))?;
        let head = read_head(stream).await?;
        let mut body = [0; 2];
        stream.read_exact(&mut body).await.map_err(|error| format!("body: {error}"))?;
        match head.starts_with("HTTP/1.1 200 ") && &body == b"ok" {
            true => Ok(!head.to_ascii_lowercase().contains("connection: close")),
            false => Err(head),
        }
    };
    tokio::time::timeout(LIMIT, exchange).await.unwrap_or_else(|_| Err("no answer".to_owned()))
}

/// Clients that never pause for long, until they are stopped.
#[derive(Clone, Default)]
struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<String>>>,
}

impl Load {
    /// A client that keeps its connection for as long as it may, or makes one for each request.
    async fn client<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        keeps: bool,
        connect: impl AsyncFn() -> std::io::Result<S>,
    ) {
        let mut kept: Option<S> = None;
        while !self.stop.load(Ordering::Relaxed) {
            let stream = match kept.take() {
                Some(stream) => Ok(stream),
                None => connect().await,
            };
            let outcome = match stream {
                Ok(mut stream) => {
                    exchange(&mut stream).await.map(|again| kept = Some(stream).filter(|_| again && keeps))
                }
                Err(error) => Err(format!("connecting: {error}")),
            };
            match outcome {
                Ok(()) => _ = self.answers.fetch_add(1, Ordering::Relaxed),
                Err(failure) => self.failures.lock().unwrap().push(format!("kept: {keeps}: {failure}")),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn ended(mut process: Child, place: &Place) {
    let ended = tokio::time::timeout(LIMIT, process.wait()).await;
    let status = ended.unwrap_or_else(|_| panic!("it did not end\n{}", place.log())).unwrap();
    assert_eq!(status.code(), Some(0), "{}", place.log());
}

#[tokio::test]
async fn ten_restarts_in_a_row_lose_no_request() {
    let place = Place::new(origin().await);
    let mut running = place.spawn(&[]);
    let first = place.served_by_another_than(0).await;
    let listen: SocketAddr = first["listen"].as_str().unwrap().parse().unwrap();
    let load = Load::default();
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..6 {
        clients.spawn(load.clone().client(number % 2 == 0, async move || TcpStream::connect(listen).await));
        let path = place.path("web.sock");
        clients.spawn(load.clone().client(number % 2 == 0, async move || UnixStream::connect(&path).await));
    }
    let mut now = first.clone();
    for _ in 0..10 {
        let answers = load.answers.load(Ordering::Relaxed);
        eventually("the load goes on", async || load.answers.load(Ordering::Relaxed) > answers + 100).await;
        let successor = place.spawn(&["--takeover"]);
        now = place.served_by_another_than(now["pid"].as_u64().unwrap()).await;
        ended(std::mem::replace(&mut running, successor), &place).await;
        assert_eq!((&now["listen"], &now["admin"]), (&first["listen"], &first["admin"]), "the same ports");
        let admin = Client::new(now["admin"].as_str().unwrap());
        assert_eq!(admin.get("/readyz").await.status, 200);
    }
    load.stop.store(true, Ordering::Relaxed);
    clients.join_all().await;
    let failures = std::mem::take(&mut *load.failures.lock().unwrap());
    assert!(
        failures.is_empty(),
        "{} failed: {:?}\n{}",
        failures.len(),
        &failures[..failures.len().min(5)],
        place.log()
    );
    send_signal(i32::try_from(running.id().unwrap()).unwrap(), "TERM");
    ended(running, &place).await;
    assert!(
        !place.path("web.sock").exists() && !place.path("handover.sock").exists(),
        "nothing is left behind"
    );
}

#[tokio::test]
async fn usr2_starts_the_successor_itself() {
    let place = Place::new(origin().await);
    let before = place.spawn(&[]);
    let first = place.served_by_another_than(0).await;
    send_signal(i32::try_from(before.id().unwrap()).unwrap(), "USR2");
    let now = place.served_by_another_than(first["pid"].as_u64().unwrap()).await;
    ended(before, &place).await;
    assert_eq!(now["listen"], first["listen"]);
    let client = Client::new(now["listen"].as_str().unwrap());
    assert_eq!(client.get("/").await.status, 200);
    // It is nobody's child any more: its end is seen by what it leaves.
    send_signal(now["pid"].as_i64().unwrap().try_into().unwrap(), "TERM");
    eventually("it has ended", async || !place.path("handover.sock").exists()).await;
    eventually("nobody listens", async || TcpStream::connect(now["listen"].as_str().unwrap()).await.is_err())
        .await;
}

#[tokio::test]
async fn a_successor_that_cannot_serve_changes_nothing() {
    let origin = origin().await;
    let place = Place::new(origin);
    let running = place.spawn(&[]);
    let first = place.served_by_another_than(0).await;
    let client = Client::new(first["listen"].as_str().unwrap());
    let good = fs::read_to_string(place.path("gateway.yaml")).unwrap();
    // The origin's own address is in use. Its own file, so that the one that runs does not follow it.
    let bad = place.path("bad.yaml");
    fs::write(&bad, good.replace("listeners:\n", &format!("listeners:\n- address: {origin}\n"))).unwrap();
    let mut successor = Command::new(PORTREEVE)
        .args(["gateway", "--takeover", "--config"])
        .arg(&bad)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = String::new();
    successor.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert_eq!(successor.wait().await.unwrap().code(), Some(1));
    assert!(said.contains(&format!("{origin} is in use")), "{said}");
    assert_eq!(client.get("/").await.status, 200);

    // One that speaks another form of the handover is told so.
    let mut stranger = UnixStream::connect(place.path("handover.sock")).await.unwrap();
    stranger.write_all(b"{\"protocol\":999,\"version\":\"9.9.9\",\"pid\":1}\n").await.unwrap();
    let mut answer = String::new();
    stranger.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("refused") && answer.contains("9.9.9"), "{answer}");

    // Neither has used up the place, nor removed a socket.
    let successor = place.spawn(&["--takeover"]);
    place.served_by_another_than(first["pid"].as_u64().unwrap()).await;
    ended(running, &place).await;
    assert_eq!(client.get("/").await.status, 200);
    exchange(&mut UnixStream::connect(place.path("web.sock")).await.unwrap()).await.unwrap();
    send_signal(i32::try_from(successor.id().unwrap()).unwrap(), "TERM");
    ended(successor, &place).await;
}

#[tokio::test]
async fn a_hangup_reads_the_file_again_and_a_takeover_of_nobody_is_a_start() {
    let place = Place::new(origin().await);
    let running = place.spawn(&["--takeover"]);
    let addresses = place.served_by_another_than(0).await;
    send_signal(i32::try_from(running.id().unwrap()).unwrap(), "HUP");
    eventually("it was read again", async || place.log().contains("the changed file is in force")).await;
    let client = Client::new(addresses["listen"].as_str().unwrap());
    assert_eq!(client.get("/").await.status, 200);
    send_signal(i32::try_from(running.id().unwrap()).unwrap(), "INT");
    ended(running, &place).await;
}
