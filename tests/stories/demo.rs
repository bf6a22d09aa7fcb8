//! A demo to test: started from the real binary, stopped and checked for leftovers at the end.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard};

use crate::client::Client;

/// How long anything that is waited for may take. Generous: the machine may be busy with a build.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

pub(crate) const PORTREEVE: &str = env!("CARGO_BIN_EXE_portreeve");

/// A running demo.
pub(crate) struct Demo {
    process: Child,
    folder: tempfile::TempDir,
    addresses: Value,
    /// Processes that a test started beside it; killed at the end.
    extra: Vec<Child>,
    _turn: MutexGuard<'static, ()>,
}

impl Demo {
    pub(crate) async fn start() -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        Self::start_in(tempfile::tempdir().unwrap(), turn).await
    }

    /// Kills it with SIGKILL, waits until nothing of it is left, and starts another one in the same folder.
    pub(crate) async fn killed_and_started_again(mut self) -> Self {
        self.process.kill().await.unwrap();
        eventually("every process is gone", async || self.processes(&[]).is_empty()).await;
        Self::start_in(self.folder, self._turn).await
    }

    async fn start_in(folder: tempfile::TempDir, turn: MutexGuard<'static, ()>) -> Self {
        let addresses = folder.path().join("addresses.json");
        // Of an earlier demo.
        let _ = fs::remove_file(&addresses);
        let log = fs::File::create(folder.path().join("demo.log")).unwrap();
        let process = Command::new(PORTREEVE)
            .args(["demo", "--any-port", "--data-dir"])
            .arg(folder.path().join("data"))
            .arg("--address-file")
            .arg(&addresses)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut demo = Self { process, folder, addresses: Value::Null, extra: Vec::new(), _turn: turn };
        let began = Instant::now();
        while !addresses.exists() {
            let ended = demo.process.try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < LIMIT * 2, "not ready: {ended:?}\n{}", demo.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        demo.addresses = serde_json::from_str(&fs::read_to_string(&addresses).unwrap()).unwrap();
        demo
    }

    pub(crate) fn gateway(&self) -> Client {
        Client::new(self.address("gateway"))
    }

    pub(crate) fn admin(&self) -> Client {
        Client::new(self.address("admin"))
    }

    pub(crate) fn control_plane(&self) -> Client {
        Client::new(self.address("control_plane"))
    }

    pub(crate) fn address(&self, part: &str) -> &str {
        self.addresses[part].as_str().unwrap()
    }

    /// Where the instances of a service themselves listen.
    pub(crate) fn apps(&self, service: &str) -> Vec<String> {
        let services = self.addresses["services"].as_array().unwrap();
        let of = services.iter().filter(|instance| instance["service"] == service);
        of.map(|instance| instance["app"].as_str().unwrap().to_owned()).collect()
    }

    /// A client of the gateway with a token of this user.
    pub(crate) async fn user(&self, user: &str) -> Client {
        let answer = self.gateway().get(&format!("/auth/signIn?user_id={user}")).await.expect(200);
        self.gateway().bearer(answer["access_token"].as_str().unwrap())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Everything that any process has logged.
    pub(crate) fn log(&self) -> String {
        let mut text = fs::read_to_string(self.folder.path().join("demo.log")).unwrap_or_default();
        for entry in fs::read_dir(self.data().join("logs")).into_iter().flatten().flatten() {
            let lines = fs::read_to_string(entry.path()).unwrap_or_default();
            text.push_str(&format!("--- {}\n{lines}", entry.file_name().display()));
        }
        text
    }

    /// Process ids of this subcommand (the first word) whose command line holds all other words; of all without
    /// words.
    pub(crate) fn processes(&self, words: &[&str]) -> Vec<i32> {
        let data = self.data().display().to_string();
        let control_plane = self.address("control_plane").to_owned();
        command_lines()
            .into_iter()
            .filter(|(_, line)| line.contains(&data) || line.contains(&control_plane))
            .filter(|(_, line)| {
                let arguments: Vec<&str> = line.split('\0').collect();
                let is_subcommand = words.first().is_none_or(|word| arguments.get(1) == Some(word));
                is_subcommand && words.iter().all(|word| arguments.contains(word))
            })
            .map(|(pid, _)| pid)
            .collect()
    }

    /// Kills the one process with these words and waits until it is gone, and its ports free. Gives what starts
    /// it again.
    pub(crate) async fn kill(&self, words: &[&str]) -> Killed {
        let found = self.processes(words);
        assert_eq!(found.len(), 1, "processes with {words:?}");
        let killed = Killed::of(found[0]);
        send_signal(found[0], "KILL");
        // Its command line goes before its sockets do: it is gone when the demo has taken note of its end.
        let entry = PathBuf::from(format!("/proc/{}", found[0]));
        eventually("it is gone", async || !entry.exists()).await;
        killed
    }

    /// Starts a process that was killed as it had been started.
    pub(crate) fn start_again(&mut self, killed: &Killed) {
        let environment: Vec<_> =
            killed.environment.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        self.spawn(&killed.arguments, &environment);
    }

    /// The one process with these words; sends it a signal.
    pub(crate) fn signal(&self, words: &[&str], signal: &str) {
        let found = self.processes(words);
        assert_eq!(found.len(), 1, "processes with {words:?}");
        send_signal(found[0], signal);
    }

    /// Starts the binary with arguments of its own, to be killed with the demo.
    pub(crate) fn spawn(&mut self, arguments: &[String], environment: &[(&str, String)]) -> i32 {
        let name = format!("extra-{}.log", self.extra.len());
        let log = fs::File::create(self.data().join("logs").join(name)).unwrap();
        let child = Command::new(PORTREEVE)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id().unwrap()).unwrap();
        self.extra.push(child);
        pid
    }

    /// Waits for the last process that was started beside the demo; gives its exit code.
    pub(crate) async fn spawned_ended(&mut self) -> Option<i32> {
        let child = self.extra.last_mut().unwrap();
        tokio::time::timeout(LIMIT, child.wait()).await.expect("it did not end").unwrap().code()
    }

    /// Stops it as Ctrl-C does and checks that nothing is left.
    pub(crate) async fn stop(mut self) {
        for child in &mut self.extra {
            let _ = child.kill().await;
        }
        send_signal(i32::try_from(self.process.id().unwrap()).unwrap(), "INT");
        let ended = tokio::time::timeout(LIMIT, self.process.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("it did not stop\n{}", self.log())).unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.log());
        eventually("every process is gone", async || self.processes(&[]).is_empty()).await;
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// How a process was started.
pub(crate) struct Killed {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Killed {
    fn of(pid: i32) -> Self {
        let words = |file: &str| {
            let text = fs::read(format!("/proc/{pid}/{file}")).unwrap();
            let text = String::from_utf8_lossy(&text).into_owned();
            text.split_terminator('\0').map(str::to_owned).collect::<Vec<_>>()
        };
        let variables = words("environ").into_iter();
        Self {
            arguments: words("cmdline")[1..].to_vec(),
            environment: variables
                .filter_map(|pair| {
                    Some(pair.split_once('=')?).map(|(name, value)| (name.to_owned(), value.to_owned()))
                })
                .filter(|(name, _)| name.starts_with("PORTREEVE_"))
                .collect(),
        }
    }
}

/// Polls until `check` holds; fails after [`LIMIT`]. Gives the time it took.
#[track_caller]
pub(crate) fn eventually(what: &str, check: impl AsyncFn() -> bool) -> impl Future<Output = Duration> {
    let place = std::panic::Location::caller();
    async move {
        let began = Instant::now();
        while !check().await {
            assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?} ({place})");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        began.elapsed()
    }
}

pub(crate) fn send_signal(pid: i32, signal: &str) {
    let status = std::process::Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status();
    assert!(status.unwrap().success(), "kill -{signal} {pid}");
}

/// A port that was free a moment ago, below those that the kernel gives to anyone who asks for any.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 500).unwrap() * 8;
    let ports = std::iter::repeat_with(|| 15_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 4_000);
    ports.take(4_000).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

fn command_lines() -> Vec<(i32, String)> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbered =
        processes.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    numbered.filter_map(|(pid, path)| Some((pid, command_line(&path)?))).collect()
}

fn command_line(process: &Path) -> Option<String> {
    let line = String::from_utf8_lossy(&fs::read(process.join("cmdline")).ok()?).into_owned();
    Some(line).filter(|line| !line.is_empty())
}
