//! `portreeve sidecar`: runs a sidecar from flags, from a file, or from a file that flags override.

use std::path::PathBuf;
use std::process::ExitCode;

use portreeve::config::{ControlPlaneLink, Period, UpstreamProtocol};
use portreeve::{Document, SidecarConfig};
use portreeve_sidecar::StartError;

use super::{Failure, Outcome, block_on, load};

const HELP: &str = "\
Examples:
  portreeve sidecar --service orders --app 127.0.0.1:8080 --control-plane http://127.0.0.1:7070 -- ./orders
  portreeve sidecar --config sidecar.yaml

The command finds other services through http_proxy=$PORTREEVE_OUTBOUND, or with their names as `Host` at that
address; its configuration is in its environment, and in the file $PORTREEVE_CONFIG_FILE as it changes.";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The sidecar's file; flags stand above it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The service's name, as routes and other services call it.
    #[arg(long, required_unless_present = "config")]
    service: Option<String>,
    /// The address the service listens on.
    #[arg(long, value_name = "ADDRESS", required_unless_present = "config")]
    app: Option<String>,
    /// What the service speaks: `http1`, or `http2` by prior knowledge (gRPC).
    #[arg(long, value_name = "PROTOCOL", value_parser = ["http1", "http2"])]
    protocol: Option<String>,
    /// The control plane, such as http://127.0.0.1:7070; several replicas of it with commas between them.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    control_plane: Vec<String>,
    /// With an https:// control plane: the file of the authorities that may have signed its certificate.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The sidecar's own certificate, where the control plane asks for one.
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// The file with the token that the control plane is shown.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Let the token go over http:// to other machines, where it can be read on the way.
    #[arg(long)]
    plain_text: bool,
    /// This instance's name; made from service, host name and app port when absent.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// The configuration profile; its layer lies over `default`.
    #[arg(long)]
    profile: Option<String>,
    /// Where others reach the service; this address is registered. Port 0 takes any free port.
    #[arg(long, value_name = "ADDRESS")]
    inbound: Option<String>,
    /// Where the service reaches others, by their names. Port 0 takes any free port.
    #[arg(long, value_name = "ADDRESS")]
    outbound: Option<String>,
    /// How long another service may take until its answer begins, all attempts together, such as `15s`.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Period>,
    /// Where /metrics, /livez and /readyz are. Port 0 takes any free port.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// The folder for the last snapshot and the service's configuration file.
    #[arg(long, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
    /// A path that answers 2xx when the service is ready; an accepted connection is enough without it.
    #[arg(long, value_name = "PATH")]
    ready_path: Option<String>,
    /// How long the registration lasts without a sign of life, such as `3s`.
    #[arg(long, value_name = "DURATION")]
    lease: Option<Period>,
    /// The command that starts the service; the sidecar passes signals on and ends with its exit code.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) fn run(arguments: Arguments) -> Outcome {
    let command = arguments.command.clone();
    let config = written(arguments)?;
    block_on(async {
        let code = portreeve_sidecar::run(config, command).await.map_err(failure)?;
        Ok(ExitCode::from(code))
    })
}

fn failure(error: StartError) -> Failure {
    let code = error.exit_code();
    Failure { message: error.to_string(), code }
}

/// The file's configuration, or every default, with the flags on top.
fn written(arguments: Arguments) -> Result<SidecarConfig, Failure> {
    let mut config = match &arguments.config {
        Some(path) => load(path, "sidecar", |document| match document {
            Document::Sidecar(config) => Some(*config),
            _ => None,
        })?,
        None => defaults()?,
    };
    let put = |field: &mut String, flag: Option<String>| {
        if let Some(value) = flag {
            *field = value;
        }
    };
    put(&mut config.service, arguments.service);
    put(&mut config.app, arguments.app);
    put(&mut config.inbound, arguments.inbound);
    put(&mut config.outbound, arguments.outbound);
    put(&mut config.admin, arguments.admin);
    config.protocol = match arguments.protocol.as_deref() {
        Some("http2") => UpstreamProtocol::Http2,
        Some(_) => UpstreamProtocol::Http1,
        None => config.protocol,
    };
    let mut urls = arguments.control_plane.into_iter();
    if let Some(url) = urls.next() {
        let link = config.control_plane.unwrap_or_default();
        config.control_plane = Some(ControlPlaneLink { url, replicas: urls.collect(), ..link });
    }
    if let Some(link) = &mut config.control_plane {
        link.ca = arguments.ca.or(link.ca.take());
        link.certificate = arguments.certificate.or(link.certificate.take());
        link.key = arguments.key.or(link.key.take());
        link.token_file = arguments.token_file.or(link.token_file.take());
        link.plain_text |= arguments.plain_text;
    }
    config.instance = arguments.instance.or(config.instance);
    config.profile = arguments.profile.or(config.profile);
    config.state_dir = arguments.state_dir.or(config.state_dir);
    config.ready.path = arguments.ready_path.or(config.ready.path);
    config.timeout = arguments.timeout.unwrap_or(config.timeout);
    config.lease = arguments.lease.unwrap_or(config.lease);
    Ok(config)
}

fn defaults() -> Result<SidecarConfig, Failure> {
    let text = r#"{"service": "", "app": ""}"#;
    serde_json::from_str(text).map_err(Failure::new)
}
