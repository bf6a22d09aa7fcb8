//! `portreeve check FILE…`: every fault of every file, failing tests included, in the order given.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use portreeve::check_file;

use super::{BAD_CONFIGURATION, Outcome};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Configuration files of any kind.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let colours = std::io::stderr().is_terminal();
    let mut faulty = false;
    for file in &arguments.files {
        // Where the reader has gone there is nobody to tell.
        let _ = match check_file(file) {
            Ok(_) => writeln!(std::io::stdout(), "{}: ok", file.display()),
            Err(error) => {
                faulty = true;
                writeln!(std::io::stderr(), "{}", error.render(colours).trim_end())
            }
        };
    }
    Ok(if faulty { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::SUCCESS })
}
