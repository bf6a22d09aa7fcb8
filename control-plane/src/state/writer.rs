//! The single writer: checks each command, stores all that are waiting in one transaction, puts them in
//! force and publishes them, and only then answers. A failed transaction refuses the whole group.

use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use portreeve_config::wire::Revision;
use tokio::sync::{mpsc, oneshot};

use super::command::{Command, Refusal, Written};
use super::draft::{Draft, Ground};
use super::{GRACE, Shared};
use crate::history::Author;
use crate::registry::{Holder, InstanceKey};
use crate::store::{Commit, Record, Store};

/// Commands that share one transaction at most; keeps the wait of the first one short.
const GROUP: usize = 256;

/// Something for the writer to do.
#[derive(Debug)]
pub(super) enum Work {
    Write(Box<Request>),
    End(oneshot::Sender<()>),
}

/// A write and who waits for its outcome.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: Command,
    pub(super) author: Author,
    pub(super) dry_run: bool,
    pub(super) answer: Answer,
}

type Answer = oneshot::Sender<Result<Written, Refusal>>;

/// Starts the writer on a thread of its own: it waits for the disk, which a runtime's thread must not. It
/// ends when told, or when nobody is left to ask.
pub(super) fn start(work: mpsc::Receiver<Work>, store: Box<dyn Store>, shared: Arc<Shared>) {
    let writer = Writer { store, shared };
    let name = "portreeve-writer".to_owned();
    if let Err(fault) = thread::Builder::new().name(name).spawn(move || writer.run(work)) {
        // The channel closed with the thread, so every write is refused; reads still work.
        tracing::error!(%fault, "the writer's thread could not be started");
    }
}

struct Writer {
    store: Box<dyn Store>,
    shared: Arc<Shared>,
}

/// Commands that are carried out together.
#[derive(Default)]
struct Group {
    commits: Vec<Commit>,
    leases: Vec<LeaseStep>,
    answers: Vec<(Answer, Written)>,
}

/// What a command does to leases once it is in force.
enum LeaseStep {
    Grant { key: InstanceKey, length: Duration, holder: Option<Holder> },
    Forget { key: InstanceKey, expired: bool },
}

impl Writer {
    fn run(mut self, mut work: mpsc::Receiver<Work>) {
        let mut waiting = Vec::with_capacity(GROUP);
        while work.blocking_recv_many(&mut waiting, GROUP) > 0 {
            let mut end = None;
            let mut group = Vec::with_capacity(waiting.len());
            for work in waiting.drain(..) {
                match work {
                    Work::Write(request) => group.push(*request),
                    Work::End(done) => end = Some(done),
                }
            }
            self.carry_out(group);
            if let Some(done) = end {
                drop(self);
                let _ = done.send(());
                return;
            }
        }
    }

    fn carry_out(&mut self, requests: Vec<Request>) {
        let (draft, group) = self.draft(requests);
        if !group.commits.is_empty()
            && let Err(fault) = self.store.commit(&group.commits)
        {
            tracing::error!(%fault, writes = group.answers.len(), "writes were refused");
            for (answer, _) in group.answers {
                let _ = answer.send(Err(Refusal::of_store(&fault)));
            }
            return;
        }
        self.put_in_force(draft, &group);
        for (answer, written) in group.answers {
            let _ = answer.send(Ok(written));
        }
    }

    /// Checks each command on top of the ones before it; answers at once where nothing is to be stored.
    fn draft(&self, requests: Vec<Request>) -> (Draft, Group) {
        let model = self.shared.model.read().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let ground = Ground {
            model: &model,
            holder: &|key| self.shared.leases().holder(key).cloned(),
            is_over: &|key| self.shared.leases().is_over(key, now),
        };
        let mut draft = Draft::of(&model);
        let mut group = Group::default();
        for Request { command, author, dry_run, answer } in requests {
            if dry_run {
                let outcome = draft.clone().carry_out(command, &author, &ground);
                let _ = answer.send(outcome.map(|(_, entry)| Written { revision: draft.revision, entry }));
                continue;
            }
            let grant = LeaseStep::of(&command);
            let expired = matches!(command, Command::Expire(_));
            match draft.carry_out(command, &author, &ground) {
                Ok((records, entry)) => {
                    group.leases.extend(grant);
                    group.add(records, draft.revision, expired);
                    group.answers.push((answer, Written { revision: draft.revision, entry }));
                }
                Err(refusal) => drop(answer.send(Err(refusal))),
            }
        }
        (draft, group)
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
        let mut leases = self.shared.leases();
        for step in &group.leases {
            match step {
                LeaseStep::Forget { key, expired } => {
                    leases.forget(key);
                    let reason = if *expired { "its lease ended" } else { "it was deregistered" };
                    tracing::info!(service = key.service, id = key.id, reason, "instance removed");
                }
                LeaseStep::Grant { key, length, holder } => {
                    leases.grant(key.clone(), *length, holder.clone(), now);
                    // Its stream may have ended while the registration was being stored.
                    if let Some(holder) = holder.as_ref().filter(|h| !self.shared.publisher.is_live(h.stream))
                    {
                        leases.release(key, holder.stream, GRACE, now);
                    }
                }
            }
        }
        drop(leases);
        self.shared.deadline_moved.notify_one();
    }
}

impl Group {
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
        let Command::Register(instance, holder) = command else { return None };
        Some(Self::Grant {
            key: InstanceKey::of(instance),
            length: Duration::from_millis(instance.lease_ms),
            holder: holder.clone(),
        })
    }
}
