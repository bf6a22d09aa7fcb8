//! A changed configuration on its way into force: its listeners and what the reloader compiles, together or not at
//! all. Comes from a followed file, or from the program that holds the gateway.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use portreeve_config::{
    AccessLog, CacheConfig, Checked, ControlPlaneLink, Document, Fault, Faults, GatewayConfig,
};
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

/// No start takes longer, from reading its file on.
const LONGEST_START: Duration = Duration::from_secs(60);

/// Takes new configurations, one at a time.
pub(super) struct Changes {
    doors: Arc<Doors>,
    /// The reloader ends when this is gone.
    files: mpsc::Sender<FileUpdate>,
    stats: Arc<PlaneStats>,
    started: Started,
    in_force: ArcSwap<GatewayConfig>,
    /// Also the lock by which one change waits for another.
    exporting: Mutex<Exporting>,
}

impl Changes {
    pub(super) fn new(
        doors: Arc<Doors>,
        files: mpsc::Sender<FileUpdate>,
        stats: Arc<PlaneStats>,
        (config, exporting): (Arc<GatewayConfig>, Exporting),
    ) -> Self {
        let started = Started::with(&config);
        let (in_force, exporting) = (ArcSwap::new(config), Mutex::new(exporting));
        Self { doors, files, stats, started, in_force, exporting }
    }

    /// The configuration in force.
    pub(super) fn in_force(&self) -> Arc<GatewayConfig> {
        self.in_force.load_full()
    }

    /// Puts a configuration in force.
    ///
    /// # Errors
    /// Every fault; nothing has changed then.
    pub(super) async fn apply(&self, config: Checked<GatewayConfig>) -> Result<(), Faults> {
        let config = Arc::new(config.into_inner());
        let mut exporting = self.exporting.lock().await;
        let workers = workers(&config);
        let prepared = self.doors.prepare(&listeners(&config), workers, &mut Inherited::default());
        let change = prepared.map_err(|faults| self.refused(as_faults(faults)))?;
        let settings = exporting.settings(&config);
        let settings = settings.map_err(|fault| self.refused(settings::as_faults(&fault)))?;
        let (told, outcome) = oneshot::channel();
        // Without a reloader `told` is dropped, and that is what is answered.
        let _ = self.files.send(FileUpdate { file: Arc::clone(&config), settings, workers, told }).await;
        outcome.await.unwrap_or_else(|_| Err(closed()))?;
        self.in_force.store(Arc::clone(&config));
        if let Err(error) = self.doors.make(change) {
            if self.doors.is_closed() {
                return Err(closed());
            }
            tracing::error!(%error, "a worker cannot accept connections from a new listener");
        }
        self.started.say_what_waits(&config);
        Ok(())
    }

    fn refused(&self, faults: Faults) -> Faults {
        PlaneStats::count(&self.stats.reloads_refused);
        tracing::error!(%faults, "a configuration was refused; the last good one stays in force");
        faults
    }
}

fn closed() -> Faults {
    Fault::new("", Doors::CLOSED).into()
}

/// What only a start reads, as the process was started with it.
struct Started {
    admin: String,
    control_plane: Option<ControlPlaneLink>,
    state_dir: Option<PathBuf>,
    handover: Option<PathBuf>,
    access_log: AccessLog,
    cache: CacheConfig,
}

impl Started {
    fn with(config: &GatewayConfig) -> Self {
        Self {
            admin: config.admin.clone(),
            control_plane: config.control_plane.clone(),
            state_dir: config.state_dir.clone(),
            handover: config.handover.clone(),
            access_log: config.access_log.clone(),
            cache: config.cache.clone(),
        }
    }

    /// Names the settings that differ.
    fn say_what_waits(&self, new: &GatewayConfig) {
        let waiting = self.what_waits(new);
        if !waiting.is_empty() {
            tracing::warn!(settings = waiting.join(", "), "changed, and in force from the next start on");
        }
    }

    fn what_waits(&self, new: &GatewayConfig) -> Vec<&'static str> {
        let differ = [
            ("admin", self.admin != new.admin),
            ("control_plane", self.control_plane != new.control_plane),
            ("state_dir", self.state_dir != new.state_dir),
            ("handover", self.handover != new.handover),
            ("access_log", self.access_log != new.access_log),
            ("cache", self.cache != new.cache),
        ];
        differ.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

/// What is changed in every configuration that a file holds, such as an address from the command line.
pub(super) type Adjust = dyn Fn(&mut GatewayConfig) + Send + Sync;

/// A file that is followed.
#[derive(Clone)]
pub(super) struct Followed {
    pub(super) path: PathBuf,
    pub(super) adjust: Option<Arc<Adjust>>,
    pub(super) changes: Arc<Changes>,
}

impl Followed {
    /// Takes the file whenever it changes, and at once when it is not `known`, which was in force when it began to be
    /// watched.
    pub(super) async fn follow(self, mut watch: FileWatch, known: Arc<GatewayConfig>) {
        let mut last = self.text();
        if last.is_some() && !is_settled(&self.path) {
            self.catch_up(known).await;
            last = self.still(last);
        }
        while watch.changed().await.is_some() {
            let now = self.text();
            if now.is_some() && now != last {
                self.take().await;
                last = self.still(now);
            }
        }
    }

    fn text(&self) -> Option<Vec<u8>> {
        std::fs::read(&self.path).ok()
    }

    /// `before`, if that is surely what was loaded since: where the file has changed meanwhile, nothing it may hold next is
    /// known to be in force.
    fn still(&self, before: Option<Vec<u8>>) -> Option<Vec<u8>> {
        before.filter(|before| self.text().as_ref() == Some(before))
    }

    /// Puts the file in force if it is not `known`: nobody watched it between its load and now.
    async fn catch_up(&self, known: Arc<GatewayConfig>) {
        let (path, adjust) = (self.path.clone(), self.adjust.clone());
        let news = move || {
            let found = load(&path, adjust.as_deref());
            let is_known = matches!(&found, Some(Ok(config)) if **config == *known);
            found.filter(|_| !is_known)
        };
        // Elsewhere: with very many routes it takes a while, and there is hardly ever any news.
        if let Ok(Some(found)) = tokio::task::spawn_blocking(news).await {
            self.put_in_force(found).await;
        }
    }

    /// Puts the file in force as it is now; says in the log what became of it.
    pub(super) async fn take(&self) {
        if let Some(found) = load(&self.path, self.adjust.as_deref()) {
            self.put_in_force(found).await;
        }
    }

    async fn put_in_force(&self, found: Result<Checked<GatewayConfig>, Faults>) {
        let outcome = match found {
            Ok(config) => self.changes.apply(config).await,
            Err(faults) => Err(self.changes.refused(faults)),
        };
        if outcome.is_ok() {
            tracing::info!(path = %self.path.display(), "the changed file is in force");
        }
    }
}

/// Whether nobody has touched the file, or put it there, since long before it was loaded: with very many routes it costs as
/// much to look into it as to start.
fn is_settled(path: &Path) -> bool {
    let Ok(changed) = std::fs::metadata(path).map(|found| found.ctime()) else { return false };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    u64::try_from(changed).is_ok_and(|changed| changed + LONGEST_START.as_secs() < now)
}

/// What a file says now, adjusted. `None` when it cannot be used, which is said in the log.
fn load(path: &Path, adjust: Option<&Adjust>) -> Option<Result<Checked<GatewayConfig>, Faults>> {
    let config = match portreeve_config::load_file(path) {
        Ok(Document::Gateway(config)) => *config,
        Ok(_) => {
            tracing::error!(path = %path.display(), "the file is no longer of `kind: gateway`; it is not used");
            return None;
        }
        Err(error) => {
            tracing::error!("{} was changed and has faults; what is in force stays\n{error}", path.display());
            return None;
        }
    };
    let Some(adjust) = adjust else { return Some(Ok(config)) };
    let mut config = config.into_inner();
    adjust(&mut config);
    Some(config.try_into())
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
        assert_eq!(Started::with(&started).what_waits(&new), names);
        assert!(Started::with(&new).what_waits(&new).is_empty());
    }
}
