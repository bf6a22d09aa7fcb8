//! The process's own log: one line an event on standard error, for people on a terminal, as JSON elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::Failure;

/// Begins to log what `filter` lets through.
pub(crate) fn start(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::configuration(format!("`--log {filter}` cannot be used: {error}")))?;
    let terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that cannot be written (a full disk, a reader that has gone) is lost. Telling of it on the same
        // standard error would panic.
        .log_internal_errors(false);
    match terminal {
        true => log.with_target(false).init(),
        false => log.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
    }
    // One line in the log like every other, where it is looked for.
    std::panic::set_hook(Box::new(|fault| {
        let place = fault.location().map(ToString::to_string);
        tracing::error!(
            place,
            "panicked, which is a fault of Portreeve: {}",
            fault.payload_as_str().unwrap_or("")
        );
    }));
    Ok(())
}
