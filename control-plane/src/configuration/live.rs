//! The sources that are followed while the control plane runs, and the questions they are asked. A source that
//! cannot be read any more goes on with what it said last, and says so once.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use portreeve_config::{ConfigServerConfig, ConfigSource};
use tokio::sync::Notify;

use super::cipher::{Cipher, CipherFault};
use super::folder::Folder;
use super::git::{GitFault, Repository};
use super::property::PropertySource;
use super::search::{FileFault, Manner, Shelf};
use super::standing::{Rules, Stand, Standing};
use super::tree::{File, Tree};
use super::watch::Followed;
use super::{Query, refresh::Refresher};
use crate::state::State;

/// All sources of a config server.
#[derive(Debug)]
pub(crate) struct Configuration {
    sources: Vec<Source>,
    rules: Arc<Rules>,
    accept_empty: bool,
    opens_texts: bool,
    cipher: Option<Cipher>,
    state: State,
    pub(super) refresher: Arc<Refresher>,
    /// Whom a webhook named.
    pub(super) expecting: Mutex<BTreeSet<String>>,
    pub(super) news: Notify,
    /// Held while what stands is put together, so that an older state never replaces a newer one.
    standing: Mutex<()>,
}

#[derive(Debug)]
enum Source {
    BuiltIn,
    Folder(Arc<Folder>),
    Git(Arc<Repository>),
}

/// What is known of an application.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The commit; none where there is more than one source.
    pub(crate) version: Option<String>,
    /// Empty for a git repository, as with Spring.
    pub(crate) state: Option<&'static str>,
    /// The strongest first.
    pub(crate) sources: Vec<PropertySource>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigurationFault {
    #[error("there is no label `{0}`")]
    NoLabel(String),
    #[error("nothing is known of this application")]
    Empty,
    #[error("there is no such file")]
    NoText,
    #[error(transparent)]
    File(#[from] FileFault),
    #[error("{0}")]
    Git(GitFault),
}

/// Why a config server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The key of encrypted values cannot be read.
    #[error("cannot read the key file {path}: {source}; check `config_server.encryption.key_file`")]
    KeyFile {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The key of encrypted values cannot be used.
    #[error("the key of `config_server.encryption` cannot be used: {0}")]
    Key(String),
}

impl From<GitFault> for ConfigurationFault {
    fn from(fault: GitFault) -> Self {
        match fault {
            GitFault::NoLabel(label) => Self::NoLabel(label),
            other => Self::Git(other),
        }
    }
}

impl Configuration {
    /// Reads every source once. One that cannot be read yet is logged and tried again.
    pub(crate) async fn open(
        config: &ConfigServerConfig,
        data_dir: &Path,
        state: State,
    ) -> Result<Arc<Self>, ConfigurationError> {
        let cipher = key(config)?;
        let opener = cipher.clone().filter(|_| config.encryption.decrypt);
        let sources = config.sources.iter().map(|source| match source {
            ConfigSource::BuiltIn => Source::BuiltIn,
            ConfigSource::Folder(folder) => Source::Folder(Arc::new(Folder::new(folder))),
            ConfigSource::Git(git) => Source::Git(Arc::new(Repository::new(git, data_dir))),
        });
        let configuration = Arc::new(Self {
            sources: sources.collect(),
            rules: Arc::new(Rules { overrides: config.overrides.clone(), cipher: opener }),
            accept_empty: config.accept_empty,
            opens_texts: config.encryption.decrypt && config.encryption.plain_text,
            cipher,
            refresher: Refresher::new(&config.refresh, state.clone()),
            state,
            expecting: Mutex::default(),
            news: Notify::new(),
            standing: Mutex::new(()),
        });
        configuration.begin().await;
        configuration.stand();
        Ok(configuration)
    }

    /// The sources of an application, opened and in order.
    pub(crate) async fn environment(
        &self,
        query: &Query,
        label: Option<&str>,
    ) -> Result<Environment, ConfigurationFault> {
        let catalog = self.state.read(|model| model.catalog.clone());
        let mut sources = Vec::new();
        let mut versions = Vec::new();
        for (stand, label) in self.stands(query, label).await? {
            sources.extend(stand.sources(query, label.as_deref(), Manner::Strict, &catalog.layers)?);
            if let Stand::Shelf(shelf) = &stand {
                versions.extend(shelf.tree.version.clone());
            }
        }
        let sources = self.rules.applied(sources);
        if sources.is_empty() && !self.accept_empty {
            return Err(ConfigurationFault::Empty);
        }
        let (version, state) = match &self.sources[..] {
            [Source::Git(_)] => {
                versions.reverse();
                (Some(versions.join(",")), Some(""))
            }
            _ => (None, None),
        };
        Ok(Environment { version, state, sources })
    }

    /// A file as it is.
    pub(crate) async fn text(
        &self,
        query: &Query,
        label: Option<&str>,
        path: &str,
    ) -> Result<Arc<File>, ConfigurationFault> {
        for (stand, label) in self.stands(query, label).await? {
            if let Stand::Shelf(shelf) = stand
                && let Some(file) = shelf.text(query, label.as_deref(), path)
            {
                return Ok(file);
            }
        }
        Err(ConfigurationFault::NoText)
    }

    /// Whether a label may name a folder, which may hold anybody's files.
    pub(crate) fn has_folders(&self) -> bool {
        self.sources.iter().any(|source| matches!(source, Source::Folder(_)))
    }

    /// Whether there is a service of this name, or configuration for one.
    pub(crate) fn knows_application(&self, name: &str) -> bool {
        self.state.knows_application(name)
    }

    /// What encrypts and decrypts on demand.
    pub(crate) fn cipher(&self) -> Option<&Cipher> {
        self.cipher.as_ref()
    }

    /// Whether sealed values in plain texts are opened.
    pub(crate) fn opens_texts(&self) -> bool {
        self.opens_texts
    }

    /// Every source for each label it was asked for, the strongest first.
    async fn stands(
        &self,
        query: &Query,
        label: Option<&str>,
    ) -> Result<Vec<(Stand, Option<String>)>, ConfigurationFault> {
        let labels: Vec<Option<&str>> = match label {
            None => vec![None],
            Some(labels) => labels.split(',').rev().map(Some).collect(),
        };
        let mut stands = Vec::new();
        for source in &self.sources {
            match source {
                Source::BuiltIn => stands.push((Stand::BuiltIn, None)),
                Source::Folder(folder) => {
                    let shelf = folder.shelf();
                    let each = |label: &Option<&str>| (Stand::Shelf(shelf.clone()), label.map(str::to_owned));
                    stands.extend(labels.iter().map(each));
                }
                // Who is not answered from it may ask for labels that it does not have.
                Source::Git(repository) if !repository.answers(query) => {}
                Source::Git(repository) => {
                    for label in &labels {
                        let (repository, label) = (repository.clone(), label.map(str::to_owned));
                        let asked = label.clone();
                        let shelf = move || repository.shelf(label.as_deref());
                        let shelf = tokio::task::spawn_blocking(shelf).await;
                        let shelf = shelf.unwrap_or(Err(GitFault::Interrupted))?;
                        stands.push((Stand::Shelf(shelf), asked));
                    }
                }
            }
        }
        Ok(stands)
    }

    pub(super) fn followed(&self) -> Vec<Arc<dyn Followed>> {
        let followed = self.sources.iter().filter_map(|source| match source {
            Source::BuiltIn => None,
            Source::Folder(folder) => Some(folder.clone() as Arc<dyn Followed>),
            Source::Git(repository) => Some(repository.clone() as Arc<dyn Followed>),
        });
        followed.collect()
    }

    /// Puts what all sources say now in force for sidecars.
    pub(super) fn stand(&self) {
        let _one_at_a_time = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = self.sources.iter().map(|source| match source {
            Source::BuiltIn => Stand::BuiltIn,
            Source::Folder(folder) => Stand::Shelf(folder.shelf()),
            Source::Git(repository) => Stand::Shelf(repository.current()),
        });
        self.state.stand(Standing { sources: sources.collect(), rules: self.rules.clone() });
    }
}

/// Swaps a tree, tells what cannot be read in it, and gives the paths that differ.
pub(super) fn replace(current: &Mutex<Arc<Tree>>, next: Arc<Tree>, name: &str) -> Vec<String> {
    let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
    if Arc::ptr_eq(&current, &next) {
        return Vec::new();
    }
    let changed = next.changed(&current);
    for (path, fault) in next.faulty().filter(|(path, _)| changed.contains(path)) {
        tracing::error!(source = name, path, %fault, "this file cannot be read; sidecars keep what it said before");
    }
    *current = next;
    changed
}

impl Shelf {
    /// A shelf with another tree.
    pub(super) fn with(&self, tree: Arc<Tree>) -> Self {
        Self { tree, ..self.clone() }
    }
}

fn key(config: &ConfigServerConfig) -> Result<Option<Cipher>, ConfigurationError> {
    let encryption = &config.encryption;
    let text = match (&encryption.key, &encryption.key_file) {
        (Some(key), _) => key.reveal().to_owned(),
        (None, Some(path)) => {
            let read = std::fs::read_to_string(path);
            let fault = |source| ConfigurationError::KeyFile { path: path.display().to_string(), source };
            read.map_err(fault)?.trim_end_matches(['\r', '\n']).to_owned()
        }
        (None, None) => return Ok(None),
    };
    let unusable = |fault: CipherFault| ConfigurationError::Key(fault.to_string());
    Cipher::of_text(&text, &encryption.salt).map(Some).map_err(unusable)
}
