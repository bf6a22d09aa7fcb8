//! A node's stream, as thin as it can be: lines in chunks out, and of what comes in the beginning of each line, which says
//! what it is and which revision it is of.

use std::cell::RefCell;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::Outcome;

/// As much of a line as is looked at.
const SHOWN: usize = 160;

thread_local! {
    /// One buffer for all nodes: what is in it is looked at before anybody else reads.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 * 1024]);
}

/// One open stream.
pub(crate) struct Node {
    stream: TcpStream,
    part: Part,
    line: Vec<u8>,
    /// Bytes taken in all.
    pub(crate) taken: u64,
}

/// Where in the answer the next byte stands.
#[derive(Clone, Copy)]
enum Part {
    /// The head, of which so many bytes of its end were seen.
    Head(usize),
    /// The line with a chunk's size, so far.
    Size(usize),
    Data(usize),
    /// What follows a chunk's data.
    End(usize),
}

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
    /// Opens the stream and says `hello`.
    pub(crate) async fn open(address: SocketAddr, hello: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let node = Self { stream, part: Part::Head(0), line: Vec::new(), taken: 0 };
        let head = "POST /v1/stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
        node.write(format!("{head}{}", chunk(hello)).as_bytes()).await?;
        Ok(node)
    }

    /// Says a line, in a chunk of its own.
    pub(crate) async fn say(&self, line: &str) -> Outcome<()> {
        self.write(chunk(line).as_bytes()).await
    }

    /// Writes bytes that are chunks already.
    pub(crate) async fn write(&self, mut bytes: &[u8]) -> Outcome<()> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(fault) if fault.kind() == std::io::ErrorKind::WouldBlock => {
                    self.stream.writable().await?
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        Ok(())
    }

    /// Reads what is there, and gives each line that ended to `line` with its revision.
    pub(crate) async fn read(&mut self, mut line: impl FnMut(Said, u64, &str)) -> Outcome<()> {
        self.stream.readable().await?;
        BUFFER.with_borrow_mut(|buffer| match self.stream.try_read(buffer) {
            Ok(0) => Err("the server ended the stream".into()),
            Ok(count) => {
                self.taken += count as u64;
                self.take(&buffer[..count], &mut line)
            }
            Err(fault) if fault.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(fault) => Err(fault.into()),
        })
    }

    fn take(&mut self, mut bytes: &[u8], line: &mut impl FnMut(Said, u64, &str)) -> Outcome<()> {
        while let Some(first) = bytes.first().copied() {
            match self.part {
                Part::Data(0) => self.part = Part::End(0),
                Part::Data(left) => {
                    let count = left.min(bytes.len());
                    self.take_data(&bytes[..count], line)?;
                    self.part = Part::Data(left - count);
                    bytes = &bytes[count..];
                    continue;
                }
                Part::Head(seen) => {
                    let expected = b"\r\n\r\n"[seen];
                    let seen = if first == expected { seen + 1 } else { usize::from(first == b'\r') };
                    self.part = if seen == 4 { Part::Size(0) } else { Part::Head(seen) };
                }
                Part::Size(size) => {
                    self.part = match char::from(first).to_digit(16) {
                        Some(digit) => Part::Size(size * 16 + digit as usize),
                        None if first == b'\r' => Part::Size(size),
                        None if first == b'\n' && size > 0 => Part::Data(size),
                        None => return Err("the stream was ended, or is no stream".into()),
                    };
                }
                Part::End(1) => self.part = Part::Size(0),
                Part::End(seen) => self.part = Part::End(seen + 1),
            }
            if !matches!(self.part, Part::End(0)) {
                bytes = &bytes[1..];
            }
        }
        Ok(())
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

/// A line as a chunk.
pub(crate) fn chunk(line: &str) -> String {
    format!("{:x}\r\n{line}\n\r\n", line.len() + 1)
}
