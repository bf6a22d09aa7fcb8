//! A client that writes the bytes it is given and reads answers strictly. Nothing here waits longer than a limit.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest anything may take; a test that runs into it has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// One connection of a client.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and header fields, in the bytes of the wire.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The fields behind the last chunk, in the bytes of the wire.
    pub(crate) trailers: String,
    /// The connection ended before the body did.
    pub(crate) is_cut: bool,
}

impl Client {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        let stream = limited(TcpStream::connect(to)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// Takes over a connection.
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// Writes bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        limited(self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends a request without a body and reads its answer.
    pub(crate) async fn get(&mut self, target: &str) -> Answer {
        self.ask("GET", target, "", "").await
    }

    /// Sends a request and reads its answer. `fields` are whole lines; a body has a length.
    pub(crate) async fn ask(&mut self, method: &str, target: &str, fields: &str, body: &str) -> Answer {
        self.send(request(method, target, fields, body)).await;
        self.answer(method).await
    }

    /// The next answer that is not 1xx, to a request of this method.
    pub(crate) async fn answer(&mut self, method: &str) -> Answer {
        loop {
            let answer =
                limited(self.read_answer(method)).await.expect("the connection ended without an answer");
            if answer.status >= 200 {
                return answer;
            }
        }
    }

    /// The next answer, or `None` when the connection ends before one.
    pub(crate) async fn answer_or_end(&mut self, method: &str) -> Option<Answer> {
        limited(self.read_answer(method)).await
    }

    /// Whether the peer has closed the connection, with nothing more said.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !limited(self.read_more()).await
    }

    async fn read_answer(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            match find_end(&self.read) {
                Some(end) => break end,
                None if self.read_more().await => {}
                None => return None,
            }
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).unwrap();
        let status: u16 = head[9..12].parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new(), trailers: String::new(), is_cut: false };
        if method == "HEAD" || matches!(status, 100..=199 | 204 | 304) {
            return Some(answer);
        }
        let has_end = answer.field("content-length").is_some() || answer.field("transfer-encoding").is_some();
        loop {
            let whole = whole_body(&answer.head, &self.read).filter(|_| has_end);
            if let Some(Whole { body, trailers, length }) = whole {
                self.read.drain(..length);
                (answer.body, answer.trailers) = (body, trailers);
                return Some(answer);
            }
            if !self.read_more().await {
                answer.body = std::mem::take(&mut self.read);
                answer.is_cut = has_end;
                return Some(answer);
            }
        }
    }

    /// Reads what is there. `false` at the end, however it came.
    async fn read_more(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        match self.stream.read(&mut piece).await {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.read.extend_from_slice(&piece[..count]);
                true
            }
        }
    }
}

impl Answer {
    /// The value of a field that stands there exactly once.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as problem details, once all that belongs to them was found in order.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, reason: &str) -> Value {
        assert_eq!(self.status, status, "{} {}", self.head, self.text());
        assert_eq!(self.field("content-type"), Some("application/problem+json"));
        assert_eq!(self.field("cache-control"), Some("no-store"));
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["reason"], reason, "{problem}");
        assert_eq!(problem["trace_id"].as_str().unwrap().len(), 32);
        assert!(problem["detail"].as_str().unwrap().ends_with('.'), "{problem}");
        problem
    }
}

/// A request on a new connection that ends with it.
pub(crate) async fn get(to: SocketAddr, target: &str) -> Answer {
    Client::connect(to).await.get(target).await
}

/// The bytes of a request; a body has a length.
pub(crate) fn request(method: &str, target: &str, fields: &str, body: &str) -> String {
    let length = match body.is_empty() {
        true => String::new(),
        false => format!("content-length: {}\r\n", body.len()),
    };
    format!("{method} {target} HTTP/1.1\r\nhost: shop.example\r\n{fields}{length}\r\n{body}")
}

/// What a future gives, within [`LIMIT`].
pub(crate) async fn limited<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it took too long")
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let (what, mut holds) = (what.to_owned(), holds);
    async move {
        let end = tokio::time::Instant::now() + LIMIT;
        while !holds() {
            assert!(tokio::time::Instant::now() < end, "never: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Where a head ends, its empty line included.
pub(crate) fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// The value of a field that stands in a head exactly once.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let values = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let mut values = values.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    let value = values.next();
    assert!(values.next().is_none(), "{name} stands there twice: {head}");
    value
}

/// A body that is all there.
pub(crate) struct Whole {
    pub(crate) body: Vec<u8>,
    /// The fields behind the last chunk, each with its line end.
    pub(crate) trailers: String,
    /// Its length on the wire.
    pub(crate) length: usize,
}

/// The body that `bytes` begin with, once all of it is there.
pub(crate) fn whole_body(head: &str, bytes: &[u8]) -> Option<Whole> {
    if field(head, "transfer-encoding").is_some() {
        return whole_chunks(bytes);
    }
    let length = field(head, "content-length").map_or(0, |length| length.parse().unwrap());
    bytes.get(..length).map(|body| Whole { body: body.to_vec(), trailers: String::new(), length })
}

fn whole_chunks(bytes: &[u8]) -> Option<Whole> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let size = line(&bytes[at..])?;
        at += size.len() + 2;
        let size = usize::from_str_radix(std::str::from_utf8(size).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(bytes.get(at..at + size)?);
        assert_eq!(bytes.get(at + size..at + size + 2)?, b"\r\n");
        at += size + 2;
    }
    let mut trailers = String::new();
    loop {
        let text = line(&bytes[at..])?;
        at += text.len() + 2;
        if text.is_empty() {
            return Some(Whole { body, trailers, length: at });
        }
        trailers += &format!("{}\r\n", String::from_utf8_lossy(text));
    }
}

/// The first line, without its end.
fn line(bytes: &[u8]) -> Option<&[u8]> {
    bytes.windows(2).position(|two| two == b"\r\n").map(|end| &bytes[..end])
}
