//! One worker's thread: its event loop, and the loops that accept its connections until their listener is closed or
//! the server ends.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::entrance::{Accepted, Entrance, Manner, Phase, Speaks};
use super::h1::Client;
use super::listener::Listening;
use super::proxy_protocol::{self, Header};
use super::stream::Socket;
use super::upstream::Upstreams;
use super::visit::Visit;
use super::worker::{OpenConnection, Seed, Worker};
use super::{connection, h1, passthrough};
use crate::metrics::Refusal;

/// How long accepting pauses when the process has no file descriptor left.
const OUT_OF_FILES: Duration = Duration::from_millis(100);
/// Connections that are still taken from a socket that is closed. Another process may go on listening there, so that
/// there is always one more.
const MOST_THAT_WAIT: usize = 8192;

/// How often a worker that nobody waits for looks whether its last connection has ended.
const LEISURELY: Duration = Duration::from_millis(250);

/// A socket that a worker shall accept connections from.
pub(super) struct Opening {
    pub(super) socket: Listening,
    /// The listener's settings as they change; closed with its sender.
    pub(super) entrance: watch::Receiver<Arc<Entrance>>,
    /// Told once, when connections are accepted or why they cannot be.
    pub(super) ready: std::sync::mpsc::Sender<io::Result<()>>,
}

/// Serves until it is told to stop and its connections have ended or their time is up.
pub(super) fn run(seed: Seed) {
    let ready = seed.ready.clone();
    let outcome = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map(|runtime| runtime.block_on(serve(seed)));
    // After it has served, nobody listens any more.
    let _ = ready.send(outcome);
}

async fn serve(mut seed: Seed) {
    let worker = Rc::new(Worker::new(&seed));
    let mut phase = seed.phase.clone();
    tokio::task::spawn_local(Upstreams::close_idle(Rc::downgrade(&worker)));
    // Whoever started this thread waits for it.
    let _ = seed.ready.send(Ok(()));
    let mut loops = JoinSet::new();
    loop {
        tokio::select! {
            opening = seed.openings.recv() => match opening {
                Some(opening) => open(&worker, opening, &mut loops),
                // The server was dropped.
                None => break,
            },
            // An error means that the server was dropped.
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => break,
            // Reaps the loops of listeners that were closed.
            Some(_) = loops.join_next() => {}
        }
    }
    if *phase.borrow() == Phase::Relieved && has_finished(&worker, &mut phase, &mut loops).await {
        return;
    }
    let is_handed_over = *phase.borrow() == Phase::HandedOver;
    worker.stop(if is_handed_over { Manner::Patient } else { Manner::AtOnce });
    while loops.join_next().await.is_some() {}
    wait_for_connections(&worker).await;
}

/// Has the connections come to their own ends, in whatever time they take. False when the server ends before.
async fn has_finished(worker: &Worker, phase: &mut watch::Receiver<Phase>, loops: &mut JoinSet<()>) -> bool {
    worker.stop(Manner::Patient);
    let all_end = async {
        while loops.join_next().await.is_some() {}
        while worker.open() > 0 {
            tokio::time::sleep(LEISURELY).await;
        }
    };
    tokio::select! {
        () = all_end => true,
        // An error means that the server was dropped.
        _ = phase.wait_for(|phase| *phase != Phase::Relieved) => false,
    }
}

fn open(worker: &Rc<Worker>, opening: Opening, loops: &mut JoinSet<()>) {
    let Opening { socket, entrance, ready } = opening;
    let outcome = Listener::new(socket).map(|listener| {
        loops.spawn_local(accept(Rc::clone(worker), listener, entrance));
    });
    let _ = ready.send(outcome);
}

async fn accept(worker: Rc<Worker>, listener: Listener, mut entrance: watch::Receiver<Arc<Entrance>>) {
    let mut phase = worker.phase.clone();
    let mut current = Arc::clone(&entrance.borrow_and_update());
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => start(&worker, socket, peer, &current),
                Err(error) if is_one_connections(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "connections cannot be accepted just now; raise the open file limit");
                    tokio::time::sleep(OUT_OF_FILES).await;
                }
            },
            changed = entrance.changed() => match changed {
                Ok(()) => current = Arc::clone(&entrance.borrow_and_update()),
                Err(_) => break,
            },
            // An error means that the server was dropped.
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => break,
        }
    }
    take_those_that_wait(&worker, listener, &current);
    worker.close(current.number);
}

/// Closing a listener resets the connections that the kernel has made and nobody has accepted yet: their clients
/// have sent requests already.
fn take_those_that_wait(worker: &Rc<Worker>, listener: Listener, entrance: &Arc<Entrance>) {
    let Ok(listener) = listener.into_std() else { return };
    for _ in 0..MOST_THAT_WAIT {
        match accept_one(&listener) {
            Ok((socket, peer)) => start(worker, socket, peer, entrance),
            Err(error) if is_one_connections(&error) => {}
            Err(_) => return,
        }
    }
}

fn accept_one(listener: &Listening) -> io::Result<(Socket, Option<SocketAddr>)> {
    match listener {
        Listening::Tcp(listener) => {
            let (stream, peer) = listener.accept()?;
            stream.set_nonblocking(true)?;
            Ok((Socket::Tcp(tokio::net::TcpStream::from_std(stream)?), Some(peer)))
        }
        Listening::Unix(listener) => {
            let (stream, _) = listener.accept()?;
            stream.set_nonblocking(true)?;
            Ok((Socket::Unix(tokio::net::UnixStream::from_std(stream)?), None))
        }
    }
}

fn start(worker: &Rc<Worker>, socket: Socket, peer: Option<SocketAddr>, entrance: &Arc<Entrance>) {
    let mut open = match worker.admit(entrance) {
        Ok(open) => open,
        Err(why) => return worker.plane.stats.refused(why),
    };
    let wants_header = entrance.wants_header(peer);
    if !wants_header && let Err(why) = is_welcome(&mut open, peer) {
        return worker.plane.stats.refused(why);
    }
    let entrance = Arc::clone(entrance);
    let accepted = Accepted { socket, peer, destination: None, entrance, open };
    // An idle connection holds only what serving it needs: what comes before is in a box that is gone by then.
    let beginning = Box::pin(begin(Rc::clone(worker), accepted, wants_header));
    tokio::task::spawn_local(async move {
        if let Some((visit, client)) = beginning.await {
            h1::serve(visit, client).await;
        }
    });
}

/// All that comes before a connection's first request; what is no HTTP/1 is served here to its end.
async fn begin(
    worker: Rc<Worker>,
    mut accepted: Accepted,
    wants_header: bool,
) -> Option<(Rc<Visit>, Rc<Client>)> {
    if wants_header && let Err(why) = read_header(&worker, &mut accepted).await {
        worker.plane.stats.refused(why);
        return None;
    }
    match accepted.entrance.speaks {
        Speaks::Http => connection::begin(worker, accepted).await,
        Speaks::Tcp(_) => {
            Box::pin(passthrough::serve(worker, accepted)).await;
            None
        }
    }
}

fn is_welcome(open: &mut OpenConnection, client: Option<SocketAddr>) -> Result<(), Refusal> {
    client.map_or(Ok(()), |client| open.belongs_to(client.ip()))
}

/// Takes the PROXY header off, and its word about the addresses.
async fn read_header(worker: &Worker, accepted: &mut Accepted) -> Result<(), Refusal> {
    let limit = worker.limits().header_timeout.get();
    match tokio::time::timeout(limit, proxy_protocol::read(&mut accepted.socket)).await {
        Ok(Ok(Header::Proxied { source, destination })) => {
            (accepted.peer, accepted.destination) = (Some(source), Some(destination));
        }
        Ok(Ok(Header::Local)) => {}
        Ok(Err(fault)) => {
            tracing::debug!(at = %accepted.entrance.address, peer = ?accepted.peer, %fault, "no PROXY header");
            return Err(Refusal::ProxyHeader);
        }
        Err(_) => return Err(Refusal::ProxyHeader),
    }
    is_welcome(&mut accepted.open, accepted.peer)
}

/// Faults of the one connection that was being accepted; the listener itself is in order.
fn is_one_connections(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn wait_for_connections(worker: &Worker) {
    let deadline = tokio::time::Instant::now() + worker.limits().drain.get();
    while worker.open() > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A listening socket on this worker's event loop.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn new(socket: Listening) -> io::Result<Self> {
        match socket {
            Listening::Tcp(listener) => TcpListener::from_std(listener).map(Self::Tcp),
            Listening::Unix(listener) => UnixListener::from_std(listener).map(Self::Unix),
        }
    }

    async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Socket::Tcp(stream), Some(peer)))
            }
            Self::Unix(listener) => Ok((Socket::Unix(listener.accept().await?.0), None)),
        }
    }

    fn into_std(self) -> io::Result<Listening> {
        match self {
            Self::Tcp(listener) => listener.into_std().map(Listening::Tcp),
            Self::Unix(listener) => listener.into_std().map(Listening::Unix),
        }
    }
}
