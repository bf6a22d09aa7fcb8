//! The store in one file of its own (redb): for a control plane that needs nothing beside it.
//! Values are JSON, so that a field added later needs no migration; `meta.format` guards what does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portreeve_config::RouteConfig;
use portreeve_config::wire::Instance;
use redb::{
    Database, DatabaseError, Key, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable,
    StorageError, Table, TableDefinition, TableError, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Commit, Contents, LayerKey, Record, Store, StoreError, Values, Versioned};

/// The newest layout this build reads and the one it writes.
const FORMAT: u64 = 1;
/// The file's name inside the data folder.
const FILE: &str = "control-plane.redb";
/// The database is small and read once, so a small cache does.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
const ROUTES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("routes");
const SERVICES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("services");
const INSTANCES: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("instances");
const LAYERS: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("config");

/// One database file, held open and locked.
#[derive(Debug)]
pub(crate) struct EmbeddedStore {
    path: PathBuf,
    /// `None` after a failed write: redb refuses everything until the file is opened anew.
    database: Option<Database>,
}

impl EmbeddedStore {
    /// Opens the database in `folder`; makes both if they are not there yet.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(folder)
            .map_err(|source| StoreError::Folder { path: folder.to_owned(), source })?;
        let path = folder.join(FILE);
        if !path.exists() {
            create(folder, &path)?;
        }
        let database = open_file(&path)?;
        Ok(Self { path, database: Some(database) })
    }

    fn database(&mut self) -> Result<&Database, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open_file(&self.path)?,
        };
        Ok(self.database.insert(database))
    }

    fn write(&mut self, commits: &[Commit]) -> Result<(), redb::Error> {
        let Some(database) = &self.database else { return Ok(()) };
        let transaction = database.begin_write()?;
        {
            let mut tables = Tables::open(&transaction)?;
            for commit in commits {
                tables.put(commit)?;
            }
        }
        Ok(transaction.commit()?)
    }
}

impl Store for EmbeddedStore {
    fn load(&mut self) -> Result<Contents, StoreError> {
        let path = self.path.clone();
        let read = self.database()?.begin_read().map_err(|fault| failed(&path, fault.into()))?;
        Loader { path: &path, read }.contents()
    }

    fn commit(&mut self, commits: &[Commit]) -> Result<(), StoreError> {
        self.database()?;
        let written = self.write(commits);
        written.map_err(|fault| {
            // Closing now drops what redb still holds in memory of the failed write.
            self.database = None;
            failed(&self.path, fault)
        })
    }
}

/// Makes a new database under another name first: a file of the right name is always a whole one, so an
/// empty or short one can be refused as damaged instead of being taken for new.
fn create(folder: &Path, path: &Path) -> Result<(), StoreError> {
    let draft = path.with_extension("new");
    let folder_fault = |source| StoreError::Folder { path: folder.to_owned(), source };
    match fs::remove_file(&draft) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(folder_fault(fault)),
        _ => {}
    }
    let prepare = || -> Result<(), redb::Error> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(&draft)?;
        let transaction = database.begin_write()?;
        Tables::open(&transaction)?.meta.insert("format", FORMAT)?;
        Ok(transaction.commit()?)
    };
    prepare().map_err(|fault| failed(path, fault))?;
    fs::rename(&draft, path).map_err(folder_fault)?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(folder_fault)
}

fn open_file(path: &Path) -> Result<Database, StoreError> {
    let corrupt = |problem: String| StoreError::Corrupt { path: path.to_owned(), problem };
    let length = fs::metadata(path).map_err(|fault| failed(path, redb::Error::Io(fault)))?.len();
    if length == 0 {
        return Err(corrupt("it is empty".to_owned()));
    }
    let database =
        Database::builder().set_cache_size(CACHE_BYTES).open(path).map_err(|fault| match fault {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.to_owned()),
            DatabaseError::UpgradeRequired(found) => corrupt(format!("it has the old file format {found}")),
            DatabaseError::RepairAborted => corrupt("it could not be repaired".to_owned()),
            DatabaseError::Storage(StorageError::Corrupted(problem)) => corrupt(problem),
            DatabaseError::Storage(StorageError::Io(fault))
                if matches!(fault.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                corrupt(fault.to_string())
            }
            other => failed(path, other.into()),
        })?;
    check_format(path, &database)?;
    Ok(database)
}

fn check_format(path: &Path, database: &Database) -> Result<(), StoreError> {
    let read = database.begin_read().map_err(|fault| failed(path, fault.into()))?;
    let format = match read.open_table(META) {
        Ok(meta) => number(path, &meta, "format")?,
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(fault) => return Err(failed(path, fault.into())),
    };
    match format {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => {
            Err(StoreError::Newer { path: path.to_owned(), found, known: FORMAT })
        }
        _ => Err(StoreError::Corrupt {
            path: path.to_owned(),
            problem: "it is a database of another program".to_owned(),
        }),
    }
}

fn number(path: &Path, meta: &ReadOnlyTable<&str, u64>, key: &str) -> Result<Option<u64>, StoreError> {
    let value = meta.get(key).map_err(|fault| failed(path, fault.into()))?;
    Ok(value.map(|value| value.value()))
}

fn failed(path: &Path, fault: redb::Error) -> StoreError {
    let path = path.to_owned();
    match fault {
        redb::Error::Io(fault)
            if matches!(fault.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
        {
            StoreError::Full(path)
        }
        redb::Error::Corrupted(problem) => StoreError::Corrupt { path, problem },
        other => StoreError::Failed { path, problem: other.to_string() },
    }
}

/// The tables of one write transaction.
struct Tables<'txn> {
    meta: Table<'txn, &'static str, u64>,
    routes: Table<'txn, &'static str, &'static [u8]>,
    services: Table<'txn, &'static str, &'static [u8]>,
    instances: Table<'txn, (&'static str, &'static str), &'static [u8]>,
    layers: Table<'txn, (&'static str, &'static str), &'static [u8]>,
}

impl<'txn> Tables<'txn> {
    fn open(transaction: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            routes: transaction.open_table(ROUTES)?,
            services: transaction.open_table(SERVICES)?,
            instances: transaction.open_table(INSTANCES)?,
            layers: transaction.open_table(LAYERS)?,
        })
    }

    fn put(&mut self, commit: &Commit) -> Result<(), redb::Error> {
        let revision = commit.revision;
        self.meta.insert("revision", revision)?;
        for record in &commit.records {
            match record {
                Record::Route { name, value } => {
                    let value = value.as_ref().map(|value| Versioned { revision, value });
                    set(&mut self.routes, name.as_str(), value.as_ref())?;
                    self.meta.insert("routes_revision", revision)?;
                }
                Record::Service { name, known } => {
                    set(&mut self.services, name.as_str(), known.then_some(&revision))?;
                }
                Record::Instance { key, value } => {
                    set(&mut self.instances, (key.service.as_str(), key.id.as_str()), value.as_ref())?;
                }
                Record::Layer { key, value } => {
                    let value = value.as_ref().map(|value| Versioned { revision, value });
                    let name = (key.application.as_str(), key.profile.as_str());
                    set(&mut self.layers, name, value.as_ref())?;
                }
            }
        }
        Ok(())
    }
}

fn set<'k, K: Key + 'static>(
    table: &mut Table<'_, K, &'static [u8]>,
    key: impl std::borrow::Borrow<K::SelfType<'k>>,
    value: Option<&impl Serialize>,
) -> Result<(), redb::Error> {
    match value {
        Some(value) => {
            let text = serde_json::to_vec(value).map_err(io::Error::other)?;
            table.insert(key, text.as_slice())?;
        }
        None => {
            table.remove(key)?;
        }
    }
    Ok(())
}

/// Reads one transaction's view of the whole database.
struct Loader<'a> {
    path: &'a Path,
    read: ReadTransaction,
}

impl Loader<'_> {
    fn contents(&self) -> Result<Contents, StoreError> {
        let meta = self.read.open_table(META).map_err(|fault| failed(self.path, fault.into()))?;
        Ok(Contents {
            revision: number(self.path, &meta, "revision")?.unwrap_or_default(),
            routes_revision: number(self.path, &meta, "routes_revision")?.unwrap_or_default(),
            routes: self.rows(ROUTES, |_, route: Versioned<Arc<RouteConfig>>| route)?,
            services: self.rows(SERVICES, |name, _: u64| name.to_owned())?,
            instances: self.rows(INSTANCES, |_, instance: Arc<Instance>| instance)?,
            layers: self.rows(LAYERS, |(application, profile), layer: Versioned<Arc<Values>>| {
                (LayerKey { application: application.to_owned(), profile: profile.to_owned() }, layer)
            })?,
        })
    }

    fn rows<K: Key + 'static, V: DeserializeOwned, T>(
        &self,
        table: TableDefinition<'static, K, &'static [u8]>,
        row: impl Fn(K::SelfType<'_>, V) -> T,
    ) -> Result<Vec<T>, StoreError> {
        let broken = |fault: redb::Error| failed(self.path, fault);
        let table = self.read.open_table(table).map_err(|fault| broken(fault.into()))?;
        let mut rows = Vec::new();
        for entry in table.iter().map_err(|fault| broken(fault.into()))? {
            let (key, value) = entry.map_err(|fault| broken(fault.into()))?;
            let value = serde_json::from_slice(value.value()).map_err(|fault| StoreError::Corrupt {
                path: self.path.to_owned(),
                problem: format!("an entry cannot be read: {fault}"),
            })?;
            rows.push(row(key.value(), value));
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// A database that some other program, or another version of this one, left in the place of ours.
    fn left_behind(folder: &Path, format: Option<u64>) {
        let database = Database::create(folder.join(FILE)).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut meta = transaction.open_table(META).unwrap();
            meta.insert("format", format.unwrap_or_default()).unwrap();
            if format.is_none() {
                meta.remove("format").unwrap();
            }
        }
        transaction.commit().unwrap();
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        left_behind(folder.path(), Some(FORMAT + 1));
        let before = fs::read(folder.path().join(FILE)).unwrap();
        let fault = EmbeddedStore::open(folder.path()).unwrap_err();
        assert!(matches!(fault, StoreError::Newer { found: 2, known: 1, .. }), "{fault}");
        assert!(fault.to_string().contains("newer version"), "{fault}");
        assert_eq!(fs::read(folder.path().join(FILE)).unwrap().len(), before.len());
    }

    #[test]
    fn a_database_of_another_program_is_refused() {
        for format in [None, Some(0)] {
            let folder = tempfile::tempdir().unwrap();
            left_behind(folder.path(), format);
            let fault = EmbeddedStore::open(folder.path()).unwrap_err();
            assert!(fault.to_string().contains("another program"), "{fault}");
        }
    }

    #[test]
    fn a_start_that_was_interrupted_is_taken_up_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("control-plane.new"), "half a database").unwrap();
        assert_eq!(EmbeddedStore::open(folder.path()).unwrap().load().unwrap().revision, 0);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let fault = EmbeddedStore::open(&file.path().join("data")).unwrap_err();
        assert!(matches!(&fault, StoreError::Folder { path, .. } if path.ends_with("data")), "{fault}");
    }
}
