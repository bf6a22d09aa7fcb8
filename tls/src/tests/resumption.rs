//! Sessions go on with other workers and listeners, but never where clients are asked something else.

use std::sync::Arc;

use portreeve_config::{ClientAuthMode, TlsConfig};
use rustls::HandshakeKind::{Full, Resumed};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};

use super::material::{Authority, Folder, Leaf, asking, meet, settings};
use crate::{Acceptor, Tickets};

struct Listeners {
    authority: Authority,
    folder: Folder,
    own: Leaf,
    tickets: Tickets,
}

impl Listeners {
    fn new() -> Self {
        let authority = Authority::new();
        let own = authority.leaf(&["orders.internal"]);
        Self { authority, folder: Folder::new(), own, tickets: Tickets::new() }
    }

    fn plain(&self) -> TlsConfig {
        settings(vec![self.folder.pair("a", &self.authority.leaf(&["a.example"]))])
    }

    fn asking(&self, mode: ClientAuthMode) -> TlsConfig {
        asking(self.plain(), &self.folder.write("ca.crt", &self.authority.pem), mode)
    }

    fn acceptor(&self, config: &TlsConfig) -> Acceptor {
        Acceptor::new(config, &self.tickets).unwrap()
    }

    fn clients(&self) -> [Arc<ClientConfig>; 2] {
        [[&TLS12], [&TLS13]].map(|versions| Arc::new(self.authority.client_with(Some(&self.own), &versions)))
    }
}

/// Both sides' word for how the handshake went.
async fn kind(acceptor: &Acceptor, client: &Arc<ClientConfig>) -> HandshakeKind {
    let met = meet(acceptor, client, "a.example").await;
    let kind = met.client.unwrap().kind;
    assert_eq!(met.server.unwrap().resumed, kind == Resumed);
    kind
}

#[tokio::test]
async fn a_session_goes_on_with_a_clone_and_with_a_listener_that_asks_the_same() {
    let listeners = Listeners::new();
    let (first, second) = (listeners.acceptor(&listeners.plain()), listeners.acceptor(&listeners.plain()));
    for client in listeners.clients() {
        assert_eq!(kind(&first, &client).await, Full);
        assert_eq!(kind(&first.clone(), &client).await, Resumed);
        assert_eq!(kind(&second, &client).await, Resumed);
    }
    let elsewhere = Acceptor::new(&listeners.plain(), &Tickets::new()).unwrap();
    for client in listeners.clients() {
        assert_eq!(kind(&first, &client).await, Full);
        assert_eq!(kind(&elsewhere, &client).await, Full);
    }
}

#[tokio::test]
async fn a_session_never_goes_on_where_clients_are_asked_something_else() {
    let listeners = Listeners::new();
    let other = listeners.folder.write("other.crt", listeners.authority.pem.clone() + &Authority::new().pem);
    let acceptors = [
        listeners.plain(),
        listeners.asking(ClientAuthMode::Optional),
        listeners.asking(ClientAuthMode::Required),
        asking(listeners.plain(), &other, ClientAuthMode::Required),
    ]
    .map(|config| listeners.acceptor(&config));
    for (from, begun) in acceptors.iter().enumerate() {
        for (to, other) in acceptors.iter().enumerate() {
            for client in listeners.clients() {
                assert_eq!(kind(begun, &client).await, Full);
                let expected = if from == to { Resumed } else { Full };
                assert_eq!(kind(other, &client).await, expected, "from {from} to {to}");
            }
        }
    }
}

#[tokio::test]
async fn a_resumed_session_still_says_who_the_client_is() {
    let listeners = Listeners::new();
    let acceptor = listeners.acceptor(&listeners.asking(ClientAuthMode::Required));
    for client in listeners.clients() {
        let first = meet(&acceptor, &client, "a.example").await.server.unwrap();
        let second = meet(&acceptor, &client, "a.example").await.server.unwrap();
        assert_eq!((first.resumed, second.resumed), (false, true));
        assert!(first.client.is_some());
        assert_eq!(first.client, second.client);
    }
}

#[tokio::test]
async fn a_session_does_not_go_on_when_the_authorities_have_changed() {
    let listeners = Listeners::new();
    let acceptor = listeners.acceptor(&listeners.asking(ClientAuthMode::Required));
    let [_, client] = listeners.clients();
    assert_eq!(kind(&acceptor, &client).await, Full);
    assert_eq!(kind(&acceptor, &client).await, Resumed);
    listeners.folder.write("ca.crt", &Authority::new().pem);
    super::replacement::until(|| acceptor.version() == 2).await;
    let met = meet(&acceptor, &client, "a.example").await;
    assert_eq!(met.server.unwrap_err().word(), "certificate");
}
