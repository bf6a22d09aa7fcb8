//! What is held of data that has come by a connection of HTTP/2 and that nobody has taken yet. hyper holds it, and tells
//! nobody how much; but it passes through our hands before and after. What came by a stream that was given up is never
//! taken: it counts until hyper opens the connection's window for it again, which it does when a third of the window is
//! due at the latest, or until no stream is open.

use std::cell::Cell;

use super::frames::FrameHeader;
use crate::server::worker::Charge;

/// What a connection's window is before anybody opens it further (RFC 9113, 6.9.2).
const FIRST_WINDOW: u64 = 65_535;

/// Data that has come and was not taken.
pub(in crate::server) struct Held {
    bytes: Cell<u64>,
    streams: Cell<usize>,
    window: u64,
    /// How much of the window is not open to the other side: more than that hyper cannot hold.
    shut: Cell<u64>,
    charge: Charge,
}

impl Held {
    /// `window` is what may come before any of it is taken.
    pub(in crate::server) fn new(window: u64, charge: Charge) -> Self {
        let shut = Cell::new(window.saturating_sub(FIRST_WINDOW));
        Self { bytes: Cell::new(0), streams: Cell::new(0), window, shut, charge }
    }

    /// Streams that are open.
    pub(in crate::server) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// A stream is opened.
    pub(in crate::server) fn begin(&self) {
        self.streams.set(self.streams.get() + 1);
    }

    /// A stream has ended.
    pub(in crate::server) fn end(&self) {
        self.streams.set(self.streams.get() - 1);
        if self.streams.get() == 0 {
            self.set(0);
        }
    }

    /// A frame of the other side's begins.
    pub(in crate::server) fn came(&self, frame: FrameHeader) {
        if frame.shuts() == 0 {
            return;
        }
        self.shut.set((self.shut.get() + frame.shuts()).min(self.window));
        // Without a stream it is dropped as it comes.
        if self.streams.get() > 0 {
            self.set(self.bytes.get() + frame.data());
        }
    }

    /// Somebody has taken data.
    pub(in crate::server) fn taken(&self, bytes: u64) {
        self.set(self.bytes.get().saturating_sub(bytes));
    }

    /// hyper has let go of data, whoever had it, and lets as much come again.
    pub(in crate::server) fn returned(&self, bytes: u64) {
        if bytes > 0 {
            self.shut.set(self.shut.get().saturating_sub(bytes));
            self.set(self.bytes.get());
        }
    }

    fn set(&self, bytes: u64) {
        let bytes = bytes.min(self.shut.get());
        self.bytes.set(bytes);
        self.charge.set(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
}
