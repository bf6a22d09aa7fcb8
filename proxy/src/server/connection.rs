//! One client connection: what is spoken on it, and its end.

use std::rc::Rc;

use super::entrance::Accepted;
use super::h1;
use super::stream::Stream;
use super::visit::Visit;
use super::wire::Wire;
use super::worker::Worker;
use crate::policy::headers::{Peer, Scheme};

/// Serves one connection to its end.
pub(super) async fn serve(worker: Rc<Worker>, accepted: Accepted) {
    let Accepted { socket, peer, open, .. } = accepted;
    socket.set_nodelay();
    let peer = Peer::new(peer.map(|peer| peer.ip()), Scheme::Http);
    let visit = Rc::new(Visit::new(worker, peer, open));
    h1::serve(visit, Wire::new(Stream::Plain(socket))).await;
}
