//! A node's stream, as thin as it can be: lines out, and of what comes in the beginning of each line, which says what it is
//! and which revision it is of.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::Outcome;

/// As much of a line as is looked at.
const SHOWN: usize = 160;

thread_local! {
    /// One buffer for all nodes: what is in it is looked at before anybody else reads.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 * 1024]);
}

/// One open stream.
pub(crate) struct Node {
    heard: OwnedReadHalf,
    voice: Voice,
    /// How much of the end of the answer's head was seen.
    head: usize,
    line: Vec<u8>,
    /// Bytes taken in all.
    pub(crate) taken: u64,
}

/// What a node says, which can be said apart from what it hears.
#[derive(Clone)]
pub(crate) struct Voice(Rc<OwnedWriteHalf>);

/// What ends a head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Snapshot,
    Resumed,
    Change,
    Registered,
    Refused,
    Ping,
}

impl Node {
    /// Asks for the stream with `hello`.
    pub(crate) async fn open(address: SocketAddr, hello: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (heard, said) = stream.into_split();
        let node = Self { heard, voice: Voice(Rc::new(said)), head: 0, line: Vec::new(), taken: 0 };
        let fields = "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: portreeve-stream\r\nContent-Type: application/json";
        let length = hello.len();
        let head = format!("POST /v1/stream HTTP/1.1\r\n{fields}\r\nContent-Length: {length}\r\n\r\n");
        node.write(format!("{head}{hello}").as_bytes()).await?;
        Ok(node)
    }

    /// Waits until the stream is open: before that nothing but `hello` may be said.
    pub(crate) async fn opened(&mut self) -> Outcome<()> {
        while self.head < HEAD_END.len() {
            self.read(|_, _, _| {}).await?;
        }
        Ok(())
    }

    /// What it says.
    pub(crate) fn voice(&self) -> Voice {
        self.voice.clone()
    }

    /// Says a line.
    pub(crate) async fn say(&self, line: &str) -> Outcome<()> {
        self.voice.say(line).await
    }

    /// Writes bytes that are lines already.
    pub(crate) async fn write(&self, bytes: &[u8]) -> Outcome<()> {
        self.voice.write(bytes).await
    }

    /// Reads what is there, and gives each line that ended to `line` with its revision. One call of the system: a second
    /// one, which finds nothing, would cost a core of ten thousand nodes more than what it measures.
    pub(crate) async fn read(&mut self, mut line: impl FnMut(Said, u64, &str)) -> Outcome<()> {
        poll_fn(|context| {
            BUFFER.with_borrow_mut(|buffer| {
                let mut read = ReadBuf::new(buffer);
                ready!(Pin::new(&mut self.heard).poll_read(context, &mut read))?;
                if read.filled().is_empty() {
                    return Poll::Ready(Err("the server ended the stream".into()));
                }
                self.taken += read.filled().len() as u64;
                Poll::Ready(self.take(read.filled(), &mut line))
            })
        })
        .await
    }

    fn take(&mut self, mut bytes: &[u8], line: &mut impl FnMut(Said, u64, &str)) -> Outcome<()> {
        while self.head < HEAD_END.len()
            && let Some((first, rest)) = bytes.split_first()
        {
            // The first of it says what came of the request, in the words of HTTP.
            if self.line.len() < 12 {
                self.line.push(*first);
                if self.line.len() == 12 && !self.line.ends_with(b" 101") {
                    return Err(format!("no stream: {}", String::from_utf8_lossy(bytes)).into());
                }
            }
            let expected = HEAD_END[self.head];
            self.head = if *first == expected { self.head + 1 } else { usize::from(*first == b'\r') };
            if self.head == HEAD_END.len() {
                self.line.clear();
            }
            bytes = rest;
        }
        self.take_data(bytes, line)
    }

    fn take_data(&mut self, data: &[u8], line: &mut impl FnMut(Said, u64, &str)) -> Outcome<()> {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            let room = SHOWN.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                let text = String::from_utf8_lossy(&self.line);
                let (said, revision) = understand(&text)?;
                line(said, revision, &text);
                self.line.clear();
            }
        }
        Ok(())
    }
}

impl Voice {
    /// Says a line.
    pub(crate) async fn say(&self, line: &str) -> Outcome<()> {
        self.write(format!("{line}\n").as_bytes()).await
    }

    async fn write(&self, mut bytes: &[u8]) -> Outcome<()> {
        while !bytes.is_empty() {
            match self.0.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(fault) if fault.kind() == std::io::ErrorKind::WouldBlock => self.0.writable().await?,
                Err(fault) => return Err(fault.into()),
            }
        }
        Ok(())
    }
}

fn understand(text: &str) -> Outcome<(Said, u64)> {
    let kind = text.strip_prefix(r#"{"type":""#).and_then(|rest| rest.split('"').next());
    let said = match kind {
        Some("snapshot") => Said::Snapshot,
        Some("resumed") => Said::Resumed,
        Some("change") => Said::Change,
        Some("registered") => Said::Registered,
        Some("refused") => Said::Refused,
        Some("ping") => Said::Ping,
        _ => return Err(format!("a line that is not known: {text}").into()),
    };
    let revision = text.split_once(r#""revision":"#).map_or("", |(_, rest)| rest);
    let digits = revision.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default();
    Ok((said, digits.parse().unwrap_or_default()))
}
