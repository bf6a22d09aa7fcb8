//! `POST /v1/stream`: one node's stream, lines in both directions for as long as it lives. What the lines say
//! is in `portreeve_config::wire`.

mod lines;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Polling, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body::Frame;
use portreeve_config::wire::{ControlMessage, NodeMessage, Revision, STREAM_PATH};
use portreeve_config::{Fault, Faults, check};
use tokio::sync::mpsc;

use super::Context;
use super::problem::{Problem, bounded, status_of};
use crate::access::{Caller, Visit};
use crate::audit::{Audit, Entry};
use crate::publisher::{Peer, Publisher, Sending, Watcher};
use crate::registry::{Holder, InstanceKey, Registered};
use crate::state::{Command, Refusal, State as ControlState, excerpt};

use lines::{LineFault, Lines};

/// How long a node may take to say who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// How long this replica gets to see what a node has seen at another one.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(1);
/// Pieces of lines between the watcher's queue and the socket.
const IN_FLIGHT: usize = 4;
/// Services that a node can name.
const MAX_SERVICES: usize = 1_024;
/// Instances whose leases hang on one stream.
const MAX_INSTANCES: usize = 1024;

/// Opens a stream: the head of the answer follows the node's first line.
pub(super) async fn open(
    State(context): State<Context>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let visit = request.extensions().get::<Arc<Visit>>().map(|visit| visit.peer);
    let mut lines = Lines::of(request.into_body());
    let first = tokio::time::timeout(HELLO_WITHIN, lines.next()).await.map_err(|_| {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "no `hello` came within 5 s; it must be the first line")
    })?;
    let (mut peer, epoch) = hello(first.map_err(refused_line)?)?;
    peer.owner = caller.name().cloned();
    refuse_others(&caller, &peer, context.state.publisher())?;
    let held = peer.held;
    if epoch != context.state.publisher().epoch_of(&peer.view()) {
        peer.held = 0;
    }
    let (pieces, receiver) = mpsc::channel(IN_FLIGHT);
    let watcher = context.state.publisher().join(peer);
    tracing::info!(node = &*watcher.peer.node, kind = ?watcher.peer.kind, "node connected");
    let (state, audit) = (context.state, context.audit);
    let session = Session { state, watcher, held, keys: Vec::new(), caller, audit, address: visit };
    tokio::spawn(session.run(lines, pieces, context.stopping));
    let mut response = Body::new(Pieces(receiver)).into_response();
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// Who calls, and whose revision it says it holds.
fn hello(line: Option<Bytes>) -> Result<(Peer, String), Problem> {
    let line = line.ok_or_else(|| Problem::bad_request("the stream ended before `hello`"))?;
    let message = serde_json::from_slice(&line).map_err(|fault| {
        Problem::bad_request(format!("the first line is not a `hello`: {}", excerpt(&fault.to_string())))
    })?;
    let NodeMessage::Hello { node, kind, config, revision, epoch, services } = message else {
        return Err(Problem::bad_request("the first line must be a `hello`"));
    };
    let mut faults = Faults::default();
    faults.add("node", check::node_name(&node));
    if let Some(scope) = &config {
        faults.add("config.application", check::service_name(&scope.application));
        faults.add("config.profile", check::profile_name(&scope.profile));
    }
    let count = services.as_ref().map_or(0, Vec::len);
    if count > MAX_SERVICES {
        let problem = format!("{count} services: a node names at most {MAX_SERVICES}");
        faults.push(Fault::new("services", problem).hint("leave the list out to hear of all"));
    }
    for (index, service) in services.iter().flatten().take(MAX_SERVICES).enumerate() {
        faults.add(&format!("services[{index}]"), check::service_name(service));
    }
    let services = services.map(|services| Arc::new(services.into_iter().collect()));
    let peer = Peer { node: node.into(), kind, scope: config, services, held: revision, owner: None };
    faults.into_result((peer, epoch)).map_err(Problem::faulty)
}

/// A token of some services is told their configuration only, and takes no other token's node over.
fn refuse_others(caller: &Caller, peer: &Peer, publisher: &Publisher) -> Result<(), Problem> {
    let (Some(token), true) = (caller.name(), caller.is_limited()) else { return Ok(()) };
    let forbidden = |detail| Err(Problem::new(StatusCode::FORBIDDEN, detail));
    if let Some(scope) = peer.scope.as_ref().filter(|scope| !caller.speaks_for(&scope.application)) {
        let application = &scope.application;
        return forbidden(format!("the configuration of `{application}` is not for the token `{token}`"));
    }
    if publisher.is_anothers(peer) {
        let node = &peer.node;
        return forbidden(format!("node `{node}` is connected with another token than `{token}`"));
    }
    Ok(())
}

fn refused_line(fault: LineFault) -> Problem {
    match fault {
        LineFault::TooLong => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, fault.to_string()),
        LineFault::Broken => Problem::bad_request(fault.to_string()),
    }
}

/// One node at the other end of one stream.
struct Session {
    state: ControlState,
    watcher: Arc<Watcher>,
    /// The revision the node came with.
    held: Revision,
    /// The instances whose leases hang on this stream.
    keys: Vec<InstanceKey>,
    caller: Caller,
    audit: Audit,
    address: Option<SocketAddr>,
}

impl Session {
    /// Reads and writes until either side has enough; then the leases get their grace.
    async fn run(mut self, lines: Lines, pieces: mpsc::Sender<Bytes>, mut stopping: super::Stopping) {
        let (state, watcher, held) = (self.state.clone(), self.watcher.clone(), self.held);
        let reason = tokio::select! {
            reason = write(&state, &watcher, held, pieces) => reason,
            reason = self.read(lines) => reason,
            () = stopping.wait() => "the control plane is stopping",
        };
        tracing::info!(node = &*self.watcher.peer.node, reason, "node disconnected");
    }

    async fn read(&mut self, mut lines: Lines) -> &'static str {
        loop {
            let line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) => return "the node ended its stream",
                Err(LineFault::Broken) => return "the connection broke",
                Err(LineFault::TooLong) => return "a line was too long",
            };
            if !self.renew() {
                return "a lease ended; the node has to register again";
            }
            match lines::message(&line) {
                Ok(message) => self.take(message).await,
                Err(fault) => {
                    let problem = format!("this line is no message: {}", excerpt(&fault.to_string()));
                    self.refuse(Fault::new("", problem).into());
                }
            }
        }
    }

    /// Every line is a sign of life. False when one of the instances is not registered any more: the stream
    /// ends then, so that the node comes back and registers it as it does after any break.
    fn renew(&self) -> bool {
        self.state.renew_held(&self.keys, self.watcher.stream)
    }

    async fn take(&mut self, message: NodeMessage) {
        match message {
            NodeMessage::Hello { .. } => self.refuse(Fault::new("", "`hello` was said already").into()),
            NodeMessage::Renew => {}
            NodeMessage::Register(instance) => self.register(instance.into()).await,
            NodeMessage::Deregister { service, id } => self.deregister(InstanceKey::new(service, id)).await,
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

    async fn deregister(&mut self, key: InstanceKey) {
        if self.is_refused("deregister", &key) {
            return;
        }
        let outcome = self.state.write(Command::Deregister(key.clone(), Some(self.holder()))).await;
        if outcome.is_ok() {
            self.keys.retain(|held| *held != key);
        }
        self.note("deregister", &key, &outcome);
        self.report(outcome);
    }

    async fn register(&mut self, instance: Registered) {
        let key = instance.key();
        if self.is_refused("register", &key) {
            return;
        }
        let held_before = self.keys.contains(&key);
        if self.keys.len() >= MAX_INSTANCES && !held_before {
            let problem = format!("a stream holds at most {MAX_INSTANCES} instances");
            return self.refuse(Fault::new("", problem).into());
        }
        // Noted before it is written: this session may be dropped while the lease is being granted, and must
        // then leave the grace and not the whole lease.
        if !held_before {
            self.keys.push(key.clone());
        }
        let command = Command::Register(Box::new(instance), Some(self.holder()));
        let outcome = self.state.write(command).await;
        if outcome.is_err() && !held_before {
            self.keys.retain(|noted| *noted != key);
        }
        self.note("register", &key, &outcome);
        self.report(outcome);
    }

    /// Refuses what the stream's token may not write.
    fn is_refused(&self, operation: &'static str, key: &InstanceKey) -> bool {
        if self.caller.speaks_for(&key.service) {
            return false;
        }
        let token = self.caller.name().map(|name| name.to_string()).unwrap_or_default();
        let problem = format!("the token `{token}` does not speak for `{}`", excerpt(&key.service));
        let fault = Fault::new("service", problem);
        self.refuse(fault.hint("give it this service, or another token to this node").into());
        self.note_status(operation, key, (StatusCode::FORBIDDEN, None));
        true
    }

    fn note(&self, operation: &'static str, key: &InstanceKey, outcome: &Result<Revision, Refusal>) {
        let status = outcome.as_ref().map_or_else(status_of, |_| StatusCode::OK);
        self.note_status(operation, key, (status, outcome.as_ref().ok().copied()));
    }

    fn note_status(
        &self,
        operation: &'static str,
        key: &InstanceKey,
        (status, revision): (StatusCode, Option<Revision>),
    ) {
        if !self.audit.is_on() {
            return;
        }
        let mut entry = Entry::new("api", "POST", STREAM_PATH, self.address);
        entry.who = self.caller.who();
        entry.operation = operation.into();
        entry.instance =
            Some(format!("{}/{}", excerpt(&key.service), key.id.chars().take(253).collect::<String>()));
        self.audit.note(entry.done(status.as_u16(), revision));
    }

    fn holder(&self) -> Holder {
        Holder { stream: self.watcher.stream, node: self.watcher.peer.node.clone() }
    }

    fn report(&self, outcome: Result<u64, Refusal>) {
        match outcome {
            Ok(revision) => self.watcher.answer(&ControlMessage::Registered { revision }),
            Err(Refusal::Invalid(faults)) => self.refuse(faults),
            Err(refusal) => self.refuse(Fault::new("", refusal.to_string()).into()),
        }
    }

    fn refuse(&self, faults: Faults) {
        self.watcher.answer(&ControlMessage::Refused { faults: bounded(faults).0 });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.state.stream_ended(&self.watcher, &self.keys);
    }
}

/// Sends what the watcher is due, as fast as its socket takes it. A node that comes from another replica may have seen
/// more than this one has: it waits for that, but not for long, for a restored database may be behind for good.
async fn write(
    state: &ControlState,
    watcher: &Watcher,
    held: Revision,
    pieces: mpsc::Sender<Bytes>,
) -> &'static str {
    if state.is_shared() {
        let _ = tokio::time::timeout(CATCH_UP_WITHIN, state.publisher().reached(held)).await;
    }
    loop {
        let sending = tokio::select! {
            sending = watcher.next(state.publisher(), |take| state.read(take)) => sending,
            () = pieces.closed() => return "the connection broke",
        };
        let lines = match sending {
            Sending::Lines(lines) => lines,
            Sending::End(reason) => return reason,
        };
        for piece in lines.into_iter().filter(|piece| !piece.is_empty()) {
            if pieces.send(piece).await.is_err() {
                return "the connection broke";
            }
        }
    }
}

/// The body of the answer.
struct Pieces(mpsc::Receiver<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Polling<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
