//! Notices that files have changed, however they are replaced: written to, renamed over, or by a symbolic link on their
//! way that leads elsewhere (mounted secrets of Kubernetes). A thread of its own, so that no event loop reads keys.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

/// Replacing several files takes several steps; they are looked at when it has been quiet for this long.
const QUIET: Duration = Duration::from_millis(50);
/// A folder that is never quiet is looked at nevertheless.
const LONGEST: Duration = Duration::from_millis(500);
/// Not every file system tells about changes (network mounts don't).
const POLL: Duration = Duration::from_secs(60);
/// Links on the way to a file; more are a circle.
const LINKS: usize = 32;

/// A folder and which one it was, because another one can take its place.
type Folder = (PathBuf, u64, u64);

/// Calls `look` at once and then whenever one of `paths` may have changed, until it breaks. Sending to what is returned
/// makes it look too.
///
/// # Errors
/// What the operating system says when no thread can be started.
pub(super) fn watch(
    paths: Vec<PathBuf>,
    mut look: impl FnMut() -> ControlFlow<()> + Send + 'static,
) -> io::Result<SyncSender<()>> {
    // One is enough: a full channel says already that there is something to look at.
    let (wake, woken) = sync_channel(1);
    let waker = wake.clone();
    thread::Builder::new().name("tls-files".to_owned()).spawn(move || {
        let mut watcher = None;
        let mut watched = BTreeSet::new();
        loop {
            let folders = folders(&paths);
            if folders != watched {
                watcher = watcher_of(&folders, &wake);
                watched = folders;
            }
            if look().is_break() {
                break drop(watcher.take());
            }
            wait(&woken);
        }
    })?;
    Ok(waker)
}

fn wait(woken: &Receiver<()>) {
    if woken.recv_timeout(POLL).is_err() {
        return;
    }
    let latest = Instant::now() + LONGEST;
    while Instant::now() < latest && woken.recv_timeout(QUIET) != Err(RecvTimeoutError::Timeout) {}
}

fn watcher_of(folders: &BTreeSet<Folder>, wake: &SyncSender<()>) -> Option<RecommendedWatcher> {
    let wake = wake.clone();
    let changed = move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = wake.try_send(());
        }
    };
    let slower = "changed certificates are noticed only once a minute";
    let mut watcher = match notify::recommended_watcher(changed) {
        Ok(watcher) => watcher,
        Err(fault) => {
            tracing::warn!(%fault, "{slower}; raise the limit of inotify instances");
            return None;
        }
    };
    for (folder, ..) in folders {
        if let Err(fault) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            tracing::warn!(folder = %folder.display(), %fault, "{slower}");
        }
    }
    Some(watcher)
}

/// The folders in which something changes when one of `paths` comes to hold something else.
fn folders(paths: &[PathBuf]) -> BTreeSet<Folder> {
    let mut found = BTreeSet::new();
    for path in paths {
        found.insert(folder_of(path));
        found.extend(path.canonicalize().map(|real| folder_of(&real)));
        let mut links = LINKS;
        on_the_way(path, &mut links, &mut found);
    }
    let identified = |folder: PathBuf| folder.metadata().ok().map(|data| (folder, data.dev(), data.ino()));
    found.into_iter().filter_map(identified).collect()
}

/// Adds the folder of every link that is followed to get to `path`.
fn on_the_way(path: &Path, links: &mut usize, found: &mut BTreeSet<PathBuf>) {
    for step in path.ancestors() {
        let Ok(target) = step.read_link() else { continue };
        if *links == 0 {
            return;
        }
        *links -= 1;
        let folder = folder_of(step);
        found.insert(folder.clone());
        on_the_way(&folder.join(target), links, found);
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
