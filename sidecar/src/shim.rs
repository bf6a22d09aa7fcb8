//! Becomes the command, after asking the kernel to end it together with the sidecar. A process of its own, because
//! asking between fork and exec would need `unsafe` code in the sidecar.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Why the command could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The process that wanted it is gone.
    #[error("the process {parent} that wanted this command is gone; nothing was started")]
    ParentGone {
        /// Its id.
        parent: u32,
    },
    /// There is no command.
    #[error("no command is given; write it after `--`")]
    Empty,
    /// The kernel does not promise to end the command with its parent.
    #[error("the command cannot be bound to its parent: {0}")]
    Unbound(io::Error),
    /// The command cannot be executed.
    #[error("cannot start `{program}`: {source}; check its path and that it may be executed")]
    Exec {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
}

impl ExecError {
    /// The exit code a shell would give: 127 when the program is not there, 126 when it cannot be executed,
    /// 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Exec { .. } => 126,
            Self::ParentGone { .. } | Self::Empty | Self::Unbound(_) => 1,
        }
    }
}

/// Replaces this process by `command`, which the kernel kills (SIGKILL) when `parent`, the process that started
/// this one, ends. Returns only when that failed. This is the whole of `portreeve exec-with-parent PID -- …`.
pub fn exec_with_parent(parent: u32, command: &[String]) -> ExecError {
    let Some((program, arguments)) = command.split_first() else { return ExecError::Empty };
    if let Err(error) = bind_to_parent() {
        return ExecError::Unbound(error);
    }
    // The order matters: a parent that ended before it was bound to sends no signal, but is seen here.
    let actual = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if actual != Some(parent) {
        return ExecError::ParentGone { parent };
    }
    let source = Command::new(program).args(arguments).exec();
    ExecError::Exec { program: program.clone(), source }
}

#[cfg(target_os = "linux")]
fn bind_to_parent() -> io::Result<()> {
    use rustix::process::{Signal, set_parent_process_death_signal};

    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Other systems have no such promise; there a killed sidecar leaves its command running.
#[cfg(not(target_os = "linux"))]
fn bind_to_parent() -> io::Result<()> {
    Ok(())
}
