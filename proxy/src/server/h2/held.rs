//! What is held of data that has come by a connection of HTTP/2 and that nobody has taken yet. hyper holds it, and tells
//! nobody how much; but it passes through our hands before and after. What came by a stream that was given up is never
//! taken: it counts until no stream is open, and never for more than the connection's window.

use std::cell::Cell;

use crate::server::worker::Charge;

/// Data that has come and was not taken.
pub(in crate::server) struct Held {
    bytes: Cell<u64>,
    streams: Cell<usize>,
    /// More than the connection's window cannot have come.
    window: u64,
    charge: Charge,
}

impl Held {
    /// `window` is what may come before any of it is taken.
    pub(in crate::server) fn new(window: u64, charge: Charge) -> Self {
        Self { bytes: Cell::new(0), streams: Cell::new(0), window, charge }
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

    /// A frame with data begins.
    pub(in crate::server) fn came(&self, bytes: u64) {
        // Without a stream it is dropped as it comes.
        if self.streams.get() > 0 {
            self.set((self.bytes.get() + bytes).min(self.window));
        }
    }

    /// Somebody has taken data.
    pub(in crate::server) fn taken(&self, bytes: u64) {
        self.set(self.bytes.get().saturating_sub(bytes));
    }

    fn set(&self, bytes: u64) {
        self.bytes.set(bytes);
        self.charge.set(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
}
