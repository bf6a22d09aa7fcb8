//! `portreeve gateway`: runs a gateway from a file, follows the file's changes, drains when asked to stop.

use std::path::PathBuf;
use std::process::ExitCode;

use portreeve::{Document, Gateway, GatewayConfig, proxy};

use super::{Failure, Outcome, asked_to_stop, block_on, load, tell_addresses, unless_forced};

const HELP: &str = "\
Examples:
  portreeve gateway --config gateway.yaml
  portreeve gateway --config gateway.yaml --listen 0.0.0.0:8080

  # gateway.yaml
  kind: gateway
  services:
    hello: {endpoints: [\"127.0.0.1:9000\"]}
  routes:
    - {name: hello, match: {path: /hello/*}, service: hello}";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The gateway's file. Routes, services and `auth` in it take effect as soon as it is saved.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Listen here instead of where the file says.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Serve /metrics, /livez and /readyz here instead of where the file says.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Write the addresses in use to this file as JSON, once requests are served.
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> Outcome {
    let mut config: GatewayConfig = load(&arguments.config, "gateway", |document| match document {
        Document::Gateway(config) => Some(*config),
        _ => None,
    })?;
    if let Some(listen) = &arguments.listen {
        config.listen.clone_from(listen);
    }
    if let Some(admin) = &arguments.admin {
        config.admin.clone_from(admin);
    }
    block_on(serve(config, arguments))
}

async fn serve(config: GatewayConfig, arguments: Arguments) -> Outcome {
    let mut gateway = Gateway::builder().config(config).serve().await.map_err(|error| match error {
        proxy::StartError::Config(_) => Failure::configuration(error),
        other => Failure::new(other),
    })?;
    gateway.follow(&arguments.config).map_err(Failure::new)?;
    let addresses = serde_json::json!({
        "listen": gateway.local_addrs().listen.to_string(),
        "admin": gateway.local_addrs().admin.to_string(),
    });
    tell_addresses(arguments.address_file.as_deref(), &addresses)?;
    tracing::info!(listen = %gateway.local_addrs().listen, admin = %gateway.local_addrs().admin, "gateway ready");
    asked_to_stop().await?;
    tracing::info!("gateway stops when the requests in flight have finished");
    unless_forced(gateway.shutdown()).await?;
    Ok(ExitCode::SUCCESS)
}
