//! The store in one file of its own (redb): for a control plane that needs nothing beside it.
//! Values are JSON, so that a field added later needs no migration; `meta.format` guards what does.

mod tables;

use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portreeve_config::RouteConfig;
use redb::{
    Database, DatabaseError, Key, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable,
    StorageError, TableDefinition, TableError,
};
use serde::de::DeserializeOwned;

use self::tables::{HISTORY, INSTANCES, LAYERS, META, ROUTES, SERVICES, Tables};
use super::{Commit, Contents, LayerKey, Store, StoreError, Values, Versioned};
use crate::history::Entry;
use crate::registry::Registered;

/// The newest layout this build reads and the one it writes.
const FORMAT: u64 = 1;
/// The file's name inside the data folder.
const FILE: &str = "control-plane.redb";
/// Writes of one transaction at most. Each begins with pages to copy and ends with a wait for the disk.
const TOGETHER: usize = 1_024;
/// The database is read once, so that this is for what a full transaction touches: `TOGETHER` times some pages of the tree.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

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
            create(folder, &path, &Contents::default())?;
        }
        Self::open_existing(folder)
    }

    /// Opens the database in `folder`, which must be there.
    pub(crate) fn open_existing(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Err(StoreError::Missing(path));
        }
        let database = guarded(&path, || {
            let mut database = open_file(&path)?;
            // Every page now, rather than in the middle of a write that comes to a damaged one.
            match database.check_integrity() {
                Ok(_) => Ok(database),
                Err(DatabaseError::Storage(StorageError::Corrupted(problem))) => {
                    Err(StoreError::Corrupt { path: path.clone(), problem })
                }
                Err(fault) => Err(failed(&path, fault.into())),
            }
        })?;
        Ok(Self { path, database: Some(database) })
    }

    /// Makes a database in `folder` that holds `contents`. One that exists is refused, or moved aside with `replace`.
    pub(crate) fn restore(folder: &Path, contents: &Contents, replace: bool) -> Result<(), StoreError> {
        let failed = |source| StoreError::Folder { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join(FILE);
        if path.exists() {
            if !replace {
                return Err(StoreError::Exists(path.display().to_string()));
            }
            match Self::open_existing(folder) {
                // A damaged one may be the very reason.
                Ok(_) | Err(StoreError::Corrupt { .. }) => {}
                Err(fault) => return Err(fault),
            }
            fs::rename(&path, path.with_extension("redb.replaced")).map_err(failed)?;
        }
        create(folder, &path, contents)
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
            Tables::open(&transaction)?.put_all(commits)?;
        }
        Ok(transaction.commit()?)
    }
}

impl Store for EmbeddedStore {
    fn load(&mut self) -> Result<Contents, StoreError> {
        let path = self.path.clone();
        guarded(&path, || {
            let read = self.database()?.begin_read().map_err(|fault| failed(&path, fault.into()))?;
            Loader { path: &path, read }.contents()
        })
    }

    fn commit(&mut self, commits: &[Commit]) -> Result<(), StoreError> {
        let path = self.path.clone();
        let written = guarded(&path, || {
            self.database()?;
            self.write(commits).map_err(|fault| failed(&path, fault))
        });
        if written.is_err() {
            // Closing now drops what redb still holds in memory of the failed write.
            self.database = None;
        }
        written
    }

    fn most_together(&self) -> usize {
        TOGETHER
    }
}

/// Does `work` on the database. Where redb comes to a page that makes no sense it may panic: that is damage, told
/// as such.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(StoreError::Corrupt {
            path: path.to_owned(),
            problem: "its pages contradict each other".to_owned(),
        })
    })
}

/// Makes a new database under another name first: a file of the right name is always a whole one, so an
/// empty or short one can be refused as damaged instead of being taken for new.
fn create(folder: &Path, path: &Path, contents: &Contents) -> Result<(), StoreError> {
    let draft = path.with_extension("new");
    let folder_fault = |source| StoreError::Folder { path: folder.to_owned(), source };
    match fs::remove_file(&draft) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(folder_fault(fault)),
        _ => {}
    }
    let prepare = || -> Result<(), redb::Error> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(&draft)?;
        let transaction = database.begin_write()?;
        {
            let mut tables = Tables::open(&transaction)?;
            tables.meta.insert("format", FORMAT)?;
            tables.fill(contents)?;
        }
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
            instances: self.rows(INSTANCES, |_, instance: Arc<Registered>| instance)?,
            layers: self.rows(LAYERS, |(application, profile), layer: Versioned<Arc<Values>>| {
                (LayerKey { application: application.to_owned(), profile: profile.to_owned() }, layer)
            })?,
            history: self.rows(HISTORY, |revision, entry: Arc<Entry>| (revision, entry))?,
        })
    }

    fn rows<K: Key + 'static, V: DeserializeOwned, T>(
        &self,
        table: TableDefinition<'static, K, &'static [u8]>,
        row: impl Fn(K::SelfType<'_>, V) -> T,
    ) -> Result<Vec<T>, StoreError> {
        let broken = |fault: redb::Error| failed(self.path, fault);
        let table = match self.read.open_table(table) {
            Ok(table) => table,
            // A database of before there was such a table; the first write makes it.
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(fault) => return Err(broken(fault.into())),
        };
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
    fn a_file_damaged_anywhere_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        drop(EmbeddedStore::open(folder.path()).unwrap());
        let file = folder.path().join(FILE);
        let whole = fs::read(&file).unwrap();
        // The header, everything behind it (which redb does not come back from by itself), and all of it.
        for damage in [0..4096, 4096..whole.len(), 0..whole.len()] {
            let mut damaged = whole.clone();
            damaged[damage.clone()].fill(0x5a);
            fs::write(&file, &damaged).unwrap();
            let fault = EmbeddedStore::open(folder.path()).unwrap_err();
            assert!(matches!(fault, StoreError::Corrupt { .. }), "{damage:?}: {fault}");
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
