//! One client connection: what is spoken on it, and its end.

use std::rc::Rc;

use bytes::BytesMut;
use portreeve_config::Alpn;

use super::entrance::{Accepted, Greeter};
use super::h1::Client;
use super::h2;
use super::stream::{Socket, Stream};
use super::visit::{Ends, Visit};
use super::wire::Wire;
use super::worker::Worker;
use crate::metrics::Refusal;
use crate::policy::headers::{ClientCertificate, Peer, Scheme};
use crate::tls::Facts;

/// Greets a client. Gives back what speaks HTTP/1; what speaks HTTP/2 is served to its end.
pub(super) async fn begin(worker: Rc<Worker>, accepted: Accepted) -> Option<(Rc<Visit>, Rc<Client>)> {
    let ends = Ends { client: accepted.peer, local: accepted.local() };
    let Accepted { socket, open, entrance, .. } = accepted;
    socket.set_nodelay();
    let address = ends.client.map(|client| client.ip());
    let Some(greeter) = &entrance.tls else {
        let visit = Rc::new(Visit::new(worker, Peer::new(address, Scheme::Http), ends, open));
        let client = Client::new(Wire::new(Stream::Plain(socket)), &visit);
        return Some((visit, Rc::new(client)));
    };
    let Some((stream, facts)) = greet(&worker, greeter, socket).await else {
        worker.plane.stats.refused(Refusal::Handshake);
        return None;
    };
    let mut peer = Peer::new(address, Scheme::Https);
    if let Some(client) = &facts.client {
        let names = &client.alternative_names;
        peer = peer.with_certificate(ClientCertificate::new(&client.subject, names, &client.fingerprint));
    }
    let speaks_h2 = facts.alpn == Some(Alpn::H2);
    let visit = Rc::new(Visit::new(worker, peer, ends, open).with_facts(facts));
    if speaks_h2 {
        Box::pin(h2::serve(visit, stream, BytesMut::new())).await;
        return None;
    }
    let client = Client::new(Wire::new(stream), &visit);
    Some((visit, Rc::new(client)))
}

/// The handshake, in the time that a head may take.
async fn greet(worker: &Worker, greeter: &Greeter, socket: Socket) -> Option<(Stream, Facts)> {
    let limit = worker.limits().header_timeout.get();
    match tokio::time::timeout(limit, greeter.acceptor.accept(socket)).await {
        Ok(Ok((stream, facts))) => Some((Stream::Tls(Box::new(stream)), facts)),
        Ok(Err(fault)) => {
            tracing::debug!(%fault, "no TLS with a client");
            None
        }
        Err(_) => None,
    }
}
