//! One client connection: what is spoken on it, and its end.

use std::net::IpAddr;
use std::rc::Rc;

use tokio::net::TcpStream;

use super::h1;
use super::stream::{Socket, Stream};
use super::visit::Visit;
use super::wire::Wire;
use super::worker::{OpenConnection, Worker};
use crate::policy::headers::Peer;

/// Serves one connection to its end.
pub(super) async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: IpAddr, open: OpenConnection) {
    let _ = stream.set_nodelay(true);
    let visit = Rc::new(Visit::new(worker, Peer::from(peer), open));
    h1::serve(visit, Wire::new(Stream::Plain(Socket::Tcp(stream)))).await;
}
