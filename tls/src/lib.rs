//! TLS in both directions: the one door to rustls. An [`Acceptor`] greets clients, a [`Connector`] greets instances;
//! both are made from settings and files, and say what is wrong with either before anything is served.

mod acceptor;
mod certificates;
mod connector;
mod fault;
mod files;
mod identity;
mod names;
mod tickets;
mod watch;

use std::sync::{Arc, LazyLock};

use portreeve_config::Alpn;
use rustls::crypto::CryptoProvider;

pub use acceptor::{Acceptor, Facts};
pub use connector::{Connector, trusting_the_public};
pub use fault::{AcceptFault, ConnectFault};
pub use identity::{AlternativeName, ClientIdentity, IdentityFault};
pub use tickets::Tickets;

/// The provider is named wherever rustls wants one: with two of them compiled in, rustls would panic at the first use.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

/// The name of a protocol on the wire (RFC 7301, 6; RFC 9113, 3.1).
fn wire_name(protocol: Alpn) -> &'static [u8] {
    match protocol {
        Alpn::H2 => b"h2",
        Alpn::Http11 => b"http/1.1",
    }
}

/// The other way round; `None` too for a protocol that is never offered here.
fn agreed(name: Option<&[u8]>) -> Option<Alpn> {
    [Alpn::H2, Alpn::Http11].into_iter().find(|protocol| name == Some(wire_name(*protocol)))
}

#[cfg(test)]
mod tests;
