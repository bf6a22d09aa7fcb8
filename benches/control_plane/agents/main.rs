//! The other side of a control plane, many at once on one core: services that register and say that they live, nodes that
//! watch. Prints a line of JSON for each thing measured; `run` says what is asked for. The processor time of the server
//! is read from `/proc`, so that a figure for a core holds also where the agents are the slower side.

mod arguments;
mod beats;
mod etcd;
mod instances;
mod node;
mod requests;
mod server;
mod watchers;

use std::process::ExitCode;

use arguments::Arguments;

const USAGE: &str = "agents requests | beats | watchers | etcd-puts | etcd-watchers  NAME=VALUE ...";

/// Why a measurement came to nothing.
type Fault = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T> = Result<T, Fault>;

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(fault) => {
            eprintln!("{fault}\nusage: {USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let outcome =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Fault::from).and_then(
            |runtime| runtime.block_on(tokio::task::LocalSet::new().run_until(measure(&arguments))),
        );
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("agents {}: {fault}", arguments.mode);
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Outcome<()> {
    match arguments.mode.as_str() {
        "requests" => requests::measure(arguments).await,
        "beats" => beats::measure(arguments).await,
        "watchers" => watchers::measure(arguments).await,
        "etcd-puts" => etcd::puts(arguments).await,
        "etcd-watchers" => etcd::watchers(arguments).await,
        other => Err(format!("there is no `{other}`\nusage: {USAGE}").into()),
    }
}
