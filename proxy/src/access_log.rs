//! One JSON object a request. Workers append to a buffer of their own; one thread writes all buffers out, so that
//! a slow disk or terminal never holds a request up.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use portreeve_config::AccessLog as Destination;
use serde::Serialize;

use crate::address::Address;
use crate::metrics::PlaneStats;
use crate::rejection::Blame;

/// How often buffers are written out.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// How long the writer gets for its last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The most one worker may hold back; lines beyond it are dropped and counted.
const BUFFER: usize = 1 << 20;

/// The log of one data plane.
pub struct AccessLog {
    buffers: Arc<[Mutex<Vec<u8>>]>,
    stats: Arc<PlaneStats>,
    stop: Arc<AtomicBool>,
    writer: Mutex<Option<(JoinHandle<()>, mpsc::Receiver<()>)>>,
}

/// What a line says. Query strings and header fields are left out: they may hold secrets.
#[derive(Serialize)]
pub struct Line<'a> {
    /// When the request's head was there (RFC 3339, milliseconds).
    pub time: String,
    /// The client's address; none for one that came by a Unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<std::net::IpAddr>,
    /// The method.
    pub method: &'a str,
    /// The host without port.
    pub host: &'a str,
    /// The canonical path.
    pub path: &'a str,
    /// The status; 499 when the client left before its answer.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// From the head's arrival to the answer's last byte.
    pub duration_ms: f64,
    /// The route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
    /// The service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<&'a str>,
    /// The instance that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<&'a Address>,
    /// Attempts made.
    pub attempts: u8,
    /// What the cache did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<&'static str>,
    /// The token's subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<&'a str>,
    /// Why the gateway itself answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Who is at fault for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_fault: Option<Blame>,
    /// The request's id, where it is not that of the trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'a str>,
    /// The trace.
    pub trace_id: &'a str,
}

/// The time form of [`Line::time`].
pub fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

impl AccessLog {
    /// Opens the destination; `None` when the log is off.
    pub fn open(to: &Destination, workers: usize, stats: Arc<PlaneStats>) -> io::Result<Option<Self>> {
        let sink: Box<dyn Write + Send> = match to {
            Destination::Off => return Ok(None),
            Destination::Stdout => Box::new(io::stdout()),
            Destination::File(path) => Box::new(append_to(path)?),
        };
        let buffers: Arc<[Mutex<Vec<u8>>]> = (0..workers.max(1)).map(|_| Mutex::default()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let (done, finished) = mpsc::channel();
        let writer = {
            let (buffers, stop) = (Arc::clone(&buffers), Arc::clone(&stop));
            std::thread::Builder::new().name("access-log".into()).spawn(move || {
                write_out(sink, &buffers, &stop);
                // Whoever closed the log may have stopped waiting.
                let _ = done.send(());
            })?
        };
        Ok(Some(Self { buffers, stats, stop, writer: Mutex::new(Some((writer, finished))) }))
    }

    /// Takes one line from a worker.
    pub fn write(&self, worker: usize, line: &Line<'_>) {
        // Workers that came later share.
        let Some(buffer) = self.buffers.get(worker).or_else(|| self.buffers.get(worker % self.buffers.len()))
        else {
            return;
        };
        let mut buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() >= BUFFER {
            PlaneStats::count(&self.stats.log_dropped);
            return;
        }
        // Serialising plain fields into memory cannot fail.
        let _ = serde_json::to_writer(&mut *buffer, line);
        buffer.push(b'\n');
    }

    /// Writes out what is held back and ends the writer. A destination that takes nothing, such as a pipe nobody
    /// reads, is not waited for longer than a second.
    pub fn close(&self) {
        self.stop.store(true, Ordering::Release);
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((thread, finished)) = writer {
            thread.thread().unpark();
            // An error means that the writer is gone, which is as good.
            let _ = finished.recv_timeout(LAST_WORDS);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close();
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn write_out(mut sink: Box<dyn Write + Send>, buffers: &[Mutex<Vec<u8>>], stop: &AtomicBool) {
    let mut lines = Vec::new();
    let mut failing = false;
    loop {
        let last = stop.load(Ordering::Acquire);
        for buffer in buffers {
            lines.append(&mut *buffer.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let written = match lines.is_empty() {
            true => Ok(()),
            false => sink.write_all(&lines).and_then(|()| sink.flush()),
        };
        lines.clear();
        match written {
            Ok(()) => failing = false,
            // Said once, not for every line: the log's disk may be the one that is full.
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, "the access log cannot be written; lines are dropped until it can");
            }
            Err(_) => {}
        }
        if last {
            return;
        }
        std::thread::park_timeout(FLUSH_EVERY);
    }
}
