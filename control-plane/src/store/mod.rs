//! What must outlive the process, behind one narrow door: load everything once, then append commits, and hear
//! what others who share the place have appended. Whoever implements [`Store`] decides where; nothing above it knows.

mod contents;
mod embedded;
mod etcd;
mod peers;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing {
    pub use super::etcd::fuzzing::etcd;
}

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use portreeve_config::RouteConfig;
use portreeve_config::wire::Revision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::history::Entry;
use crate::registry::{InstanceKey, Registered};

pub(crate) use embedded::EmbeddedStore;
pub(crate) use etcd::EtcdStore;
pub(crate) use peers::{ClaimNews, Claims, NodeReport, NodesReport, ReplicaId, Wake};

/// A place that keeps commits.
pub(crate) trait Store: Send {
    /// Everything that was committed so far.
    fn load(&mut self) -> Result<Contents, StoreError>;

    /// Keeps all of `commits` or none of them; on return they survive a crash of the process or the machine.
    /// [`StoreError::Behind`] where somebody else has committed and [`Store::news`] has not given it yet.
    fn commit(&mut self, commits: &[Commit]) -> Result<(), StoreError>;

    /// So many writes are worth one [`Store::commit`]: what they share of its cost outweighs that the first of them waits
    /// for the last.
    fn most_together(&self) -> usize {
        256
    }

    /// What others have done since this was asked last. Nothing, where the place is this process's alone.
    fn news(&mut self) -> Result<News, StoreError> {
        Ok(News::default())
    }

    /// Where several processes share the place: how this one tells the others which instances it hears from. `wake`
    /// is called whenever there is news. Asked once, before [`Store::load`]; `None` where the place is this process's
    /// alone.
    fn share(&mut self, _wake: Wake) -> Option<Claims> {
        None
    }
}

/// What others who share the store have done, in the order in which it is to be taken.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Everything anew, where the steps since the last news cannot be had any more.
    pub(crate) contents: Option<Contents>,
    /// Then these, one by one.
    pub(crate) commits: Vec<Commit>,
    /// Which instances the others hear from.
    pub(crate) claims: Vec<ClaimNews>,
}

/// One revision: what it made of which records.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Commit {
    pub(crate) revision: Revision,
    pub(crate) records: Vec<Record>,
}

/// One thing and its new value; `None` takes it away.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    Route {
        name: String,
        value: Option<Arc<RouteConfig>>,
    },
    Service {
        name: String,
        known: bool,
    },
    Instance {
        key: InstanceKey,
        value: Option<Arc<Registered>>,
    },
    Layer {
        key: LayerKey,
        value: Option<Arc<Values>>,
    },
    /// What history keeps of a change, by the revision it made. Changes nothing that is in force.
    History {
        revision: Revision,
        value: Option<Arc<Entry>>,
    },
}

/// Keys and values of one configuration layer.
pub(crate) type Values = BTreeMap<String, String>;

/// Which configuration layer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LayerKey {
    pub(crate) application: String,
    pub(crate) profile: String,
}

/// A value and the revision that made it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Versioned<T> {
    pub(crate) revision: Revision,
    pub(crate) value: T,
}

/// Everything a store holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    /// 0 when nothing was ever written.
    pub(crate) revision: Revision,
    /// When the set of routes changed last.
    pub(crate) routes_revision: Revision,
    pub(crate) routes: Vec<Versioned<Arc<RouteConfig>>>,
    pub(crate) services: Vec<String>,
    pub(crate) instances: Vec<Arc<Registered>>,
    pub(crate) layers: Vec<(LayerKey, Versioned<Arc<Values>>)>,
    pub(crate) history: Vec<(Revision, Arc<Entry>)>,
}

/// Why a store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder of the database cannot be made or used.
    #[error("cannot use the data folder {}: {source}; give `data_dir` a folder this user may write to", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has the database open.
    #[error("{} is in use by another control plane; stop that one or give this one its own `data_dir`", .0.display())]
    InUse(PathBuf),
    /// The file is damaged, or not a database of Portreeve.
    #[error(
        "{} is damaged or not a Portreeve database ({problem}); it was left as it is: put a backup in its place, or move it away to start empty",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
    /// The file was written by a newer Portreeve.
    #[error(
        "{} has format {found}, and this version of Portreeve reads up to {known}; it was left as it is: start the newer version again, or move the file away",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format this build reads.
        known: u64,
    },
    /// There is no room left; nothing of the write was kept.
    #[error("no room is left to write {}; nothing was changed: free some space and try again", .0.display())]
    Full(PathBuf),
    /// There is a database where one is to be restored.
    #[error(
        "there is a database already ({0}); it was left as it is: say --replace to put the backup in its place"
    )]
    Exists(String),
    /// There is no database.
    #[error("there is no database at {}", .0.display())]
    Missing(PathBuf),
    /// Somebody else who shares the store has committed in between; nothing of the write was kept.
    #[error("another replica has written in between; nothing was changed")]
    Behind,
    /// What keeps the data cannot be reached.
    #[error("the store cannot be reached ({0}); it is tried again by itself")]
    Away(String),
    /// What keeps the data says no, and will say so again.
    #[error("the store refuses what is asked of it ({0}); check `store`")]
    Refused(String),
    /// A single record, or a change as a whole, is larger than the store takes.
    #[error("{0}; nothing was changed")]
    TooLarge(String),
    /// What is in a shared store cannot be read as Portreeve's.
    #[error(
        "what is stored under `{place}` is not Portreeve's or is damaged ({problem}); it was left as it is"
    )]
    Foreign {
        /// Where.
        place: String,
        /// What was found.
        problem: String,
    },
    /// Reading or writing failed; nothing of the write was kept.
    #[error("cannot read or write {}: {problem}; nothing was changed", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the system said.
        problem: String,
    },
}
