//! A repository of another host, kept as a mirror on disk: fetched by gix over HTTP or through `ssh`. The mirror
//! outlives the process, so that a start needs no git host.

mod exchange;
mod ssh;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gix::protocol::transport::Protocol;
use gix::protocol::transport::client::blocking_io::Transport;
use gix::remote::Direction;
use gix_transport::client::blocking_io::http::Transport as HttpTransport;
use portreeve_config::{BasicCredentials, GitSource};
use tokio::sync::watch;

use super::cipher::to_hex;
use super::credentials::authorization;
use exchange::{Door, Wire};
use ssh::Ssh;

/// How long a fetch may take in all, whatever the host does.
const FETCH: Duration = Duration::from_secs(60);
/// Branches and tags, as they are there.
const EVERYTHING: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

/// A repository that is reached over a network.
#[derive(Debug)]
pub(super) struct Remote {
    url: String,
    /// Where its mirror is kept.
    pub(super) mirror: PathBuf,
    way: Way,
    /// Held while it is fetched from, for two fetches would be in each other's way.
    fetching: Mutex<()>,
    /// Somebody waits to fetch, which serves everyone who comes meanwhile.
    awaited: AtomicBool,
    stopped: watch::Sender<bool>,
}

#[derive(Debug)]
enum Way {
    Http { credentials: Option<BasicCredentials>, ca_file: Option<PathBuf> },
    Ssh(Ssh),
}

/// When a fetch is given up.
#[derive(Clone, Debug)]
struct Limit {
    end: Instant,
    stopped: watch::Receiver<bool>,
}

impl Limit {
    fn left(&self) -> Duration {
        match *self.stopped.borrow() {
            true => Duration::ZERO,
            false => self.end.saturating_duration_since(Instant::now()),
        }
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

impl Remote {
    /// A remote repository, where the URL is one.
    pub(super) fn of(config: &GitSource, data_dir: &Path) -> Option<Self> {
        let is_http = config.uri.starts_with("http://") || config.uri.starts_with("https://");
        let way = match is_http {
            true => Way::Http { credentials: config.credentials.clone(), ca_file: config.ca_file.clone() },
            false => Way::Ssh(Ssh::of(&config.uri, &config.ssh.clone().unwrap_or_default())?),
        };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, config.uri.as_bytes());
        let mirror = data_dir.join("config-git").join(to_hex(&digest.as_ref()[..16]));
        Some(Self {
            url: config.uri.clone(),
            mirror,
            way,
            fetching: Mutex::default(),
            awaited: AtomicBool::default(),
            stopped: watch::Sender::new(false),
        })
    }

    /// Ends the fetch that is under way, and all that would follow.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Brings the mirror up to date. Blocks, for a minute at most; needs a runtime around it.
    pub(super) fn fetch(&self) -> Result<(), AnyError> {
        if self.awaited.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let _one_at_a_time = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        self.awaited.store(false, Ordering::Release);
        let limit = Limit { end: Instant::now() + FETCH, stopped: self.stopped.subscribe() };
        let url = gix::url::parse(self.url.as_str())?;
        match &self.way {
            Way::Http { credentials, ca_file } => {
                let authorization = credentials.as_ref().map(authorization).transpose()?;
                let wire = Arc::new(Wire::new(ca_file.as_deref(), authorization, limit)?);
                self.fetch_by(HttpTransport::new_http(Door(wire), url, Protocol::V2, false))
            }
            Way::Ssh(ssh) => {
                let (connection, program) = ssh.connect(limit)?;
                let connection = connection.custom_url(Some(url.to_bstring()));
                self.fetch_by(connection).map_err(|fault| program.explained(chain(&*fault)).into())
            }
        }
    }

    fn fetch_by(&self, transport: impl Transport) -> Result<(), AnyError> {
        let repository = match self.mirror.join("HEAD").is_file() {
            true => gix::open::Options::isolated().open(&self.mirror)?.to_thread_local(),
            false => {
                std::fs::create_dir_all(&self.mirror)?;
                gix::init_bare(&self.mirror)?
            }
        };
        let remote = repository.remote_at(self.url.as_str())?;
        let remote = remote.with_refspecs(EVERYTHING, Direction::Fetch)?;
        let connection = remote.to_connection_with_transport(transport);
        let prepared = connection.prepare_fetch(gix::progress::Discard, Default::default())?;
        let outcome = prepared.receive(gix::progress::Discard, &AtomicBool::new(false))?;
        let there: Vec<_> = outcome.ref_map.mappings.iter().filter_map(|map| map.local.clone()).collect();
        for reference in repository.references()?.all()?.flatten() {
            let name = reference.name().as_bstr().to_owned();
            let is_mirrored = name.starts_with(b"refs/heads/") || name.starts_with(b"refs/tags/");
            if is_mirrored && !there.contains(&name) {
                reference.delete()?;
            }
        }
        Ok(())
    }
}

/// A fault with its causes, for hyper's say nothing by themselves.
pub(super) fn chain(fault: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(fault), |fault| fault.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
