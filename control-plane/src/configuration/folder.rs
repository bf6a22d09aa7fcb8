//! A folder of files as a source. What is hidden is not read, nor what a link leads to outside of the folder.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use portreeve_config::FolderSource;

use super::live::replace;
use super::search::Shelf;
use super::tree::{FILE_BYTES, FILES, TREE_BYTES, Tree};
use super::watch::Followed;

/// How often a folder is looked through without a notification.
const EVERY: Duration = Duration::from_secs(5);
/// The same while it cannot be watched.
const RETRY: Duration = Duration::from_secs(1);
/// Folders inside each other.
const DEPTH: usize = 32;

/// A folder that is followed.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    name: String,
    shelf: Shelf,
    tree: Mutex<Arc<Tree>>,
    seen: Mutex<Seen>,
}

/// What was there at the last look.
#[derive(Debug, Default)]
struct Seen {
    files: Vec<Listed>,
    unreadable: bool,
}

/// One file before it is read.
#[derive(Clone, Debug, PartialEq)]
struct Listed {
    /// From the root, with `/`.
    path: String,
    file: PathBuf,
    modified: Option<SystemTime>,
    length: u64,
}

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
enum FolderFault {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("it holds more than {FILES} files or {} MiB", TREE_BYTES / 1024 / 1024)]
    TooLarge,
}

impl Folder {
    pub(super) fn new(config: &FolderSource) -> Self {
        let root = std::path::absolute(&config.path).unwrap_or_else(|_| config.path.clone());
        let name = root.display().to_string();
        let shelf = Shelf {
            address: format!("file:{}/", name.trim_end_matches('/')).into(),
            search_paths: config.search_paths.iter().cloned().collect(),
            patterns: Arc::default(),
            label_is_folder: true,
            tree: Arc::default(),
        };
        Self { root, name, shelf, tree: Mutex::default(), seen: Mutex::default() }
    }

    /// The folder as it was read last.
    pub(super) fn shelf(&self) -> Shelf {
        self.shelf.with(self.tree.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Reads the folder where it differs from the last look; `None` where it does not.
    fn read_anew(&self, seen: &Seen) -> Result<Option<(Vec<Listed>, Tree)>, FolderFault> {
        let files = list(&self.root)?;
        if files == seen.files && !seen.unreadable {
            return Ok(None);
        }
        let read = |listed: &Listed| {
            // A file that vanished in between shows at the next look.
            let bytes = fs::read(&listed.file).ok()?;
            Some((listed.path.clone(), Bytes::from(bytes), listed.modified))
        };
        let before = self.tree.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let tree = Tree::new(files.iter().filter_map(read), Some(&before));
        Ok(Some((files, tree)))
    }
}

impl Followed for Folder {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&self) -> Vec<String> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match self.read_anew(&seen) {
            Ok(None) => Vec::new(),
            Ok(Some((files, tree))) => {
                *seen = Seen { files, unreadable: false };
                replace(&self.tree, Arc::new(tree), &self.name)
            }
            Err(fault) => {
                if !seen.unreadable {
                    tracing::error!(source = self.name, %fault, "a folder of configuration cannot be read; what it said last counts");
                }
                seen.unreadable = true;
                Vec::new()
            }
        }
    }

    fn watched(&self) -> Option<PathBuf> {
        self.root.is_dir().then(|| self.root.clone())
    }

    fn every(&self, is_watched: bool) -> Duration {
        if is_watched { EVERY } else { RETRY }
    }
}

/// Every file that is served, in order of its path.
fn list(root: &Path) -> Result<Vec<Listed>, FolderFault> {
    let unreadable = |source| FolderFault::Unreadable { path: root.to_owned(), source };
    let real_root = root.canonicalize().map_err(unreadable)?;
    let mut files = Vec::new();
    let mut bytes = 0;
    let mut followed = HashSet::from([real_root.clone()]);
    let mut waiting = vec![(root.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = waiting.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(source) if depth == 0 => return Err(unreadable(source)),
            // A folder that is gone again, or that is not for this user.
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if name.starts_with('.') {
                continue;
            }
            let (file, path) = (entry.path(), format!("{prefix}{name}"));
            let Some((metadata, target)) = inside(&file, &real_root) else { continue };
            // A folder is entered by one link only, and never from inside of itself.
            if target.is_some_and(|target| metadata.is_dir() && !followed.insert(target)) {
                continue;
            }
            if metadata.is_dir() && depth < DEPTH {
                waiting.push((file, format!("{path}/"), depth + 1));
            } else if metadata.is_file() && metadata.len() <= FILE_BYTES {
                bytes += metadata.len();
                let modified = metadata.modified().ok();
                files.push(Listed { path, file, modified, length: metadata.len() });
            }
            if files.len() > FILES || bytes > TREE_BYTES {
                return Err(FolderFault::TooLarge);
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// What is at a path, links followed as long as they stay below the root and lead to nothing hidden. Names that
/// begin with `..` are let pass there: mounted config maps keep their content in `..data`.
fn inside(file: &Path, real_root: &Path) -> Option<(fs::Metadata, Option<PathBuf>)> {
    let metadata = fs::symlink_metadata(file).ok()?;
    if !metadata.is_symlink() {
        return Some((metadata, None));
    }
    let real = file.canonicalize().ok()?;
    let below = real.strip_prefix(real_root).ok()?;
    let hidden = |part: std::path::Component<'_>| {
        let part = part.as_os_str().to_string_lossy();
        part.starts_with('.') && !part.starts_with("..")
    };
    if below.components().any(hidden) {
        return None;
    }
    Some((fs::metadata(&real).ok()?, Some(real)))
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(root: &Path) -> Folder {
        Folder::new(&FolderSource { path: root.to_owned(), search_paths: Vec::new() })
    }

    fn paths(root: &Path) -> Vec<String> {
        list(root).unwrap().into_iter().map(|listed| listed.path).collect()
    }

    #[test]
    fn hidden_files_and_links_to_the_outside_are_not_read() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret.yml"), "a: 1").unwrap();
        let temporary = tempfile::tempdir().unwrap();
        let root = &temporary.path().join("root");
        fs::create_dir_all(root.join(".git")).unwrap();
        fs::create_dir_all(root.join("..2026/inner")).unwrap();
        for path in ["a.yml", ".git/config", ".hidden.yml", "..2026/mounted.yml", "..2026/inner/b.yml"] {
            fs::write(root.join(path), "a: 1").unwrap();
        }
        symlink("..2026", root.join("..data")).unwrap();
        symlink("..data/mounted.yml", root.join("mounted.yml")).unwrap();
        symlink("..data/inner", root.join("inner")).unwrap();
        symlink(outside.path().join("secret.yml"), root.join("secret.yml")).unwrap();
        symlink(outside.path(), root.join("secrets")).unwrap();
        symlink(".git/config", root.join("config.yml")).unwrap();
        symlink("../root", root.join("round")).unwrap();
        symlink("nowhere", root.join("dangling.yml")).unwrap();
        let found = paths(root);
        assert_eq!(found, ["a.yml", "inner/b.yml", "mounted.yml"]);
    }

    #[test]
    fn a_folder_that_vanishes_keeps_what_it_said() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a.yml"), "a: 1").unwrap();
        let folder = folder(&root);
        assert_eq!(folder.read(), ["a.yml"]);
        assert!(folder.read().is_empty());
        fs::rename(&root, temporary.path().join("elsewhere")).unwrap();
        assert!(folder.read().is_empty());
        assert!(folder.shelf().tree.file("a.yml").is_some());
        assert!(folder.watched().is_none());
        fs::rename(temporary.path().join("elsewhere"), &root).unwrap();
        fs::write(root.join("b.yml"), "a: 1").unwrap();
        assert_eq!(folder.read(), ["b.yml"]);
        fs::remove_file(root.join("a.yml")).unwrap();
        assert_eq!(folder.read(), ["a.yml"]);
        assert!(folder.shelf().tree.file("a.yml").is_none());
    }
}
