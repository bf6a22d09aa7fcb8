//! The sidecar of Portreeve as a library: the same data plane twice, beside one copy of one service. *Inbound*
//! takes requests for the service, *outbound* carries the service's own requests to others, by their names. The
//! sidecar starts the service if it is asked to, hands it its configuration, waits until it is ready, registers
//! it, and stops it only after everybody has heard that it is leaving.
//!
//! The rooms: [`Sidecar`] opens everything, `life` is its course from the first word of the control plane to the
//! exit code, `planes` are the two directions, `follower` keeps in touch with the control plane (`registration` is the
//! own instance there), `handover` is
//! what the service is given, `child` and `shim` are its process, `app` is the service as seen over the network.

mod app;
mod child;
mod follower;
mod handover;
mod identity;
mod life;
mod planes;
mod registration;
mod shim;
mod signals;
mod start;

use portreeve_config::SidecarConfig;

pub use child::{Command, CommandFault};
pub use shim::{ExecError, exec_with_parent};
pub use signals::{Order, Passed};
pub use start::{Sidecar, StartError};

/// Runs a sidecar to its end and gives the exit code of its process: that of `command`, 0 without one, 1
/// (`EX_UNAVAILABLE` of sysexits.h) when the service did not become ready. `command` is the program and its
/// arguments, empty when the service is started by somebody else.
///
/// SIGTERM and SIGINT stop it, a second one at once; SIGHUP, SIGUSR1 and SIGUSR2 go to the command. The running
/// executable must know the subcommand `exec-with-parent` (see [`exec_with_parent`]). Runs on a current-thread
/// runtime of the process's main thread, so that the command ends with the process and not before.
///
/// # Errors
/// [`StartError`]; nothing is left running then.
pub async fn run(config: SidecarConfig, command: Vec<String>) -> Result<u8, StartError> {
    // Before anything is started, so that no signal finds the default behaviour.
    let orders = signals::orders().map_err(StartError::Signals)?;
    let shim = std::env::current_exe().ok();
    let command = (!command.is_empty()).then_some(Command { words: command, shim });
    Sidecar::start(config, command).await?.live(orders).await
}
