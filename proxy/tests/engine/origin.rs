//! An origin whose every byte a test decides: it reads whole requests, notes them, and answers what it is told to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use crate::client::{Whole, field, find_end, whole_body};

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Request line and header fields, in the bytes of the wire.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The fields behind the last chunk, in the bytes of the wire.
    pub(crate) trailers: String,
    /// Which of the origin's connections it came by, from 0.
    pub(crate) connection: usize,
    /// Which request of the origin it is, from 0.
    pub(crate) number: usize,
}

/// What an origin does with a request.
pub(crate) enum Reply {
    /// These bytes; the connection stays open.
    Keep(Vec<u8>),
    /// These bytes, and the end of the connection.
    Close(Vec<u8>),
    /// These bytes, and a while after them these others, which nobody asked for.
    Late(Vec<u8>, Vec<u8>),
    /// These bytes, and the connection breaks off.
    Reset(Vec<u8>),
    /// These bytes once the test says so.
    Held(Arc<Notify>, Vec<u8>),
    /// Nothing, for ever.
    Silence,
}

type Decide = dyn Fn(&Seen) -> Reply + Send + Sync;

/// Runs until it is dropped; its connections break off then.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    notes: Arc<Notes>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Notes {
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    bytes: AtomicUsize,
}

impl Origin {
    pub(crate) async fn start(decide: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), decide).await
    }

    /// Starts at a given address, such as that of an origin that was dropped.
    pub(crate) async fn start_at(
        address: SocketAddr,
        decide: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let notes = Arc::new(Notes::default());
        let task = tokio::spawn(accept(listener, Arc::clone(&notes), Arc::new(decide)));
        Self { address, notes, task }
    }

    /// Answers everything with 200 and this body.
    pub(crate) async fn saying(body: &'static str) -> Self {
        Self::start(move |_| Reply::Keep(ok(body))).await
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.notes.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.notes.seen.lock().unwrap().len()
    }

    /// The newest request.
    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("no request came")
    }

    /// Connections that were ever made to it.
    pub(crate) fn connections(&self) -> usize {
        self.notes.connections.load(Ordering::SeqCst)
    }

    /// Bytes that ever came to it, those of requests that are not whole included.
    pub(crate) fn bytes(&self) -> usize {
        self.notes.bytes.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub(crate) fn open(&self) -> usize {
        self.notes.open.load(Ordering::SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    /// The value of a field that stands there exactly once.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The request line.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

/// A 200 with a length.
pub(crate) fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    answer("200 OK", "", body)
}

/// An answer with a length and further fields, each with its line end.
pub(crate) fn answer(status: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes =
        format!("HTTP/1.1 {status}\r\n{fields}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

async fn accept(listener: TcpListener, notes: Arc<Notes>, decide: Arc<Decide>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let number = notes.connections.fetch_add(1, Ordering::SeqCst);
        let (open, decide) = (Open::new(Arc::clone(&notes)), Arc::clone(&decide));
        connections.spawn(async move {
            let _ = serve(stream, number, &open.0, decide.as_ref()).await;
        });
    }
}

struct Open(Arc<Notes>);

impl Open {
    fn new(notes: Arc<Notes>) -> Self {
        notes.open.fetch_add(1, Ordering::SeqCst);
        Self(notes)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(mut stream: TcpStream, number: usize, notes: &Notes, decide: &Decide) -> std::io::Result<()> {
    let mut read = Vec::new();
    loop {
        let Some(mut seen) = next_request(&mut stream, &mut read, notes).await? else { return Ok(()) };
        seen.connection = number;
        {
            let mut all = notes.seen.lock().unwrap();
            seen.number = all.len();
            all.push(seen.clone());
        }
        match decide(&seen) {
            Reply::Keep(bytes) => stream.write_all(&bytes).await?,
            Reply::Held(go, bytes) => {
                go.notified().await;
                stream.write_all(&bytes).await?;
            }
            Reply::Close(bytes) => {
                stream.write_all(&bytes).await?;
                stream.shutdown().await?;
                // What still comes is read, or the end would reach the peer as a reset and take the answer with it.
                let mut nowhere = tokio::io::sink();
                let rest = tokio::io::copy(&mut stream, &mut nowhere);
                let _ = tokio::time::timeout(Duration::from_secs(2), rest).await;
                return Ok(());
            }
            Reply::Late(bytes, late) => {
                stream.write_all(&bytes).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
                stream.write_all(&late).await?;
            }
            Reply::Reset(bytes) => {
                stream.write_all(&bytes).await?;
                // What was sent is taken before the break, or nobody could tell it from silence.
                tokio::time::sleep(Duration::from_millis(100)).await;
                return stream.set_zero_linger();
            }
            Reply::Silence => while stream.read(&mut [0; 1024]).await? > 0 {},
        }
    }
}

/// The next whole request; `None` when the peer is done.
async fn next_request(
    stream: &mut TcpStream,
    read: &mut Vec<u8>,
    notes: &Notes,
) -> std::io::Result<Option<Seen>> {
    loop {
        if let Some(end) = find_end(read) {
            let head = String::from_utf8_lossy(&read[..end]).into_owned();
            if let Some(Whole { body, trailers, length }) = whole_body(&head, &read[end..]) {
                read.drain(..end + length);
                return Ok(Some(Seen { head, body, trailers, connection: 0, number: 0 }));
            }
        }
        let mut piece = vec![0; 64 * 1024];
        match stream.read(&mut piece).await? {
            0 => return Ok(None),
            count => {
                notes.bytes.fetch_add(count, Ordering::SeqCst);
                read.extend_from_slice(&piece[..count]);
            }
        }
    }
}
