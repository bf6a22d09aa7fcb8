//! The service's process: started with what it is given, signalled, waited for. It has a process group of its own,
//! so that who signals the sidecar's group does not stop the service too early, and so that it is stopped with all
//! the processes it started.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process;

/// How long the service may take to stop after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the service is started.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// The program that binds the service's life to the sidecar's: it is called as
    /// `SHIM exec-with-parent PID -- words…` and calls [`exec_with_parent`](crate::exec_with_parent). With none the
    /// service is started directly and outlives a sidecar that is killed.
    pub shim: Option<PathBuf>,
}

/// Why the service's process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum CommandFault {
    /// There is no program.
    #[error("the command is empty: name a program after `--`")]
    Empty,
    /// The operating system refused.
    #[error("cannot start `{program}`: {source}; check its path and that it may be executed")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
}

/// A process that runs, or has ended.
pub(crate) struct Child {
    process: process::Child,
    has_own_group: bool,
}

impl Child {
    /// Starts `command` with `environment` on top of the sidecar's own. The kernel ends the process when the
    /// *thread* that started it ends: this must be called from one that lives as long as the sidecar, such as the
    /// main thread or a thread of the runtime.
    pub(crate) fn start(
        command: &Command,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, CommandFault> {
        let first = command.words.first().ok_or(CommandFault::Empty)?;
        let program = command.shim.as_ref().map_or(first.as_ref(), |shim| shim.as_os_str());
        let mut starting = process::Command::new(program);
        if command.shim.is_some() {
            starting.arg("exec-with-parent").arg(std::process::id().to_string()).arg("--").arg(first);
        }
        starting.args(&command.words[1..]).envs(environment).kill_on_drop(true);
        // Only the group in front may read from a terminal and set it up: there the service stays in the sidecar's
        // group, and a Ctrl-C reaches both at once.
        let has_own_group = !io::stdin().is_terminal();
        if has_own_group {
            starting.process_group(0);
        }
        let fault = |source| CommandFault::Start { program: program.to_string_lossy().into_owned(), source };
        Ok(Self { process: starting.spawn().map_err(fault)?, has_own_group })
    }

    /// The process's id while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits for the end and gives the exit code, 128 and the signal's number for one that was killed. Can be
    /// dropped and asked again.
    pub(crate) async fn ended(&mut self) -> u8 {
        match self.process.wait().await {
            Ok(status) => code_of(status),
            Err(error) => {
                tracing::error!(%error, "the command's end cannot be waited for");
                1
            }
        }
    }

    /// Sends `signal` to the process itself.
    pub(crate) fn tell(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // It may have ended in this moment; then there is nobody to tell.
            let _ = kill_process(pid, signal);
        }
    }

    /// Stops it: SIGTERM, and SIGKILL if that is not enough.
    pub(crate) async fn stop(&mut self) -> u8 {
        self.tell_all(Signal::TERM);
        match tokio::time::timeout(PATIENCE, self.ended()).await {
            Ok(code) => code,
            Err(_) => {
                tracing::warn!("the command did not stop within {PATIENCE:?} of SIGTERM and is killed");
                self.kill().await
            }
        }
    }

    /// Ends it at once.
    pub(crate) async fn kill(&mut self) -> u8 {
        self.tell_all(Signal::KILL);
        self.ended().await
    }

    /// Sends `signal` to the process and, where they have a group of their own, to those it started.
    fn tell_all(&self, signal: Signal) {
        match self.pid() {
            Some(pid) if self.has_own_group => {
                // As in `tell`.
                let _ = kill_process_group(pid, signal);
            }
            _ => self.tell(signal),
        }
    }

    /// `None` once its end was seen: the number may be another process's then.
    fn pid(&self) -> Option<Pid> {
        self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }
}

fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}
