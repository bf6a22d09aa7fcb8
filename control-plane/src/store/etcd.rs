//! The store in etcd, which any number of control planes share. A commit replaces the head only where this process has
//! seen all that was before it; what others do comes from a watch, in order.

mod client;
mod database;
mod follower;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
mod inbox;
mod layout;
mod messages;
mod pieces;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use portreeve_config::EtcdConfig;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

use self::client::Client;
use self::database::{Database, Outcome, Step};
use self::follower::{Follower, Sharing};
use self::inbox::Inbox;
use self::layout::{Head, Keys};
use super::{Claims, Commit, Contents, News, Store, StoreError, Wake, contents};

/// How long etcd may be away when the control plane starts.
const START_WITHIN: Duration = Duration::from_secs(10);
/// How long a commit waits while the watch is out of touch only since a moment.
const IN_SYNC_WITHIN: Duration = Duration::from_secs(3);
/// How long what another replica wrote may take to arrive once it is known to be there.
const NEWS_WITHIN: Duration = Duration::from_secs(2);
/// How long a commit whose answer was lost is asked about.
const COMMIT_WITHIN: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(100);

/// What one process knows of the shared store.
pub(crate) struct EtcdStore {
    database: Database,
    runtime: Handle,
    /// The head on which the next commit is put.
    known: Step,
    inbox: Arc<Inbox>,
    /// From which revision of etcd on it is followed.
    follow_from: watch::Sender<i64>,
    sharing: watch::Sender<Option<Sharing>>,
    /// Ends the follower when it is dropped.
    alive: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EtcdStore {
    /// Prepares everything; etcd is called for the first time by [`Store::load`].
    pub(crate) fn open(config: &EtcdConfig) -> Result<Self, StoreError> {
        let failed = |fault: std::io::Error| StoreError::Away(format!("no thread can be made: {fault}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let id = format!("{:016x}", rand::random::<u64>());
        let client = Arc::new(Client::new(config)?);
        let database = Database { client, keys: Keys::new(&config.prefix), replica: id.into() };
        let inbox = Arc::new(Inbox::default());
        let (follow_from, from) = watch::channel(0);
        let (sharing, shared) = watch::channel(None);
        let (alive, end) = watch::channel(());
        let follower = Follower::new(database.clone(), inbox.clone(), from);
        let follow = move || runtime.block_on(follower.run(shared, end));
        let thread =
            thread::Builder::new().name("portreeve-etcd".to_owned()).spawn(follow).map_err(failed)?;
        Ok(Self {
            database,
            runtime: handle,
            known: Step::default(),
            inbox,
            follow_from,
            sharing,
            alive: Some(alive),
            thread: Some(thread),
        })
    }

    /// Makes what is kept what `contents` holds, in one revision that replicas follow. What is there is refused, unless
    /// `replace` is set.
    pub(crate) fn restore(&mut self, contents: &Contents, replace: bool) -> Result<(), StoreError> {
        let _claims = self.share(Wake::new(|| {}));
        let found = self.load()?;
        if found.revision > 0 && !replace {
            return Err(StoreError::Exists(format!("revision {} in etcd", found.revision)));
        }
        let keys = &self.database.keys;
        let wanted: BTreeSet<String> = contents.records().map(|record| keys.record(&record.value)).collect();
        let superfluous = found.records().filter(|record| !wanted.contains(&keys.record(&record.value)));
        let removed = superfluous.map(|record| record.value.removed());
        let records = removed.chain(contents.records().map(|record| record.value)).collect();
        let revision = contents.revision.max(found.revision + 1);
        self.commit(&[Commit { revision, records }])
    }

    fn load_once(&mut self) -> Result<Contents, StoreError> {
        let found = self.runtime.block_on(self.database.read_all())?;
        self.inbox.begin(found.claims);
        self.known = found.step;
        self.follow_from.send_replace(found.at + 1);
        Ok(found.contents)
    }

    fn put(&mut self, commits: &[Commit]) -> Result<(), StoreError> {
        let Some(last) = commits.last() else { return Ok(()) };
        let before = self.known.head.as_ref().map_or(0, |head| head.routes_revision);
        let routes_revision = contents::routes_revision(before, commits);
        let id = format!("{}-{:016x}", self.database.replica, rand::random::<u64>());
        let head = Head::new(id, last.revision, routes_revision);
        let deadline = Instant::now() + COMMIT_WITHIN;
        loop {
            match self.runtime.block_on(self.database.commit(&self.known, &head, commits)) {
                Ok(Outcome::Done(step)) => {
                    self.known = step;
                    return Ok(());
                }
                Ok(Outcome::Behind) => return self.behind(&head),
                // Whether it came to be is not known: the same again finds out, for it can be done only once.
                Err(StoreError::Away(_)) if Instant::now() < deadline => thread::sleep(PAUSE),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Another head is in place: either somebody was faster, or it is what this very commit has become.
    fn behind(&mut self, head: &Head) -> Result<(), StoreError> {
        match self.inbox.next_after(self.known.at, NEWS_WITHIN) {
            Some(step) if step.head.as_ref().is_some_and(|next| next.id == head.id) => {
                self.known = step;
                Ok(())
            }
            Some(_) => Err(StoreError::Behind),
            None => Err(StoreError::Away("what other replicas wrote does not arrive".to_owned())),
        }
    }

    /// Takes over the steps that have arrived. `Err` where one of them cannot be had any more.
    fn follow(&mut self) -> Result<Vec<Commit>, StoreError> {
        let mut commits = Vec::new();
        for step in self.inbox.steps() {
            if step.at <= self.known.at {
                continue;
            }
            let known = self.known.head.as_ref().map_or(0, |head| head.revision);
            if let Some(head) = step.head.as_ref().filter(|head| head.revision > known) {
                commits.extend(self.runtime.block_on(self.database.commits_of(head, step.at))?);
            }
            self.known = step.bare();
        }
        Ok(commits)
    }
}

impl Store for EtcdStore {
    fn load(&mut self) -> Result<Contents, StoreError> {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            match self.load_once() {
                Err(StoreError::Away(_)) if Instant::now() < deadline => thread::sleep(PAUSE),
                loaded => return loaded,
            }
        }
    }

    fn commit(&mut self, commits: &[Commit]) -> Result<(), StoreError> {
        self.inbox.wait_in_sync(IN_SYNC_WITHIN)?;
        if self.inbox.has_news(self.known.at) {
            return Err(StoreError::Behind);
        }
        self.put(commits)
    }

    fn news(&mut self) -> Result<News, StoreError> {
        let mut news = News::default();
        if !self.inbox.is_lost() {
            match self.follow() {
                Ok(commits) => news.commits = commits,
                Err(fault) => {
                    tracing::warn!(%fault, "a change cannot be followed; everything is loaded anew");
                    self.inbox.lose();
                }
            }
        }
        if self.inbox.is_lost() {
            news.commits.clear();
            news.contents = Some(self.load_once()?);
        }
        news.claims = self.inbox.claims();
        Ok(news)
    }

    fn share(&mut self, wake: Wake) -> Option<Claims> {
        let (claims, said, settled) = Claims::channel();
        self.sharing.send_replace(Some(Sharing::new(wake, said, settled)));
        Some(claims)
    }
}

impl Drop for EtcdStore {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(thread) = self.thread.take() {
            // It gives its lease back, within a limit of its own.
            let _ = thread.join();
        }
    }
}
