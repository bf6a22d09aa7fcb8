//! Notices that a file has changed, also when an editor or a mounted volume replaces it instead of writing to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A write often comes in several steps; a file is looked at when it has been quiet for this long.
const QUIET: Duration = Duration::from_millis(50);
/// A folder that is never quiet is looked at nevertheless.
const LONGEST: Duration = Duration::from_millis(500);

/// Watches until it is dropped.
pub struct FileWatch {
    changes: mpsc::Receiver<()>,
    _watcher: RecommendedWatcher,
}

/// Begins to watch `path`.
///
/// # Errors
/// What the operating system says when its folder cannot be watched.
pub fn watch_file(path: &Path) -> notify::Result<FileWatch> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let (changed, changes) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // A full channel says already that something changed.
            let _ = changed.try_send(());
        }
    })?;
    // The folder, because a replaced file is another file. What else happens in it costs one comparison.
    watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    Ok(FileWatch { changes, _watcher: watcher })
}

impl FileWatch {
    /// Waits until something in the file's folder has changed and is quiet again; `None` at the end.
    pub async fn changed(&mut self) -> Option<()> {
        self.changes.recv().await?;
        let quiet = async { while let Ok(Some(())) = timeout(QUIET, self.changes.recv()).await {} };
        // Too late is as good as quiet.
        let _ = timeout(LONGEST, quiet).await;
        Some(())
    }
}
