//! A node's standing conversation with the control plane: one stream, kept up, begun again when it breaks. It
//! carries what the node is told, what it answers, and the lease of the instance it stands for.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use portreeve_config::Faults;
use portreeve_config::wire::{
    Change, ConfigScope, ControlMessage, Instance, NodeKind, NodeMessage, Revision, STREAM_PATH,
    STREAM_PROTOCOL, Snapshot,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::refusal;
use super::rounds::{LONGEST_PAUSE, Rounds};
use crate::client::Client;

/// The longest line that is taken from the control plane, in bytes. A snapshot is one line.
const MAX_LINE: usize = 256 << 20;
/// Without a line for this long (the control plane says something every two seconds) the stream is taken for dead.
const SILENCE: Duration = Duration::from_secs(4);

/// Who is calling.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// The control plane's address (`http://127.0.0.1:7070`), or those of its replicas, of which one at a time is
    /// talked to. Without any there is nobody to talk to.
    pub urls: Vec<String>,
    /// The node's name.
    pub node: String,
    /// What it is.
    pub kind: NodeKind,
    /// Whose configuration it wants.
    pub config: Option<ConfigScope>,
    /// The services it wants to hear of; all when absent.
    pub services: Option<Vec<String>>,
    /// The epoch of the state that the node holds already; empty for none.
    pub epoch: String,
    /// How often a sign of life is sent.
    pub renew_every: Duration,
}

/// What comes of the conversation.
#[derive(Debug)]
pub enum SessionEvent {
    /// The whole state, after a (re)connection.
    Snapshot(Snapshot),
    /// The node holds what it needs; what it missed follows. With the configuration as it is now, for a sidecar.
    Resumed(Revision, Option<BTreeMap<String, String>>),
    /// One step.
    Change(Change),
    /// A registration or deregistration is stored and published.
    Registered(Revision),
    /// The control plane refused something this node said.
    Refused(Faults),
    /// The stream broke, or could not be begun; it is being tried again.
    Lost(String),
}

/// A conversation that is kept up until it is dropped.
pub struct Session {
    say: mpsc::UnboundedSender<NodeMessage>,
    task: JoinHandle<()>,
}

impl Session {
    /// Begins on the caller's runtime; events go to `events`. `held` is the revision the node holds already.
    pub fn start(
        client: Client,
        settings: SessionSettings,
        held: Revision,
        events: mpsc::Sender<SessionEvent>,
    ) -> Self {
        // Whoever takes events answers them here: if it had to wait for room, and the conversation for it, neither would go on.
        let (say, said) = mpsc::unbounded_channel();
        let rounds = Rounds::over(settings.urls.len());
        let conversation = Conversation { client, settings, said, events, held, registered: None, rounds };
        Self { say, task: tokio::spawn(conversation.keep_up()) }
    }

    /// Says something to the control plane. A registration is said again after each reconnection until it is
    /// taken back; anything else is dropped while there is no stream.
    pub fn say(&self, message: NodeMessage) {
        // The task ends only with the session itself.
        let _ = self.say.send(message);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Conversation {
    client: Client,
    settings: SessionSettings,
    said: mpsc::UnboundedReceiver<NodeMessage>,
    events: mpsc::Sender<SessionEvent>,
    held: Revision,
    /// What is said again after each reconnection.
    registered: Option<Instance>,
    rounds: Rounds,
}

/// One stream: what is written to it, and what has been read of it.
struct Stream {
    socket: ReadHalf<TokioIo<Upgraded>>,
    out: WriteHalf<TokioIo<Upgraded>>,
    read: BytesMut,
    /// How much of `read` is known to hold no end of line.
    searched: usize,
    /// When something came last.
    heard: Instant,
}

impl Conversation {
    async fn keep_up(mut self) {
        loop {
            let began = Instant::now();
            let Err(why) = self.hold_one().await;
            if began.elapsed() > LONGEST_PAUSE {
                self.rounds.held();
            }
            if self.events.send(SessionEvent::Lost(why)).await.is_err() {
                return;
            }
            let deadline = Instant::now() + self.rounds.failed();
            while let Ok(Some(message)) = timeout_at(deadline, self.said.recv()).await {
                self.remember(&message);
            }
        }
    }

    /// Begins a stream and holds it until it breaks. `Err` says why it did.
    async fn hold_one(&mut self) -> Result<Infallible, String> {
        let mut stream = self.begin().await?;
        let mut renew = tokio::time::interval(self.settings.renew_every);
        renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        renew.tick().await;
        loop {
            tokio::select! {
                // What is heard is answered: were the answers not first, a burst of changes would pile them up.
                biased;
                message = self.said.recv() => {
                    let message = message.ok_or("the node is stopping")?;
                    self.remember(&message);
                    stream.write(&message).await?;
                }
                _ = renew.tick() => stream.write(&NodeMessage::Renew).await?,
                line = stream.next_line() => self.hear(&line?, &mut stream).await?,
            }
        }
    }

    async fn begin(&self) -> Result<Stream, String> {
        let url = self.settings.urls.get(self.rounds.turn).ok_or("no control plane is named")?;
        let uri = format!("{}{STREAM_PATH}", url.trim_end_matches('/'));
        let hello = NodeMessage::Hello {
            node: self.settings.node.clone(),
            kind: self.settings.kind,
            config: self.settings.config.clone(),
            revision: self.held,
            epoch: self.settings.epoch.clone(),
            services: self.settings.services.clone(),
        };
        let hello = serde_json::to_vec(&hello).map_err(|error| error.to_string())?;
        let request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .body(hello.into())
            .map_err(|error| error.to_string())?;
        let answer = timeout(SILENCE, self.client.upgrade(request, STREAM_PROTOCOL)).await;
        let (answer, socket) = answer.map_err(|_| silent())?.map_err(|error| error.to_string())?;
        let Some(socket) = socket else {
            let status = answer.status();
            let said = refusal::detail(answer.into_body()).await;
            return Err(refusal::reason(url, status, &said, self.client.token_file()));
        };
        let mut stream = Stream::on(socket);
        if let Some(instance) = &self.registered {
            stream.write(&NodeMessage::Register(instance.clone())).await?;
        }
        Ok(stream)
    }

    /// Takes a line, and those that came with it. Changes in a row are one: a burst of a thousand is not a thousand times
    /// the work that follows a change.
    async fn hear(&mut self, line: &[u8], stream: &mut Stream) -> Result<(), String> {
        let mut message = understood(line)?;
        while let Some(line) = stream.ready_line() {
            message = match (message, understood(&line)?) {
                (ControlMessage::Change(mut change), ControlMessage::Change(next)) => {
                    change.revision = next.revision;
                    change.events.extend(next.events);
                    ControlMessage::Change(change)
                }
                (before, next) => {
                    self.pass_on(before).await?;
                    next
                }
            };
        }
        self.pass_on(message).await
    }

    async fn pass_on(&mut self, message: ControlMessage) -> Result<(), String> {
        let event = match message {
            ControlMessage::Snapshot(snapshot) => {
                self.held = snapshot.revision;
                self.settings.epoch.clone_from(&snapshot.epoch);
                SessionEvent::Snapshot(snapshot)
            }
            ControlMessage::Resumed { revision, config } => SessionEvent::Resumed(revision, config),
            ControlMessage::Change(change) => {
                self.held = change.revision;
                SessionEvent::Change(change)
            }
            ControlMessage::Registered { revision } => SessionEvent::Registered(revision),
            ControlMessage::Refused { faults } => SessionEvent::Refused(Faults(faults)),
            ControlMessage::Ping { .. } => return Ok(()),
        };
        self.events.send(event).await.map_err(|_| "the node is stopping".to_owned())
    }

    fn remember(&mut self, message: &NodeMessage) {
        match message {
            NodeMessage::Register(instance) => self.registered = Some(instance.clone()),
            NodeMessage::Deregister { .. } => self.registered = None,
            _ => {}
        }
    }
}

impl Stream {
    fn on(socket: TokioIo<Upgraded>) -> Self {
        let (socket, out) = tokio::io::split(socket);
        Self { socket, out, read: BytesMut::new(), searched: 0, heard: Instant::now() }
    }

    /// Says a line. Not to be dropped half-way: the other side would get a part of it.
    async fn write(&mut self, message: &NodeMessage) -> Result<(), String> {
        let mut line = serde_json::to_vec(message).map_err(|error| error.to_string())?;
        line.push(b'\n');
        let written = async {
            self.out.write_all(&line).await?;
            self.out.flush().await
        };
        let written = timeout(SILENCE, written).await;
        written.map_err(|_| silent())?.map_err(|error| error.to_string())
    }

    /// The next line, where all of it was read already.
    fn ready_line(&mut self) -> Option<Bytes> {
        let Some(at) = self.read[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.read.len();
            return None;
        };
        let end = std::mem::take(&mut self.searched) + at;
        let mut line = self.read.split_to(end + 1);
        line.truncate(end);
        Some(line.freeze())
    }

    /// The next line. Can be dropped at any await without losing what was read.
    async fn next_line(&mut self) -> Result<Bytes, String> {
        loop {
            if let Some(line) = self.ready_line() {
                return Ok(line);
            }
            if self.read.len() > MAX_LINE {
                return Err(format!("the control plane sent a line of over {MAX_LINE} bytes"));
            }
            // From when something came, for this is dropped and called again whenever something is said.
            let read = timeout_at(self.heard + SILENCE, self.socket.read_buf(&mut self.read)).await;
            match read.map_err(|_| silent())?.map_err(|error| error.to_string())? {
                0 => return Err("the control plane closed the stream".to_owned()),
                _ => self.heard = Instant::now(),
            }
        }
    }
}

fn understood(line: &[u8]) -> Result<ControlMessage, String> {
    serde_json::from_slice(line)
        .map_err(|error| format!("the control plane sent an unreadable line: {error}"))
}

fn silent() -> String {
    format!("the control plane has been silent for {SILENCE:?}")
}
