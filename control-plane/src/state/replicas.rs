//! Where several control planes share a store: whom the others hear from, what they have written, and how long an
//! instance that nobody says to hear from is still believed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::draft::Draft;
use super::model::Model;
use super::{Command, Shared, State};
use crate::registry::{Holder, InstanceKey, Registered};
use crate::store::{ClaimNews, Claims, Commit, Contents, News, NodesReport, Record, ReplicaId};

/// How long an instance is believed after its replica is gone: its node needs a moment to reach another one.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);
/// How often it is looked whose time is over.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// An instance that could not be taken out is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// As in a group of writes: bounds the line that tells nodes of it.
const TOGETHER: usize = 256;
/// No stream has this number.
const ELSEWHERE: u64 = 0;

/// A replica that hears from an instance, and the node whose stream that is.
type Hearing = (ReplicaId, Option<Arc<str>>);

/// What is known of the other replicas. With an embedded store there are none, and all of this stays empty.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    claims: Option<Claims>,
    elsewhere: HashMap<InstanceKey, Vec<Hearing>>,
    /// Instances nobody hears from, and until when they are believed.
    orphans: HashMap<InstanceKey, Instant>,
    /// Those that are there, and what they said last of their nodes.
    pub(super) others: BTreeMap<ReplicaId, Option<Arc<NodesReport>>>,
}

impl Replicas {
    pub(super) fn new(claims: Option<Claims>) -> Self {
        Self { claims, ..Self::default() }
    }

    pub(super) fn is_shared(&self) -> bool {
        self.claims.is_some()
    }

    /// Says how far the nodes of this replica have followed.
    pub(super) fn report(&self, report: NodesReport) {
        self.claims.iter().for_each(|claims| claims.report(report.clone()));
    }

    /// This replica hears from the instance now.
    pub(super) fn hold(&mut self, key: &InstanceKey, node: Option<Arc<str>>) {
        if let Some(claims) = &self.claims {
            self.orphans.remove(key);
            claims.hold(key.clone(), node);
        }
    }

    /// It does no longer.
    pub(super) fn let_go(&mut self, key: &InstanceKey) {
        if let Some(claims) = &self.claims {
            self.orphans.remove(key);
            claims.let_go(key.clone());
        }
    }

    /// Nobody says to hear from the instance; it is believed until `until` unless somebody does.
    pub(super) fn doubt(&mut self, key: InstanceKey, until: Instant) {
        if !self.elsewhere.contains_key(&key) {
            self.orphans.entry(key).or_insert(until);
        }
    }

    /// Whether another replica hears from it, or may and could not say so yet.
    pub(super) fn may_be_elsewhere(&self, key: &InstanceKey) -> bool {
        self.elsewhere.contains_key(key) || self.claims.as_ref().is_some_and(|claims| !claims.is_settled())
    }

    /// Whose stream at another replica the instance hangs on.
    pub(super) fn holder(&self, key: &InstanceKey) -> Option<Holder> {
        let hearing = self.elsewhere.get(key)?;
        let node = hearing.iter().find_map(|(_, node)| node.clone())?;
        Some(Holder { stream: ELSEWHERE, node })
    }

    pub(super) fn is_orphan_over(&self, key: &InstanceKey, now: Instant) -> bool {
        self.orphans.get(key).is_some_and(|until| *until <= now)
    }

    /// Those whose time is over; each is given again later if it is still there.
    fn due(&mut self, now: Instant) -> Vec<InstanceKey> {
        if self.claims.as_ref().is_none_or(|claims| !claims.is_settled()) {
            return Vec::new();
        }
        let over = self.orphans.iter().filter(|(_, until)| **until <= now && **until + AGAIN > now);
        let over: Vec<_> = over.map(|(key, _)| key.clone()).collect();
        let late = self.orphans.values_mut().filter(|until| **until + AGAIN <= now);
        late.for_each(|until| *until = now);
        over
    }

    /// Notes what another replica says; gives the instances that nobody else speaks for any more.
    fn take(&mut self, news: ClaimNews) -> Vec<InstanceKey> {
        match news {
            ClaimNews::Held { replica, key, node } => {
                self.orphans.remove(&key);
                let hearing = self.elsewhere.entry(key).or_default();
                hearing.retain(|(other, _)| *other != replica);
                hearing.push((replica, node));
                Vec::new()
            }
            ClaimNews::Gone { replica, key } => {
                let Some(hearing) = self.elsewhere.get_mut(&key) else { return Vec::new() };
                hearing.retain(|(other, _)| *other != replica);
                if !hearing.is_empty() {
                    return Vec::new();
                }
                self.elsewhere.remove(&key);
                vec![key]
            }
            ClaimNews::Replica { replica, is_there: true } => {
                self.others.entry(replica).or_default();
                Vec::new()
            }
            ClaimNews::Replica { replica, is_there: false } => {
                self.others.remove(&replica);
                Vec::new()
            }
            ClaimNews::Nodes { replica, report } => {
                self.others.insert(replica, Some(report));
                Vec::new()
            }
            ClaimNews::Anew => {
                self.others.clear();
                std::mem::take(&mut self.elsewhere).into_keys().collect()
            }
        }
    }
}

impl Shared {
    /// Takes an instance over whose signs of life came to another replica so far. False when there is none, or this
    /// process is alone with its store.
    pub(super) fn adopt(&self, service: &str, id: &str) -> bool {
        if !self.replicas().is_shared() {
            return false;
        }
        let model = self.model.read().unwrap_or_else(PoisonError::into_inner);
        let key = InstanceKey::new(service, id);
        let Some(instance) = model.registry.get(&key) else { return false };
        let length = Duration::from_millis(instance.lease_ms.into());
        self.leases().grant(key.clone(), length, None, Instant::now());
        self.replicas().hold(&key, None);
        drop(model);
        self.deadline_moved.notify_one();
        true
    }

    /// Puts in force what other replicas have written and said.
    pub(super) fn take_news(&self, news: News) {
        if let Some(contents) = news.contents {
            self.replace(contents);
        }
        if !news.commits.is_empty() {
            self.follow(&news.commits);
        }
        if !news.claims.is_empty() {
            self.hear_of_others(news.claims);
        }
    }

    /// Lets go of instances that have been silent here for their whole lease while another replica hears from them.
    fn let_go_of_moved(&self) {
        let (mut leases, mut replicas) = (self.leases(), self.replicas());
        let now = Instant::now();
        let moved: Vec<_> =
            replicas.elsewhere.keys().filter(|key| leases.is_over(key, now)).cloned().collect();
        for key in moved {
            leases.forget(&key);
            replicas.let_go(&key);
        }
    }

    fn replace(&self, contents: Contents) {
        tracing::info!(revision = contents.revision, "everything was loaded anew from the store");
        let mut model = self.model.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = Model { standing: model.standing.clone(), ..Model::restore(contents) };
        let (mut leases, mut replicas) = (self.leases(), self.replicas());
        for key in model.registry.all().map(|instance| instance.key()) {
            if fresh.registry.get(&key).is_none() {
                leases.forget(&key);
                replicas.let_go(&key);
            }
        }
        let now = Instant::now();
        for instance in fresh.registry.all() {
            let key = instance.key();
            if leases.age(&key, now).is_none() {
                replicas.doubt(key, now + grace(instance));
            }
        }
        *model = fresh;
        self.publisher.publish_anew(&model);
    }

    fn follow(&self, commits: &[Commit]) {
        let mut model = self.model.write().unwrap_or_else(PoisonError::into_inner);
        let mut draft = Draft::of(&model, commits.len());
        for commit in commits {
            draft.revision = commit.revision.saturating_sub(1);
            draft.put(&commit.records);
            draft.revision = commit.revision;
        }
        model.adopt(draft.revision, draft.catalog, draft.instances);
        self.publisher.publish(&model, commits);
        let (mut leases, mut replicas) = (self.leases(), self.replicas());
        let now = Instant::now();
        for record in commits.iter().flat_map(|commit| &commit.records) {
            match record {
                Record::Instance { key, value: None } => {
                    leases.forget(key);
                    replicas.let_go(key);
                }
                // Whoever wrote it says in a moment that it hears from it.
                Record::Instance { key, value: Some(instance) } if leases.age(key, now).is_none() => {
                    replicas.doubt(key.clone(), now + grace(instance));
                }
                _ => {}
            }
        }
    }

    fn hear_of_others(&self, news: Vec<ClaimNews>) {
        let model = self.model.read().unwrap_or_else(PoisonError::into_inner);
        let (leases, mut replicas) = (self.leases(), self.replicas());
        let now = Instant::now();
        for one in news {
            for key in replicas.take(one) {
                if let Some(instance) = model.registry.get(&key).filter(|_| leases.age(&key, now).is_none()) {
                    replicas.doubt(key, now + grace(instance));
                }
            }
        }
        self.reported.notify_waiters();
    }
}

fn grace(instance: &Registered) -> Duration {
    ORPHAN_GRACE.min(Duration::from_millis(instance.lease_ms.into()))
}

/// Takes out instances that no replica hears from. Every replica does so; the first one's write counts.
pub(crate) async fn expire_orphans(state: State) {
    if !state.shared.replicas().is_shared() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        state.shared.let_go_of_moved();
        let due = state.shared.replicas().due(Instant::now());
        for keys in due.chunks(TOGETHER) {
            if let Err(refusal) = state.write(Command::Expire(keys.to_vec())).await {
                tracing::warn!(count = keys.len(), %refusal, "instances nobody hears from could not be removed");
            }
        }
    }
}
