//! The audit log's file: lines are added to it, and whoever moves it away gets a new one in its place.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

#[derive(Debug)]
pub(super) struct AuditFile {
    path: PathBuf,
    file: File,
    /// Whether the last line was lost; said once until it goes on.
    failing: bool,
    /// Whether a line stands half in the file.
    torn: bool,
}

impl AuditFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: append_to(path)?, failing: false, torn: false })
    }

    /// Adds whole lines. What cannot be written is counted in `lost`, and the first line that can says how many.
    pub(super) fn write(&mut self, lines: &[u8], lost: &AtomicU64) {
        if lines.is_empty() {
            return;
        }
        let count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        let missing = lost.load(Ordering::Relaxed);
        let mut text = if self.torn { b"\n".to_vec() } else { Vec::new() };
        if missing > 0 {
            let notice = json!({"time": jiff::Timestamp::now(), "lost": missing});
            text.extend_from_slice(format!("{notice}\n").as_bytes());
        }
        text.extend_from_slice(lines);
        match self.try_write(&text) {
            Ok(()) => {
                lost.fetch_sub(missing, Ordering::Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::info!(file = %self.path.display(), lost = missing, "the audit log is written again");
                }
            }
            Err(fault) => {
                lost.fetch_add(count, Ordering::Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    let file = self.path.display();
                    tracing::error!(%file, %fault, "the audit log cannot be written; requests are served nevertheless");
                }
            }
        }
    }

    fn try_write(&mut self, mut text: &[u8]) -> io::Result<()> {
        if !self.is_in_place() {
            self.file = append_to(&self.path)?;
            self.torn = false;
        }
        while !text.is_empty() {
            match self.file.write(text) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.torn = text[written - 1] != b'\n';
                    text = &text[written..];
                }
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Whether the path still leads to the file that is open.
    fn is_in_place(&self) -> bool {
        let place = |found: std::fs::Metadata| (found.dev(), found.ino());
        let there = std::fs::metadata(&self.path).map(place);
        there.is_ok_and(|there| self.file.metadata().map(place).is_ok_and(|open| open == there))
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_file_that_was_moved_away_gets_a_successor() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
        let (mut file, lost) = (AuditFile::open(&path).unwrap(), AtomicU64::new(0));
        file.write(b"one\n", &lost);
        std::fs::rename(&path, &moved).unwrap();
        file.write(b"two\n", &lost);
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_of_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let (mut file, lost) = (AuditFile::open(&path).unwrap(), AtomicU64::new(0));
        // A device that is always full.
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        file.write(b"one\ntwo\n", &lost);
        file.write(b"three\n", &lost);
        assert_eq!(lost.load(Ordering::Relaxed), 3);
        std::fs::remove_file(&path).unwrap();
        file.write(b"four\n", &lost);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"lost\":3}\nfour\n"), "{text}");
        assert_eq!(lost.load(Ordering::Relaxed), 0);
    }
}
