//! Signals to a real `portreeve sidecar`, and the exit code it ends with.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use crate::client::Client;
use crate::demo::{LIMIT, PORTREEVE, eventually, free_port, send_signal};

/// A sidecar without a control plane around a shell script. Its service is this test's own listener.
struct Sidecar {
    process: Child,
    admin: Client,
    _service: TcpListener,
}

impl Sidecar {
    /// Waits until it is ready; the script must write `file` as soon as its traps are set.
    async fn around(script: &str) -> Self {
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let set = folder.path().join("set");
        let (app, admin) = (service.local_addr().unwrap().to_string(), format!("127.0.0.1:{}", free_port()));
        let process = Command::new(PORTREEVE)
            .args(["sidecar", "--service", "x", "--app", &app, "--admin", &admin, "--", "sh", "-c", script])
            .env("SET", &set)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let sidecar = Self { process, admin: Client::new(&admin), _service: service };
        let is_ready =
            async || sidecar.admin.try_send("GET", "/readyz", None).await.is_ok_and(|a| a.status == 200);
        eventually("it is ready", async || set.exists() && is_ready().await).await;
        sidecar
    }

    fn tell(&self, signal: &str) {
        send_signal(i32::try_from(self.process.id().unwrap()).unwrap(), signal);
    }

    async fn code(mut self) -> Option<i32> {
        tokio::time::timeout(LIMIT, self.process.wait()).await.expect("it did not end").unwrap().code()
    }
}

const WAIT: &str = ": > \"$SET\"; while :; do sleep 0.05; done";

#[tokio::test]
async fn sigterm_stops_the_command_and_its_code_is_the_sidecars() {
    for signal in ["TERM", "INT"] {
        let sidecar = Sidecar::around(&format!("trap 'exit 5' TERM; {WAIT}")).await;
        sidecar.tell(signal);
        assert_eq!(sidecar.code().await, Some(5), "{signal}");
    }
    let sidecar = Sidecar::around(WAIT).await;
    sidecar.tell("TERM");
    assert_eq!(sidecar.code().await, Some(128 + 15), "a command that dies of it");
}

#[tokio::test]
async fn a_second_sigterm_ends_everything_at_once() {
    let sidecar = Sidecar::around(&format!("trap '' TERM; {WAIT}")).await;
    let began = Instant::now();
    sidecar.tell("TERM");
    eventually("it has begun to stop", async || {
        sidecar.admin.try_send("GET", "/readyz", None).await.is_ok_and(|answer| answer.status == 503)
    })
    .await;
    sidecar.tell("TERM");
    assert_eq!(sidecar.code().await, Some(128 + 9));
    assert!(began.elapsed() < Duration::from_secs(9), "sooner than the patience with one SIGTERM");
}

#[tokio::test]
async fn other_signals_are_the_commands() {
    for (signal, code) in [("HUP", 21), ("USR1", 22), ("USR2", 23)] {
        let sidecar = Sidecar::around(&format!("trap 'exit {code}' {signal}; {WAIT}")).await;
        sidecar.tell(signal);
        assert_eq!(sidecar.code().await, Some(code), "{signal}, and the end of the command is the sidecar's");
    }
}
