//! The service's live configuration: defaults, and over them a file that a sidecar rewrites at any time.
//! The last good file stays in force while a new one cannot be read.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::settings::ShopService;

/// How often the file is looked at; a change must be seen within 300 ms.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// What the configuration says at this moment; clones see the same.
#[derive(Clone)]
pub(crate) struct Configuration {
    values: watch::Receiver<Arc<BTreeMap<String, String>>>,
}

impl Configuration {
    /// Reads the file, if there is one, and follows it for as long as the returned task lives.
    pub(crate) fn follow(service: ShopService, file: Option<PathBuf>) -> (Self, Option<JoinHandle<()>>) {
        let defaults = defaults(service);
        let (publish, values) = watch::channel(Arc::new(defaults.clone()));
        let follower = file.map(|path| {
            let mut follower = Follower { path, defaults, publish, seen: None };
            follower.look();
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(POLL_EVERY).await;
                    follower.look();
                }
            })
        });
        (Self { values }, follower)
    }

    /// All values.
    pub(crate) fn all(&self) -> Arc<BTreeMap<String, String>> {
        Arc::clone(&self.values.borrow())
    }

    /// One value, or `fallback` while the configuration holds nothing that can be read as one.
    pub(crate) fn number<T: FromStr>(&self, name: &str, fallback: T) -> T {
        self.values.borrow().get(name).and_then(|text| text.parse().ok()).unwrap_or(fallback)
    }

    /// One value as text; empty when it is absent.
    pub(crate) fn text(&self, name: &str) -> String {
        self.values.borrow().get(name).cloned().unwrap_or_default()
    }
}

fn defaults(service: ShopService) -> BTreeMap<String, String> {
    let mut values = BTreeMap::from([("currency", "EUR")]);
    match service {
        ShopService::Products => _ = values.insert("low-stock", "5"),
        ShopService::Payments => _ = values.insert("payment-limit", "10000"),
        _ => {}
    }
    values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

struct Follower {
    path: PathBuf,
    defaults: BTreeMap<String, String>,
    publish: watch::Sender<Arc<BTreeMap<String, String>>>,
    seen: Option<Stamp>,
}

/// What tells one version of a file from another without reading it. A file replaced by renaming has another
/// inode even where the clock of the file system is coarse.
type Stamp = (u64, i64, i64, u64);

impl Follower {
    /// One `stat` on the runtime's thread: microseconds, cheaper than handing it to another thread.
    fn look(&mut self) {
        let Ok(stamp) = fs::metadata(&self.path).map(|file| stamp(&file)) else { return };
        if self.seen == Some(stamp) {
            return;
        }
        self.seen = Some(stamp);
        match read(&self.path) {
            Ok(values) => {
                let merged: BTreeMap<_, _> = self.defaults.clone().into_iter().chain(values).collect();
                self.publish.send_if_modified(|now| {
                    let changed = **now != merged;
                    *now = Arc::new(merged);
                    changed
                });
            }
            Err(problem) => {
                tracing::warn!(file = %self.path.display(), problem, "keeping the last good configuration")
            }
        }
    }
}

fn stamp(file: &Metadata) -> Stamp {
    (file.ino(), file.mtime(), file.mtime_nsec(), file.len())
}

fn read(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let values: BTreeMap<String, Value> = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    Ok(values.into_iter().map(|(name, value)| (name, as_text(value))).collect())
}

fn as_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
