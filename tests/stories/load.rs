//! Steady load beside a test: a fixed number of requests a second, every answer noted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::client::Client;

/// A load that runs until it is stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    noted: Arc<Mutex<Noted>>,
    task: tokio::task::JoinHandle<()>,
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    pub(crate) answers: usize,
    /// Everything that was not 200.
    pub(crate) failures: Vec<String>,
    /// The first and the last answer of each port.
    pub(crate) ports: BTreeMap<String, (Instant, Instant)>,
}

impl Load {
    /// GETs `path` this many times a second.
    pub(crate) fn start(client: Client, path: &str, per_second: u32) -> Self {
        let (stop, noted) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Noted::default())));
        let (path, stopped, notes) = (path.to_owned(), Arc::clone(&stop), Arc::clone(&noted));
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1) / per_second);
            let mut requests = tokio::task::JoinSet::new();
            while !stopped.load(Ordering::Relaxed) {
                tick.tick().await;
                let (client, path, notes) = (client.clone(), path.clone(), Arc::clone(&notes));
                requests.spawn(async move {
                    let answer = client.try_send("GET", &path, None).await;
                    notes.lock().unwrap().note(answer);
                });
            }
            requests.join_all().await;
        });
        Self { stop, noted, task }
    }

    /// When this port first and last answered.
    pub(crate) fn port(&self, port: &str) -> Option<(Instant, Instant)> {
        self.noted.lock().unwrap().ports.get(port).copied()
    }

    /// How many answers there are so far.
    pub(crate) fn answers(&self) -> usize {
        self.noted.lock().unwrap().answers
    }

    /// Waits for this many more answers.
    pub(crate) async fn more(&self, count: usize) {
        let goal = self.answers() + count;
        crate::demo::eventually("answers to the load", async || self.answers() >= goal).await;
    }

    pub(crate) async fn stop(self) -> Noted {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        std::mem::take(&mut self.noted.lock().unwrap())
    }
}

impl Noted {
    fn note(&mut self, answer: Result<crate::client::Answer, String>) {
        self.answers += 1;
        match answer {
            Ok(answer) if answer.status == 200 => {
                let (port, now) = (answer.header("server-port").to_owned(), Instant::now());
                self.ports.entry(port).or_insert((now, now)).1 = now;
            }
            Ok(answer) => {
                self.failures.push(format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)))
            }
            Err(error) => self.failures.push(error),
        }
    }
}
