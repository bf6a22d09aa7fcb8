//! The keys of session tickets. A ticket carries over what was found out about a client, so that keys are shared only
//! by listeners that ask clients the same: a session begun where no certificate is wanted never goes on where one is.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

use super::files::Digest;

/// What a listener asks of clients.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    /// No certificate.
    Nothing,
    /// A certificate, or none, that one of the authorities with this digest has signed.
    Optional(Digest),
    /// A certificate that one of the authorities with this digest has signed.
    Required(Digest),
}

/// The keys of session tickets for all listeners and workers of a gateway; clones are the same keys. They rotate every
/// six hours, and a ticket is good for twelve at most. Nothing is written down: a restart begins with new ones.
#[derive(Clone, Default)]
pub struct Tickets {
    by_asked: Arc<Mutex<HashMap<Asked, Weak<dyn ProducesTickets>>>>,
}

impl Tickets {
    /// No keys yet; they are made when a listener needs them.
    pub fn new() -> Self {
        Self::default()
    }

    /// The keys for listeners that ask this.
    pub(super) fn keys(&self, asked: Asked) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
        let mut by_asked = self.by_asked.lock().unwrap_or_else(PoisonError::into_inner);
        // Authorities change while the gateway runs; nobody can use the keys of former ones any more.
        by_asked.retain(|_, keys| keys.strong_count() > 0);
        if let Some(keys) = by_asked.get(&asked).and_then(Weak::upgrade) {
            return Ok(keys);
        }
        let keys = Ticketer::new()?;
        by_asked.insert(asked, Arc::downgrade(&keys));
        Ok(keys)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Tickets")
    }
}
