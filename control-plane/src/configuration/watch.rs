//! When a source is read again: soon after the system says that something in its folder changed, and now and then
//! in any case, for notifications get lost and folders come back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::live::Configuration;

/// How long after a notification; an editor or a checkout changes several files at a time.
const SETTLE: Duration = Duration::from_millis(40);
/// At most this long after the first of many notifications.
const PATIENCE: Duration = Duration::from_millis(400);

/// A source that can change by itself.
pub(crate) trait Followed: Send + Sync {
    /// What logs call it.
    fn name(&self) -> &str;

    /// Reads it again. Gives the paths that changed; none where it cannot be read, which it logs once.
    fn read(&self) -> Vec<String>;

    /// The folder in which a change shows.
    fn watched(&self) -> Option<PathBuf>;

    /// The first reading; what is at hand is enough.
    fn begin(&self) -> Vec<String> {
        self.read()
    }

    /// Ends a reading that is under way; there will be no further one.
    fn stop(&self) {}

    /// How often it is read without any notification.
    fn every(&self, is_watched: bool) -> Duration;
}

/// Follows one source for ever.
pub(super) async fn follow(configuration: Arc<Configuration>, source: Arc<dyn Followed>) {
    let (sender, mut changes) = mpsc::channel(1);
    let mut watcher = None;
    loop {
        // A watch on a folder that was replaced sees nothing more; making it anew is cheap.
        let folder = source.watched();
        if watcher.as_ref().is_none_or(|(watched, identity, _)| {
            Some(watched) != folder.as_ref() || *identity != folder.as_ref().and_then(identity_of)
        }) {
            watcher = folder.and_then(|folder| watch(folder, sender.clone()));
        }
        if tokio::time::timeout(source.every(watcher.is_some()), changes.recv()).await.is_ok() {
            settle(&mut changes).await;
        }
        configuration.renew(source.clone()).await;
    }
}

/// Waits until nothing more is heard for a moment.
async fn settle(changes: &mut mpsc::Receiver<()>) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match tokio::time::timeout(SETTLE, changes.recv()).await {
            Ok(Some(())) => {}
            _ => return,
        }
    }
}

type Watch = (PathBuf, Option<u64>, RecommendedWatcher);

fn watch(folder: PathBuf, changes: mpsc::Sender<()>) -> Option<Watch> {
    let tell = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // A notification that waits already says the same.
            let _ = changes.try_send(());
        }
    };
    let identity = identity_of(&folder);
    let mut watcher = notify::recommended_watcher(tell).ok()?;
    watcher.watch(&folder, RecursiveMode::Recursive).ok()?;
    Some((folder, identity, watcher))
}

#[cfg(unix)]
fn identity_of(folder: &PathBuf) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(folder).ok().map(|metadata| metadata.ino())
}

#[cfg(not(unix))]
fn identity_of(folder: &PathBuf) -> Option<u64> {
    std::fs::metadata(folder).ok().map(|metadata| metadata.len())
}
