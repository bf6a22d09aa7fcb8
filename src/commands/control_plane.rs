//! `portreeve control-plane`: runs a control plane, from a file or with every default.

use std::path::PathBuf;
use std::process::ExitCode;

use portreeve::config::{ConfigServerConfig, Secret, parse_document};
use portreeve::{ControlPlane, ControlPlaneConfig, Document};
use portreeve_control_plane::StartError;

use super::{Failure, Outcome, asked_to_stop, backup, block_on, load, tell_addresses, unless_forced};

const HELP: &str = "\
Examples:
  portreeve control-plane
  portreeve control-plane --spring
  portreeve control-plane --config control-plane.yaml --data-dir /var/lib/portreeve
  curl http://127.0.0.1:7070/v1/nodes";

#[derive(clap::Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<backup::Action>,
    /// The control plane's file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here instead of where the file says (127.0.0.1:7070 by default).
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Keep the database here instead of where the file says.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Be a Eureka server and a Spring Cloud Config server too, at their usual addresses (127.0.0.1:8761 and
    /// 127.0.0.1:8888) unless the file gives others. A key in `ENCRYPT_KEY` opens encrypted configuration.
    #[arg(long)]
    spring: bool,
    /// Write the address in use to this file as JSON, once requests are served.
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
}

pub(crate) fn run(mut arguments: Arguments) -> Outcome {
    if let Some(action) = arguments.action.take() {
        return backup::run(action);
    }
    let mut config: ControlPlaneConfig = match &arguments.config {
        Some(path) => load(path, "control-plane", |document| match document {
            Document::ControlPlane(config) => Some(*config),
            _ => None,
        })?,
        None => parse_document("defaults", "{}")?,
    };
    if let Some(listen) = &arguments.listen {
        config.listen.clone_from(listen);
    }
    if let Some(folder) = &arguments.data_dir {
        config.data_dir.clone_from(folder);
    }
    if arguments.spring {
        config.eureka.get_or_insert_default();
        config.config_server.get_or_insert_with(config_server);
    }
    block_on(serve(config, arguments))
}

/// A config server as Spring's own starts without a file.
fn config_server() -> ConfigServerConfig {
    let mut config = ConfigServerConfig::default();
    config.encryption.key = std::env::var("ENCRYPT_KEY").ok().filter(|key| !key.is_empty()).map(Secret::new);
    config
}

async fn serve(config: ControlPlaneConfig, arguments: Arguments) -> Outcome {
    let mut stop = std::pin::pin!(asked_to_stop()?);
    let started = tokio::select! {
        started = ControlPlane::start(config) => started,
        // It may be waiting for other machines.
        () = stop.as_mut() => return Err(Failure::new("stopped before it was ready")),
    };
    let running = started.map_err(|error| match error {
        StartError::Faulty(_) => Failure::configuration(error),
        other => Failure::new(other),
    })?;
    let mut addresses = serde_json::json!({"listen": running.address().to_string()});
    if let Some(eureka) = running.eureka_address() {
        addresses["eureka"] = eureka.to_string().into();
    }
    if let Some(config_server) = running.config_server_address() {
        addresses["config_server"] = config_server.to_string().into();
    }
    tell_addresses(arguments.address_file.as_deref(), &addresses)?;
    stop.await;
    tracing::info!("control plane stops; nodes go on serving with what they know");
    unless_forced(running.shutdown()).await?;
    Ok(ExitCode::SUCCESS)
}
