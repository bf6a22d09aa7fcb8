//! The one binary. Reads the command line, hands over to one file a subcommand, and turns what went wrong into a
//! message and an exit code.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A request asks for memory a dozen times and gives it back on the same thread, which is what this one is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
Begin with:
  portreeve demo                               everything at once, with what to paste
  portreeve gateway --config gateway.yaml      a reverse proxy before services of yours
  portreeve check gateway.yaml                 what is wrong with a file, each fault with its line
  portreeve explain --url https://host/path    which route takes a request, and why

Exit codes: 0 done; 1 it could not start or go on; 2 the command line is wrong; 78 a configuration file is wrong.
A sidecar with a command ends with the command's own code.";

/// A gateway and sidecar proxy with its own control plane, in one small binary.
#[derive(Parser)]
#[command(name = "portreeve", version, about, max_term_width = 100, after_help = HELP)]
struct CommandLine {
    /// What is logged on standard error, such as `info`, `debug` or `portreeve_proxy=debug,info`.
    #[arg(
        long,
        global = true,
        env = "PORTREEVE_LOG",
        default_value = "info",
        value_name = "FILTER",
        display_order = 99
    )]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a gateway: clients connect to it, and it sends their requests on to services.
    Gateway(commands::gateway::Arguments),
    /// Run a sidecar beside one copy of a service: registers it and carries its traffic in both directions.
    Sidecar(Box<commands::sidecar::Arguments>),
    /// Run a control plane: services, instances, routes and configuration, pushed to gateways and sidecars.
    ControlPlane(commands::control_plane::Arguments),
    /// Say everything that is wrong with configuration files. Exits with 0 when nothing is, else with 78.
    Check(commands::check::Arguments),
    /// Check, compare, apply, list and roll back what a control plane has in force.
    Config(Box<commands::config::Arguments>),
    /// List the services that a control plane knows.
    Services(commands::registry::Services),
    /// List registered instances and how old their last sign of life is.
    Instances(commands::registry::Instances),
    /// List connected gateways and sidecars and how far each has followed.
    Nodes(commands::registry::Nodes),
    /// Say what would become of a request, and why: routes tried, policies met, what the service would get.
    Explain(commands::explain::Arguments),
    /// Make a gateway's file of another gateway's, and say what has no equivalent.
    Import(commands::import::Arguments),
    /// Print the JSON Schema of a kind of configuration file.
    Schema(commands::schema::Arguments),
    /// Run everything at once: control plane, gateway, and a shop of six services, each behind its sidecar.
    #[cfg(feature = "demo")]
    Demo(commands::demo::Arguments),
    /// Run one service of the demo's shop.
    #[cfg(feature = "demo")]
    DemoService(commands::demo_service::Arguments),
    /// Print the version.
    Version,
    /// Run a command that ends together with its parent process.
    #[command(hide = true)]
    ExecWithParent(commands::exec_with_parent::Arguments),
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    if let Err(fault) = commands::logging::start(&line.log) {
        return fault.report();
    }
    let outcome = match line.command {
        Command::Gateway(arguments) => commands::gateway::run(arguments),
        Command::Sidecar(arguments) => commands::sidecar::run(*arguments),
        Command::ControlPlane(arguments) => commands::control_plane::run(arguments),
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Config(arguments) => commands::config::run(*arguments),
        Command::Services(arguments) => commands::registry::services(arguments),
        Command::Instances(arguments) => commands::registry::instances(arguments),
        Command::Nodes(arguments) => commands::registry::nodes(arguments),
        Command::Explain(arguments) => commands::explain::run(&arguments),
        Command::Import(arguments) => commands::import::run(&arguments),
        Command::Schema(arguments) => commands::schema::run(&arguments),
        #[cfg(feature = "demo")]
        Command::Demo(arguments) => commands::demo::run(arguments),
        #[cfg(feature = "demo")]
        Command::DemoService(arguments) => commands::demo_service::run(arguments),
        Command::Version => commands::version(),
        Command::ExecWithParent(arguments) => commands::exec_with_parent::run(&arguments),
    };
    outcome.unwrap_or_else(|fault| fault.report())
}
