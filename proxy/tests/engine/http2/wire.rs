//! Frames (RFC 9113, 4 and 6) and header blocks (RFC 7541) as bytes, sound or not, and what comes back.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::limited;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The error codes that the tests know.
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How a stream or its connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// An answer that came whole.
    Answer(u16, Vec<u8>),
    /// `RST_STREAM` with this code.
    Reset(u32),
    /// GOAWAY with this code, and the stream had no answer.
    GoAway(u32),
    /// The connection ended without a word.
    Closed,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Not at all, for as long as it was waited for.
    Not,
    /// With GOAWAY and this code.
    With(u32),
    Silently,
}

/// How long a peer may go on with a connection that it should end.
const PATIENCE: Duration = Duration::from_secs(15);

/// A client's connection.
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    read: Vec<u8>,
    /// Whether the peer may send as much as it likes.
    opens_windows: bool,
}

pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// One field: literal, never indexed, without Huffman's code, so that any byte can stand in it.
pub(super) fn literal(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [vec![0x10], string(name.as_ref()), string(value.as_ref())].concat()
}

/// A length with a prefix of seven bits, and the bytes themselves.
pub(super) fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if bytes.len() < 127 {
        out.push(bytes.len() as u8);
    } else {
        out.push(127);
        let mut rest = bytes.len() - 127;
        while rest >= 128 {
            out.push((rest % 128) as u8 | 0x80);
            rest /= 128;
        }
        out.push(rest as u8);
    }
    out.extend_from_slice(bytes);
    out
}

/// A header block of literal fields.
pub(super) fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// The block of a sound request.
pub(super) fn request(method: &str, path: &str) -> Vec<u8> {
    block(&[(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)])
}

/// A whole request without a body, as one frame.
pub(super) fn whole(stream: u32, method: &str, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &request(method, path))
}

/// One setting.
pub(super) fn setting(number: u16, value: u32) -> Vec<u8> {
    [&number.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

impl Wire {
    /// Connects and says the preface. The peer's encoder gets no table, so that its answers are easily read.
    pub(super) async fn connect(to: SocketAddr) -> Self {
        Self::with_settings(to, &[]).await
    }

    /// The same, with further settings.
    pub(super) async fn with_settings(to: SocketAddr, settings: &[Vec<u8>]) -> Self {
        let stream = limited(TcpStream::connect(to)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut wire = Self { stream, read: Vec::new(), opens_windows: true };
        let payload = [setting(1, 0), settings.concat()].concat();
        wire.send([PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()).await;
        wire
    }

    /// Gives the peer no room beyond what it has.
    pub(super) fn keep_windows_shut(&mut self) {
        self.opens_windows = false;
    }

    /// Writes bytes; the peer may have gone.
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let writing = self.stream.write_all(bytes.as_ref());
        matches!(tokio::time::timeout(Duration::from_secs(5), writing).await, Ok(Ok(())))
    }

    /// Sends bytes again and again while whatever comes back is thrown away, until the peer ends the connection or
    /// `rounds` are over. Gives whether it ended.
    pub(super) async fn flood(&mut self, rounds: usize, mut bytes: impl FnMut(usize) -> Vec<u8>) -> bool {
        for round in 0..rounds {
            if !self.send(bytes(round)).await {
                return true;
            }
            self.take_what_is_there();
        }
        false
    }

    fn take_what_is_there(&mut self) {
        let mut piece = [0; 64 * 1024];
        while let Ok(count @ 1..) = self.stream.try_read(&mut piece) {
            self.read.extend_from_slice(&piece[..count]);
        }
    }

    /// The next frame; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if self.read.len() >= 9 {
                let length = usize::from(self.read[0]) << 16
                    | usize::from(self.read[1]) << 8
                    | usize::from(self.read[2]);
                if self.read.len() >= 9 + length {
                    let bytes: Vec<u8> = self.read.drain(..9 + length).collect();
                    let stream = u32::from_be_bytes(bytes[5..9].try_into().unwrap()) & 0x7fff_ffff;
                    return Some(Frame {
                        kind: bytes[3],
                        flags: bytes[4],
                        stream,
                        payload: bytes[9..].to_vec(),
                    });
                }
            }
            let mut piece = vec![0; 64 * 1024];
            match limited(self.stream.read(&mut piece)).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.read.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// How a stream ends. Settings and pings are answered meanwhile.
    pub(super) async fn end_of(&mut self, stream: u32) -> End {
        let (mut status, mut body, mut away) = (0, Vec::new(), None);
        while let Some(frame) = self.next().await {
            self.acknowledge(&frame).await;
            match (frame.kind, frame.stream == stream) {
                (HEADERS, true) if status < 200 => status = status_of(&frame.payload),
                (DATA, true) => body.extend_from_slice(&frame.payload),
                (RST_STREAM, true) => return End::Reset(code_at(&frame.payload, 0)),
                (GOAWAY, _) => {
                    let (last, code) = (code_at(&frame.payload, 0), code_at(&frame.payload, 4));
                    if last < stream || code != 0 {
                        return End::GoAway(code);
                    }
                    away = Some(code);
                }
                _ => {}
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.stream == stream && frame.flags & END_STREAM != 0
            {
                return End::Answer(status, body);
            }
        }
        away.map_or(End::Closed, End::GoAway)
    }

    /// How the connection ends, once the peer has had enough.
    pub(super) async fn end(&mut self) -> Over {
        let mut code = None;
        loop {
            match tokio::time::timeout(PATIENCE, self.next()).await {
                Err(_) => return Over::Not,
                Ok(None) => return code.map_or(Over::Silently, Over::With),
                Ok(Some(frame)) if frame.kind == GOAWAY => code = Some(code_at(&frame.payload, 4)),
                Ok(Some(_)) => {}
            }
        }
    }

    async fn acknowledge(&mut self, received: &Frame) {
        match (received.kind, received.flags & ACK) {
            (SETTINGS, 0) => self.send(frame(SETTINGS, ACK, 0, &[])).await,
            (PING, 0) => self.send(frame(PING, ACK, 0, &received.payload)).await,
            (DATA, _) if self.opens_windows && !received.payload.is_empty() => {
                let room = u32::try_from(received.payload.len()).unwrap().to_be_bytes();
                let both =
                    [frame(WINDOW_UPDATE, 0, 0, &room), frame(WINDOW_UPDATE, 0, received.stream, &room)];
                self.send(both.concat()).await
            }
            _ => true,
        };
    }
}

fn code_at(payload: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(payload[at..at + 4].try_into().unwrap()) & 0x7fff_ffff
}

/// The status of a header block; it is always the first field.
fn status_of(block: &[u8]) -> u16 {
    let start = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap_or(0);
    match block[start..] {
        [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
        // A name of the static table, then three digits, plain or in Huffman's code.
        [_, 3, a, b, c, ..] => {
            [a, b, c].iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
        }
        [_, length, ref rest @ ..] if length & 0x80 != 0 => {
            huffman_digits(&rest[..usize::from(length & 0x7f)])
        }
        _ => panic!("no status in {block:?}"),
    }
}

/// Three digits in Huffman's code (RFC 7541, appendix B): five bits for 0 to 2, six for the others.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0_u16, |number, bit| number * 2 + u16::from(*bit));
    let (mut at, mut status) = (0, 0);
    for _ in 0..3 {
        let five = number(&bits[at..at + 5]);
        let (digit, length) = if five < 3 { (five, 5) } else { (number(&bits[at..at + 6]) - 0x19 + 3, 6) };
        status = status * 10 + digit;
        at += length;
    }
    status
}

#[test]
fn a_status_is_read_in_each_form() {
    assert_eq!(status_of(&[0x20, 0x88]), 200);
    assert_eq!(status_of(&[0x48, 3, b'4', b'3', b'1']), 431);
    // The example of RFC 7541, C.6.1: 302.
    assert_eq!(status_of(&[0x48, 0x82, 0x64, 0x02]), 302);
}
