//! Who a lease hangs on, held once for all leases of a stream.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// The stream a lease hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The stream's number; a reconnected node has a new one.
    pub(crate) stream: u64,
    /// The node at its other end.
    pub(crate) node: Arc<str>,
}

/// Those that are in use, by stream.
#[derive(Debug, Default)]
pub(super) struct Holders {
    known: HashMap<u64, Weak<Holder>>,
    /// At how many the ones that are gone are swept out.
    sweep_at: usize,
}

impl Holders {
    /// The one there is of this stream, or this one.
    pub(super) fn share(&mut self, holder: Holder) -> Arc<Holder> {
        if let Some(known) = self.known.get(&holder.stream).and_then(Weak::upgrade)
            && *known == holder
        {
            return known;
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, holder| holder.strong_count() > 0);
            self.sweep_at = 2 * self.known.len() + 64;
        }
        let holder = Arc::new(holder);
        self.known.insert(holder.stream, Arc::downgrade(&holder));
        holder
    }
}
