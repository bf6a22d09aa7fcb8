//! One worker's thread: its event loop, and the loop that accepts its connections until it is told to stop.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};

use super::connection;
use super::upstream::Upstreams;
use super::worker::{Seed, Worker};

/// How long accepting pauses when the process has no file descriptor left.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// Serves until it is told to stop and its connections have ended or their time is up.
pub(super) fn run(seed: Seed) {
    let ready = seed.ready.clone();
    let outcome = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .and_then(|runtime| runtime.block_on(serve(seed)));
    // After it has served, nobody listens any more.
    let _ = ready.send(outcome);
}

async fn serve(seed: Seed) -> io::Result<()> {
    let worker = Rc::new(Worker::new(&seed));
    let mut stop = seed.stop.clone();
    let listener = TcpListener::from_std(seed.socket)?;
    tokio::task::spawn_local(Upstreams::close_idle(Rc::downgrade(&worker.upstreams)));
    // Whoever started this thread waits for it.
    let _ = seed.ready.send(Ok(()));
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => start(&worker, stream, peer.ip()),
                Err(error) if is_one_connections(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "connections cannot be accepted just now; raise the open file limit");
                    tokio::time::sleep(OUT_OF_FILES).await;
                }
            },
            // The sender's end means that the server was dropped.
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    worker.stop();
    take_those_that_wait(&worker, listener)?;
    wait_for_connections(&worker).await;
    Ok(())
}

/// Closing a listener resets the connections that the kernel has made and nobody has accepted yet: their clients
/// have sent requests already.
fn take_those_that_wait(worker: &Rc<Worker>, listener: TcpListener) -> io::Result<()> {
    let listener = listener.into_std()?;
    while let Ok((stream, peer)) = listener.accept() {
        stream.set_nonblocking(true)?;
        start(worker, TcpStream::from_std(stream)?, peer.ip());
    }
    Ok(())
}

fn start(worker: &Rc<Worker>, stream: TcpStream, peer: std::net::IpAddr) {
    let Some(open) = worker.admit() else { return };
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        connection::serve(worker, stream, peer, open).await;
    });
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
