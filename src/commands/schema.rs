//! `portreeve schema KIND`: for editors that complete and check YAML.

use std::io::Write;
use std::process::ExitCode;

use portreeve::config::{Kind, schema};

use super::{Failure, Outcome};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which kind of file.
    #[arg(value_parser = ["gateway", "sidecar", "control-plane", "desired-state"])]
    kind: String,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == arguments.kind);
    let kind = kind.ok_or_else(|| Failure::new(format!("there is no kind `{}`", arguments.kind)))?;
    let text = serde_json::to_string_pretty(&schema(kind)).map_err(Failure::new)?;
    writeln!(std::io::stdout(), "{text}").map_err(Failure::new)?;
    Ok(ExitCode::SUCCESS)
}
