//! The last snapshot of the control plane on disk, so that a node can start while the control plane is away. A file
//! that is torn or damaged is set aside with a clear word and never trusted.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portreeve_config::wire::Snapshot;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const FORMAT: u32 = 1;
/// How long the state may rest in memory before it is on disk, so that a burst of changes is one write.
const SAVE_AFTER: Duration = Duration::from_millis(200);
/// How long until a state that could not be saved is tried again.
const SAVE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Where a node keeps its last snapshot.
#[derive(Clone, Debug)]
pub struct SavedState {
    path: PathBuf,
}

/// Why a snapshot could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum SaveFault {
    /// The folder or file cannot be used.
    #[error("{path} cannot be used: {source}; check that the folder exists, is writable and has room")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is torn, damaged, or of another version.
    #[error("{path} is damaged ({problem}); it was moved to {moved_to} and the node starts without it")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// Where it is now.
        moved_to: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    format: u32,
    /// SHA-256 of `snapshot` as it stands in the file, in hexadecimal.
    digest: String,
    snapshot: Box<serde_json::value::RawValue>,
}

impl SavedState {
    /// In this folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`SaveFault::Io`].
    pub fn in_folder(folder: &Path, node: &str) -> Result<Self, SaveFault> {
        let unusable = |source| SaveFault::Io { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(unusable)?;
        let state = Self { path: folder.join(format!("{node}.snapshot.json")) };
        // Found out now, and not with the first change on a day when it matters.
        let (written, removed) = (write_through(&state.fresh(), b""), fs::remove_file(state.fresh()));
        written.and(removed).map_err(unusable)?;
        state.remove_leftovers(folder);
        Ok(state)
    }

    /// Where the next state is written, before it takes the last one's place. During a takeover two processes keep
    /// the state of one node, and neither may write into what the other is writing.
    fn fresh(&self) -> PathBuf {
        self.path.with_extension(format!("json.{}.new", std::process::id()))
    }

    /// Removes what processes that have ended did not finish. One that cannot be removed only takes room away.
    fn remove_leftovers(&self, folder: &Path) {
        let name = self.path.file_name().and_then(|name| name.to_str());
        let (Some(name), Ok(entries)) = (name, fs::read_dir(folder)) else { return };
        for entry in entries.flatten() {
            if writer(name, entry.file_name().to_str()).is_some_and(has_ended) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The kept snapshot; `None` when there is none yet.
    ///
    /// # Errors
    /// [`SaveFault::Damaged`] once; the file has been moved away then.
    pub fn load(&self) -> Result<Option<Snapshot>, SaveFault> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(self.set_aside("it is no text".into()));
            }
            Err(source) => return Err(self.io(source)),
        };
        open(&text).map(Some).map_err(|problem| self.set_aside(problem))
    }

    /// Keeps `snapshot` in place of the one before it; a crash leaves one of the two, whole.
    ///
    /// # Errors
    /// [`SaveFault::Io`]; the file of before is untouched then.
    pub fn save(&self, snapshot: &Snapshot) -> Result<(), SaveFault> {
        let text = seal(snapshot).map_err(|error| self.io(error.into()))?;
        let fresh = self.fresh();
        let written = write_through(&fresh, text.as_bytes()).and_then(|()| fs::rename(&fresh, &self.path));
        written.map_err(|source| {
            // A part of a file on a full disk only takes room away.
            let _ = fs::remove_file(&fresh);
            self.io(source)
        })
    }

    fn io(&self, source: io::Error) -> SaveFault {
        SaveFault::Io { path: self.path.clone(), source }
    }

    fn set_aside(&self, problem: String) -> SaveFault {
        let moved_to = self.path.with_extension("json.damaged");
        match fs::rename(&self.path, &moved_to) {
            Ok(()) => SaveFault::Damaged { path: self.path.clone(), problem, moved_to },
            Err(source) => self.io(source),
        }
    }
}

/// Saves a node's state soon after it has changed, once for a whole burst of changes, and beside whoever follows the
/// changes: a disk may take seconds for one file, and nothing that comes meanwhile may wait for that.
pub struct Keeper {
    saved: Option<SavedState>,
    due: Option<Instant>,
    writing: Option<JoinHandle<Result<(), SaveFault>>>,
    is_failing: bool,
}

impl Keeper {
    /// Keeps nothing when there is no place for it.
    pub fn new(saved: Option<SavedState>) -> Self {
        Self { saved, due: None, writing: None, is_failing: false }
    }

    /// The state of the last run. A damaged one is logged and not used.
    pub fn kept(&self) -> Option<Snapshot> {
        self.saved.as_ref()?.load().unwrap_or_else(|fault| {
            tracing::error!(%fault, "the state of the last run is not used");
            None
        })
    }

    /// Notes that the state has changed.
    pub fn touch(&mut self) {
        if self.saved.is_some() {
            self.due.get_or_insert_with(|| Instant::now() + SAVE_AFTER);
        }
    }

    /// Waits until it is time to save; for ever while there is nothing to save. Can be dropped at any time.
    pub async fn due(&mut self) {
        self.written().await;
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Begins to save once nothing is being saved, as [`Keeper::due`] says. A failure is logged once and tried again
    /// later: what was kept before stays.
    pub fn save(&mut self, state: &Snapshot) {
        self.due = None;
        let (Some(saved), state) = (self.saved.clone(), state.clone()) else { return };
        self.writing = Some(tokio::task::spawn_blocking(move || saved.save(&state)));
    }

    /// Waits until `state`, the newest, is saved.
    pub async fn finish(&mut self, state: &Snapshot) {
        self.written().await;
        if self.due.is_some() {
            self.save(state);
            self.written().await;
        }
    }

    /// Waits for the end of what is being saved. Can be dropped at any time.
    async fn written(&mut self) {
        let Some(writing) = &mut self.writing else { return };
        let written = writing.await;
        self.writing = None;
        let Ok(Err(fault)) = written else {
            self.is_failing = false;
            return;
        };
        self.due = Some(Instant::now() + SAVE_AGAIN_AFTER);
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!(%fault, "the state is not kept; a restart without the control plane would use an older one");
        }
    }
}

/// The process that writes `file` before it becomes `name`.
fn writer(name: &str, file: Option<&str>) -> Option<u32> {
    file?.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".new")?.parse().ok()
}

fn has_ended(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    process.is_some_and(|process| test_kill_process(process) == Err(Errno::SRCH))
}

fn write_through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What a sidecar keeps holds its service's configuration, and that may hold secrets.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn seal(snapshot: &Snapshot) -> Result<String, serde_json::Error> {
    let snapshot = serde_json::value::to_raw_value(snapshot)?;
    serde_json::to_string(&Envelope { format: FORMAT, digest: digest(snapshot.get()), snapshot })
}

fn open(text: &str) -> Result<Snapshot, String> {
    let envelope: Envelope = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if envelope.format != FORMAT {
        return Err(format!("format {} is not {FORMAT}", envelope.format));
    }
    if digest(envelope.snapshot.get()) != envelope.digest {
        return Err("its digest does not fit its contents".to_owned());
    }
    serde_json::from_str(envelope.snapshot.get()).map_err(|error| error.to_string())
}

fn digest(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_was_kept_comes_back_and_what_is_damaged_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let saved = SavedState::in_folder(folder.path(), "gateway").unwrap();
        assert!(saved.load().unwrap().is_none());
        let snapshot = Snapshot { revision: 7, services: vec!["products".into()], ..Snapshot::default() };
        saved.save(&snapshot).unwrap();
        assert_eq!(saved.load().unwrap(), Some(snapshot.clone()));

        let path = folder.path().join("gateway.snapshot.json");
        let whole = fs::read(&path).unwrap();
        for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(matches!(saved.load(), Err(SaveFault::Damaged { .. })), "cut at {cut}");
            assert!(saved.load().unwrap().is_none(), "it is told once");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            // A flipped bit never gives another snapshot.
            if let Ok(Some(read)) = saved.load() {
                assert_eq!(read, snapshot, "bit at {at}");
            }
        }
    }

    #[test]
    fn two_processes_never_write_one_file_and_what_the_dead_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = std::process::Command::new("true").spawn().unwrap();
        let dead = process.id();
        process.wait().unwrap();
        let half = |name: String| {
            let path = folder.path().join(name);
            fs::write(&path, "half").unwrap();
            path
        };
        let left = half(format!("gateway.snapshot.json.{dead}.new"));
        let own = half(format!("gateway.snapshot.json.{}.new", std::process::id()));
        let others = [
            // The first process of a machine never ends.
            half("gateway.snapshot.json.1.new".to_owned()),
            half(format!("other.snapshot.json.{dead}.new")),
            half(format!("gateway.snapshot.json.x{dead}.new")),
        ];

        let saved = SavedState::in_folder(folder.path(), "gateway").unwrap();
        assert_eq!(saved.fresh(), own);
        saved.save(&Snapshot { revision: 7, ..Snapshot::default() }).unwrap();
        assert!(!left.exists() && !own.exists());
        for other in others {
            assert_eq!(fs::read_to_string(&other).unwrap(), "half", "{}", other.display());
        }
    }
}
