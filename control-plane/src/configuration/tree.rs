//! The files of a folder or of one commit, held in memory. A request can only name keys of this map: whatever a
//! path says, nothing outside of what was read is ever reached.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::property::{Document, ParseFault};
use super::{properties, yaml};

/// Files of one tree; more is hardly a folder of configuration.
pub(super) const FILES: usize = 20_000;
/// Bytes of one file, and of all.
pub(super) const FILE_BYTES: u64 = 8 * 1024 * 1024;
pub(super) const TREE_BYTES: u64 = 256 * 1024 * 1024;

/// Formats of properties, the stronger first where a folder has the same name in several.
pub(super) const FORMATS: [&str; 3] = ["properties", "yml", "yaml"];

/// Files by their path from the root, with `/` between its parts.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, Arc<File>>,
    folders: BTreeSet<String>,
    /// The commit, where there is one.
    pub(crate) version: Option<String>,
}

/// One file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) bytes: Bytes,
    pub(crate) modified: Option<SystemTime>,
    /// Only of files in a format of properties.
    documents: Option<Result<Arc<Vec<Document>>, ParseFault>>,
    /// What it said before it could no longer be read.
    sound: Option<Arc<Vec<Document>>>,
}

impl Tree {
    /// A tree of these files. Where a file cannot be read as properties, what it said in `before` is kept for
    /// those who must not lose it.
    pub(super) fn new(
        files: impl IntoIterator<Item = (String, Bytes, Option<SystemTime>)>,
        before: Option<&Tree>,
    ) -> Self {
        let mut tree = Tree::default();
        for (path, bytes, modified) in files {
            let before = before.and_then(|tree| tree.files.get(&path));
            let file = match before.filter(|file| file.bytes == bytes && file.modified == modified) {
                Some(same) => same.clone(),
                None => Arc::new(File::read(&path, bytes, modified, before)),
            };
            for (at, _) in path.match_indices('/') {
                tree.folders.insert(path[..at].to_owned());
            }
            tree.files.insert(path, file);
        }
        tree
    }

    /// The file at a path.
    pub(crate) fn file(&self, path: &str) -> Option<&Arc<File>> {
        self.files.get(path)
    }

    /// Folders that a pattern means; `*` stands for anything in one part. The empty pattern is the root.
    pub(super) fn folders(&self, pattern: &str) -> Vec<String> {
        if !pattern.contains('*') {
            return vec![pattern.to_owned()];
        }
        let fits = |folder: &&String| {
            let (mut parts, mut wanted) = (folder.split('/'), pattern.split('/'));
            loop {
                match (parts.next(), wanted.next()) {
                    (None, None) => return true,
                    (Some(part), Some(wanted)) if is_like(part, wanted) => {}
                    _ => return false,
                }
            }
        };
        self.folders.iter().filter(fits).cloned().collect()
    }

    /// Paths of files that differ from those of `before`, removed ones too.
    pub(super) fn changed(&self, before: &Tree) -> Vec<String> {
        let differs = |path: &&String| match (self.files.get(*path), before.files.get(*path)) {
            (Some(now), Some(then)) => now.bytes != then.bytes,
            _ => true,
        };
        let paths: BTreeSet<&String> = self.files.keys().chain(before.files.keys()).collect();
        paths.into_iter().filter(differs).cloned().collect()
    }

    /// Files that cannot be read as what they are called.
    pub(super) fn faulty(&self) -> impl Iterator<Item = (&String, &ParseFault)> {
        self.files.iter().filter_map(|(path, file)| match &file.documents {
            Some(Err(fault)) => Some((path, fault)),
            _ => None,
        })
    }
}

impl File {
    fn read(path: &str, bytes: Bytes, modified: Option<SystemTime>, before: Option<&Arc<File>>) -> Self {
        let documents = match path.rsplit_once('.') {
            Some((_, "properties")) => Some(properties::parse(&decode(&bytes))),
            Some((_, "yml" | "yaml")) => Some(yaml::parse(&decode(&bytes))),
            _ => None,
        };
        let documents = documents.map(|read| read.map(Arc::new));
        let sound = match &documents {
            Some(Ok(documents)) => Some(documents.clone()),
            Some(Err(_)) => before.and_then(|before| before.sound.clone()),
            None => None,
        };
        Self { bytes, modified, documents, sound }
    }

    /// What the file says.
    pub(super) fn documents(&self) -> Result<Arc<Vec<Document>>, ParseFault> {
        self.documents.clone().unwrap_or_else(|| Ok(Arc::default()))
    }

    /// What it says, or said when it could last be read.
    pub(super) fn sound_documents(&self) -> Arc<Vec<Document>> {
        self.sound.clone().unwrap_or_default()
    }
}

/// UTF-8, or what Java takes it for where it is not.
fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text).to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// Compares with `*` for any text, without ever trying a place twice.
pub(super) fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn tree(files: &[(&str, &str)], before: Option<&Tree>) -> Tree {
        let file = |(path, text): &(&str, &str)| ((*path).to_owned(), Bytes::from((*text).to_owned()), None);
        Tree::new(files.iter().map(file), before)
    }

    #[test]
    fn a_file_that_breaks_keeps_what_it_said() {
        let good = tree(&[("a.yml", "a: 1")], None);
        let bad = tree(&[("a.yml", "a: [")], Some(&good));
        let worse = tree(&[("a.yml", "a: {")], Some(&bad));
        let file = worse.file("a.yml").unwrap();
        assert!(file.documents().is_err());
        assert_eq!(file.sound_documents()[0].get("a"), Some(&1.into()));
        assert_eq!(worse.faulty().count(), 1);
        assert_eq!(worse.changed(&good), ["a.yml"]);
        assert_eq!(tree(&[], None).changed(&good), ["a.yml"]);
        assert!(tree(&[("a.yml", "a: 1")], None).changed(&good).is_empty());
    }

    #[test]
    fn folders_are_found_by_patterns() {
        let tree = tree(&[("x/one/a.yml", ""), ("x/two/b/c.yml", ""), ("y/d.yml", "")], None);
        assert_eq!(tree.folders("x/*"), ["x/one", "x/two"]);
        assert_eq!(tree.folders("*"), ["x", "y"]);
        assert_eq!(tree.folders("x/t*"), ["x/two"]);
        assert_eq!(tree.folders("z"), ["z"]);
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (text, pattern, expected) in [
            ("pay-core", "pay*", true),
            ("pay", "pay*", true),
            ("pay", "*", true),
            ("pay", "p*y", true),
            ("pay", "pa*ay", false),
            ("pay", "pay", true),
            ("pays", "pay", false),
            ("abcbc", "a*bc", true),
        ] {
            assert_eq!(is_like(text, pattern), expected, "{text} {pattern}");
        }
    }
}
