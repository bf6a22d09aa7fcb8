//! `portreeve demo`: control plane, gateway, and the shop's services behind their sidecars, every one a process of
//! its own, with all their data under one folder. Stops all of it when it is asked to, or killed.

mod guide;
mod plan;
mod processes;

use std::fs::{self, File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve::proxy::client::{Client, Limit};

use super::{Failure, Outcome, asked_to_stop, block_on, unless_forced};
use plan::Plan;
use processes::Processes;

/// How long everything may take to be ready.
const START_LIMIT: Duration = Duration::from_secs(60);
/// One look at whether it is.
const LOOK: Limit = Limit { bytes: 1 << 20, timeout: Duration::from_secs(2) };

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder for all data, configuration and logs. A temporary one, removed at the end, when absent.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Take any free port for everything instead of 19091 to 19100 and 7070.
    #[arg(long)]
    any_port: bool,
    /// Write the addresses in use to this file as JSON, once everything is ready.
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> Outcome {
    // Held until the end: dropping it removes the folder.
    let temporary;
    let folder = match &arguments.data_dir {
        Some(folder) => folder.clone(),
        None => {
            let made = tempfile::Builder::new().prefix("portreeve-demo-").tempdir();
            temporary = made.map_err(|error| unusable(&std::env::temp_dir(), &error))?;
            temporary.path().to_owned()
        }
    };
    let made = fs::create_dir_all(&folder).and_then(|()| fs::canonicalize(&folder));
    let folder = made.map_err(|error| unusable(&folder, &error))?;
    // Held until the end; the kernel gives it up for a demo that is killed.
    let _lock = lock(&folder)?;
    block_on(async { serve(&folder, &arguments).await })
}

fn unusable(folder: &Path, error: &std::io::Error) -> Failure {
    let folder = folder.display();
    Failure::new(format!(
        "the data folder {folder} cannot be used: {error}; give a writable one with --data-dir"
    ))
}

/// Keeps a second demo from writing into the files of the first.
fn lock(folder: &Path) -> Result<File, Failure> {
    let file = File::create(folder.join("demo.lock")).map_err(|error| unusable(folder, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let folder = folder.display();
            Err(Failure::new(format!(
                "another demo uses {folder}; stop that one, or give another --data-dir"
            )))
        }
        Err(TryLockError::Error(error)) => Err(unusable(folder, &error)),
    }
}

async fn serve(folder: &Path, arguments: &Arguments) -> Outcome {
    let began = Instant::now();
    let mut stop = pin!(asked_to_stop()?);
    let plan = Plan::make(folder, arguments.any_port)?;
    let mut processes = Processes::new(folder)?;
    let outcome = tokio::select! {
        started = start(&plan, &mut processes) => started,
        () = stop.as_mut() => Err(Failure::new("stopped before everything was ready")),
    };
    let outcome = match outcome {
        Ok(()) => until_stopped(&plan, &mut processes, began, arguments, stop).await,
        Err(failure) => Err(failure),
    };
    // Asked again: what is left is killed as it is dropped.
    unless_forced(processes.stop()).await?;
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn start(plan: &Plan, processes: &mut Processes) -> Result<(), Failure> {
    processes.start(&plan.control_plane()?)?;
    let look_up = |_: &str| -> Vec<SocketAddr> { Vec::new() };
    let client = Client::new(Arc::new(look_up)).map_err(Failure::new)?;
    let control_plane = format!("http://{}", plan.control_plane_address);
    ready(processes, "the control plane", async || {
        client.get(&format!("{control_plane}/readyz"), LOOK).await.is_ok()
    })
    .await?;
    let instances = format!("{control_plane}/v1/instances");
    let before = listed(&client.get(&instances, LOOK).await.map_err(Failure::new)?);
    let names: Vec<String> = plan.sidecars().map(|sidecar| sidecar.name).collect();
    processes.start(&plan.gateway()?)?;
    for sidecar in plan.sidecars() {
        processes.start(&sidecar)?;
    }
    ready(processes, "the shop", async || {
        let Ok(body) = client.get(&instances, LOOK).await else { return false };
        let Some(revision) = all_registered(&listed(&body), &before, &names) else { return false };
        let acknowledged = format!("{control_plane}/v1/revisions/{revision}/acknowledged?timeout=1s");
        client.get(&acknowledged, LOOK).await.is_ok()
    })
    .await?;
    let sign_in = format!("http://{}/auth/signIn?user_id=demo", plan.gateway_address);
    ready(processes, "the gateway", async || client.get(&sign_in, LOOK).await.is_ok()).await
}

fn listed(body: &[u8]) -> serde_json::Value {
    serde_json::from_slice(body).unwrap_or_default()
}

/// The revision at which an instance of each of these names is registered; `None` while one is not. A folder that
/// was used before still lists the instances of that time, which are told apart by their process.
fn all_registered(now: &serde_json::Value, before: &serde_json::Value, names: &[String]) -> Option<u64> {
    let process = |listed: &serde_json::Value, name: &str| {
        let instances = listed["instances"].as_array()?;
        let up = instances.iter().find(|instance| instance["id"] == name && instance["status"] == "up")?;
        up["metadata"]["pid"].as_str().map(str::to_owned)
    };
    let is_registered = |name: &String| {
        let pid = process(now, name);
        pid.is_some() && pid != process(before, name)
    };
    if names.iter().all(is_registered) { now["revision"].as_u64() } else { None }
}

/// Waits until `look` says yes. Fails when a process ends meanwhile, or when it takes too long.
async fn ready(processes: &mut Processes, what: &str, look: impl AsyncFn() -> bool) -> Result<(), Failure> {
    let deadline = Instant::now() + START_LIMIT;
    while !look().await {
        if let Some(ended) = processes.ended() {
            return Err(Failure::new(ended));
        }
        if Instant::now() > deadline {
            let logs = processes.logs().display();
            return Err(Failure::new(format!(
                "{what} was not ready within {START_LIMIT:?}; the logs are in {logs}"
            )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn until_stopped(
    plan: &Plan,
    processes: &mut Processes,
    began: Instant,
    arguments: &Arguments,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<(), Failure> {
    super::tell_addresses(arguments.address_file.as_deref(), &plan.addresses())?;
    guide::print(plan, processes, began.elapsed())?;
    let mut watch = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            () = stop.as_mut() => {
                tracing::info!("stopping everything");
                return Ok(());
            }
            // Killing parts of it is what a demo is for: it says so and goes on.
            _ = watch.tick() => if let Some(ended) = processes.ended() {
                tracing::warn!("{ended}");
            }
        }
    }
}
