//! `portreeve import spring application.yml`: another gateway's routes as a file of this one.

use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use portreeve::config::import::{Choices, Imported, spring};

use super::{Failure, Outcome};

/// The largest file that is read, in bytes.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

const HELP: &str = "\
Example:
  portreeve import spring application.yml > gateway.yaml
  portreeve check gateway.yaml

A route that would take more requests than its original is left out: it stands in the file as a comment, and in the
report with its line. Where later routes would get its requests, a guard refuses them until you write the route.";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    of: Of,
}

#[derive(Subcommand)]
enum Of {
    /// Read the routes of Spring Cloud Gateway. The file goes to standard output, the report to standard error.
    #[command(after_help = HELP)]
    Spring {
        /// Its `application.yml`; `-` is standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Write the report here instead.
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
        /// Keep routes that would take requests of a route that is left out before them.
        #[arg(long)]
        with_gaps: bool,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let Of::Spring { file, report, with_gaps } = &arguments.of;
    let text = read(file)?;
    let choices = Choices { with_gaps: *with_gaps, ..Choices::strict() };
    let name = file
        .file_name()
        .map_or_else(|| file.display().to_string(), |name| name.to_string_lossy().into_owned());
    let Imported { yaml, report: told } = spring(&name, &text, choices)?;
    match report {
        Some(path) => std::fs::write(path, told.to_string())
            .map_err(|error| Failure::new(format!("{} cannot be written: {error}", path.display())))?,
        // Nobody is left to tell when standard error is closed.
        None => _ = write!(std::io::stderr(), "{told}"),
    }
    write!(std::io::stdout(), "{yaml}").map_err(Failure::new)?;
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> Result<String, Failure> {
    let shown = file.display();
    let source: Box<dyn Read> = match file == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(
            std::fs::File::open(file)
                .map_err(|error| Failure::new(format!("cannot read `{shown}`: {error}")))?,
        ),
    };
    let mut text = String::new();
    let read = source.take(MOST_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| match error.kind() {
        ErrorKind::InvalidData => Failure::configuration(format!("`{shown}` is not UTF-8 text")),
        _ => Failure::new(format!("cannot read `{shown}`: {error}")),
    })?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Failure::configuration(format!("`{shown}` is larger than 4 MiB")));
    }
    Ok(text)
}
