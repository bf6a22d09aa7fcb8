//! One client connection: what is spoken on it, and its end.

use std::rc::Rc;

use bytes::BytesMut;
use portreeve_config::Alpn;

use super::entrance::{Accepted, Greeter};
use super::stream::{Socket, Stream};
use super::visit::{Ends, Visit};
use super::wire::Wire;
use super::worker::Worker;
use super::{h1, h2};
use crate::metrics::Refusal;
use crate::policy::headers::{ClientCertificate, Peer, Scheme};
use crate::tls::Facts;

/// Serves one connection to its end.
pub(super) async fn serve(worker: Rc<Worker>, accepted: Accepted) {
    let ends = Ends { client: accepted.peer, local: accepted.local() };
    let Accepted { socket, open, entrance, .. } = accepted;
    socket.set_nodelay();
    let address = ends.client.map(|client| client.ip());
    let Some(greeter) = &entrance.tls else {
        let visit = Rc::new(Visit::new(worker, Peer::new(address, Scheme::Http), ends, open));
        return h1::serve(visit, Wire::new(Stream::Plain(socket))).await;
    };
    // What a handshake needs is not held on to for as long as the connection lives.
    let Some((stream, facts)) = Box::pin(greet(&worker, greeter, socket)).await else {
        return worker.plane.stats.refused(Refusal::Handshake);
    };
    let mut peer = Peer::new(address, Scheme::Https);
    if let Some(client) = &facts.client {
        let names = &client.alternative_names;
        peer = peer.with_certificate(ClientCertificate::new(&client.subject, names, &client.fingerprint));
    }
    let speaks_h2 = facts.alpn == Some(Alpn::H2);
    let visit = Rc::new(Visit::new(worker, peer, ends, open).with_facts(facts));
    match speaks_h2 {
        true => Box::pin(h2::serve(visit, stream, BytesMut::new())).await,
        false => h1::serve(visit, Wire::new(stream)).await,
    }
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
