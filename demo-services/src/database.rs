//! One SQLite file for each service, shared by its instances: how it is opened, written to and read, and what
//! goes wrong with it. The storage traits of the services stand on this; another database is another set of
//! implementations.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Sqlite, Transaction};
use tokio::time::{Instant, sleep};

/// What a storage trait's method returns: boxed, so that a store is chosen when the service starts.
pub(crate) type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send + 'a>>;

/// How long a statement waits for another process's write, and a request for a free connection. A disk that others keep busy
/// takes seconds for one fsync, and whoever reads first after a process was killed waits for several.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause before a database that is locked while it is opened is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// A service's database file; clones are the same one.
#[derive(Clone)]
pub(crate) struct Database {
    path: PathBuf,
    // SQLite has one writer. Writers of this process queue here, in order, rather than in SQLite's sleeping
    // retry loop, which is neither fair nor quick.
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Database {
    /// Opens `<folder>/<name>.sqlite`, makes it when it is not there, checks it, and applies `schema`, which
    /// must be harmless to repeat.
    pub(crate) async fn open(folder: &Path, name: &str, schema: &'static str) -> Result<Self, StorageError> {
        let path = folder.join(format!("{name}.sqlite"));
        create_private(folder, &path)
            .map_err(|error| StorageError::Unusable { path: path.clone(), detail: error.to_string() })?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            // An answered write survives a power cut, not only the end of the process.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE)
            .foreign_keys(true)
            // KiB of page cache for each connection: the services should be small.
            .pragma("cache_size", "-512");
        let pool = |size| {
            let pool = SqlitePoolOptions::new().max_connections(size).acquire_timeout(PATIENCE);
            // On a full disk SQLite ends a transaction by itself, and sqlx goes on counting it: such a connection
            // would refuse every transaction from then on.
            pool.before_acquire(|idle, _| Box::pin(async move { Ok(!idle.is_in_transaction()) }))
        };
        let database = Self {
            path,
            writer: pool(1).connect_lazy_with(options.clone()),
            readers: pool(2).connect_lazy_with(options),
        };
        let patience = Instant::now() + PATIENCE;
        loop {
            match database.prepare(schema).await.map_err(|error| database.fault(&error)) {
                Ok(()) => return Ok(database),
                // SQLite does not wait for the lock when two instances turn a new file to its log at once.
                Err(StorageError::Busy { .. }) if Instant::now() < patience => sleep(RETRY).await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn prepare(&self, schema: &'static str) -> Result<(), sqlx::Error> {
        let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&self.writer).await?;
        if verdict != "ok" {
            return Err(sqlx::Error::Decode(verdict.into()));
        }
        let mut change = self.begin().await?;
        sqlx::raw_sql(schema).execute(&mut *change).await?;
        change.commit().await
    }

    /// A transaction that holds the write lock from its first statement, so that what it reads stays true.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// Connections for statements that change nothing.
    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Ends every connection; the last one of the last process moves what is in the log into the file.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Runs `work` and gives its errors the file's name.
    pub(crate) fn stored<'a, T: 'a>(
        &'a self,
        work: impl Future<Output = Result<T, sqlx::Error>> + Send + 'a,
    ) -> Stored<'a, T> {
        Box::pin(async move { work.await.map_err(|error| self.fault(&error)) })
    }

    fn fault(&self, error: &sqlx::Error) -> StorageError {
        let path = self.path.clone();
        let detail = error.to_string();
        let code = match error {
            sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<i32>().ok()),
            sqlx::Error::Decode(_) => Some(CORRUPT),
            sqlx::Error::PoolTimedOut => Some(BUSY),
            _ => None,
        };
        // The lower byte is the primary result code; the rest says more about it.
        match code.map(|code| code & 0xff) {
            Some(CORRUPT | NOT_A_DATABASE) => StorageError::Corrupt { path, detail },
            Some(FULL) => StorageError::Full { path },
            Some(BUSY) => StorageError::Busy { path },
            _ => StorageError::Unusable { path, detail },
        }
    }
}

const BUSY: i32 = 5;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const NOT_A_DATABASE: i32 = 26;

/// Makes the file before SQLite does: it holds keys and password hashes, and SQLite would let everyone read
/// it. The files beside it (`-wal`, `-shm`) get the same mode from SQLite.
fn create_private(folder: &Path, path: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

/// Why a database cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The file is damaged, or is no SQLite database at all.
    #[error(
        "the database {} is damaged ({detail}): restore it from a backup, or move it and its -wal and -shm files \
         away to begin with an empty one", path.display()
    )]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
    },
    /// The disk is full; nothing that was answered is lost.
    #[error("the disk with the database {} is full: free some space on it", path.display())]
    Full {
        /// Which file.
        path: PathBuf,
    },
    /// Another process held the file's write lock for too long.
    #[error("the database {} is locked by another process: end whatever else has it open", path.display())]
    Busy {
        /// Which file.
        path: PathBuf,
    },
    /// Anything else: a folder that cannot be made, a file that may not be opened.
    #[error("the database {} cannot be used ({detail}): check that its folder exists and is writable", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::thread;

    use super::*;

    const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS things (id INTEGER PRIMARY KEY, filling BLOB) STRICT;";

    #[tokio::test]
    async fn a_full_disk_is_forgotten_when_there_is_room_again() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path(), "things", SCHEMA).await.unwrap();
        for is_full in [true, false] {
            let mut change = database.begin().await.unwrap();
            if is_full {
                // As small as it is: from now on this connection finds the disk full.
                sqlx::query("PRAGMA max_page_count = 1").execute(&mut *change).await.unwrap();
            }
            let large = "INSERT INTO things (filling) VALUES (zeroblob(1000000))";
            let filled = sqlx::raw_sql(large).execute(&mut *change).await;
            let done = match filled {
                Ok(_) => change.commit().await,
                Err(error) => Err(error),
            };
            let fault = done.err().map(|error| database.fault(&error));
            assert_eq!(fault.is_some(), is_full, "{fault:?}");
            assert!(fault.is_none_or(|fault| matches!(fault, StorageError::Full { .. })));
        }
        database.close().await;
    }

    #[test]
    fn instances_that_start_at_once_on_a_new_file_all_start() {
        for _ in 0..25 {
            let folder = tempfile::tempdir().unwrap();
            let open = |path: PathBuf| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let database = Database::open(&path, "things", SCHEMA).await?;
                    database.close().await;
                    Ok::<(), StorageError>(())
                })
            };
            let instances: Vec<_> = (0..4)
                .map(|_| {
                    let path = folder.path().to_owned();
                    thread::spawn(move || open(path))
                })
                .collect();
            for instance in instances {
                instance.join().unwrap().unwrap();
            }
        }
    }
}
