//! The listeners that are open, and the one way they change: new ones open, those that are gone close, and the others
//! stay untouched; or, with a fault, nothing changes at all.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portreeve_config::{Fault, Faults, ListenAddress, ListenerConfig};
use tokio::sync::{mpsc, watch};

use super::accept::Opening;
use super::entrance::Entrance;
use super::listener::{self, ListenError, Listening};
use super::unix::SocketFile;
use crate::address::Address;
use crate::tls::Tickets;

/// Listening sockets that an earlier process left, each list by the place it is for.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(String, Vec<OwnedFd>)>);

impl Inherited {
    /// Sockets by what [`Inherited::take`] asks for.
    pub fn new(sockets: Vec<(String, Vec<OwnedFd>)>) -> Self {
        Self(sockets)
    }

    /// The sockets of the first list for `place`; none when there is no such list.
    pub fn take(&mut self, place: &str) -> Vec<OwnedFd> {
        let found = self.0.iter().position(|(known, _)| known == place);
        found.map(|at| self.0.remove(at).1).unwrap_or_default()
    }
}

/// A listener's settings, and where in the configuration they are, for faults.
pub type Written = (String, ListenerConfig);

/// Everything a server listens at.
pub(crate) struct Doors {
    workers: Vec<mpsc::UnboundedSender<Opening>>,
    open: Mutex<Vec<Door>>,
    /// TLS sessions go on at any listener that asks the same of clients.
    tickets: Tickets,
}

/// One listener that is open. Dropping it closes it; its connections come to an end.
struct Door {
    place: ListenAddress,
    /// How the place is written down; what a successor asks for.
    written: String,
    /// A second handle of each socket, for a successor.
    sockets: Vec<Listening>,
    address: Address,
    entrance: watch::Sender<Arc<Entrance>>,
    /// Of a Unix socket.
    file: Option<SocketFile>,
}

/// A change of listeners that can be made: what could fail is done.
pub(crate) struct Change {
    /// The whole set, in the order of the configuration.
    next: Vec<Next>,
}

enum Next {
    /// One that is open already, by its place in the list of now, with its settings.
    Kept(usize, Arc<Entrance>),
    Opened(Door),
}

impl Doors {
    pub(super) fn new(workers: Vec<mpsc::UnboundedSender<Opening>>) -> Self {
        Self { workers, open: Mutex::default(), tickets: Tickets::new() }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Door>> {
        // What is done under the lock cannot panic half-way.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens what is new of `wanted`. Nothing changes until [`Doors::make`]; of two changes that are prepared at one
    /// time only one may be made.
    ///
    /// # Errors
    /// Every fault, with the place of its listener in the configuration.
    pub(crate) fn prepare(
        &self,
        wanted: &[Written],
        inherited: &mut Inherited,
    ) -> Result<Change, Vec<(String, ListenError)>> {
        let open = self.open();
        let mut kept = vec![false; open.len()];
        let (mut next, mut faults) = (Vec::with_capacity(wanted.len()), Vec::new());
        for (written_at, settings) in wanted {
            let made: Result<ListenAddress, _> = settings.address.parse();
            let made = made.map_err(|fault| Faults::from(fault.under("address")).into());
            let made = made.and_then(|place| {
                match (0..open.len()).find(|at| !kept[*at] && open[*at].place == place) {
                    Some(at) => {
                        kept[at] = true;
                        Ok(Next::Kept(at, open[at].with(settings, &self.tickets)?))
                    }
                    None => {
                        let left = inherited.take(&settings.address);
                        Door::open(place, settings, (self.workers.len(), &self.tickets), left)
                            .map(Next::Opened)
                    }
                }
            });
            match made {
                Ok(made) => next.push(made),
                Err(fault) => faults.push((written_at.clone(), fault)),
            }
        }
        if faults.is_empty() { Ok(Change { next }) } else { Err(faults) }
    }

    /// Makes a change.
    ///
    /// # Errors
    /// What a worker says that cannot accept from a new socket; the others do.
    pub(crate) fn make(&self, change: Change) -> std::io::Result<()> {
        let mut open = self.open();
        let mut before: Vec<Option<Door>> = open.drain(..).map(Some).collect();
        let (ready, outcomes) = std::sync::mpsc::channel();
        for next in change.next {
            match next {
                Next::Kept(at, entrance) => {
                    let Some(door) = before.get_mut(at).and_then(Option::take) else { continue };
                    door.entrance.send_replace(entrance);
                    open.push(door);
                }
                Next::Opened(door) => {
                    if let Err(fault) = self.begin(&door, &ready) {
                        // Whoever reads the outcomes holds the other end.
                        let _ = ready.send(Err(fault));
                    }
                    open.push(door);
                }
            }
        }
        for gone in before.into_iter().flatten() {
            tracing::info!(address = %gone.address, "listener closed; its connections come to an end");
        }
        drop((ready, open));
        outcomes.into_iter().collect()
    }

    /// Spreads a listener's sockets over the workers; one that there is only one of goes to all.
    fn begin(
        &self,
        door: &Door,
        ready: &std::sync::mpsc::Sender<std::io::Result<()>>,
    ) -> std::io::Result<()> {
        let count = door.sockets.len().max(self.workers.len());
        for number in 0..count {
            let socket = door.sockets[number % door.sockets.len()].try_clone()?;
            let entrance = door.entrance.subscribe();
            let opening = Opening { socket, entrance, ready: ready.clone() };
            // A worker that has ended says so by closing its end, and is missed by whoever counts on it.
            let _ = self.workers[number % self.workers.len()].send(opening);
        }
        Ok(())
    }

    /// Where it listens, in the order of the configuration.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.open().iter().map(|door| door.address.clone()).collect()
    }

    /// Handles of all sockets, by their place, for a successor.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub(crate) fn handles(&self) -> std::io::Result<Vec<(String, Vec<OwnedFd>)>> {
        let handles = |door: &Door| {
            let handles = door.sockets.iter().map(|socket| Ok(socket.try_clone()?.into_descriptor()));
            Ok((door.written.clone(), handles.collect::<std::io::Result<_>>()?))
        };
        self.open().iter().map(handles).collect()
    }

    /// The process that left its sockets has ended its part: their files are this one's now.
    pub(crate) fn own_files(&self) {
        self.open().iter().filter_map(|door| door.file.as_ref()).for_each(SocketFile::own);
    }

    /// Lets go of all sockets: once the workers have too, nobody listens any more.
    pub(super) fn release(&self, has_successor: bool) {
        for door in self.open().iter_mut() {
            door.sockets.clear();
            let file = door.file.take();
            if has_successor && let Some(file) = file {
                file.leave();
            }
        }
    }
}

impl Door {
    fn open(
        place: ListenAddress,
        settings: &ListenerConfig,
        (workers, tickets): (usize, &Tickets),
        left: Vec<OwnedFd>,
    ) -> Result<Self, ListenError> {
        let listeners = listener::open(&place, &settings.address, workers, left)?;
        let entrance = Entrance::compile(settings, listeners.address.clone(), None, tickets)?;
        let (address, sockets, file) = (listeners.address, listeners.sockets, listeners.file);
        let written = settings.address.clone();
        Ok(Self { place, written, sockets, address, entrance: watch::Sender::new(Arc::new(entrance)), file })
    }

    /// Its entrance with other settings.
    fn with(&self, settings: &ListenerConfig, tickets: &Tickets) -> Result<Arc<Entrance>, Faults> {
        let before = self.entrance.borrow();
        Entrance::compile(settings, self.address.clone(), Some(&before), tickets).map(Arc::new)
    }
}

/// Faults of listeners as those of a configuration.
pub(crate) fn as_faults(faults: Vec<(String, ListenError)>) -> Faults {
    let mut all = Faults::default();
    for (place, fault) in faults {
        match fault {
            ListenError::Settings(faults) => all.0.extend(faults.0.into_iter().map(|one| one.under(&place))),
            other => all.push(Fault::new(place, other.to_string())),
        }
    }
    all
}

/// The faults of the settings of all listeners, or else the first of those that come from outside.
pub(super) fn first_fault(mut faults: Vec<(String, ListenError)>) -> ListenError {
    let is_settings = |(_, fault): &(String, ListenError)| matches!(fault, ListenError::Settings(_));
    match faults.iter().position(|fault| !is_settings(fault)) {
        Some(at) if !faults.iter().any(is_settings) => faults.swap_remove(at).1,
        _ => {
            faults.retain(is_settings);
            as_faults(faults).into()
        }
    }
}
