//! Reads the files that TLS settings name, all of them once, so that what is judged and what is used are the same
//! bytes even while somebody replaces the files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use portreeve_config::Fault;

/// The largest file that is read, in bytes: a bundle of every public authority has a quarter of it.
const LARGEST: u64 = 1024 * 1024;

/// What stands in a set of files, told apart from any other content.
pub(super) type Digest = [u8; 32];

/// Files as they were at one time.
pub(super) struct Files(BTreeMap<PathBuf, io::Result<Vec<u8>>>);

impl Files {
    /// Reads `paths`.
    pub(super) fn read<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        Self(paths.into_iter().map(|path| (path.to_owned(), read(path))).collect())
    }

    /// What stood in the file at `path`.
    pub(super) fn content(&self, path: &Path) -> Result<&[u8], Fault> {
        let shown = path.display();
        match self.0.get(path) {
            Some(Ok(content)) => Ok(content),
            Some(Err(fault)) if fault.kind() == ErrorKind::NotFound => {
                Err(Fault::new("", format!("there is no file `{shown}`")).hint(
                    "create it, or correct the path; relative paths begin where the process was started",
                ))
            }
            Some(Err(fault)) => {
                let remedy = match fault.kind() {
                    ErrorKind::PermissionDenied => "let the user that Portreeve runs as read it",
                    _ => "give a file of at most 1 MiB that can be read",
                };
                Err(Fault::new("", format!("the file `{shown}` cannot be read: {fault}")).hint(remedy))
            }
            None => Err(Fault::new("", format!("the file `{shown}` was not read"))),
        }
    }

    /// The same for the same content, readable or not.
    pub(super) fn digest(&self) -> Digest {
        let mut digest = Context::new(&SHA256);
        for (path, content) in &self.0 {
            let (read, content) = match content {
                Ok(content) => (b"+", content.as_slice()),
                Err(fault) => (b"-", &*fault.to_string().into_bytes()),
            };
            for part in [path.as_os_str().as_encoded_bytes(), read, content] {
                digest.update(&(part.len() as u64).to_be_bytes());
                digest.update(part);
            }
        }
        sha256(digest)
    }
}

/// The digest of one content.
pub(super) fn digest(content: &[u8]) -> Digest {
    let mut digest = Context::new(&SHA256);
    digest.update(content);
    sha256(digest)
}

fn sha256(digest: Context) -> Digest {
    let mut bytes = Digest::default();
    for (to, from) in bytes.iter_mut().zip(digest.finish().as_ref()) {
        *to = *from;
    }
    bytes
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe or a device would keep the reader waiting.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(content)
}
