//! Backups: everything a store holds as of one revision, in one compressed text, whatever kind of store it came from or
//! goes to. The compression's checksum and the count in the first line tell a torn one from a whole one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use portreeve_config::wire::Revision;
use portreeve_config::{ControlPlaneConfig, StoreConfig};
use serde::{Deserialize, Serialize};

use crate::store::{Contents, EmbeddedStore, EtcdStore, Record, Store, StoreError, Versioned};

/// The newest form this build reads and the one it writes.
const FORMAT: u64 = 1;

/// Why a backup could not be made, read or put back. Nothing that was there was changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file cannot be read or written.
    #[error("{} cannot be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no backup, or not a whole one.
    #[error("{} is damaged, cut off or no backup of Portreeve ({problem}); nothing was restored", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
    /// A newer Portreeve made it.
    #[error("{} has format {found}, and this version of Portreeve reads up to {FORMAT}; nothing was restored", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The store it is made of, or put back into, cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    portreeve_backup: u64,
    revision: Revision,
    routes_revision: Revision,
    records: usize,
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// As of which revision.
    pub revision: Revision,
    /// Routes, services, instances, configuration layers and kept changes.
    pub records: usize,
}

/// Writes the store of a control plane that does not run (or shares an etcd) into `to`, which must not be there yet.
/// Waits for disk and network: not for a runtime's thread.
///
/// # Errors
/// Any [`BackupError`]; [`StoreError::InUse`] where the control plane runs, which can be asked itself then.
pub fn backup(config: &ControlPlaneConfig, to: &Path) -> Result<Summary, BackupError> {
    let contents = match &config.store {
        StoreConfig::Embedded => EmbeddedStore::open_existing(&config.data_dir)?.load()?,
        StoreConfig::Etcd(etcd) => EtcdStore::open(etcd)?.load()?,
    };
    let text = encode(&contents).map_err(|source| BackupError::File { path: to.to_owned(), source })?;
    keep(&text, to)
}

/// Writes a backup that a running control plane has given into `to`, which must not be there yet, once it is known to
/// be whole.
///
/// # Errors
/// [`BackupError::Damaged`] where it is not; [`BackupError::File`] where it cannot be written.
pub fn keep(text: &[u8], to: &Path) -> Result<Summary, BackupError> {
    let contents = decode(text, to)?;
    let failed = |source| BackupError::File { path: to.to_owned(), source };
    let mut file = private(to).map_err(failed)?;
    file.write_all(text).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(Summary::of(&contents))
}

/// Puts a backup into the store of a control plane. A database that exists is refused, unless `replace` is set: then a
/// file is kept beside the new one under another name, and what etcd holds becomes what the backup holds in one
/// revision, which replicas that run follow. Waits for disk and network: not for a runtime's thread.
///
/// # Errors
/// Any [`BackupError`]; [`StoreError::Exists`] where there is a database.
pub fn restore(config: &ControlPlaneConfig, from: &Path, replace: bool) -> Result<Summary, BackupError> {
    let failed = |source| BackupError::File { path: from.to_owned(), source };
    let mut text = Vec::new();
    File::open(from).and_then(|mut file| file.read_to_end(&mut text)).map_err(failed)?;
    let contents = decode(&text, from)?;
    match &config.store {
        StoreConfig::Embedded => EmbeddedStore::restore(&config.data_dir, &contents, replace)?,
        StoreConfig::Etcd(etcd) => EtcdStore::open(etcd)?.restore(&contents, replace)?,
    }
    Ok(Summary::of(&contents))
}

impl Summary {
    fn of(contents: &Contents) -> Self {
        Self { revision: contents.revision, records: contents.records().count() }
    }
}

/// A backup of `contents`.
pub(crate) fn encode(contents: &Contents) -> io::Result<Vec<u8>> {
    let head = Head {
        portreeve_backup: FORMAT,
        revision: contents.revision,
        routes_revision: contents.routes_revision,
        records: contents.records().count(),
    };
    let mut text = BufWriter::new(GzEncoder::new(Vec::new(), Compression::default()));
    serde_json::to_writer(&mut text, &head)?;
    text.write_all(b"\n")?;
    for record in contents.records() {
        serde_json::to_writer(&mut text, &record)?;
        text.write_all(b"\n")?;
    }
    text.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
}

/// What a backup holds; `path` is where it is from.
fn decode(text: &[u8], path: &Path) -> Result<Contents, BackupError> {
    let damaged = |problem: String| BackupError::Damaged { path: path.to_owned(), problem };
    let mut lines = BufReader::new(GzDecoder::new(text)).lines();
    let first = lines.next().ok_or_else(|| damaged("it is empty".to_owned()))?;
    let first = first.map_err(|fault| damaged(fault.to_string()))?;
    let head: Head = serde_json::from_str(&first).map_err(|fault| damaged(fault.to_string()))?;
    if head.portreeve_backup > FORMAT {
        return Err(BackupError::Newer { path: path.to_owned(), found: head.portreeve_backup });
    }
    let mut contents =
        Contents { revision: head.revision, routes_revision: head.routes_revision, ..Contents::default() };
    let mut records = 0;
    for line in lines {
        let line = line.map_err(|fault| damaged(fault.to_string()))?;
        let Versioned { revision, value }: Versioned<Record> =
            serde_json::from_str(&line).map_err(|fault| damaged(fault.to_string()))?;
        contents.add(revision, value);
        records += 1;
    }
    match records == head.records {
        true => Ok(contents),
        false => Err(damaged(format!("it holds {records} of {} records", head.records))),
    }
}

/// A new file that nobody else may read: configuration holds secrets.
fn private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn contents() -> Contents {
        let services = (0..50).map(|number| format!("service-{number}")).collect();
        Contents { revision: 7, routes_revision: 3, services, ..Contents::default() }
    }

    #[test]
    fn what_was_written_is_read() {
        let text = encode(&contents()).unwrap();
        let read = decode(&text, Path::new("x")).unwrap();
        assert_eq!((read.revision, read.routes_revision, read.services), (7, 3, contents().services));
    }

    #[test]
    fn a_backup_cut_off_or_changed_anywhere_is_refused() {
        let text = encode(&contents()).unwrap();
        for length in 0..text.len() {
            let fault = decode(&text[..length], Path::new("x")).unwrap_err();
            assert!(matches!(fault, BackupError::Damaged { .. }), "{length}: {fault}");
        }
        // The first ten bytes name a time and a system, which nobody reads.
        for at in 10..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 0x10;
            // Bits that only fill up a byte say nothing.
            if let Ok(read) = decode(&changed, Path::new("x")) {
                assert_eq!((read.revision, read.services), (7, contents().services), "{at}");
            }
        }
        assert!(decode(b"SQLite format 3\0", Path::new("x")).is_err());
    }

    #[test]
    fn a_newer_form_is_refused() {
        let mut text = GzEncoder::new(Vec::new(), Compression::default());
        text.write_all(br#"{"portreeve_backup":2,"revision":1,"routes_revision":1,"records":0}"#).unwrap();
        let fault = decode(&text.finish().unwrap(), Path::new("x")).unwrap_err();
        assert!(matches!(fault, BackupError::Newer { found: 2, .. }), "{fault}");
    }
}
