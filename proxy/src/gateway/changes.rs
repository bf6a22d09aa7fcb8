//! A changed configuration on its way into force: its listeners and what the reloader compiles, together or not at
//! all. Comes from a followed file, or from the program that holds the gateway.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portreeve_config::{Document, Fault, Faults, GatewayConfig};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::settings::{self, Exporting};
use super::workers;
use crate::metrics::PlaneStats;
use crate::reload::{FileUpdate, FileWatch};
use crate::server::{Doors, Inherited, Written, as_faults, plain_listener};

/// All listeners of a configuration with their places in it: `listen` first, unless it is off.
pub(super) fn listeners(config: &GatewayConfig) -> Vec<Written> {
    let first =
        (config.listen != "off").then(|| ("listen".to_owned(), plain_listener(config.listen.clone())));
    let others = config.listeners.iter().enumerate();
    first.into_iter().chain(others.map(|(index, one)| (format!("listeners[{index}]"), one.clone()))).collect()
}

/// Takes new configurations, one at a time.
pub(super) struct Changes {
    doors: Arc<Doors>,
    /// The reloader ends when this is gone.
    files: mpsc::Sender<FileUpdate>,
    stats: Arc<PlaneStats>,
    /// What the process was started with.
    started: GatewayConfig,
    /// Also the lock by which one change waits for another.
    exporting: Mutex<Exporting>,
}

impl Changes {
    pub(super) fn new(
        doors: Arc<Doors>,
        files: mpsc::Sender<FileUpdate>,
        stats: Arc<PlaneStats>,
        (started, exporting): (GatewayConfig, Exporting),
    ) -> Self {
        Self { doors, files, stats, started, exporting: Mutex::new(exporting) }
    }

    /// Puts a configuration in force.
    ///
    /// # Errors
    /// Every fault; nothing has changed then.
    pub(super) async fn apply(&self, config: GatewayConfig) -> Result<(), Faults> {
        portreeve_config::check::gateway(&config).into_result(())?;
        let mut exporting = self.exporting.lock().await;
        let workers = workers(&config);
        let prepared = self.doors.prepare(&listeners(&config), workers, &mut Inherited::default());
        let change = prepared.map_err(|faults| self.refused(as_faults(faults)))?;
        let settings = exporting.settings(&config);
        let settings = settings.map_err(|fault| self.refused(settings::as_faults(&fault)))?;
        let (told, outcome) = oneshot::channel();
        // Without a reloader `told` is dropped, and that is what is answered.
        let _ = self.files.send(FileUpdate { file: config.clone(), settings, workers, told }).await;
        outcome.await.unwrap_or_else(|_| Err(Fault::new("", "the gateway is stopping").into()))?;
        if let Err(error) = self.doors.make(change) {
            tracing::error!(%error, "a worker cannot accept connections from a new listener");
        }
        say_what_waits(&self.started, &config);
        Ok(())
    }

    fn refused(&self, faults: Faults) -> Faults {
        PlaneStats::count(&self.stats.reloads_refused);
        tracing::error!(%faults, "a configuration was refused; the last good one stays in force");
        faults
    }
}

/// Names the settings that differ and that only a start reads.
fn say_what_waits(started: &GatewayConfig, new: &GatewayConfig) {
    let waiting = what_waits(started, new);
    if !waiting.is_empty() {
        tracing::warn!(settings = waiting.join(", "), "changed, and in force from the next start on");
    }
}

fn what_waits(started: &GatewayConfig, new: &GatewayConfig) -> Vec<&'static str> {
    let differ = [
        ("admin", started.admin != new.admin),
        ("control_plane", started.control_plane != new.control_plane),
        ("state_dir", started.state_dir != new.state_dir),
        ("handover", started.handover != new.handover),
        ("access_log", started.access_log != new.access_log),
        ("cache", started.cache != new.cache),
    ];
    differ.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// What is changed in every configuration that a file holds, such as an address from the command line.
pub(super) type Adjust = dyn Fn(&mut GatewayConfig) + Send + Sync;

/// A file that is followed.
#[derive(Clone)]
pub(super) struct Followed {
    pub(super) path: PathBuf,
    pub(super) adjust: Arc<Adjust>,
    pub(super) changes: Arc<Changes>,
}

impl Followed {
    /// Takes the file whenever it changes.
    pub(super) async fn follow(self, mut watch: FileWatch) {
        let mut last = std::fs::read(&self.path).ok();
        while watch.changed().await.is_some() {
            let now = std::fs::read(&self.path).ok();
            if now.is_some() && now != last {
                last = now;
                self.take().await;
            }
        }
    }

    /// Puts the file in force as it is now; says in the log what became of it.
    pub(super) async fn take(&self) {
        let path: &Path = &self.path;
        let mut config = match portreeve_config::load_file(path) {
            Ok(Document::Gateway(config)) => *config,
            Ok(_) => {
                return tracing::error!(path = %path.display(), "the file is no longer of `kind: gateway`; it is not used");
            }
            Err(error) => {
                return tracing::error!(
                    "{} was changed and has faults; what is in force stays\n{error}",
                    path.display()
                );
            }
        };
        (self.adjust)(&mut config);
        if self.changes.apply(config).await.is_ok() {
            tracing::info!(path = %path.display(), "the changed file is in force");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_only_a_start_reads_is_named() {
        let config = |written: serde_json::Value| serde_json::from_value::<GatewayConfig>(written).unwrap();
        let started = config(serde_json::json!({}));
        let new = config(serde_json::json!({
            "workers": 2,
            "trusted_proxies": ["10.0.0.0/8"],
            "duplicate_slashes": "merge",
            "auth": {"providers": [], "realm": "shop"},
            "limits": {"idle_timeout": "5s"},
            "tracing": {"sample": 0.5},
            "admin": "127.0.0.1:0",
            "control_plane": {"url": "http://127.0.0.1:7070"},
            "cache": {"max_size": "1MiB"},
        }));
        let names = ["admin", "control_plane", "cache"];
        assert_eq!(what_waits(&started, &new), names);
        assert!(what_waits(&new, &new).is_empty());
    }
}
