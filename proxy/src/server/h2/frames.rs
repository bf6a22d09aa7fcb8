//! Watches the frames of an HTTP/2 connection as they pass, without understanding more than their headers (RFC 9113,
//! 4.1): floods of frames that carry nothing forward are ended here, and it is known how much of what was answered
//! the client has taken.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::held::Held;
use crate::server::stream::Stream;

/// Over how long frames are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// What a client's connection begins with (RFC 9113, 3.4).
pub(in crate::server) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// GOAWAY for all streams with ENHANCE_YOUR_CALM (RFC 9113, 6.8 and 7).
const CALM_DOWN: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0x0b];
/// Bytes we send for which a client may send one frame that only keeps them coming.
const BYTES_PER_UPDATE: usize = 512;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;

/// What is known of a connection's frames.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// Bytes of DATA that were written to the client.
    pub(super) data_written: Cell<u64>,
    /// The connection was ended because of a flood.
    pub(super) is_flood: Cell<bool>,
}

/// A connection whose frames are watched.
pub(super) struct Watched {
    /// Also of whoever ends the connection.
    stream: Rc<RefCell<Stream>>,
    /// Read before the connection was handed over.
    first: BytesMut,
    read: Headers,
    written: Headers,
    allowance: Allowance,
    passed: Rc<Passed>,
    held: Rc<Held>,
    /// The last write took all it was given, so that a frame may follow.
    is_between_frames: bool,
}

impl Watched {
    pub(super) fn new(
        (stream, first): (Rc<RefCell<Stream>>, BytesMut),
        idle_frames: u32,
        (passed, held): (Rc<Passed>, Rc<Held>),
    ) -> Self {
        Self {
            stream,
            first,
            read: Headers::after(PREFACE.len()),
            written: Headers::after(0),
            allowance: Allowance::new(idle_frames),
            passed,
            held,
            is_between_frames: true,
        }
    }

    fn watch_read(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        let (allowance, held) = (&mut self.allowance, &self.held);
        self.read.walk(bytes, |frame| {
            allowance.came(frame);
            held.came(frame.data());
        });
        if self.allowance.is_kept() {
            return Ok(());
        }
        self.passed.is_flood.set(true);
        if self.is_between_frames {
            // The peer may not even read it.
            let _ = Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, CALM_DOWN);
        }
        Err(io::Error::other("too many frames that carry nothing forward"))
    }

    fn watch_written(&mut self, parts: &[io::IoSlice<'_>], mut count: usize) {
        self.allowance.sent(count);
        let mut data = 0;
        self.is_between_frames = count == parts.iter().map(|part| part.len()).sum::<usize>();
        for part in parts {
            let taken = count.min(part.len());
            self.written.walk(&part[..taken], |frame| data += frame.data());
            count -= taken;
        }
        self.passed.data_written.set(self.passed.data_written.get() + data);
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        if this.first.is_empty() {
            std::task::ready!(Pin::new(&mut *this.stream.borrow_mut()).poll_read(cx, into))?;
        } else {
            let count = this.first.len().min(into.remaining());
            into.put_slice(&this.first[..count]);
            this.first.advance(count);
        }
        Poll::Ready(this.watch_read(cx, &into.filled()[before..]))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = std::task::ready!(Pin::new(&mut *this.stream.borrow_mut()).poll_write(cx, from))?;
        this.watch_written(&[io::IoSlice::new(from)], count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count =
            std::task::ready!(Pin::new(&mut *this.stream.borrow_mut()).poll_write_vectored(cx, from))?;
        this.watch_written(from, count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream.borrow_mut()).poll_shutdown(cx)
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct FrameHeader {
    length: u32,
    kind: u8,
    flags: u8,
}

impl FrameHeader {
    /// Bytes of data that the frame carries.
    pub(in crate::server) fn data(self) -> u64 {
        if self.kind == DATA { self.length.into() } else { 0 }
    }
}

/// Finds the frames' headers in a run of bytes, however it is cut.
#[derive(Debug)]
pub(in crate::server) struct Headers {
    header: [u8; 9],
    have: usize,
    /// Bytes before the next header.
    skip: usize,
}

impl Headers {
    /// Begins behind so many bytes of something else.
    pub(in crate::server) fn after(skip: usize) -> Self {
        Self { header: [0; 9], have: 0, skip }
    }

    /// Whether the next byte is the first of a frame.
    pub(in crate::server) fn is_between(&self) -> bool {
        self.have == 0 && self.skip == 0
    }

    pub(in crate::server) fn walk(&mut self, mut bytes: &[u8], mut found: impl FnMut(FrameHeader)) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (self.header.len() - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == self.header.len() {
                let [a, b, c, kind, flags, ..] = self.header;
                let length = u32::from_be_bytes([0, a, b, c]);
                (self.have, self.skip) = (0, length as usize);
                found(FrameHeader { length, kind, flags });
            }
        }
    }
}

/// How many frames a client may send that carry nothing forward.
#[derive(Debug)]
struct Allowance {
    most: i64,
    spent: i64,
    bytes_sent: usize,
    window_began: Option<Instant>,
}

impl Allowance {
    fn new(idle_frames: u32) -> Self {
        Self { most: idle_frames.into(), spent: 0, bytes_sent: 0, window_began: None }
    }

    fn came(&mut self, frame: FrameHeader) {
        let is_last = frame.flags & END_STREAM != 0;
        self.spent += match frame.kind {
            HEADERS => -1,
            DATA if frame.length > 0 => -1,
            DATA if is_last => 0,
            // A stream that is opened and reset at once has cost work, and gained nothing.
            RST_STREAM => 2,
            _ => 1,
        };
        self.spent = self.spent.max(0);
    }

    /// What we send keeps a client busy with updates of windows, and with measuring the way.
    fn sent(&mut self, bytes: usize) {
        self.bytes_sent += bytes;
        let updates = self.bytes_sent / BYTES_PER_UPDATE;
        self.bytes_sent %= BYTES_PER_UPDATE;
        self.spent = (self.spent - i64::try_from(updates).unwrap_or(i64::MAX)).max(0);
    }

    /// Whether the client keeps to it. A clock is read only when it does not seem so.
    fn is_kept(&mut self) -> bool {
        if self.spent <= self.most / 2 {
            return true;
        }
        let began = *self.window_began.get_or_insert_with(Instant::now);
        if self.spent <= self.most {
            return true;
        }
        if began.elapsed() < WINDOW {
            return false;
        }
        (self.spent, self.window_began) = (0, None);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let [.., a, b, c] = (length as u32).to_be_bytes();
        let mut bytes = vec![a, b, c, kind, flags, 0, 0, 0, 1];
        bytes.resize(bytes.len() + length, 7);
        bytes
    }

    #[test]
    fn headers_are_found_however_the_bytes_are_cut() {
        let bytes =
            [PREFACE, &frame(4, 0, 12), &frame(1, 5, 30), &frame(0, 0, 0), &frame(0, 1, 300)].concat();
        for size in 1..bytes.len() {
            let (mut headers, mut found) = (Headers::after(PREFACE.len()), Vec::new());
            for part in bytes.chunks(size) {
                headers.walk(part, |frame| found.push((frame.kind, frame.flags, frame.length)));
            }
            assert_eq!(found, [(4, 0, 12), (1, 5, 30), (0, 0, 0), (0, 1, 300)], "{size}");
        }
    }

    #[test]
    fn frames_that_carry_nothing_are_counted() {
        for (kind, length, per_second) in
            [(6, 8, true), (4, 0, true), (3, 4, true), (0, 0, true), (0, 9, false), (1, 9, false)]
        {
            let mut allowance = Allowance::new(100);
            for _ in 0..200 {
                allowance.came(FrameHeader { length, kind, flags: 0 });
            }
            assert_eq!(!allowance.is_kept(), per_second, "{kind}");
        }
        let mut allowance = Allowance::new(100);
        for _ in 0..10_000 {
            allowance.sent(16 * 1024);
            allowance.came(FrameHeader { length: 4, kind: 8, flags: 0 });
            allowance.came(FrameHeader { length: 4, kind: 8, flags: 0 });
            assert!(allowance.is_kept(), "windows have to be opened again");
        }
    }

    #[test]
    fn streams_that_are_opened_and_reset_are_a_flood() {
        let mut allowance = Allowance::new(100);
        for _ in 0..150 {
            allowance.came(FrameHeader { length: 9, kind: HEADERS, flags: 0 });
            allowance.came(FrameHeader { length: 4, kind: RST_STREAM, flags: 0 });
        }
        assert!(!allowance.is_kept());
    }
}
