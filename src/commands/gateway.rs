//! `portreeve gateway`: runs a gateway from a file, follows the file's changes, drains when asked to stop, and gives
//! its place to a successor.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use portreeve::proxy::handover::{HandoverFault, Takeover};
use portreeve::{Checked, Document, Gateway, GatewayBuilder, GatewayConfig, proxy};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    Failure, Outcome, asked_to_stop, block_on, load, service_manager, tell_addresses, unless_forced,
};

const HELP: &str = "\
Examples:
  portreeve gateway --config gateway.yaml
  portreeve gateway --config gateway.yaml --listen 0.0.0.0:8080
  portreeve gateway --config gateway.yaml --takeover

  # gateway.yaml
  kind: gateway
  services:
    hello: {endpoints: [\"127.0.0.1:9000\"]}
  routes:
    - {name: hello, match: {path: /hello/*}, service: hello}

Signals: TERM and INT stop it in good order (a second one at once), HUP reads the file again, USR2 starts the
program anew with the same arguments and hands over to it, without a connection lost.";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The gateway's file. Most of it takes effect as soon as it is saved; the log says what waits for the next start.
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
    /// Take the listening sockets of the gateway that runs with this file (by its `handover` socket); it ends once
    /// this one serves. Without such a gateway this one just starts.
    #[arg(long)]
    takeover: bool,
}

/// What the command line says in place of the file.
#[derive(Clone)]
struct Instead {
    listen: Option<String>,
    admin: Option<String>,
}

impl Instead {
    fn of(arguments: &Arguments) -> Option<Self> {
        let (listen, admin) = (arguments.listen.clone(), arguments.admin.clone());
        (listen.is_some() || admin.is_some()).then_some(Self { listen, admin })
    }

    fn adjust(&self, config: &mut GatewayConfig) {
        if let Some(listen) = &self.listen {
            config.listen.clone_from(listen);
        }
        if let Some(admin) = &self.admin {
            config.admin.clone_from(admin);
        }
    }

    /// The file's gateway, adjusted; what is not adjusted need not be checked again.
    fn builder(instead: Option<&Self>, config: Checked<GatewayConfig>) -> GatewayBuilder {
        let Some(instead) = instead else { return Gateway::builder().checked(config) };
        let mut config = config.into_inner();
        instead.adjust(&mut config);
        Gateway::builder().config(config)
    }

    /// Has the gateway follow the file, adjusted in the same way.
    fn follow(instead: Option<Self>, gateway: &mut Gateway, file: &Path) -> Result<(), proxy::StartError> {
        match instead {
            None => gateway.follow(file),
            Some(instead) => gateway.follow_adjusted(file, move |config| instead.adjust(config)),
        }
    }
}

pub(crate) fn run(arguments: Arguments) -> Outcome {
    let config: Checked<GatewayConfig> = load(&arguments.config, "gateway", |document| match document {
        Document::Gateway(config) => Some(*config),
        _ => None,
    })?;
    block_on(serve(config, arguments))
}

async fn serve(config: Checked<GatewayConfig>, arguments: Arguments) -> Outcome {
    let (signals, stop) = (Signals::new()?, asked_to_stop()?);
    let (mut gateway, is_successor) = start(config, &arguments).await?;
    let addresses = serde_json::json!({
        "listen": gateway.local_addrs().listen.to_string(),
        "admin": gateway.local_addrs().admin.to_string(),
        "listeners": gateway.listeners(),
        "pid": std::process::id(),
    });
    tell_addresses(arguments.address_file.as_deref(), &addresses)?;
    let mut ready = vec![NotifyState::Ready];
    if is_successor {
        ready.push(NotifyState::MainPid(std::process::id()));
    }
    service_manager::tell(&ready);
    let watchdog = tokio::spawn(service_manager::feed_watchdog());
    tracing::info!(listen = %gateway.local_addrs().listen, admin = %gateway.local_addrs().admin, "gateway ready");
    let has_successor = live(&mut gateway, signals, stop).await;
    if !has_successor {
        // A successor has said already that the service goes on.
        service_manager::tell(&[NotifyState::Stopping]);
    }
    tracing::info!("gateway stops when the requests in flight have finished");
    unless_forced(gateway.shutdown()).await?;
    watchdog.abort();
    Ok(ExitCode::SUCCESS)
}

/// Starts it in its own right, or in the place of another; the other one ends when this has succeeded.
async fn start(config: Checked<GatewayConfig>, arguments: &Arguments) -> Result<(Gateway, bool), Failure> {
    let takeover = if arguments.takeover { taken_over(&config)? } else { None };
    let is_successor = takeover.is_some();
    let instead = Instead::of(arguments);
    let builder = Instead::builder(instead.as_ref(), config).takeover(takeover);
    let mut gateway = builder.serve().await.map_err(|error| match error {
        proxy::StartError::Config(_) => Failure::configuration(error),
        other => Failure::new(other),
    })?;
    Instead::follow(instead, &mut gateway, &arguments.config).map_err(Failure::new)?;
    gateway.open_handover().await.map_err(Failure::new)?;
    Ok((gateway, is_successor))
}

fn taken_over(config: &GatewayConfig) -> Result<Option<Takeover>, Failure> {
    let path = proxy::handover::path(config).ok_or(HandoverFault::NoPath).map_err(Failure::configuration)?;
    let takeover = Takeover::ask(&path).map_err(Failure::new)?;
    if takeover.is_none() {
        tracing::info!(path = %path.display(), "no gateway runs whose place could be taken; this one just starts");
    }
    Ok(takeover)
}

/// Does what signals ask for until one asks to stop, or a successor serves. Says whether there is one.
async fn live(gateway: &mut Gateway, mut signals: Signals, stop: impl Future<Output = ()>) -> bool {
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = stop.as_mut() => return false,
            pid = gateway.handed_over() => {
                tracing::info!(pid, "a successor serves");
                return true;
            }
            Some(()) = signals.hangup.recv() => reload(gateway).await,
            Some(()) = signals.user2.recv() => begin_successor(),
        }
    }
}

async fn reload(gateway: &Gateway) {
    tracing::info!("asked to read the file again");
    match NotifyState::monotonic_usec_now() {
        Ok(now) => service_manager::tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "the service manager is not told of a reload"),
    }
    gateway.reload_followed().await;
    service_manager::tell(&[NotifyState::Ready]);
}

/// Starts this program, as it is on disk now, to take this process's place.
fn begin_successor() {
    let mut words = std::env::args_os();
    let Some(program) = words.next() else { return };
    let arguments: Vec<_> = words.filter(|word| word != "--takeover").collect();
    let begun = std::process::Command::new(&program).args(arguments).arg("--takeover").spawn();
    match begun {
        Ok(mut child) => {
            tracing::info!(pid = child.id(), "a successor was started");
            // Somebody has to take note of its end when it does not come to serve.
            std::thread::spawn(move || {
                if let Ok(status) = child.wait() {
                    tracing::warn!(%status, "the successor has ended; this gateway goes on");
                }
            });
        }
        Err(error) => {
            let program = Path::new(&program).display();
            tracing::error!(%error, "no successor: {program} cannot be started");
        }
    }
}

/// The signals that do not end a gateway.
struct Signals {
    hangup: Signal,
    user2: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::new(format!("signals cannot be received: {error}")));
        Ok(Self { hangup: listen(SignalKind::hangup())?, user2: listen(SignalKind::user_defined2())? })
    }
}
