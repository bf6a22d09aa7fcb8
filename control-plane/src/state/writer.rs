//! The single writer: checks each command, stores all that are waiting in one transaction, puts them in
//! force and publishes them, and only then answers. A failed transaction refuses the whole group.

use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use portreeve_config::wire::Revision;
use tokio::sync::{mpsc, oneshot};

use super::command::{Command, Refusal, Written};
use super::draft::{Draft, Ground};
use super::model;
use super::{GRACE, Shared};
use crate::history::Author;
use crate::registry::{Holder, InstanceKey};
use crate::store::{Commit, Record, Store, StoreError};

/// How often a group is tried again because another replica was faster.
const ATTEMPTS: usize = 50;

/// Something for the writer to do.
#[derive(Debug)]
pub(super) enum Work {
    Write(Box<Request>),
    /// The store has something to say.
    News,
    End(oneshot::Sender<()>),
}

impl Work {
    /// A write in the name of `author`, and its outcome once it is there; a dry run does nothing.
    pub(super) fn write(
        author: Author,
        command: Command,
        dry_run: bool,
    ) -> (Self, oneshot::Receiver<Outcome>) {
        let (answer, answered) = oneshot::channel();
        (Self::Write(Box::new(Request { command, author, dry_run, answer })), answered)
    }
}

/// A write and who waits for its outcome.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: Command,
    pub(super) author: Author,
    pub(super) dry_run: bool,
    pub(super) answer: oneshot::Sender<Outcome>,
}

/// What came of a write.
pub(super) type Outcome = Result<Written, Refusal>;

/// Starts the writer on a thread of its own: it waits for the disk, which a runtime's thread must not. It
/// ends when told, or when nobody is left to ask.
pub(super) fn start(work: mpsc::Receiver<Work>, store: Box<dyn Store>, shared: Arc<Shared>) {
    let most = store.most_together();
    let writer = Writer { store, shared };
    let name = "portreeve-writer".to_owned();
    if let Err(fault) = thread::Builder::new().name(name).spawn(move || writer.run(work, most)) {
        // The channel closed with the thread, so every write is refused; reads still work.
        tracing::error!(%fault, "the writer's thread could not be started");
    }
}

/// Waits for something to do, and takes what else has come, `most` at most; false when nobody is left to ask. Where there
/// are fewer cores than threads the writer is woken by the first write, before others that have arrived could be read: they
/// share its transaction only if they are given the time to.
fn gather(work: &mut mpsc::Receiver<Work>, waiting: &mut Vec<Work>, most: usize) -> bool {
    if work.blocking_recv_many(waiting, most) == 0 {
        return false;
    }
    thread::yield_now();
    while waiting.len() < most
        && let Ok(more) = work.try_recv()
    {
        waiting.push(more);
    }
    true
}

struct Writer {
    store: Box<dyn Store>,
    shared: Arc<Shared>,
}

/// What commands that are carried out together come to.
#[derive(Default)]
struct Group {
    commits: Vec<Commit>,
    leases: Vec<LeaseStep>,
    /// Of each command, in order.
    outcomes: Vec<Outcome>,
    /// Which of them want something stored.
    stores: Vec<bool>,
}

/// What a command does to leases once it is in force.
enum LeaseStep {
    Grant { key: InstanceKey, length: Duration, holder: Option<Holder> },
    Forget { key: InstanceKey, expired: bool },
}

impl Writer {
    fn run(mut self, mut work: mpsc::Receiver<Work>, most: usize) {
        let mut waiting = Vec::new();
        while gather(&mut work, &mut waiting, most) {
            let mut end = None;
            let mut group = Vec::with_capacity(waiting.len());
            for work in waiting.drain(..) {
                match work {
                    Work::Write(request) => group.push(*request),
                    Work::News => {}
                    Work::End(done) => end = Some(done),
                }
            }
            self.take_news();
            if !group.is_empty() {
                self.carry_out(group);
            }
            if let Some(done) = end {
                drop(self);
                let _ = done.send(());
                return;
            }
        }
    }

    fn take_news(&mut self) {
        match self.store.news() {
            Ok(news) => self.shared.take_news(news),
            Err(fault) => tracing::error!(%fault, "what other replicas wrote could not be read"),
        }
    }

    fn carry_out(&mut self, group: Vec<Request>) {
        let mut attempts = 0;
        loop {
            let (draft, result) = self.draft(&group);
            let kept = if result.commits.is_empty() { Ok(()) } else { self.store.commit(&result.commits) };
            match kept {
                Ok(()) => {
                    self.put_in_force(draft, &result);
                    let answers = group.into_iter().map(|request| request.answer);
                    return answers
                        .zip(result.outcomes)
                        .for_each(|(answer, outcome)| drop(answer.send(outcome)));
                }
                Err(StoreError::Behind) if attempts < ATTEMPTS => {
                    attempts += 1;
                    self.take_news();
                }
                Err(fault) => return self.give_up(group, result, &fault),
            }
        }
    }

    /// The store did not take the group: whoever wants nothing stored gets an answer all the same.
    fn give_up(&mut self, group: Vec<Request>, result: Group, fault: &StoreError) {
        let refused = result.stores.iter().filter(|stores| **stores).count();
        tracing::error!(%fault, writes = refused, "writes were refused");
        let outcomes = result.outcomes.into_iter().zip(result.stores);
        for (request, (outcome, stores)) in group.into_iter().zip(outcomes) {
            let outcome = match outcome {
                Ok(_) if stores => Err(Refusal::of_store(fault)),
                Ok(_) => self.carry_out_unstored(&request).unwrap_or(Err(Refusal::of_store(fault))),
                refused => refused,
            };
            let _ = request.answer.send(outcome);
        }
    }

    /// Carries out one command if that takes no write; what it was checked against before did not come to be.
    fn carry_out_unstored(&mut self, request: &Request) -> Option<Outcome> {
        let (draft, mut result) = self.draft(std::slice::from_ref(request));
        let outcome = result.outcomes.pop().filter(|_| result.commits.is_empty())?;
        self.put_in_force(draft, &result);
        Some(outcome)
    }

    /// Checks each command on top of the ones before it.
    fn draft(&self, group: &[Request]) -> (Draft, Group) {
        let model = self.shared.model.read().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let ground = Ground {
            model: &model,
            holder: &|key| self.shared.holder(key),
            is_over: &|key| self.shared.is_over(key, now),
            now: model::now(),
        };
        let mut draft = Draft::of(&model, group.len());
        let mut result = Group::default();
        for Request { command, author, dry_run, .. } in group {
            if *dry_run {
                let outcome = draft.clone().carry_out(command.clone(), author, &ground);
                let revision = draft.revision;
                result.push(outcome.map(|(_, entry)| Written { revision, entry }), false);
                continue;
            }
            let grant = LeaseStep::of(command);
            let expired = matches!(command, Command::Expire(_));
            match draft.carry_out(command.clone(), author, &ground) {
                Ok((records, entry)) => {
                    result.leases.extend(grant);
                    result.push(Ok(Written { revision: draft.revision, entry }), !records.is_empty());
                    result.add(records, draft.revision, expired);
                }
                Err(refusal) => result.push(Err(refusal), false),
            }
        }
        (draft, result)
    }

    fn put_in_force(&self, draft: Draft, group: &Group) {
        if !group.commits.is_empty() {
            let mut model = self.shared.model.write().unwrap_or_else(PoisonError::into_inner);
            model.adopt(draft.revision, draft.catalog, draft.instances);
            self.shared.publisher.publish(&model, &group.commits);
        }
        if group.leases.is_empty() {
            return;
        }
        let now = Instant::now();
        let (mut leases, mut replicas) = (self.shared.leases(), self.shared.replicas());
        for step in &group.leases {
            match step {
                LeaseStep::Forget { key, expired } => {
                    leases.forget(key);
                    replicas.let_go(key);
                    let reason = if *expired { "its lease ended" } else { "it was deregistered" };
                    tracing::info!(service = &*key.service, id = &*key.id, reason, "instance removed");
                }
                LeaseStep::Grant { key, length, holder } => {
                    leases.grant(key.clone(), *length, holder.clone(), now);
                    replicas.hold(key, holder.as_ref().map(|holder| holder.node.clone()));
                    // Its stream may have ended while the registration was being stored.
                    if let Some(holder) = holder.as_ref().filter(|h| !self.shared.publisher.is_live(h.stream))
                    {
                        leases.release(key, holder.stream, GRACE, now);
                    }
                }
            }
        }
        drop((leases, replicas));
        self.shared.deadline_moved.notify_one();
    }
}

impl Shared {
    /// Whose stream an instance hangs on, here or at another replica.
    fn holder(&self, key: &InstanceKey) -> Option<Holder> {
        let here = self.leases().holder(key).cloned();
        here.or_else(|| self.replicas().holder(key))
    }

    /// Whether nobody believes in the instance any more.
    fn is_over(&self, key: &InstanceKey, now: Instant) -> bool {
        let is_over = self.leases().is_over(key, now);
        let replicas = self.replicas();
        (is_over || replicas.is_orphan_over(key, now)) && !replicas.may_be_elsewhere(key)
    }
}

impl Group {
    fn push(&mut self, outcome: Outcome, stores: bool) {
        self.outcomes.push(outcome);
        self.stores.push(stores);
    }

    fn add(&mut self, records: Vec<Record>, revision: Revision, expired: bool) {
        for record in &records {
            if let Record::Instance { key, value: None } = record {
                self.leases.push(LeaseStep::Forget { key: key.clone(), expired });
            }
        }
        if !records.is_empty() {
            self.commits.push(Commit { revision, records });
        }
    }
}

impl LeaseStep {
    fn of(command: &Command) -> Option<Self> {
        let (key, length, holder) = match command {
            Command::Register(instance, holder) => (instance.key(), instance.lease_ms, holder.clone()),
            Command::RegisterClient { instance, .. } => (instance.key(), instance.lease_ms, None),
            _ => return None,
        };
        Some(Self::Grant { key, length: Duration::from_millis(length.into()), holder })
    }
}
