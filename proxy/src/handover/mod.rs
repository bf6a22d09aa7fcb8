//! A gateway's place is taken by its successor without a connection lost: the listening sockets themselves go over a
//! Unix socket (`SCM_RIGHTS`), with all that waits in them. The old process goes on until the new one says that it
//! serves, and serves on when that never comes.

mod offer;
mod wire;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use offer::Offer;

use portreeve_config::GatewayConfig;

use crate::server::Inherited;
use wire::{Answer, Hello, Ready, Wire};

/// The name of the handover socket in `state_dir`.
const FILE: &str = "handover.sock";
/// The place of the admin socket among those that are handed over, before its address.
const ADMIN: &str = "admin ";
/// The place of the handover socket itself.
const HANDOVER: &str = "handover";
/// How long the other process may take for a word. It is on the same machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a place could not be taken, or given.
#[derive(Debug, thiserror::Error)]
pub enum HandoverFault {
    /// The socket cannot be used.
    #[error("no handover by {path}: {source}")]
    Io {
        /// The handover socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The other process does not want to, and goes on serving.
    #[error("the running gateway refuses to hand over: {0}")]
    Refused(String),
    /// There is nowhere to ask.
    #[error(
        "a takeover needs a place to meet: name a socket under `handover`, or a folder under `state_dir`, in both files"
    )]
    NoPath,
}

/// Where a successor asks: the socket that the configuration names, or one in its `state_dir`.
pub fn path(config: &GatewayConfig) -> Option<PathBuf> {
    config.handover.clone().or_else(|| config.state_dir.as_ref().map(|folder| folder.join(FILE)))
}

/// The sockets of a running gateway, which goes on serving until it hears that its successor does.
#[derive(Debug)]
pub struct Takeover {
    wire: Wire<UnixStream>,
    path: PathBuf,
    sockets: Inherited,
}

impl Takeover {
    /// Asks the gateway that offers its place at `path` for its sockets; `None` when there is none.
    ///
    /// # Errors
    /// [`HandoverFault`] when it refuses, or is of a version that cannot be understood; it goes on serving then.
    pub fn ask(path: &Path) -> Result<Option<Self>, HandoverFault> {
        let told = |source| HandoverFault::Io { path: path.to_owned(), source };
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(told(error)),
        };
        wire::is_trusted(&stream).map_err(told)?;
        let mut wire = Wire::new(stream, PATIENCE).map_err(told)?;
        wire.say(&Hello::own()).map_err(told)?;
        let counts = match wire.hear().map_err(told)? {
            Answer::Sockets(counts) => counts,
            Answer::Refused(why) => return Err(HandoverFault::Refused(why)),
        };
        let mut sockets = Vec::with_capacity(counts.len());
        for (place, count) in counts {
            sockets.push((place, wire.receive(count).map_err(told)?));
        }
        Ok(Some(Self { wire, path: path.to_owned(), sockets: Inherited::new(sockets) }))
    }

    /// The sockets for the admin listener.
    pub(crate) fn admin(&mut self, address: &str) -> Vec<OwnedFd> {
        self.sockets.take(&format!("{ADMIN}{address}"))
    }

    /// The sockets for everything else.
    pub(crate) fn sockets(&mut self) -> Inherited {
        let handover = self.sockets.take(HANDOVER);
        let rest = std::mem::take(&mut self.sockets);
        self.sockets = Inherited::new(vec![(HANDOVER.to_owned(), handover)]);
        rest
    }

    /// Says that this process serves. Gives the socket by which its own successor will ask.
    ///
    /// # Errors
    /// [`HandoverFault`] when the other process is gone already. This one serves anyhow.
    pub(crate) fn confirm(mut self) -> Result<Vec<OwnedFd>, HandoverFault> {
        let told = |source| HandoverFault::Io { path: self.path.clone(), source };
        let said = self.wire.say(&Ready::Serving).and_then(|()| self.wire.hear());
        match said.map_err(told)? {
            Ready::Ending => Ok(self.sockets.take(HANDOVER)),
            Ready::Serving => Err(told(io::ErrorKind::InvalidData.into())),
        }
    }
}

/// What a gateway hands over: its listeners' sockets, and its admin socket with the address it is configured by.
pub(crate) fn everything(
    listeners: Vec<(String, Vec<OwnedFd>)>,
    admin: (&str, OwnedFd),
) -> Vec<(String, Vec<OwnedFd>)> {
    let mut all = listeners;
    all.push((format!("{ADMIN}{}", admin.0), vec![admin.1]));
    all
}
