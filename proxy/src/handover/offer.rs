//! The side that gives: waits at the handover socket, gives a successor handles of all listening sockets, and tells
//! its own process when the successor serves.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::wire::{self, Answer, Hello, Ready, Wire};
use super::{HANDOVER, HandoverFault, PATIENCE};
use crate::server::HandoverSocket;

/// How long a successor may take from its first word until it serves.
const UNTIL_READY: Duration = Duration::from_secs(60);

/// What gives handles of all sockets.
pub(crate) type Handles = dyn Fn() -> io::Result<Vec<(String, Vec<OwnedFd>)>> + Send + Sync;

/// A place that is offered; no more once this is dropped.
pub(crate) struct Offer {
    socket: HandoverSocket,
    task: JoinHandle<()>,
    taken: oneshot::Receiver<Offered>,
}

/// Whoever took the place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offered {
    /// Its process.
    pub(crate) pid: u32,
}

impl Offer {
    /// Offers at `path`, or at the socket that the process before left.
    pub(crate) fn start(
        path: &Path,
        left: Vec<OwnedFd>,
        handles: Arc<Handles>,
    ) -> Result<Self, HandoverFault> {
        let told = |source| HandoverFault::Io { path: path.to_owned(), source };
        let socket = HandoverSocket::open(path, left).map_err(told)?;
        let listener = UnixListener::from_std(socket.listener().map_err(told)?).map_err(told)?;
        let own = socket.listener().map_err(told)?;
        let all = Arc::new(move || {
            let mut all = handles()?;
            all.push((HANDOVER.to_owned(), vec![own.try_clone()?.into()]));
            Ok(all)
        });
        let (tell, taken) = oneshot::channel();
        let task = tokio::spawn(async move {
            let successor = wait(listener, all).await;
            // Nobody waits any more when the process ends by itself.
            let _ = tell.send(successor);
        });
        Ok(Self { socket, task, taken })
    }

    /// Waits until a successor serves. Can be dropped and asked again.
    pub(crate) async fn taken(&mut self) -> Offered {
        match (&mut self.taken).await {
            Ok(offered) => {
                self.socket.leave();
                offered
            }
            // The task ends with its runtime only.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One successor at a time, until one of them serves.
async fn wait(listener: UnixListener, handles: Arc<Handles>) -> Offered {
    loop {
        let stream = match listener.accept().await.map(|(stream, _)| stream.into_std()) {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) | Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let handles = Arc::clone(&handles);
        match tokio::task::spawn_blocking(move || give(stream, handles.as_ref())).await {
            Ok(Ok(offered)) => return offered,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a successor did not come to serve; this gateway goes on")
            }
            Err(_) => {}
        }
    }
}

fn give(stream: UnixStream, handles: &Handles) -> io::Result<Offered> {
    wire::is_trusted(&stream)?;
    let patience = stream.try_clone()?;
    let mut wire = Wire::new(stream, PATIENCE)?;
    let hello: Hello = wire.hear()?;
    if let Some(why) = hello.misfit() {
        wire.say(&Answer::Refused(why.clone()))?;
        return Err(io::Error::other(why));
    }
    tracing::info!(pid = hello.pid, version = hello.version, "a successor asks for the listening sockets");
    let sockets = handles()?;
    let counts = sockets.iter().map(|(place, list)| (place.clone(), list.len())).collect();
    wire.say(&Answer::Sockets(counts))?;
    for (_, list) in &sockets {
        wire.send(list)?;
    }
    drop(sockets);
    patience.set_read_timeout(Some(UNTIL_READY))?;
    match wire.hear()? {
        Ready::Serving => {}
        Ready::Ending => return Err(io::ErrorKind::InvalidData.into()),
    }
    // Whether it hears this or not, it serves.
    let _ = wire.say(&Ready::Ending);
    Ok(Offered { pid: hello.pid })
}
