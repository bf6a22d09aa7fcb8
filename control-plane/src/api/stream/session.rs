//! What a node says on its stream, and what comes of it. Nothing here waits: a write is submitted, and told of when its
//! outcome is there.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::StatusCode;
use portreeve_config::wire::{ControlMessage, NodeMessage, Revision, STREAM_PATH};
use portreeve_config::{Fault, Faults};

use super::holding::{Holding, Step, Told};
use super::lines;
use crate::access::{Caller, Visit};
use crate::api::problem::{bounded, status_of};
use crate::audit::{Audit, Entry};
use crate::publisher::Watcher;
use crate::registry::{Holder, InstanceKey, Registered};
use crate::state::{Command, Refusal, State as ControlState, excerpt};

/// Instances whose leases hang on one stream.
const MAX_INSTANCES: usize = 1024;
/// Lines within this time of one another are one sign of life: who registers much says much, and holds much.
const AGAIN: Duration = Duration::from_millis(5);
/// Things said at once before some of them are sent.
const AT_ONCE: usize = 64;

/// One node at the other end of one stream.
pub(super) struct Session {
    pub(super) state: ControlState,
    pub(super) watcher: Arc<Watcher>,
    /// The revision the node came with.
    pub(super) held: Revision,
    pub(super) holding: Holding,
    /// When everything that is held was renewed last.
    pub(super) renewed: Option<Instant>,
    /// How much was said since it was last looked at what there is to send.
    pub(super) said: usize,
    pub(super) caller: Caller,
    pub(super) audit: Audit,
    /// The connection, which counts for as long as the stream lives.
    pub(super) visit: Option<Arc<Visit>>,
}

impl Session {
    /// Every line is a sign of life. False when one of the instances is not registered any more: the stream
    /// ends then, so that the node comes back and registers it as it does after any break.
    pub(super) fn renew(&mut self) -> bool {
        let now = Instant::now();
        if self.renewed.is_some_and(|renewed| now < renewed + AGAIN) {
            return true;
        }
        self.renewed = Some(now);
        self.holding.renew(|keys| self.state.renew_held(keys, self.watcher.stream))
    }

    /// Whether another line may be taken.
    pub(super) fn has_room(&self) -> bool {
        self.said < AT_ONCE && self.holding.has_room()
    }

    /// Whether everything that was asked for is done.
    pub(super) fn is_settled(&self) -> bool {
        self.holding.is_settled()
    }

    /// Takes what a line says.
    pub(super) fn take(&mut self, line: &[u8]) {
        match lines::message(line) {
            Ok(message) => self.carry_out(message),
            Err(fault) => {
                let problem = format!("this line is no message: {}", excerpt(&fault.to_string()));
                self.refuse(Fault::new("", problem).into());
            }
        }
    }

    /// Tells of everything that is done.
    pub(super) fn tell(&mut self, context: &mut Context<'_>) {
        while let Poll::Ready(told) = self.holding.poll_told(context) {
            let message = match told {
                Told::Said(message) => message,
                Told::Outcome(step, key, outcome) => {
                    let status = outcome.as_ref().map_or_else(status_of, |_| StatusCode::OK);
                    self.note(step, &key, (status, outcome.as_ref().ok().copied()));
                    answer(outcome)
                }
            };
            self.watcher.answer(&message);
        }
    }

    fn carry_out(&mut self, message: NodeMessage) {
        match message {
            NodeMessage::Hello { .. } => self.refuse(Fault::new("", "`hello` was said already").into()),
            NodeMessage::Renew => {}
            NodeMessage::Register(instance) => self.register(instance.into()),
            NodeMessage::Deregister { service, id } => self.deregister(InstanceKey::new(service, id)),
            NodeMessage::Ack { revision } => self.state.publisher().acknowledge(&self.watcher, revision),
            NodeMessage::Nack { revision, faults } => {
                tracing::warn!(
                    node = &*self.watcher.peer.node,
                    revision,
                    faults = %excerpt(&Faults(faults.clone()).to_string()),
                    "a node refused a revision and keeps its last good one"
                );
                self.watcher.refuse(revision, faults);
            }
        }
    }

    fn deregister(&mut self, key: InstanceKey) {
        if self.is_refused(Step::Deregister, &key) {
            return;
        }
        let submitted = self.state.submit(Command::Deregister(key.clone(), Some(self.holder())));
        self.holding.begin(Step::Deregister, key, submitted);
    }

    fn register(&mut self, instance: Registered) {
        let key = instance.key();
        if self.is_refused(Step::Register, &key) {
            return;
        }
        if self.holding.is_full_for(&key, MAX_INSTANCES) {
            let problem = format!("a stream holds at most {MAX_INSTANCES} instances");
            return self.refuse(Fault::new("", problem).into());
        }
        let submitted = self.state.submit(Command::Register(Box::new(instance), Some(self.holder())));
        self.holding.begin(Step::Register, key, submitted);
    }

    /// Refuses what the stream's token may not write.
    fn is_refused(&mut self, step: Step, key: &InstanceKey) -> bool {
        if self.caller.speaks_for(&key.service) {
            return false;
        }
        let token = self.caller.name().map(|name| name.to_string()).unwrap_or_default();
        let problem = format!("the token `{token}` does not speak for `{}`", excerpt(&key.service));
        let fault = Fault::new("service", problem);
        self.refuse(fault.hint("give it this service, or another token to this node").into());
        self.note(step, key, (StatusCode::FORBIDDEN, None));
        true
    }

    fn note(&self, step: Step, key: &InstanceKey, (status, revision): (StatusCode, Option<Revision>)) {
        if !self.audit.is_on() {
            return;
        }
        let mut entry = Entry::new("api", "POST", STREAM_PATH, self.visit.as_ref().map(|visit| visit.peer));
        entry.who = self.caller.who();
        entry.operation = step.name().into();
        entry.instance =
            Some(format!("{}/{}", excerpt(&key.service), key.id.chars().take(253).collect::<String>()));
        self.audit.note(entry.done(status.as_u16(), revision));
    }

    fn holder(&self) -> Holder {
        Holder { stream: self.watcher.stream, node: self.watcher.peer.node.clone() }
    }

    /// Says no, once everything that was asked for before is answered.
    fn refuse(&mut self, faults: Faults) {
        self.said += 1;
        if let Some(refused) = self.holding.say(refused(faults)) {
            self.watcher.answer(&refused);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Also what is still under way: its lease may be granted after this, and must not be a whole one.
        self.state.stream_ended(&self.watcher, &self.holding.all());
    }
}

fn answer(outcome: Result<Revision, Refusal>) -> ControlMessage {
    match outcome {
        Ok(revision) => ControlMessage::Registered { revision },
        Err(Refusal::Invalid(faults)) => refused(faults),
        Err(refusal) => refused(Fault::new("", refusal.to_string()).into()),
    }
}

fn refused(faults: Faults) -> ControlMessage {
    ControlMessage::Refused { faults: bounded(faults).0 }
}
