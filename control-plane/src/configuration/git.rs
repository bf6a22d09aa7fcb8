//! A git repository as a source: files of one commit, found by branch, tag or commit. What is not committed is
//! not served. A repository that cannot be read any more goes on with the commits that were read before.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gix::ObjectId;
use portreeve_config::GitSource;

use super::Query;
use super::live::replace;
use super::remote::{Remote, chain};
use super::search::Shelf;
use super::tree::{FILE_BYTES, FILES, TREE_BYTES, Tree};
use super::watch::Followed;

/// Commits whose files are kept.
const COMMITS: usize = 8;
/// Labels whose last commit is remembered.
const LABELS: usize = 256;
/// How often a local repository is looked at: while it is watched, and while it cannot be.
const EVERY: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(1);
/// The label that is tried where the default one is not there.
const MASTER: &str = "master";

/// A repository that is followed.
#[derive(Debug)]
pub(super) struct Repository {
    place: PathBuf,
    remote: Option<Remote>,
    name: String,
    shelf: Shelf,
    fetch_every: Duration,
    default_label: String,
    try_master: bool,
    current: Mutex<Arc<Tree>>,
    kept: Mutex<Kept>,
}

/// What was read already.
#[derive(Debug, Default)]
struct Kept {
    /// The latest last.
    trees: Vec<(ObjectId, Arc<Tree>)>,
    labels: HashMap<String, ObjectId>,
    unreadable: bool,
    /// The last fetch failed, and that was logged.
    unreachable: bool,
}

/// Why a repository gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitFault {
    #[error("there is no label `{0}`")]
    NoLabel(String),
    #[error("the repository {name} cannot be read: {problem}")]
    Unreadable { name: String, problem: String },
    #[error("the repository {0} holds more than {FILES} files or {mib} MiB", mib = TREE_BYTES / 1024 / 1024)]
    TooLarge(String),
    #[error("the reading was interrupted")]
    Interrupted,
}

impl Repository {
    pub(super) fn new(config: &GitSource, data_dir: &Path) -> Self {
        let remote = Remote::of(config, data_dir);
        let path = config.uri.strip_prefix("file://").unwrap_or(&config.uri);
        let place = remote.as_ref().map_or_else(|| PathBuf::from(path), |remote| remote.mirror.clone());
        let shelf = Shelf {
            address: format!("{}/", config.uri.trim_end_matches('/')).into(),
            search_paths: config.search_paths.iter().cloned().collect(),
            patterns: config.patterns.iter().cloned().collect(),
            label_is_folder: false,
            tree: Arc::default(),
        };
        Self {
            place,
            remote,
            fetch_every: config.fetch_every.get(),
            name: config.uri.clone(),
            shelf,
            default_label: config.default_label.clone(),
            try_master: config.try_master_branch,
            current: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// Whether it holds the configuration of these applications.
    pub(super) fn answers(&self, query: &Query) -> bool {
        self.shelf.answers(query)
    }

    /// The files of the default label as they were read last.
    pub(super) fn current(&self) -> Shelf {
        self.shelf.with(self.current.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// The files of a label. Waits for the disk.
    pub(super) fn shelf(&self, label: Option<&str>) -> Result<Shelf, GitFault> {
        let current = self.current();
        match label {
            None if current.tree.version.is_some() => Ok(current),
            None => self.tree(&self.default_labels()).map(|tree| self.shelf.with(tree)),
            Some(label) => self.tree(&[label]).map(|tree| self.shelf.with(tree)),
        }
    }

    fn default_labels(&self) -> Vec<&str> {
        let master = (self.try_master && self.default_label != MASTER).then_some(MASTER);
        [self.default_label.as_str()].into_iter().chain(master).collect()
    }

    /// The files of the first of these labels that is there.
    fn tree(&self, labels: &[&str]) -> Result<Arc<Tree>, GitFault> {
        let mut kept = self.lock();
        match self.read_tree(labels, &mut kept) {
            Err(fault @ GitFault::Unreadable { .. }) => {
                if !kept.unreadable {
                    tracing::error!(%fault, "a repository of configuration cannot be read; what was read before counts");
                }
                kept.unreadable = true;
                let known = labels.iter().find_map(|label| kept.labels.get(*label).copied());
                known.and_then(|commit| kept.tree(commit)).ok_or(fault)
            }
            other => {
                kept.unreadable = false;
                other
            }
        }
    }

    fn read_tree(&self, labels: &[&str], kept: &mut Kept) -> Result<Arc<Tree>, GitFault> {
        let repository = gix::open::Options::isolated()
            .open(&self.place)
            .map_err(|fault| self.unreadable(&fault))?
            .to_thread_local();
        for label in labels {
            let Some(commit) = self.commit(&repository, label)? else { continue };
            if kept.labels.len() < LABELS || kept.labels.contains_key(*label) {
                kept.labels.insert((*label).to_owned(), commit);
            }
            if let Some(tree) = kept.tree(commit) {
                return Ok(tree);
            }
            let mut tree = self.files(&repository, commit)?;
            tree.version = Some(commit.to_string());
            return Ok(kept.keep(commit, Arc::new(tree)));
        }
        Err(GitFault::NoLabel(crate::state::excerpt(labels.first().unwrap_or(&""))))
    }

    /// The commit of a branch, a tag, or a commit's own name.
    fn commit(&self, repository: &gix::Repository, label: &str) -> Result<Option<ObjectId>, GitFault> {
        for folder in ["refs/heads", "refs/tags", "refs/remotes/origin"] {
            // A name that no reference can have is none of them.
            let Ok(name) = gix::refs::FullName::try_from(format!("{folder}/{label}")) else { continue };
            let found =
                repository.try_find_reference(name.as_ref()).map_err(|fault| self.unreadable(&fault))?;
            if let Some(mut reference) = found {
                let id = reference.peel_to_id().map_err(|fault| self.unreadable(&fault))?.detach();
                return Ok(Some(id));
            }
        }
        let is_name = (7..=40).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_name {
            return Ok(None);
        }
        let found = repository.rev_parse_single(label).ok().and_then(|id| id.object().ok());
        Ok(found.and_then(|object| object.peel_to_commit().ok()).map(|commit| commit.id))
    }

    fn files(&self, repository: &gix::Repository, commit: ObjectId) -> Result<Tree, GitFault> {
        let commit = repository.find_commit(commit).map_err(|fault| self.unreadable(&fault))?;
        let tree = commit.tree().map_err(|fault| self.unreadable(&fault))?;
        let entries = tree.traverse().breadthfirst.files().map_err(|fault| self.unreadable(&fault))?;
        let modified = commit.time().ok().and_then(|time| {
            std::time::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(time.seconds).ok()?))
        });
        let mut files = Vec::new();
        let mut bytes = 0;
        for entry in entries.iter().filter(|entry| entry.mode.is_blob()) {
            let Ok(path) = std::str::from_utf8(&entry.filepath) else { continue };
            if path.split('/').any(|part| part.starts_with('.')) {
                continue;
            }
            let header = repository.find_header(entry.oid).map_err(|fault| self.unreadable(&fault))?;
            if header.size() > FILE_BYTES {
                continue;
            }
            bytes += header.size();
            if bytes > TREE_BYTES || files.len() >= FILES {
                return Err(GitFault::TooLarge(self.name.clone()));
            }
            let mut blob = repository.find_blob(entry.oid).map_err(|fault| self.unreadable(&fault))?;
            files.push((path.to_owned(), Bytes::from(blob.take_data()), modified));
        }
        let before = self.current();
        Ok(Tree::new(files, Some(&before.tree)))
    }

    fn unreadable(&self, fault: &dyn std::fmt::Display) -> GitFault {
        GitFault::Unreadable { name: self.name.clone(), problem: fault.to_string() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn tree(&mut self, commit: ObjectId) -> Option<Arc<Tree>> {
        let at = self.trees.iter().position(|(id, _)| *id == commit)?;
        let entry = self.trees.remove(at);
        let tree = entry.1.clone();
        self.trees.push(entry);
        Some(tree)
    }

    fn keep(&mut self, commit: ObjectId, tree: Arc<Tree>) -> Arc<Tree> {
        if self.trees.len() >= COMMITS {
            self.trees.remove(0);
        }
        self.trees.push((commit, tree.clone()));
        tree
    }
}

impl Followed for Repository {
    fn name(&self) -> &str {
        &self.name
    }

    fn begin(&self) -> Vec<String> {
        if self.remote.is_none() || self.tree(&self.default_labels()).is_err() {
            return self.read();
        }
        self.take()
    }

    fn read(&self) -> Vec<String> {
        self.fetch();
        self.take()
    }

    fn watched(&self) -> Option<PathBuf> {
        if self.remote.is_some() {
            return None;
        }
        let inner = self.place.join(".git");
        [inner, self.place.clone()].into_iter().find(|folder| folder.join("refs").is_dir())
    }

    fn stop(&self) {
        self.remote.iter().for_each(Remote::stop);
    }

    fn every(&self, is_watched: bool) -> Duration {
        match (&self.remote, is_watched) {
            (Some(_), _) => self.fetch_every,
            (None, true) => EVERY,
            (None, false) => RETRY,
        }
    }
}

impl Repository {
    /// Asks the git host for news; what was fetched before stays where it cannot be asked.
    fn fetch(&self) {
        let Some(remote) = &self.remote else { return };
        let outcome = remote.fetch();
        let mut kept = self.lock();
        match outcome {
            Ok(()) => kept.unreachable = false,
            Err(fault) => {
                if !std::mem::replace(&mut kept.unreachable, true) {
                    tracing::error!(
                        source = self.name,
                        fault = chain(&*fault),
                        "a git host cannot be asked; what was fetched before counts"
                    );
                }
            }
        }
    }

    /// Takes over what the default label leads to now.
    fn take(&self) -> Vec<String> {
        match self.tree(&self.default_labels()) {
            Ok(tree) => replace(&self.current, tree, &self.name),
            // Told already, or the branch is gone: what stood there counts on.
            Err(GitFault::Unreadable { .. }) => Vec::new(),
            Err(fault) => {
                tracing::warn!(source = self.name, %fault, "nothing new is taken from this repository");
                Vec::new()
            }
        }
    }
}
