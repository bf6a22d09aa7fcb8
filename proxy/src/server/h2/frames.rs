//! Watches the frames of an HTTP/2 connection as they pass, without understanding much more than their headers (RFC
//! 9113, 4.1): floods of frames that carry nothing forward and of resets are ended here, and it is known how much of
//! what was answered the client has taken.

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
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const PADDED: u8 = 8;
/// The length of a frame's header.
const HEADER: usize = 9;

/// What is known of a connection's frames.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// Bytes of DATA that were written to the client.
    pub(super) data_written: Cell<u64>,
    /// Bytes of answers that hyper has begun to write since it last had written all.
    pub(super) in_writing: Cell<usize>,
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
            held.came(frame);
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

    fn watch_written(&mut self, parts: &[io::IoSlice<'_>], count: usize) {
        let (allowance, held) = (&mut self.allowance, &self.held);
        allowance.sent(count);
        let mut data = 0;
        self.is_between_frames = count == parts.iter().map(|part| part.len()).sum::<usize>();
        self.written.walk_parts(parts, count, |frame| {
            data += frame.data();
            allowance.answered(frame);
            held.returned(frame.opens());
        });
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
        let this = self.get_mut();
        // hyper comes here when nothing of its own is left to write.
        this.passed.in_writing.set(0);
        Pin::new(&mut *this.stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream.borrow_mut()).poll_shutdown(cx)
    }
}

/// A frame's header, and what is understood of the payload behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct FrameHeader {
    length: u32,
    kind: u8,
    flags: u8,
    /// Bytes of DATA that are padding, their length included.
    padding: u32,
    /// Bytes by which the connection's window is opened.
    opens: u32,
}

impl FrameHeader {
    /// Bytes of data that the frame carries.
    pub(in crate::server) fn data(self) -> u64 {
        if self.kind == DATA { self.length.saturating_sub(self.padding).into() } else { 0 }
    }

    /// Bytes by which it shuts the connection's window: with DATA its padding counts (RFC 9113, 6.9.1).
    pub(in crate::server) fn shuts(self) -> u64 {
        if self.kind == DATA { self.length.into() } else { 0 }
    }

    /// Bytes by which it opens the connection's window.
    pub(in crate::server) fn opens(self) -> u64 {
        self.opens.into()
    }

    /// Whether it is the last one of a message.
    fn is_last(self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// Finds the frames' headers in a run of bytes, however it is cut.
#[derive(Debug)]
pub(in crate::server) struct Headers {
    /// With what is understood of the payload behind it.
    header: [u8; HEADER + 4],
    have: usize,
    /// Bytes before the next header.
    skip: usize,
}

impl Headers {
    /// Begins behind so many bytes of something else.
    pub(in crate::server) fn after(skip: usize) -> Self {
        Self { header: [0; HEADER + 4], have: 0, skip }
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
            let taken = (self.wanted() - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == self.wanted() {
                let frame = self.whole();
                (self.have, self.skip) = (0, HEADER + frame.length as usize - self.have);
                found(frame);
            }
        }
    }

    /// The same for `count` bytes of several runs.
    pub(in crate::server) fn walk_parts(
        &mut self,
        parts: &[io::IoSlice<'_>],
        mut count: usize,
        mut found: impl FnMut(FrameHeader),
    ) {
        for part in parts {
            let taken = count.min(part.len());
            self.walk(&part[..taken], &mut found);
            count -= taken;
        }
    }

    /// How many bytes of a frame are understood, as far as that is known.
    fn wanted(&self) -> usize {
        let payload: usize = match (self.have >= HEADER).then_some((self.header[3], self.header[4])) {
            Some((DATA, flags)) if flags & PADDED != 0 => 1,
            Some((WINDOW_UPDATE, _)) => 4,
            _ => 0,
        };
        HEADER + payload.min(self.length() as usize)
    }

    fn length(&self) -> u32 {
        let [a, b, c, ..] = self.header;
        u32::from_be_bytes([0, a, b, c])
    }

    /// What is understood of a frame, once it is there.
    fn whole(&self) -> FrameHeader {
        let [_, _, _, kind, flags, stream @ .., a, b, c, d] = self.header;
        let is_padded = kind == DATA && flags & PADDED != 0;
        let padding = if is_padded { 1 + u32::from(a) } else { 0 };
        let opens_all = kind == WINDOW_UPDATE && stream == [0; 4];
        let opens = if opens_all { u32::from_be_bytes([a, b, c, d]) } else { 0 };
        FrameHeader { length: self.length(), kind, flags, padding, opens }
    }
}

/// How many frames a client may send that carry nothing forward, and how many streams it may reset.
#[derive(Debug)]
struct Allowance {
    idle: Budget,
    resets: Budget,
    bytes_sent: usize,
}

impl Allowance {
    fn new(idle_frames: u32) -> Self {
        Self { idle: Budget::new(idle_frames), resets: Budget::new(idle_frames), bytes_sent: 0 }
    }

    fn came(&mut self, frame: FrameHeader) {
        self.idle.spend(match frame.kind {
            HEADERS => -1,
            DATA if frame.data() > 0 => -1,
            DATA if frame.is_last() => 0,
            _ => 1,
        });
        if frame.kind == RST_STREAM {
            self.resets.spend(1);
        }
    }

    /// A stream that is opened and reset has cost work, and what the client sent by it cost the client nothing: only an
    /// answer that was given makes up for one.
    fn answered(&mut self, frame: FrameHeader) {
        if frame.is_last() {
            self.resets.spend(-1);
        }
    }

    /// What we send keeps a client busy with updates of windows, and with measuring the way.
    fn sent(&mut self, bytes: usize) {
        self.bytes_sent += bytes;
        let updates = self.bytes_sent / BYTES_PER_UPDATE;
        self.bytes_sent %= BYTES_PER_UPDATE;
        self.idle.spend(-i64::try_from(updates).unwrap_or(i64::MAX));
    }

    /// Whether the client keeps to it.
    fn is_kept(&mut self) -> bool {
        self.idle.is_kept() && self.resets.is_kept()
    }
}

/// What may be spent in [`WINDOW`].
#[derive(Debug)]
struct Budget {
    most: i64,
    spent: i64,
    window_began: Option<Instant>,
}

impl Budget {
    fn new(most: u32) -> Self {
        Self { most: most.into(), spent: 0, window_began: None }
    }

    fn spend(&mut self, units: i64) {
        self.spent = (self.spent + units).max(0);
    }

    /// A clock is read only when it seems to be exceeded.
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
    fn padding_and_windows_are_read_however_the_bytes_are_cut() {
        let mut of_connection = frame(WINDOW_UPDATE, 0, 4);
        of_connection[5..].copy_from_slice(&[0, 0, 0, 0, 0, 1, 0, 2]);
        let bytes = [
            // Seven bytes of padding and one for their length; nothing but padding; more of it than there is.
            frame(DATA, PADDED, 20),
            frame(DATA, PADDED, 8),
            frame(DATA, PADDED, 3),
            frame(DATA, PADDED, 0),
            frame(DATA, 0, 5),
            of_connection,
            frame(WINDOW_UPDATE, 0, 4),
            frame(HEADERS, PADDED, 9),
        ];
        let bytes = bytes.concat();
        for size in 1..bytes.len() {
            let (mut headers, mut found) = (Headers::after(0), Vec::new());
            for part in bytes.chunks(size) {
                headers.walk(part, |frame| found.push((frame.data(), frame.shuts(), frame.opens())));
            }
            let data = [(12, 20, 0), (0, 8, 0), (0, 3, 0), (0, 0, 0), (5, 5, 0)];
            assert_eq!(found[..5], data, "{size}");
            assert_eq!(found[5..], [(0, 0, 65_538), (0, 0, 0), (0, 0, 0)], "{size}");
            assert!(headers.is_between());
        }
        let (parts, mut found) = ([io::IoSlice::new(&bytes[..15]), io::IoSlice::new(&bytes[15..])], 0);
        let mut headers = Headers::after(0);
        headers.walk_parts(&parts, 35, |_| found += 1);
        assert_eq!(found, 1, "the second header is not there");
    }

    #[test]
    fn frames_that_carry_nothing_are_counted() {
        for (kind, length, per_second) in
            [(6, 8, true), (4, 0, true), (3, 4, true), (0, 0, true), (0, 9, false), (1, 9, false)]
        {
            let mut allowance = Allowance::new(100);
            for _ in 0..200 {
                allowance.came(FrameHeader { length, kind, ..FrameHeader::default() });
            }
            assert_eq!(!allowance.is_kept(), per_second, "{kind}");
        }
        let mut allowance = Allowance::new(100);
        for _ in 0..10_000 {
            allowance.sent(16 * 1024);
            let update = FrameHeader { length: 4, kind: WINDOW_UPDATE, ..FrameHeader::default() };
            allowance.came(update);
            allowance.came(update);
            assert!(allowance.is_kept(), "windows have to be opened again");
        }
    }

    #[test]
    fn streams_that_are_opened_and_reset_are_a_flood() {
        let frame = |kind, flags| FrameHeader { length: 4, kind, flags, ..FrameHeader::default() };
        for data in [0, 1, 5] {
            let mut allowance = Allowance::new(100);
            for _ in 0..150 {
                allowance.came(frame(HEADERS, 0));
                (0..data).for_each(|_| allowance.came(frame(DATA, 0)));
                allowance.came(frame(RST_STREAM, 0));
            }
            assert!(!allowance.is_kept(), "with {data} frames of data");
        }
        let mut allowance = Allowance::new(100);
        for _ in 0..10_000 {
            allowance.came(frame(HEADERS, END_STREAM));
            allowance.answered(frame(HEADERS, 0));
            allowance.answered(frame(DATA, END_STREAM));
            allowance.came(frame(HEADERS, END_STREAM));
            allowance.came(frame(RST_STREAM, 0));
            assert!(allowance.is_kept(), "as many were answered");
        }
    }
}
