//! The listeners that are open and the workers that accept from them, and the one way both change: new ones come, those
//! that are gone go, and the others stay untouched; or, with a fault, nothing changes at all.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portreeve_config::{Fault, Faults, ListenAddress, ListenerConfig};
use tokio::sync::watch;

use super::accept::Opening;
use super::crew::{Crew, Member};
use super::entrance::{Entrance, Phase};
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
    state: Mutex<State>,
    /// TLS sessions go on at any listener that asks the same of clients.
    tickets: Tickets,
}

struct State {
    crew: Crew,
    open: Vec<Door>,
    /// Everything was let go of: nobody would wait for what is opened after that.
    is_closed: bool,
}

/// One listener that is open. Dropping it closes it; its connections come to an end.
struct Door {
    place: ListenAddress,
    /// How the place is written down; what a successor asks for.
    written: String,
    /// A second handle of each socket, for a successor.
    sockets: Vec<Listening>,
    /// Which socket which worker accepts from, by their numbers.
    taken: BTreeSet<(usize, usize)>,
    address: Address,
    entrance: watch::Sender<Arc<Entrance>>,
    /// Of a Unix socket.
    file: Option<SocketFile>,
}

/// A change of listeners that can be made: what could fail is done.
pub(crate) struct Change {
    /// The whole set, in the order of the configuration.
    next: Vec<Next>,
    workers: usize,
    recruits: Vec<Member>,
}

enum Next {
    /// One that is open already, by its place in the list of now, with its settings and the sockets that it gets.
    Kept(usize, Arc<Entrance>, Vec<Listening>),
    Opened(Door),
}

impl Doors {
    /// Why nothing changes any more.
    pub(crate) const CLOSED: &'static str = "the gateway is stopping";

    pub(super) fn new(crew: Crew) -> Self {
        let state = State { crew, open: Vec::new(), is_closed: false };
        Self { state: Mutex::new(state), tickets: Tickets::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is done under the lock cannot panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens what is new of `wanted`, and starts the workers that are missing. Nothing changes until [`Doors::make`]; of two changes that are prepared at one
    /// time only one may be made.
    ///
    /// # Errors
    /// Every fault, with the place of its listener in the configuration; [`Doors::CLOSED`] after [`Doors::release`].
    pub(crate) fn prepare(
        &self,
        wanted: &[Written],
        workers: usize,
        inherited: &mut Inherited,
    ) -> Result<Change, Vec<(String, ListenError)>> {
        let state = self.state();
        if state.is_closed {
            let closed = Faults::from(Fault::new("", Self::CLOSED));
            return Err(vec![(String::new(), closed.into())]);
        }
        let open = &state.open;
        let mut kept = vec![false; open.len()];
        let (mut next, mut faults) = (Vec::with_capacity(wanted.len()), Vec::new());
        for (written_at, settings) in wanted {
            let made: Result<ListenAddress, _> = settings.address.parse();
            let made = made.map_err(|fault| Faults::from(fault.under("address")).into());
            let made = made.and_then(|place| {
                match (0..open.len()).find(|at| !kept[*at] && open[*at].place == place) {
                    Some(at) => {
                        kept[at] = true;
                        let entrance = open[at].with(settings, &self.tickets)?;
                        Ok(Next::Kept(at, entrance, open[at].missing(workers)?))
                    }
                    None => {
                        let left = inherited.take(&settings.address);
                        Door::open(place, settings, (workers, &self.tickets), left).map(Next::Opened)
                    }
                }
            });
            match made {
                Ok(made) => next.push(made),
                Err(fault) => faults.push((written_at.clone(), fault)),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let recruits = state.crew.recruit(workers).map_err(|fault| vec![("workers".to_owned(), fault)])?;
        Ok(Change { next, workers, recruits })
    }

    /// Makes a change.
    ///
    /// # Errors
    /// What a worker says that cannot accept from a new socket; the others do. [`Doors::CLOSED`] after
    /// [`Doors::release`]: nothing has changed then, and what was opened for the change closes with it.
    pub(crate) fn make(&self, change: Change) -> std::io::Result<()> {
        let mut state = self.state();
        if state.is_closed {
            return Err(std::io::Error::other(Self::CLOSED));
        }
        let State { crew, open, .. } = &mut *state;
        let mut before: Vec<Option<Door>> = open.drain(..).map(Some).collect();
        let (ready, outcomes) = std::sync::mpsc::channel();
        crew.settle(change.workers, change.recruits);
        for next in change.next {
            let mut door = match next {
                Next::Opened(door) => door,
                Next::Kept(at, entrance, more) => {
                    let Some(mut door) = before.get_mut(at).and_then(Option::take) else { continue };
                    door.entrance.send_replace(entrance);
                    door.sockets.extend(more);
                    door
                }
            };
            if let Err(fault) = door.spread(crew.members(), &ready) {
                // Whoever reads the outcomes holds the other end.
                let _ = ready.send(Err(fault));
            }
            open.push(door);
        }
        for gone in before.into_iter().flatten() {
            tracing::info!(address = %gone.address, "listener closed; its connections come to an end");
        }
        drop((ready, state));
        outcomes.into_iter().collect()
    }

    /// Whether it was let go of, so that nothing changes any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Where it listens, in the order of the configuration.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.state().open.iter().map(|door| door.address.clone()).collect()
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
        self.state().open.iter().map(handles).collect()
    }

    /// The process that left its sockets has ended its part: their files are this one's now.
    pub(crate) fn own_files(&self) {
        self.state().open.iter().filter_map(|door| door.file.as_ref()).for_each(SocketFile::own);
    }

    /// Lets go of all sockets and has the workers end: they take what waits in the sockets first, and once they have let
    /// go of them too nobody listens any more, nor ever again. Gives the workers, to wait for.
    pub(super) fn release(&self, phase: Phase) -> Vec<Member> {
        let mut state = self.state();
        state.is_closed = true;
        for door in &mut state.open {
            door.sockets.clear();
            let file = door.file.take();
            if phase == Phase::HandedOver
                && let Some(file) = file
            {
                file.leave();
            }
        }
        state.crew.tell(phase);
        state.crew.dismiss()
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
        let (entrance, taken) = (watch::Sender::new(Arc::new(entrance)), BTreeSet::new());
        Ok(Self { place, written, sockets, taken, address, entrance, file })
    }

    /// Sockets for workers that have none of their own yet, where each has one.
    fn missing(&self, workers: usize) -> Result<Vec<Listening>, ListenError> {
        match (&self.place, self.address.socket()) {
            (ListenAddress::Tcp(_), Some(bound)) => {
                let count = workers.saturating_sub(self.sockets.len());
                listener::more(bound, count).map_err(|source| ListenError::at(&self.written, source))
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Spreads the sockets over the workers, each to its own; those that belong to nobody go to all, so that what
    /// waits in the sockets of workers that have gone is taken too.
    fn spread(
        &mut self,
        workers: &[Member],
        ready: &std::sync::mpsc::Sender<std::io::Result<()>>,
    ) -> std::io::Result<()> {
        self.taken.retain(|(_, number)| workers.iter().any(|worker| worker.number == *number));
        for (at, socket) in self.sockets.iter().enumerate() {
            for (place, worker) in workers.iter().enumerate() {
                let is_its_own = at == place;
                let is_shared = at >= workers.len() || self.sockets.len() < workers.len();
                if (is_its_own || is_shared) && self.taken.insert((at, worker.number)) {
                    let (socket, entrance) = (socket.try_clone()?, self.entrance.subscribe());
                    worker.take(Opening { socket, entrance, ready: ready.clone() });
                }
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use portreeve_config::GatewayConfig;

    use super::*;
    use crate::gateway::plane_of;
    use crate::reload::Live;
    use crate::server::plain_listener;
    use crate::snapshot::Snapshot;

    #[test]
    fn what_was_let_go_of_never_opens_again() {
        for phase in [Phase::Stopping, Phase::HandedOver] {
            let plane = Arc::new(plane_of(&GatewayConfig::default(), 1, Arc::default(), None));
            let doors = Doors::new(Crew::new(&plane, &Live::new(Snapshot::empty(1))));
            let prepare = |count: usize| {
                let one = || ("listeners".to_owned(), plain_listener("127.0.0.1:0".to_owned()));
                let wanted: Vec<Written> = (0..count).map(|_| one()).collect();
                doors.prepare(&wanted, count, &mut Inherited::default())
            };
            doors.make(prepare(1).unwrap()).unwrap();
            let late = prepare(2).unwrap();
            assert!(!doors.is_closed());
            let threads = doors.release(phase);
            assert_eq!(threads.len(), 1);

            assert!(doors.is_closed());
            assert_eq!(doors.make(late).unwrap_err().to_string(), Doors::CLOSED);
            let faults = as_faults(prepare(2).err().unwrap());
            assert_eq!(faults.0, [Fault::new("", Doors::CLOSED)]);
            assert!(doors.release(phase).is_empty(), "nobody was taken on");
            let sockets = doors.handles().unwrap();
            assert!(sockets.iter().all(|(_, sockets)| sockets.is_empty()), "nothing was opened");
        }
    }
}
