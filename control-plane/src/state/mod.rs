//! The one door to what the control plane knows: writes go through a single writer, in order, and are
//! answered once they are stored and published; reads see the last published state.

mod admission;
mod command;
mod draft;
mod expiry;
mod model;
mod replicas;
mod reports;
mod seed;
mod submission;
#[cfg(test)]
mod tests;
mod whole;
mod writer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use portreeve_config::SeedConfig;
use portreeve_config::wire::Revision;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::configuration::Standing;
use crate::history::Author;
use crate::publisher::{Publisher, Watcher};
use crate::registry::{Age, InstanceKey, Leases};
use crate::store::{LayerKey, Store, StoreError, Wake};

use replicas::Replicas;

pub(crate) use admission::{desired_state, excerpt};
pub(crate) use command::{Command, Precondition, Refusal, Written};
pub(crate) use expiry::expire_leases;
pub(crate) use model::{Catalog, Model};
pub(crate) use replicas::expire_orphans;
pub(crate) use reports::{report_nodes, report_of};
pub(crate) use submission::Submitted;

/// How long an instance outlives the stream its lease hung on: long enough for a node to reconnect, short
/// enough for a killed one to be out of rotation within a second.
pub(crate) const GRACE: Duration = Duration::from_millis(700);

/// Writes that may wait for the writer.
const WAITING_WRITES: usize = 4096;

/// A handle on the state; clones are the same state.
#[derive(Clone, Debug)]
pub(crate) struct State {
    writer: mpsc::Sender<writer::Work>,
    shared: Arc<Shared>,
}

/// What the writer and the readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    model: RwLock<Model>,
    leases: Mutex<Leases>,
    /// Taken after `leases`, where both are.
    replicas: Mutex<Replicas>,
    pub(crate) publisher: Publisher,
    /// Wakes the one who ends leases, because a deadline came closer.
    deadline_moved: Notify,
    /// Wakes those who wait for nodes of other replicas.
    reported: Notify,
}

impl State {
    /// Loads what `store` holds, or fills it from the (checked) `seed` if that is nothing, and starts the writer. Every
    /// stored instance gets a fresh lease: its node has that long to come back, here or at another replica.
    pub(crate) fn begin(mut store: impl Store + 'static, seed: SeedConfig) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::channel(WAITING_WRITES);
        let news = sender.downgrade();
        // A full queue needs no waking: the writer looks for news before each group.
        let wake = Wake::new(move || drop(news.upgrade().map(|news| news.try_send(writer::Work::News))));
        let mut replicas = Replicas::new(store.share(wake));
        let model = restore(&mut store, seed)?;
        let mut leases = Leases::default();
        let now = Instant::now();
        for instance in model.registry.all() {
            let (key, length) = (instance.key(), Duration::from_millis(instance.lease_ms.into()));
            match replicas.is_shared() {
                true => replicas.doubt(key, now + length),
                false => leases.grant(key, length, None, now),
            }
        }
        let shared = Arc::new(Shared {
            publisher: Publisher::new(model.revision),
            model: RwLock::new(model),
            leases: Mutex::new(leases),
            replicas: Mutex::new(replicas),
            deadline_moved: Notify::new(),
            reported: Notify::new(),
        });
        writer::start(receiver, Box::new(store), shared.clone());
        Ok(Self { writer: sender, shared })
    }

    /// Carries out a write that nobody in particular asked for. On return it is stored and published; gives the revision it is part of.
    pub(crate) async fn write(&self, command: Command) -> Result<Revision, Refusal> {
        let author = Author::new("control-plane", "");
        self.write_by(author, command, false).await.map(|written| written.revision)
    }

    /// Carries a write out as [`State::write`] does, in the name of `author`; a dry run does nothing.
    pub(crate) async fn write_by(
        &self,
        author: Author,
        command: Command,
        dry_run: bool,
    ) -> Result<Written, Refusal> {
        let (work, answered) = writer::Work::write(author, command, dry_run);
        self.writer.send(work).await.map_err(|_| Refusal::Stopping)?;
        answered.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// Ends the writer once it has done what it was asked before, and closes the store.
    pub(crate) async fn end(&self) {
        let (done, ended) = oneshot::channel();
        if self.writer.send(writer::Work::End(done)).await.is_ok() {
            let _ = ended.await;
        }
    }

    /// Looks at the model. Nothing is published meanwhile, so keep it short.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Model) -> T) -> T {
        look(&self.shared.model.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there is a service of this name, or configuration for one.
    pub(crate) fn knows_application(&self, name: &str) -> bool {
        self.read(|model| {
            let of_it = |layer: &LayerKey| layer.application == name;
            model.catalog.services.contains(name) || model.catalog.layers.keys().any(of_it)
        })
    }

    /// Whether there may be other control planes with the same store.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.replicas().is_shared()
    }

    /// Puts sources of configuration in force and tells sidecars what that changes for them.
    pub(crate) fn stand(&self, standing: Standing) {
        let mut model = self.shared.model.write().unwrap_or_else(PoisonError::into_inner);
        model.standing = Arc::new(standing);
        self.shared.publisher.publish_config(&model);
    }

    pub(crate) fn publisher(&self) -> &Publisher {
        &self.shared.publisher
    }

    /// A sign of life for one instance; `stream` is the stream it came by. False when it is not registered.
    pub(crate) fn renew(&self, key: &InstanceKey, stream: Option<u64>) -> bool {
        self.renew_named(&key.service, &key.id, stream)
    }

    /// A sign of life for all instances that hang on a stream. False when one of them is not registered.
    pub(crate) fn renew_held<'a>(
        &self,
        mut keys: impl Iterator<Item = &'a InstanceKey>,
        stream: u64,
    ) -> bool {
        let (mut leases, now) = (self.shared.leases(), Instant::now());
        keys.all(|key| leases.renew(&key.service, &key.id, Some(stream), now))
    }

    /// As [`State::renew`], for whoever has the two names only.
    pub(crate) fn renew_named(&self, service: &str, id: &str, stream: Option<u64>) -> bool {
        let renewed = self.shared.leases().renew(service, id, stream, Instant::now());
        renewed || (stream.is_none() && self.shared.adopt(service, id))
    }

    /// How long an instance has been silent, and is still believed without a sign of life.
    pub(crate) fn lease_age(&self, key: &InstanceKey) -> Option<Age> {
        self.shared.leases().age(key, Instant::now())
    }

    /// A stream has ended: what was registered on it gets only the grace, unless a newer stream of the same
    /// node is there.
    pub(crate) fn stream_ended(&self, watcher: &Watcher, keys: &[InstanceKey]) {
        if !self.shared.publisher.leave(watcher) {
            return;
        }
        let now = Instant::now();
        let mut leases = self.shared.leases();
        for key in keys {
            leases.release(key, watcher.stream, GRACE, now);
        }
        drop(leases);
        self.shared.deadline_moved.notify_one();
    }
}

fn restore(store: &mut impl Store, seed: SeedConfig) -> Result<Model, StoreError> {
    let mut model = Model::restore(store.load()?);
    if model.revision == 0 {
        match seed::fill(&mut model, store, seed) {
            // Another replica was first; what it wrote is what holds.
            Err(StoreError::Behind) => model = Model::restore(store.load()?),
            filled => filled?,
        }
    }
    Ok(model)
}

impl Shared {
    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replicas(&self) -> MutexGuard<'_, Replicas> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
