//! `portreeve exec-with-parent`: becomes another program that the kernel ends when the parent process does, so
//! that a killed sidecar or demo leaves nothing behind.

use super::{Failure, Outcome};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The process that must still be the parent.
    parent: u32,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let error = portreeve_sidecar::exec_with_parent(arguments.parent, &arguments.command);
    Err(Failure { code: error.exit_code(), message: error.to_string() })
}
