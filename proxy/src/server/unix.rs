//! Unix sockets to listen on: who may connect, and when a file that is in the way may be removed.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, SockAddr, Socket, Type};

use super::listener::{BACKLOG, Listening};

/// Owner and group may connect.
const MODE: u32 = 0o660;
/// Only the owner may.
const PRIVATE: u32 = 0o600;

/// Listens at `path`. A socket that nobody listens at any more is removed first.
pub(super) fn bind(path: &Path) -> io::Result<(Listening, SocketFile)> {
    let (listener, file) = bind_for(path, MODE)?;
    Ok((Listening::Unix(listener), file))
}

fn bind_for(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Nobody can connect before `listen`, so that no moment is open to all.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    let file = SocketFile::of(path)?;
    file.own();
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            let why = "there is a file that is no socket; remove it, or choose another path";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        // It went away by itself.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The socket by which a successor asks for all others.
pub(crate) struct HandoverSocket {
    listener: UnixListener,
    file: SocketFile,
}

impl HandoverSocket {
    /// Listens at `path`, or goes on with the socket that an earlier process left. Removed when it is dropped.
    pub(crate) fn open(path: &Path, left: Vec<OwnedFd>) -> io::Result<Self> {
        let Some(left) = left.into_iter().next() else {
            return bind_for(path, PRIVATE).map(|(listener, file)| Self { listener, file });
        };
        let Listening::Unix(listener) = Listening::from_descriptor(left)? else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let file = SocketFile::of(path)?;
        file.own();
        Ok(Self { listener, file })
    }

    /// One more handle of it.
    pub(crate) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    /// A successor listens there now.
    pub(crate) fn leave(&self) {
        self.file.leave();
    }
}

/// The file of a socket that this process listens at; removed when it is dropped, unless it is another's by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: a file that somebody put in its place is not ours to remove.
    identity: (u64, u64),
    is_own: AtomicBool,
}

impl SocketFile {
    /// The file as it is, whoever made it.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let found = std::fs::symlink_metadata(path)?;
        let identity = (found.dev(), found.ino());
        Ok(Self { path: path.to_owned(), identity, is_own: AtomicBool::new(false) })
    }

    /// This process is the one that removes it.
    pub(super) fn own(&self) {
        self.is_own.store(true, Ordering::Relaxed);
    }

    /// A successor listens there now.
    pub(super) fn leave(&self) {
        self.is_own.store(false, Ordering::Relaxed);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = |found: std::fs::Metadata| (found.dev(), found.ino()) == self.identity;
        if self.is_own.load(Ordering::Relaxed)
            && std::fs::symlink_metadata(&self.path).is_ok_and(is_ours)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the socket's file cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_socket_is_for_owner_and_group_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.sock");
        let (socket, file) = bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(UnixStream::connect(&path).is_ok());
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse, "somebody listens there");
        drop((socket, file));
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_removed_and_any_other_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the file outlives its listener");
        let (_socket, file) = bind(&path).unwrap();
        file.leave();
        drop(file);
        assert!(path.exists(), "a successor has it");
        let other = folder.path().join("data");
        std::fs::write(&other, "kept").unwrap();
        assert_eq!(bind(&other).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&other).unwrap(), b"kept");
    }

    #[test]
    fn a_file_that_another_process_put_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.sock");
        let (_socket, file) = bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "another's").unwrap();
        drop(file);
        assert!(path.exists());
    }
}
