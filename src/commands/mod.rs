//! One file a subcommand, and what they share: how a failure ends the process, and where a process says which
//! addresses it got.

mod api;
mod backup;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod control_plane;
#[cfg(feature = "demo")]
pub(crate) mod demo;
#[cfg(feature = "demo")]
pub(crate) mod demo_service;
pub(crate) mod exec_with_parent;
pub(crate) mod explain;
pub(crate) mod gateway;
pub(crate) mod import;
pub(crate) mod logging;
mod output;
pub(crate) mod registry;
pub(crate) mod schema;
mod service_manager;
pub(crate) mod sidecar;

use std::fmt::Display;
use std::future::Future;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use portreeve::{Document, LoadError, load_file};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// The exit code for a configuration that cannot be used (`EX_CONFIG` of sysexits.h).
pub(crate) const BAD_CONFIGURATION: u8 = 78;

/// Why a command ends early.
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// The configuration is at fault.
    pub(crate) fn configuration(message: impl Display) -> Self {
        Self { message: message.to_string(), code: BAD_CONFIGURATION }
    }

    /// Anything else is.
    pub(crate) fn new(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    /// Says it on standard error and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(std::io::stderr(), "{}", self.message.trim_end());
        ExitCode::from(self.code)
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::configuration(error.render(std::io::stderr().is_terminal()))
    }
}

type Outcome = Result<ExitCode, Failure>;

/// `portreeve version`.
pub(crate) fn version() -> Outcome {
    writeln!(std::io::stdout(), "portreeve {}", env!("CARGO_PKG_VERSION")).map_err(Failure::new)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a file that must be of one kind; `pick` takes it out of the document.
fn load<T>(path: &Path, kind: &str, pick: impl FnOnce(Document) -> Option<T>) -> Result<T, Failure> {
    let wrong = || Failure::configuration(format!("{} is not of `kind: {kind}`", path.display()));
    pick(load_file(path)?).ok_or_else(wrong)
}

/// Runs `work` on an event loop of this thread.
fn block_on(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(format!("no event loop can be made: {error}")))?.block_on(work)
}

/// Waits for SIGTERM or SIGINT, which are heard from the call on: made before anything serves, so that neither meets the
/// default behaviour.
fn asked_to_stop() -> Result<impl Future<Output = ()>, Failure> {
    let deaf = |error| Failure::new(format!("signals cannot be received: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(deaf)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(deaf)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Does `work` unless a second SIGTERM or SIGINT comes, which ends the process at once.
async fn unless_forced<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let asked_again = asked_to_stop()?;
    tokio::select! {
        done = work => Ok(done),
        () = asked_again => Err(Failure::new("stopped by a second signal; what was under way is cut off")),
    }
}

/// Writes the addresses a process got into a file, whole or not at all, for scripts that gave it port 0.
fn tell_addresses(file: Option<&Path>, addresses: &serde_json::Value) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, addresses.to_string())
        .and_then(|()| std::fs::rename(&fresh, file))
        .map_err(|error| Failure::new(format!("{} cannot be written: {error}", file.display())))
}
