//! The worker threads: how many there are, how one is added, and how one goes without anybody's connection being cut
//! off.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};

use super::accept::{self, Opening};
use super::census::Census;
use super::entrance::Phase;
use super::listener::ListenError;
use super::worker;
use crate::plane::Plane;
use crate::reload::Live;

/// What workers are started from.
struct Post {
    plane: Arc<Plane>,
    live: Arc<Live>,
    census: Arc<Census>,
}

/// The threads of one server.
pub(super) struct Crew {
    post: Post,
    /// Those that accept connections.
    members: Vec<Member>,
    /// Those that only finish what they have.
    leaving: Vec<Member>,
}

/// One thread. Dropping it ends it as [`Phase::Stopping`] does.
pub(super) struct Member {
    /// Its place among the counters; of no other thread that runs.
    pub(super) number: usize,
    openings: UnboundedSender<Opening>,
    phase: watch::Sender<Phase>,
    thread: JoinHandle<()>,
    finished: oneshot::Receiver<()>,
}

impl Member {
    /// Has it accept connections from one more socket. One that has ended says so by closing its end, and is missed by
    /// whoever counts on it.
    pub(super) fn take(&self, opening: Opening) {
        let _ = self.openings.send(opening);
    }

    /// Waits until it has ended.
    pub(super) async fn end(self) {
        let _ = self.finished.await;
        // It has said that it is done: joining only reaps it.
        let _ = self.thread.join();
    }
}

impl Crew {
    pub(super) fn new(plane: &Arc<Plane>, live: &Arc<Live>) -> Self {
        let post = Post { plane: Arc::clone(plane), live: Arc::clone(live), census: Arc::default() };
        Self { post, members: Vec::new(), leaving: Vec::new() }
    }

    /// How many accept connections.
    pub(super) fn count(&self) -> usize {
        self.members.len()
    }

    /// Those that accept connections, in order.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Starts as many threads as are missing for `wanted`. They end when they are dropped before [`Crew::settle`].
    ///
    /// # Errors
    /// [`ListenError::Thread`].
    pub(super) fn recruit(&self, wanted: usize) -> Result<Vec<Member>, ListenError> {
        // A number is free when nobody counts under it any more.
        let still_run = self.leaving.iter().filter(|member| !member.thread.is_finished());
        let used: Vec<usize> = self.members.iter().chain(still_run).map(|member| member.number).collect();
        let free = (0..).filter(|number| !used.contains(number));
        free.take(wanted.saturating_sub(self.count())).map(|number| self.post.start(number)).collect()
    }

    /// Takes the new ones in, and lets go of those beyond `wanted`: they finish what they have, however long that takes.
    pub(super) fn settle(&mut self, wanted: usize, recruits: Vec<Member>) {
        self.members.extend(recruits);
        self.leaving.retain(|member| !member.thread.is_finished());
        for gone in self.members.drain(wanted.min(self.members.len())..) {
            // One that has ended by itself has nothing to hear.
            let _ = gone.phase.send(Phase::Relieved);
            self.leaving.push(gone);
        }
    }

    /// Tells all threads that the server ends.
    pub(super) fn tell(&self, phase: Phase) {
        for member in self.members.iter().chain(&self.leaving) {
            let _ = member.phase.send(phase);
        }
    }

    /// All threads, for whoever waits for their end.
    pub(super) fn dismiss(&mut self) -> Vec<Member> {
        self.members.drain(..).chain(self.leaving.drain(..)).collect()
    }
}

impl Post {
    fn start(&self, number: usize) -> Result<Member, ListenError> {
        let (openings, opened) = tokio::sync::mpsc::unbounded_channel();
        let (phase, told) = watch::channel(Phase::Serving);
        let ((done, finished), (ready, started)) = (oneshot::channel(), mpsc::channel());
        let seed = worker::Seed {
            number,
            plane: Arc::clone(&self.plane),
            live: Arc::clone(&self.live),
            census: Arc::clone(&self.census),
            openings: opened,
            phase: told,
            ready,
        };
        let thread = std::thread::Builder::new()
            .name(format!("{}-{number}", self.plane.role))
            .spawn(move || {
                accept::run(seed);
                let _ = done.send(());
            })
            .map_err(|source| ListenError::Thread { source })?;
        // A worker that could not begin would leave its share of the connections unanswered without a word.
        let ended = || Err(std::io::Error::other("it ended at once"));
        started.recv().unwrap_or_else(|_| ended()).map_err(|source| ListenError::Thread { source })?;
        Ok(Member { number, openings, phase, thread, finished })
    }
}
