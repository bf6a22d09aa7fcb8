//! What two gateways say to each other at a handover: lines of JSON, and between them descriptors. Strict and
//! bounded, although the other side is the same user.

use std::io::{self, BufRead, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Changes whenever a process of before could not be understood.
const PROTOCOL: u32 = 1;
/// Descriptors in one message; the kernel takes 253.
const BATCH: usize = 64;
/// Descriptors in all: far more than listeners times workers.
const MOST: usize = 65_536;
/// The longest line.
const MAX_LINE: u64 = 1 << 20;

/// A successor's first word.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) protocol: u32,
    pub(super) version: String,
    pub(super) pid: u32,
}

impl Hello {
    pub(super) fn own() -> Self {
        Self { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id() }
    }

    /// Why a process that says this cannot be a successor.
    pub(super) fn misfit(&self) -> Option<String> {
        (self.protocol != PROTOCOL).then(|| {
            let Hello { protocol, version, .. } = self;
            let own = env!("CARGO_PKG_VERSION");
            format!(
                "version {version} speaks form {protocol} of the handover, this gateway ({own}) form {PROTOCOL}; \
                 stop it and start the new one instead"
            )
        })
    }
}

/// What it is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// So many descriptors for each place follow.
    Sockets(Vec<(String, usize)>),
    Refused(String),
}

/// The end of a handover.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ready {
    /// The successor serves.
    Serving,
    /// The one before comes to its end.
    Ending,
}

/// One side of a conversation. Blocks, for as long as its patience lasts.
#[derive(Debug)]
pub(super) struct Wire<S>(S);

impl Wire<UnixStream> {
    pub(super) fn new(stream: UnixStream, patience: Duration) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self(stream))
    }

    pub(super) fn say(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.0.write_all(&line)
    }

    /// The next line. Not a byte after it is read: descriptors come with those.
    pub(super) fn hear<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let mut line = Vec::new();
        let mut one_by_one = io::BufReader::with_capacity(1, &mut self.0).take(MAX_LINE);
        one_by_one.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other process left"));
        }
        Ok(serde_json::from_slice(&line)?)
    }

    pub(super) fn send(&mut self, descriptors: &[OwnedFd]) -> io::Result<()> {
        for batch in descriptors.chunks(BATCH) {
            let borrowed: Vec<_> = batch.iter().map(AsFd::as_fd).collect();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            rustix::net::sendmsg(&self.0, &[IoSlice::new(b"#")], &mut control, SendFlags::NOSIGNAL)?;
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, count: usize) -> io::Result<Vec<OwnedFd>> {
        let short = || io::Error::new(io::ErrorKind::InvalidData, "fewer sockets came than were announced");
        if count > MOST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more sockets than there can be"));
        }
        let mut descriptors = Vec::with_capacity(count);
        while descriptors.len() < count {
            let before = descriptors.len();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            let flags = RecvFlags::CMSG_CLOEXEC;
            rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(batch) = message {
                    descriptors.extend(batch);
                }
            }
            if descriptors.len() == before {
                return Err(short());
            }
        }
        if descriptors.len() == count { Ok(descriptors) } else { Err(short()) }
    }
}

/// The other process is of the same user, or of the one who may do everything.
pub(super) fn is_trusted(stream: impl AsFd) -> io::Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?.uid;
    match peer == rustix::process::geteuid() || peer.is_root() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::PermissionDenied, "the other process is another user's")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::TcpListener;

    use super::*;

    fn pair() -> (Wire<UnixStream>, Wire<UnixStream>) {
        let (one, other) = UnixStream::pair().unwrap();
        is_trusted(&one).unwrap();
        let wire = |stream| Wire::new(stream, Duration::from_secs(20)).unwrap();
        (wire(one), wire(other))
    }

    #[test]
    fn descriptors_come_between_lines_whole_and_in_order() {
        let (mut giver, mut taker) = pair();
        let sockets: Vec<TcpListener> = (0..100).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        giver.say(&Answer::Sockets(vec![("a".into(), 99), ("b".into(), 1)])).unwrap();
        let mut handles: Vec<OwnedFd> = sockets.into_iter().map(OwnedFd::from).collect();
        let last = handles.split_off(99);
        giver.send(&handles).unwrap();
        giver.send(&last).unwrap();
        giver.say(&Ready::Ending).unwrap();
        drop((handles, last));

        let Answer::Sockets(counts) = taker.hear().unwrap() else { unreachable!() };
        let given: Vec<OwnedFd> =
            counts.iter().flat_map(|(_, count)| taker.receive(*count).unwrap()).collect();
        let given: Vec<_> =
            given.into_iter().map(|one| TcpListener::from(one).local_addr().unwrap()).collect();
        assert_eq!(given, ports);
        assert_eq!(taker.hear::<Ready>().unwrap(), Ready::Ending);
    }

    #[test]
    fn what_does_not_fit_is_told_and_never_waited_for() {
        let (mut giver, mut taker) = pair();
        giver.say(&"no sockets here").unwrap();
        assert!(taker.hear::<Answer>().is_err());
        drop(giver);
        assert_eq!(taker.hear::<Ready>().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(taker.receive(1).is_err() && taker.receive(MOST + 1).is_err());

        assert_eq!(Hello::own().misfit(), None);
        let other = Hello { protocol: PROTOCOL + 1, version: "9.9.9".into(), pid: 1 };
        assert!(other.misfit().unwrap().contains("9.9.9"));
    }
}
