//! Which files make up an application's configuration, the strongest first, and what they are called on the wire.

use std::sync::Arc;

use super::Query;
use super::activation::applies;
use super::property::{Document, ParseFault, PropertySource};
use super::tree::{FORMATS, File, Tree, is_like};

/// The name whose files are everyone's.
pub(super) const EVERYONE: &str = "application";
/// The profile of those who have none.
pub(super) const DEFAULT: &str = "default";

/// A tree, and how it is searched.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    /// What stands in front of a file's path in its name: `file:/srv/config/`, `https://git.local/cfg.git/`.
    pub(super) address: Arc<str>,
    pub(super) search_paths: Arc<[String]>,
    /// Whom it answers: `application`, `application/profile`; everyone where there are none.
    pub(super) patterns: Arc<[String]>,
    /// Whether a label names a folder.
    pub(super) label_is_folder: bool,
    pub(super) tree: Arc<Tree>,
}

/// Why a file's content was not taken.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{location}: {fault}")]
pub(crate) struct FileFault {
    pub(crate) location: String,
    pub(crate) fault: ParseFault,
}

/// How to treat files that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The first of them is the answer: nobody is told half of a configuration.
    Strict,
    /// What they said before counts.
    LastGood,
}

impl Shelf {
    /// The sources of a query, the strongest first.
    pub(super) fn sources(
        &self,
        query: &Query,
        label: Option<&str>,
        manner: Manner,
    ) -> Result<Vec<PropertySource>, FileFault> {
        if !self.answers(query) {
            return Ok(Vec::new());
        }
        let folders = self.folders(query, label);
        let names = query.names_with_everyone();
        let mut profiles = self.included(query, &folders, &names, manner)?;
        profiles.extend(query.profiles.iter().cloned());
        let mut sources = Vec::new();
        let profiles_strongest_first = profiles.iter().rev().map(|profile| format!("-{profile}"));
        for suffix in profiles_strongest_first.chain([String::new()]) {
            for folder in folders.iter().rev() {
                for name in names.iter().rev() {
                    for format in FORMATS {
                        let path = join(folder, &format!("{name}{suffix}.{format}"));
                        sources.extend(self.file_sources(&path, &profiles, manner)?);
                    }
                }
            }
        }
        Ok(sources)
    }

    /// Whether one of the applications, with one of the profiles, is among those it is for.
    pub(super) fn answers(&self, query: &Query) -> bool {
        let fits = |pattern: &String| {
            let (name, profile) = pattern.split_once('/').unwrap_or((pattern, "*"));
            query.names.iter().any(|text| is_like(text, name))
                && query.profiles.iter().any(|text| is_like(text, profile))
        };
        self.patterns.is_empty() || self.patterns.iter().any(fits)
    }

    /// The first file of this name in the folders of a query; a profile's variant (`name-profile.ext`) before it.
    pub(super) fn text(&self, query: &Query, label: Option<&str>, path: &str) -> Option<Arc<File>> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) => (stem, format!(".{extension}")),
            None => (name, String::new()),
        };
        let variants = query.profiles.iter().map(|profile| format!("{stem}-{profile}{extension}"));
        let variants: Vec<String> = variants.chain([name.to_owned()]).collect();
        let found = |place: &String| {
            variants.iter().find_map(|variant| self.tree.file(&join(&join(place, folder), variant)))
        };
        self.folders(query, label).iter().find_map(found).cloned()
    }

    /// Folders that are searched, the strongest last.
    fn folders(&self, query: &Query, label: Option<&str>) -> Vec<String> {
        let mut folders: Vec<String> = Vec::new();
        for pattern in [""].into_iter().chain(self.search_paths.iter().map(String::as_str)) {
            for pattern in filled(pattern, query, label) {
                for folder in self.tree.folders(pattern.trim_end_matches('/')) {
                    let labelled = label.filter(|_| self.label_is_folder).map(|label| join(&folder, label));
                    for folder in [Some(folder), labelled].into_iter().flatten() {
                        if !folders.contains(&folder) {
                            folders.push(folder);
                        }
                    }
                }
            }
        }
        folders
    }

    /// Profiles that files without a profile ask for; they are weaker than those that were asked for.
    fn included(
        &self,
        query: &Query,
        folders: &[String],
        names: &[String],
        manner: Manner,
    ) -> Result<Vec<String>, FileFault> {
        let mut included = Vec::new();
        if query.profiles == [DEFAULT] {
            return Ok(included);
        }
        for folder in folders {
            for (name, format) in names.iter().flat_map(|name| FORMATS.map(|format| (name, format))) {
                for document in self.documents(&join(folder, &format!("{name}.{format}")), manner)?.iter() {
                    let words = document.words("spring.profiles.include").into_iter();
                    let new = |word: &String| !query.profiles.contains(word) && super::is_profile(word);
                    included.extend(words.filter(new));
                }
            }
        }
        Ok(included)
    }

    /// The documents of a file as sources, the last one first.
    fn file_sources(
        &self,
        path: &str,
        profiles: &[String],
        manner: Manner,
    ) -> Result<Vec<PropertySource>, FileFault> {
        let documents = self.documents(path, manner)?;
        let location = format!("{}{path}", self.address);
        let several = documents.len() > 1;
        let sources = documents.iter().enumerate().rev().filter(|(_, document)| applies(document, profiles));
        let named = sources.map(|(number, document)| PropertySource {
            name: if several { document_name(&location, number) } else { location.clone() },
            location: location.clone(),
            properties: document.properties.clone(),
        });
        Ok(named.collect())
    }

    fn documents(&self, path: &str, manner: Manner) -> Result<Arc<Vec<Document>>, FileFault> {
        let Some(file) = self.tree.file(path) else { return Ok(Arc::default()) };
        match manner {
            Manner::LastGood => Ok(file.sound_documents()),
            Manner::Strict => file
                .documents()
                .map_err(|fault| FileFault { location: format!("{}{path}", self.address), fault }),
        }
    }
}

/// What Spring calls one of several documents in a file.
fn document_name(location: &str, number: usize) -> String {
    let folder = location.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("Config resource 'file [{location}]' via location '{folder}/' (document #{number})")
}

fn join(folder: &str, name: &str) -> String {
    match (folder.is_empty(), name.is_empty()) {
        (true, _) => name.to_owned(),
        (_, true) => folder.to_owned(),
        _ => format!("{folder}/{name}"),
    }
}

/// A search path with its names put in, once for each application and profile.
fn filled(pattern: &str, query: &Query, label: Option<&str>) -> Vec<String> {
    let mut filled = vec![pattern.replace("{label}", label.unwrap_or_default())];
    for (word, values) in [("{application}", &query.names), ("{profile}", &query.profiles)] {
        if pattern.contains(word) {
            let each =
                |text: String| values.iter().map(move |value| text.replace(word, value)).collect::<Vec<_>>();
            filled = filled.into_iter().flat_map(each).collect();
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use bytes::Bytes;

    use super::*;

    fn names(
        files: &[(&str, &str)],
        search_paths: &[&str],
        query: &Query,
        label: Option<&str>,
    ) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| ((*path).to_owned(), Bytes::from((*text).to_owned()), None);
        let shelf = Shelf {
            address: "r/".into(),
            search_paths: search_paths.iter().map(|path| (*path).to_owned()).collect(),
            label_is_folder: true,
            patterns: Arc::default(),
            tree: Arc::new(Tree::new(files.iter().map(file), None)),
        };
        let sources = shelf.sources(query, label, Manner::Strict).unwrap();
        sources.into_iter().map(|source| source.name).collect()
    }

    #[test]
    fn profiles_come_before_folders_and_folders_before_names() {
        let files: Vec<(&str, &str)> = [
            "application.yml",
            "application-dev.yml",
            "application-eu.yml",
            "pay.yml",
            "pay.properties",
            "pay-dev.yml",
            "pay-eu.yml",
            "pay-default.yml",
            "s/pay-dev.yml",
            "s/pay.yml",
        ]
        .map(|path| (path, if path.ends_with("yml") { "a: 1" } else { "a=1" }))
        .to_vec();
        let found = names(&files, &["s"], &Query::of("pay", "dev,eu"), None);
        assert_eq!(
            found,
            [
                "r/pay-eu.yml",
                "r/application-eu.yml",
                "r/s/pay-dev.yml",
                "r/pay-dev.yml",
                "r/application-dev.yml",
                "r/s/pay.yml",
                "r/pay.properties",
                "r/pay.yml",
                "r/application.yml",
            ]
        );
        let found = names(&files, &[], &Query::of("pay", "default"), None);
        assert_eq!(found, ["r/pay-default.yml", "r/pay.properties", "r/pay.yml", "r/application.yml"]);
        let found = names(&files, &[], &Query::of("other,pay", "dev"), None);
        assert_eq!(found[..2], ["r/pay-dev.yml", "r/application-dev.yml"]);
        assert!(names(&files, &["{application}/x"], &Query::of("s", "dev"), None).len() == 2);
    }

    #[test]
    fn patterns_say_whom_a_source_answers() {
        let answers = |patterns: &[&str], names: &str, profiles: &str| {
            let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            let shelf = Shelf {
                address: "r/".into(),
                search_paths: Arc::default(),
                patterns,
                label_is_folder: false,
                tree: Arc::default(),
            };
            shelf.answers(&Query::of(names, profiles))
        };
        assert!(answers(&[], "pay", "dev"));
        assert!(answers(&["pay*"], "pay-core", "dev") && answers(&["x", "*/prod"], "pay", "dev,prod"));
        assert!(answers(&["pay/*"], "other,pay", "default"));
        assert!(!answers(&["pay"], "pay-core", "dev") && !answers(&["pay/prod"], "pay", "dev"));
    }

    #[test]
    fn labels_of_folders_are_folders() {
        let files = [("pay.yml", "a: 1"), ("v2/pay.yml", "a: 2"), ("feature/x/pay.yml", "a: 3")];
        let query = Query::of("pay", "default");
        assert_eq!(names(&files, &[], &query, Some("v2")), ["r/v2/pay.yml", "r/pay.yml"]);
        assert_eq!(names(&files, &[], &query, Some("feature/x")), ["r/feature/x/pay.yml", "r/pay.yml"]);
        assert_eq!(names(&files, &[], &query, Some("any")), ["r/pay.yml"]);
    }

    #[test]
    fn documents_are_sources_and_conditions_choose_among_them() {
        let text = "a: 1\n---\nspring.config.activate.on-profile: dev\na: 2\n---\nspring.config.activate.on-profile: prod\na: 3\n";
        let found = names(&[("pay.yml", text)], &[], &Query::of("pay", "dev"), None);
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("r/pay.yml") && found[0].ends_with("(document #1)"), "{found:?}");
        assert!(found[1].ends_with("(document #0)"), "{found:?}");
    }

    #[test]
    fn included_profiles_are_weaker_than_those_asked_for() {
        let files = [
            ("application.yml", "spring.profiles.include: [db, \"../x\"]"),
            ("pay-db.yml", "a: 1"),
            ("pay-dev.yml", "a: 2"),
        ];
        let found = names(&files, &[], &Query::of("pay", "dev"), None);
        assert_eq!(found, ["r/pay-dev.yml", "r/pay-db.yml", "r/application.yml"]);
        let found = names(&files, &[], &Query::of("pay", "default"), None);
        assert_eq!(found, ["r/application.yml"]);
    }
}
