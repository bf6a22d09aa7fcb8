//! A listener's settings made ready: what is spoken there, who may name another client, how many may come in. And
//! what a connection is when it has come in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use portreeve_config::{Fault, Faults, ListenerConfig, Networks, Protocol, TlsConfig};

use super::passthrough::Forwards;
use super::stream::Socket;
use super::worker::OpenConnection;
use crate::address::Address;
use crate::snapshot::taken;
use crate::tls::{Acceptor, Tickets};

/// One listener as its connections see it.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// Where it listens, with the port that was given for port 0.
    pub(crate) address: Address,
    /// What clients speak.
    pub(crate) speaks: Speaks,
    /// Greets clients with TLS; plain text when absent.
    pub(super) tls: Option<Greeter>,
    /// Whose PROXY header is required; `None` when nobody's is.
    proxies: Option<Networks>,
    /// Connections at one time; no limit of its own when absent.
    pub(super) max_open: Option<usize>,
    /// The listener's number: no other of the process has it. Stays when the settings change.
    pub(super) number: u64,
    /// Connections that are open; goes on counting when the settings change.
    pub(super) open: Arc<AtomicUsize>,
}

/// TLS at a listener, and what it was made from.
#[derive(Clone, Debug)]
pub(crate) struct Greeter {
    settings: TlsConfig,
    pub(super) acceptor: Acceptor,
}

impl Greeter {
    /// Settings that did not change keep what they made, with the files it follows and the sessions it knows.
    fn compile(settings: &TlsConfig, before: Option<&Entrance>, tickets: &Tickets) -> Result<Self, Faults> {
        match before.and_then(|before| before.tls.as_ref()) {
            Some(same) if same.settings == *settings => Ok(same.clone()),
            _ => Ok(Self { settings: settings.clone(), acceptor: Acceptor::new(settings, tickets)? }),
        }
    }
}

/// What is spoken at a listener.
#[derive(Debug)]
pub(crate) enum Speaks {
    /// HTTP, in every version.
    Http,
    /// Anything: bytes are passed on.
    Tcp(Forwards),
}

impl Entrance {
    /// Makes settings ready. What counts the connections of the listener goes on from `before`.
    ///
    /// # Errors
    /// Every fault, with places that start at the listener.
    pub(super) fn compile(
        settings: &ListenerConfig,
        address: Address,
        before: Option<&Self>,
        tickets: &Tickets,
    ) -> Result<Self, Faults> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut faults = Faults::default();
        let proxies = settings.proxy_protocol.as_ref().map(|proxy| Networks::parse(&proxy.from));
        let proxies = taken(proxies.transpose(), "proxy_protocol.from", &mut faults).flatten();
        if settings.protocol == Protocol::Tcp && settings.tls.is_some() {
            let fault = Fault::new("tls", "bytes are passed on as they come, TLS included");
            faults.push(fault.hint("take `tls` away, or `protocol: tcp`"));
        }
        let speaks_tls = settings.tls.as_ref().filter(|_| settings.protocol == Protocol::Http);
        let tls = speaks_tls.map(|tls| Greeter::compile(tls, before, tickets));
        let tls = taken(tls.transpose(), "tls", &mut faults).flatten();
        let speaks = match settings.protocol {
            Protocol::Http => Speaks::Http,
            Protocol::Tcp => Speaks::Tcp(Forwards::compile(&settings.forward)),
        };
        let number = before.map_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed), |before| before.number);
        let open = before.map(|before| Arc::clone(&before.open)).unwrap_or_default();
        faults.into_result(Self {
            address,
            speaks,
            tls,
            proxies,
            max_open: settings.connections,
            number,
            open,
        })
    }

    /// Whether a connection from `peer` must begin with a PROXY header. A Unix socket's peers have no address: there
    /// the header is required of all, and the file's mode says who may come.
    pub(super) fn wants_header(&self, peer: Option<SocketAddr>) -> bool {
        let Some(proxies) = &self.proxies else { return false };
        peer.is_none_or(|peer| proxies.contains(peer.ip()))
    }
}

/// A connection that was let in.
pub(crate) struct Accepted {
    /// Its bytes, from the first after a PROXY header.
    pub(crate) socket: Socket,
    /// The client: the socket's peer, or whom a PROXY header names. `None` on a Unix socket.
    pub(crate) peer: Option<SocketAddr>,
    /// Where a PROXY header says that the client connected to.
    pub(crate) destination: Option<SocketAddr>,
    /// The listener it came in by, as it was at that moment.
    pub(crate) entrance: Arc<Entrance>,
    /// Its place among the open ones; tells it when to end.
    pub(super) open: OpenConnection,
}

impl Accepted {
    /// Where the client connected to, where that has an address.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.destination.or_else(|| self.socket.local_address())
    }
}

/// How far a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It takes connections.
    Serving,
    /// Others take them; what it has comes to its own end. Said of one worker.
    Relieved,
    /// It takes none any more and ends.
    Stopping,
    /// A successor has its listening sockets, and it ends.
    HandedOver,
}

/// How a connection should come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Idle connections are closed at once; requests in flight finish, and their answers say `Connection: close`.
    AtOnce,
    /// An idle connection waits for one more request, whose answer says `Connection: close`: whoever is about to send
    /// one loses nothing. Somebody else ends it when that takes too long.
    Patient,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn compiled(settings: serde_json::Value) -> Result<Entrance, Faults> {
        let address = SocketAddr::from(([127, 0, 0, 1], 80)).into();
        Entrance::compile(&serde_json::from_value(settings).unwrap(), address, None, &Tickets::new())
    }

    #[test]
    fn a_header_is_wanted_of_the_proxies_named_and_of_nobody_else() {
        let from = serde_json::json!(["10.0.0.0/8", "::1", "192.168.0.7"]);
        let entrance =
            compiled(serde_json::json!({"address": "127.0.0.1:80", "proxy_protocol": {"from": from}}))
                .unwrap();
        for (peer, wanted) in [
            ("10.200.0.1:5", true),
            ("[::ffff:10.0.0.1]:5", true),
            ("[::1]:5", true),
            ("192.168.0.7:5", true),
            ("192.168.0.8:5", false),
            ("11.0.0.1:5", false),
            ("[::2]:5", false),
        ] {
            assert_eq!(entrance.wants_header(Some(peer.parse().unwrap())), wanted, "{peer}");
        }
        assert!(entrance.wants_header(None), "a Unix socket's peer has no address to tell it by");
        let open = compiled(serde_json::json!({"address": "127.0.0.1:80"})).unwrap();
        assert!(!open.wants_header(None));
    }

    #[test]
    fn all_faults_are_told_with_their_place() {
        let settings = serde_json::json!({
            "address": "127.0.0.1:80",
            "protocol": "tcp",
            "tls": {"certificates": []},
            "proxy_protocol": {"from": ["10.0.0.0/33", "::1", "somebody"]},
        });
        let places: Vec<String> =
            compiled(settings).unwrap_err().0.into_iter().map(|fault| fault.path).collect();
        assert_eq!(places, ["proxy_protocol.from[0]", "proxy_protocol.from[2]", "tls"]);
    }
}
