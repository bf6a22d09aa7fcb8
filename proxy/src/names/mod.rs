//! The names of instances: looked up on the gateway's own runtime and again whenever their records expire, never while
//! a request waits. The last good answer stays in force for as long as no better one comes.

mod answer;
mod dial;
mod follow;
mod instances;
mod lookup;
mod pace;
mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

pub use answer::{Answer, Ends, Pair};
pub use instances::FixedService;

use follow::{Follower, News};
use lookup::Lookups;

/// How long new names may keep a configuration waiting for their first answer. With it a change from addresses to
/// names goes unnoticed; a server that is silent for longer must not hold up everything else that changes.
const FIRST_ANSWERS: Duration = Duration::from_secs(1);

/// What is looked up. In lower case; with a final dot when it is not to be searched for in other domains.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// The addresses of a host.
    Host(Arc<str>),
    /// SRV records, and the addresses of their targets.
    Srv(Arc<str>),
}

impl Name {
    fn text(&self) -> &str {
        let (Self::Host(name) | Self::Srv(name)) = self;
        name
    }

    /// The name without its final dot.
    fn bare(&self) -> &str {
        self.text().strip_suffix('.').unwrap_or(self.text())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => out.write_str(name),
            Self::Srv(name) => write!(out, "srv:{name}"),
        }
    }
}

/// Names that are followed, and what is known of them. Dropping it ends every lookup.
pub struct Names {
    lookups: Arc<Lookups>,
    followed: BTreeMap<Name, Followed>,
    news: mpsc::Receiver<News>,
    /// For new followers; also what keeps `news` open.
    teller: mpsc::Sender<News>,
}

struct Followed {
    task: JoinHandle<()>,
    answer: Answer,
    /// Nothing is known yet, not even a failure.
    is_open: bool,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Default for Names {
    fn default() -> Self {
        let (teller, news) = mpsc::channel(64);
        Self { lookups: Lookups::new(Vec::new()), followed: BTreeMap::new(), news, teller }
    }
}

impl Names {
    /// Follows these names and no others, by asking `servers` (the system's when empty). Names that stay keep their
    /// answers. Returns when each new name has an answer or has failed, after one second at the latest. Must run on
    /// the runtime that is to carry the lookups.
    pub async fn follow(&mut self, servers: &[SocketAddr], names: BTreeSet<Name>) {
        let is_other = self.lookups.servers() != servers;
        if is_other {
            self.lookups = Lookups::new(servers.to_vec());
        }
        let mut before = std::mem::take(&mut self.followed);
        for name in names {
            let followed = match before.remove(&name) {
                Some(followed) if !is_other => followed,
                known => self.begin(&name, known.map(|known| known.answer.clone()).unwrap_or_default()),
            };
            self.followed.insert(name, followed);
        }
        drop(before);
        self.settle().await;
    }

    fn begin(&self, name: &Name, answer: Answer) -> Followed {
        let follower = Follower {
            name: name.clone(),
            lookups: Arc::clone(&self.lookups),
            answer: answer.clone(),
            teller: self.teller.clone(),
        };
        Followed { task: tokio::spawn(follower.run()), is_open: answer.is_empty(), answer }
    }

    async fn settle(&mut self) {
        let limit = Instant::now() + FIRST_ANSWERS;
        while self.followed.values().any(|followed| followed.is_open) {
            let Ok(Some(news)) = timeout_at(limit, self.news.recv()).await else { return };
            self.take(news);
        }
    }

    /// Waits until a name leads elsewhere than before, and says which. Nothing is lost when the wait is given up.
    pub async fn changed(&mut self) -> Name {
        loop {
            // It never ends, for there is always a sender here.
            let Some(news) = self.news.recv().await else { return pending().await };
            if let Some(name) = self.take(news) {
                return name;
            }
        }
    }

    fn take(&mut self, news: News) -> Option<Name> {
        // News of a name that nobody follows any more may have been on its way.
        let followed = self.followed.get_mut(&news.name)?;
        followed.is_open = false;
        followed.answer = news.answer?;
        Some(news.name)
    }

    /// What is known of a name; `None` for one that is not followed.
    pub fn answer(&self, name: &Name) -> Option<&Answer> {
        self.followed.get(name).map(|followed| &followed.answer)
    }
}
