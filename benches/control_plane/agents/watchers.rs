//! Gateways that watch: how long until all of them have a change, or are back after all lost their streams at once.
//! Commands come on standard input, one a line, and each is answered with a line.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::BufRead;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::Outcome;
use super::arguments::Arguments;
use super::instances::{Instances, get};
use super::node::{Node, Said, Voice};
use super::requests::Connection;
use super::server::{Server, memory};

/// The pause before a watcher that was not let in tries again.
const PAUSE: Duration = Duration::from_millis(50);
/// Acknowledgements that are sent before it is looked again what there is to hear.
const SAID_AT_ONCE: usize = 4;
/// Longer than this nothing measured here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What all watchers and the one who measures share.
struct Shared {
    address: SocketAddr,
    /// The newest revision that anybody has heard of.
    revision: Cell<u64>,
    /// How many are up to date since they came.
    reached: Cell<u64>,
    last: Cell<Instant>,
    /// Which revision a write makes is not known before it is answered: how many heard of each, and when the last did.
    seen: RefCell<BTreeMap<u64, (u64, Instant)>>,
    progressed: Notify,
    /// What is to be acknowledged, and by whom.
    unsaid: RefCell<VecDeque<(Voice, u64)>>,
    heard: Notify,
    epoch: RefCell<String>,
    snapshots: Cell<u64>,
    taken: Cell<u64>,
    /// Whether what is held is told when coming back.
    resumes: Cell<bool>,
}

/// `watchers=`; then `change`, `reconnect` (with what they hold), `fresh` (without).
pub(crate) async fn measure(arguments: &Arguments) -> Outcome<()> {
    let count: u64 = arguments.get("watchers")?;
    let mut crowd = Crowd::new(arguments.get("address")?, arguments.get("pid")?, count);
    tokio::task::spawn_local(acknowledge(crowd.shared.clone()));
    println!("{}", crowd.gather(false).await?);
    let mut commands = commands();
    let instances = Instances { services: 1, first: 0, count: 1 };
    while let Some(command) = commands.recv().await {
        let report = match command.as_str() {
            "change" => crowd.change(&instances).await?,
            "reconnect" => crowd.gather(true).await?,
            "fresh" => crowd.gather(false).await?,
            _ => break,
        };
        println!("{report}");
    }
    Ok(())
}

pub(crate) fn commands() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    receiver
}

/// All watchers.
struct Crowd {
    shared: Rc<Shared>,
    pid: u32,
    count: u64,
    changes: u64,
    running: JoinSet<Outcome<()>>,
}

impl Crowd {
    fn new(address: SocketAddr, pid: u32, count: u64) -> Self {
        let shared = Shared {
            address,
            revision: Cell::new(0),
            reached: Cell::new(0),
            last: Cell::new(Instant::now()),
            seen: RefCell::default(),
            progressed: Notify::new(),
            unsaid: RefCell::default(),
            heard: Notify::new(),
            epoch: RefCell::default(),
            snapshots: Cell::new(0),
            taken: Cell::new(0),
            resumes: Cell::new(false),
        };
        Self { shared: Rc::new(shared), pid, count, changes: 0, running: JoinSet::new() }
    }

    /// Drops every stream and opens all anew at once; ends when each watcher is up to date.
    async fn gather(&mut self, resumes: bool) -> Outcome<String> {
        self.running.abort_all();
        while self.running.join_next().await.is_some() {}
        let shared = &self.shared;
        shared.unsaid.borrow_mut().clear();
        for count in [&shared.reached, &shared.snapshots, &shared.taken] {
            count.set(0);
        }
        shared.resumes.set(resumes);
        let (began, server) = (Instant::now(), Server::watch(self.pid)?);
        for number in 0..self.count {
            self.running.spawn_local(watch(shared.clone(), number));
        }
        self.wait(|shared| shared.reached.get()).await?;
        let milliseconds = self.shared.last.get().duration_since(began).as_secs_f64() * 1000.0;
        let ((now, most), spent) = (memory(self.pid)?, server.spent()?);
        self.confirmed(&mut Connection::open(self.shared.address).await?).await?;
        let shared = &self.shared;
        Ok(format!(
            r#"{{{},"milliseconds":{milliseconds:.1},"snapshots":{},"bytes":{},"memory":{now},"peak":{most}}}"#,
            spent.report("gathered", self.count),
            shared.snapshots.get(),
            shared.taken.get()
        ))
    }

    /// One registration, and how long until everybody has heard of it, and has confirmed that.
    async fn change(&mut self, instances: &Instances) -> Outcome<String> {
        let mut connection = Connection::open(self.shared.address).await?;
        self.changes += 1;
        self.shared.seen.borrow_mut().clear();
        let request = instances.put(self.changes);
        let (began, server) = (Instant::now(), Server::watch(self.pid)?);
        connection.ask(&request).await?;
        let accepted = began.elapsed().as_secs_f64() * 1000.0;
        let count =
            |shared: &Shared| shared.seen.borrow().values().map(|(count, _)| *count).max().unwrap_or(0);
        self.wait(count).await?;
        let last = self.shared.seen.borrow().values().map(|(_, last)| *last).max().unwrap_or(began);
        let milliseconds = last.duration_since(began).as_secs_f64() * 1000.0;
        let spent = server.spent()?;
        self.confirmed(&mut connection).await?;
        let confirmed = began.elapsed().as_secs_f64() * 1000.0;
        Ok(format!(
            r#"{{{},"accepted":{accepted:.2},"milliseconds":{milliseconds:.2},"confirmed":{confirmed:.2}}}"#,
            spent.report("change", self.count)
        ))
    }

    /// Waits until the server knows that all have what they heard of: what follows must not meet what is said of that.
    async fn confirmed(&self, connection: &mut Connection) -> Outcome<()> {
        let revision = self.shared.revision.get();
        connection.ask(&get(&format!("/v1/revisions/{revision}/acknowledged?timeout=30s"))).await
    }

    async fn wait(&mut self, count: impl Fn(&Shared) -> u64) -> Outcome<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let (done, shared) = (count(&self.shared), self.shared.clone());
            if done >= self.count {
                return Ok(());
            }
            tokio::select! {
                () = shared.progressed.notified() => {}
                Some(ended) = self.running.join_next() => ended??,
                () = tokio::time::sleep_until(deadline.into()) => {
                    return Err(format!("{done} of {} watchers within {LIMIT:?}", self.count).into());
                }
            }
        }
    }
}

/// One watcher: acknowledges what it hears.
async fn watch(shared: Rc<Shared>, number: u64) -> Outcome<()> {
    let mut node = open(&shared, number).await?;
    let mut is_current = false;
    loop {
        let mut acknowledged = None;
        let before = node.taken;
        node.read(|said, revision, text| match said {
            Said::Snapshot | Said::Resumed => {
                is_current = true;
                acknowledged = Some(revision);
                shared.arrived(said, revision, text);
            }
            Said::Change => {
                acknowledged = Some(revision);
                shared.saw(revision);
            }
            _ => {}
        })
        .await?;
        shared.taken.set(shared.taken.get() + node.taken - before);
        if let Some(revision) = acknowledged.filter(|_| is_current) {
            shared.unsaid.borrow_mut().push_back((node.voice(), revision));
            shared.heard.notify_one();
        }
    }
}

/// Says what is to be acknowledged, a little at a time: one core plays all nodes, and what the last one hears must not wait
/// for what the others say. Never ends.
async fn acknowledge(shared: Rc<Shared>) {
    loop {
        let few: Vec<_> = {
            let mut unsaid = shared.unsaid.borrow_mut();
            let count = unsaid.len().min(SAID_AT_ONCE);
            unsaid.drain(..count).collect()
        };
        if few.is_empty() {
            shared.heard.notified().await;
        }
        for (voice, revision) in few {
            // Where a stream has ended, who hears on it says so.
            let _ = voice.say(&format!(r#"{{"type":"ack","revision":{revision}}}"#)).await;
        }
        tokio::task::yield_now().await;
    }
}

/// Tries until it is let in, as long as anything here may take.
async fn open(shared: &Shared, number: u64) -> Outcome<Node> {
    let (held, epoch) = match shared.resumes.get() {
        true => (shared.revision.get(), shared.epoch.borrow().clone()),
        false => (0, String::new()),
    };
    let hello = format!(
        r#"{{"type":"hello","node":"gateway-{number}","kind":"gateway","revision":{held},"epoch":"{epoch}"}}"#
    );
    let deadline = Instant::now() + LIMIT;
    loop {
        match Node::open(shared.address, &hello).await {
            Ok(node) => return Ok(node),
            Err(fault) if Instant::now() > deadline => return Err(fault),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

impl Shared {
    fn arrived(&self, said: Said, revision: u64, text: &str) {
        self.revision.set(self.revision.get().max(revision));
        if said == Said::Snapshot {
            self.snapshots.set(self.snapshots.get() + 1);
            if let Some((_, rest)) = text.split_once(r#""epoch":""#) {
                *self.epoch.borrow_mut() = rest.split('"').next().unwrap_or_default().to_owned();
            }
        }
        self.reached.set(self.reached.get() + 1);
        self.last.set(Instant::now());
        self.progressed.notify_one();
    }

    fn saw(&self, revision: u64) {
        self.revision.set(self.revision.get().max(revision));
        let (mut seen, now) = (self.seen.borrow_mut(), Instant::now());
        let (count, last) = seen.entry(revision).or_insert((0, now));
        (*count, *last) = (*count + 1, now);
        self.progressed.notify_one();
    }
}
