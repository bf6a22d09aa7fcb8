//! The demo's processes: started with a log file each, watched, and stopped in an order that loses nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::plan::{Process, this_program};
use crate::commands::Failure;

/// How long a process may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How much of a log is shown when its process ends at the start.
const TAIL: usize = 12;

/// The processes that run, in the order they were started.
pub(super) struct Processes {
    logs: PathBuf,
    running: Vec<(String, Child)>,
}

impl Processes {
    /// None yet; their logs will be under `folder`.
    pub(super) fn new(folder: &Path) -> Result<Self, Failure> {
        let logs = folder.join("logs");
        fs::create_dir_all(&logs).map_err(|error| super::unusable(folder, &error))?;
        Ok(Self { logs, running: Vec::new() })
    }

    /// The folder of the logs.
    pub(super) fn logs(&self) -> &Path {
        &self.logs
    }

    /// The process of this name while it runs.
    pub(super) fn id(&self, name: &str) -> Option<u32> {
        self.running.iter().find(|(running, _)| running == name).and_then(|(_, child)| child.id())
    }

    /// Starts one.
    pub(super) fn start(&mut self, process: &Process) -> Result<(), Failure> {
        let unable = |error| Failure::new(format!("{} cannot be started: {error}", process.name));
        // What the last run in this folder said stays.
        let log = File::options().create(true).append(true).open(self.log(&process.name)).map_err(unable)?;
        let child = Command::new(this_program())
            // Ends with the demo, also when the demo is killed.
            .args(["exec-with-parent", &std::process::id().to_string(), "--", &this_program()])
            .args(&process.arguments)
            .envs(process.environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(unable)?)
            .stderr(log)
            // A group of its own: Ctrl-C reaches the demo alone, which stops the others in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(unable)?;
        self.running.push((process.name.clone(), child));
        Ok(())
    }

    /// Says which process has ended by itself, if one has since the last call.
    pub(super) fn ended(&mut self) -> Option<String> {
        let exited = self.running.iter_mut().position(|(_, child)| !matches!(child.try_wait(), Ok(None)))?;
        let (name, mut child) = self.running.remove(exited);
        let status = child.try_wait().ok().flatten();
        let how = status.map_or_else(|| "ended".to_owned(), |status| format!("ended with {status}"));
        let log = self.log(&name);
        let text = fs::read_to_string(&log).unwrap_or_default();
        if text.is_empty() {
            return Some(format!("{name} {how} without a word in {}; is the disk full?", log.display()));
        }
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n  ");
        Some(format!("{name} {how}; the end of {}:\n  {tail}", log.display()))
    }

    /// Stops all: the gateway first, so that nothing new comes in, then the sidecars, the control plane last.
    pub(super) async fn stop(mut self) {
        let is_first = |name: &str| name == "gateway";
        let is_last = |name: &str| name == "control-plane";
        let (mut gateway, rest): (Vec<_>, Vec<_>) =
            self.running.drain(..).partition(|(name, _)| is_first(name));
        let (mut control_plane, mut sidecars): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|(name, _)| is_last(name));
        for group in [&mut gateway, &mut sidecars, &mut control_plane] {
            stop_together(group).await;
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }
}

async fn stop_together(group: &mut [(String, Child)]) {
    for (_, child) in group.iter() {
        if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            // It may have ended in this moment.
            let _ = kill_process(pid, Signal::TERM);
        }
    }
    let deadline = tokio::time::Instant::now() + STOP_LIMIT;
    for (name, child) in group {
        if tokio::time::timeout_at(deadline, child.wait()).await.is_err() {
            tracing::warn!("{name} did not stop within {STOP_LIMIT:?} and is killed");
            let _ = child.kill().await;
        }
    }
}
