//! The audit log: who tried to write what, and what came of it; one line of JSON each. Written by a thread of its own,
//! so that whoever writes waits for no disk, and a disk that is full stops nobody.

mod file;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::{io, thread};

use jiff::Timestamp;
use portreeve_config::wire::Revision;
use serde::{Serialize, Serializer};
use tokio::sync::oneshot;

use crate::state::excerpt;

use file::AuditFile;

/// Lines that may wait for the disk; what comes on top is counted and told of.
const WAITING: usize = 65_536;
/// Lines that are written at one time.
const AT_ONCE: usize = 256;

/// A handle on the audit log; clones are the same log.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    lines: SyncSender<Work>,
    lost: Arc<AtomicU64>,
    to_file: bool,
}

/// An attempt to write.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    time: Timestamp,
    /// Which listener took it: `api`, `eureka` or `config`.
    listener: &'static str,
    pub(crate) who: Who,
    /// Who the caller says it acts for (`X-Portreeve-Actor`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<SocketAddr>,
    method: String,
    /// Without the query, which may hold values.
    path: String,
    pub(crate) operation: Arc<str>,
    /// The instance, where the path does not name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dry_run: bool,
    pub(crate) outcome: Outcome,
    pub(crate) status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<Revision>,
}

/// Who tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Who {
    #[default]
    Anonymous,
    Token(Arc<str>),
    User(Arc<str>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Accepted,
    #[default]
    Refused,
}

#[derive(Debug)]
enum Work {
    Line(Box<Entry>),
    End(oneshot::Sender<()>),
}

impl Audit {
    /// Begins to write to `file`, or to the process's own log.
    pub(crate) fn begin(file: Option<&Path>) -> io::Result<Self> {
        let sink = file.map(AuditFile::open).transpose()?;
        let (lines, waiting) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let audit = Self { lines, lost: lost.clone(), to_file: sink.is_some() };
        thread::Builder::new().name("audit".to_owned()).spawn(move || write(&waiting, sink, &lost))?;
        Ok(audit)
    }

    /// Whether anybody reads it.
    pub(crate) fn is_on(&self) -> bool {
        self.to_file || tracing::enabled!(target: "audit", tracing::Level::INFO)
    }

    /// Notes an attempt; never waits.
    pub(crate) fn note(&self, entry: Entry) {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Work::Line(Box::new(entry))) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns when all that was noted before is written.
    pub(crate) async fn end(self) {
        let (done, ended) = oneshot::channel();
        let lines = self.lines;
        let asked = tokio::task::spawn_blocking(move || lines.send(Work::End(done)).is_ok());
        if asked.await.unwrap_or(false) {
            let _ = ended.await;
        }
    }
}

impl Entry {
    /// What is known of an attempt before its outcome.
    pub(crate) fn new(listener: &'static str, method: &str, path: &str, peer: Option<SocketAddr>) -> Self {
        Self {
            time: Timestamp::now(),
            listener,
            who: Who::default(),
            actor: None,
            peer,
            method: excerpt(method),
            path: bounded(path),
            operation: "".into(),
            instance: None,
            dry_run: false,
            outcome: Outcome::default(),
            status: 0,
            revision: None,
        }
    }

    /// Its outcome.
    pub(crate) fn done(mut self, status: u16, revision: Option<Revision>) -> Self {
        self.outcome = if status < 400 { Outcome::Accepted } else { Outcome::Refused };
        self.status = status;
        self.revision = revision;
        self
    }
}

impl Serialize for Who {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum Shown<'a> {
            Token(&'a str),
            User(&'a str),
        }
        match self {
            Self::Anonymous => serializer.serialize_str("anonymous"),
            Self::Token(name) => Shown::Token(name).serialize(serializer),
            Self::User(name) => Shown::User(name).serialize(serializer),
        }
    }
}

/// Long enough for every path that means something.
fn bounded(path: &str) -> String {
    const LONGEST: usize = 512;
    path.char_indices().nth(LONGEST).map_or(path, |(at, _)| &path[..at]).to_owned()
}

fn write(waiting: &Receiver<Work>, mut sink: Option<AuditFile>, lost: &AtomicU64) {
    let mut ended = Vec::new();
    // Ends when the last handle is gone.
    while let Ok(first) = waiting.recv() {
        let mut text = Vec::new();
        let rest = std::iter::from_fn(|| waiting.try_recv().ok());
        for work in std::iter::once(first).chain(rest).take(AT_ONCE) {
            match work {
                Work::End(done) => ended.push(done),
                Work::Line(entry) if sink.is_some() => {
                    // Names and numbers only: it cannot fail to encode.
                    let _ = serde_json::to_writer(&mut text, &entry);
                    text.push(b'\n');
                }
                Work::Line(entry) => log(&entry),
            }
        }
        if let Some(file) = &mut sink {
            file.write(&text, lost);
        } else if let missing @ 1.. = lost.swap(0, Ordering::Relaxed) {
            tracing::warn!(missing, "lines of the audit log were lost, for the log takes them too slowly");
        }
        for done in ended.drain(..) {
            // Nobody waits any more where it fails.
            let _: Result<(), ()> = done.send(());
        }
    }
}

fn log(entry: &Entry) {
    let line = serde_json::to_string(entry).unwrap_or_default();
    tracing::info!(target: "audit", "{line}");
}
