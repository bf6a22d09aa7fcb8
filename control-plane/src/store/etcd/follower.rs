//! Stays in touch with etcd on a thread of its own: follows what others write, keeps this process's lease, and says
//! under it which instances the process hears from. When it dies the lease ends, and all it said with it.

use std::collections::{BTreeSet, HashMap};
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tonic::Streaming;

use super::client::CallFault;
use super::database::{Database, Step, reported};
use super::inbox::Inbox;
use super::layout::{Head, Live};
use super::messages::{
    Compare, Done, LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveResponse, LeaseRequest, PutRequest,
    PutResponse, RequestOp, TxnRequest, TxnResponse, WatchCreateRequest, WatchRequest, WatchResponse, end_of,
};
use crate::registry::InstanceKey;
use crate::store::peers::Claim;
use crate::store::{ClaimNews, Wake};

/// After this long without a sign of this process the others take it for dead. In seconds; etcd gives no less than 2.
const LEASE_SECONDS: i64 = 5;
/// Signs of life of this process.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// A member that is silent for this long is left for another one.
const SILENCE: Duration = Duration::from_millis(2_500);
/// What nobody has said is taken for not being so once the watch has been complete for this long.
const SETTLED_AFTER: Duration = Duration::from_secs(3);
const LAST_WORD_WITHIN: Duration = Duration::from_secs(1);
/// Claims in one transaction.
const TOGETHER: usize = 100;

/// What the follower needs of a process that shares the store.
#[derive(Clone, Debug)]
pub(super) struct Sharing {
    wake: Wake,
    said: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Claim>>>,
    settled: Arc<AtomicBool>,
}

impl Sharing {
    pub(super) fn new(wake: Wake, said: mpsc::UnboundedReceiver<Claim>, settled: Arc<AtomicBool>) -> Self {
        Self { wake, said: Arc::new(tokio::sync::Mutex::new(said)), settled }
    }
}

/// Why following came to an end.
enum End {
    /// The store is closed.
    Asked,
    /// Everything was loaded; it goes on from there.
    Anew,
    /// What comes next is not kept any more.
    Lost,
    /// The connection broke, or etcd said no.
    Broken(String),
}

pub(super) struct Follower {
    database: Database,
    inbox: Arc<Inbox>,
    from: watch::Receiver<i64>,
    /// The first revision of etcd that has not been seen.
    next: i64,
    lease: Option<i64>,
    /// The instances this process hears from, and the node each hangs on.
    held: HashMap<InstanceKey, Option<Arc<str>>>,
    /// What etcd has not been told yet.
    untold: BTreeSet<InstanceKey>,
    /// How far the nodes of this process have followed, and whether etcd was told.
    report: Option<(Vec<u8>, bool)>,
}

/// The two conversations with etcd.
struct Lines {
    watch: Streaming<WatchResponse>,
    alive: Streaming<LeaseKeepAliveResponse>,
    renew: mpsc::Sender<LeaseRequest>,
    /// Kept, for the watch ends with it.
    _ask: mpsc::Sender<WatchRequest>,
    /// Once this revision was seen, nothing that was there before is missing.
    mark: i64,
}

impl Follower {
    pub(super) fn new(database: Database, inbox: Arc<Inbox>, from: watch::Receiver<i64>) -> Self {
        let (held, untold) = (HashMap::new(), BTreeSet::new());
        Self { database, inbox, from, next: 0, lease: None, held, untold, report: None }
    }

    /// Follows until the other end of `alive` is dropped.
    pub(super) async fn run(
        mut self,
        mut sharing: watch::Receiver<Option<Sharing>>,
        mut alive: watch::Receiver<()>,
    ) {
        let first = async {
            let sharing = sharing.wait_for(Option::is_some).await.ok()?.clone();
            self.from.changed().await.ok()?;
            sharing
        };
        let sharing = tokio::select! {
            sharing = first => sharing,
            _ = alive.changed() => None,
        };
        let Some(sharing) = sharing else { return };
        let mut said = sharing.said.clone().lock_owned().await;
        self.next = *self.from.borrow_and_update();
        loop {
            let end = tokio::select! {
                end = self.follow(&sharing, &mut said) => end,
                _ = alive.changed() => End::Asked,
            };
            sharing.settled.store(false, Ordering::Relaxed);
            if !self.goes_on(end, &sharing, &mut alive).await {
                return self.say_farewell().await;
            }
        }
    }

    async fn goes_on(&mut self, end: End, sharing: &Sharing, alive: &mut watch::Receiver<()>) -> bool {
        let pause = match end {
            End::Asked => return false,
            End::Anew => Duration::ZERO,
            End::Lost => {
                tracing::info!("etcd has compacted what was to come next; everything is loaded anew");
                self.inbox.lose();
                Duration::from_millis(200)
            }
            End::Broken(why) => {
                self.database.client.leave();
                if self.inbox.out_of_sync(&why) {
                    tracing::warn!(why, "no touch with etcd; writes wait, everything else goes on");
                }
                Duration::from_millis(rand::random_range(50..=250))
            }
        };
        sharing.wake.wake();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = alive.changed() => return false,
        }
        if self.from.has_changed().unwrap_or_default() {
            self.next = *self.from.borrow_and_update();
        }
        true
    }

    /// Gives the lease back, so that the others need not wait for its end.
    async fn say_farewell(self) {
        if let Some(id) = self.lease {
            let revoke =
                self.database.client.call::<_, Done>("/etcdserverpb.Lease/LeaseRevoke", LeaseRequest { id });
            let _ = tokio::time::timeout(LAST_WORD_WITHIN, revoke).await;
        }
    }

    async fn follow(&mut self, sharing: &Sharing, said: &mut mpsc::UnboundedReceiver<Claim>) -> End {
        let mut lines = match self.begin().await {
            Ok(lines) => lines,
            Err(fault) => return self.broken(fault),
        };
        let mut tick = tokio::time::interval(RENEW_EVERY);
        let mut heard = Instant::now();
        let mut in_sync_since = None;
        loop {
            tokio::select! {
                // Signs of life are few, and none waits behind what there may be much of.
                biased;
                answer = lines.alive.message() => match answer {
                    Ok(Some(LeaseKeepAliveResponse { ttl })) if ttl > 0 => heard = Instant::now(),
                    Ok(Some(_)) => return self.broken(CallFault::LeaseGone),
                    Ok(None) => return End::Broken("etcd ended the conversation".to_owned()),
                    Err(status) => return self.broken(self.database.client.fault(status)),
                },
                _ = tick.tick() => {
                    if heard.elapsed() > SILENCE {
                        return End::Broken("etcd is silent".to_owned());
                    }
                    // A full line says that the last one has not gone yet.
                    let _ = lines.renew.try_send(LeaseRequest { id: self.lease.unwrap_or_default() });
                    let settled = in_sync_since.is_some_and(|since: Instant| since.elapsed() >= SETTLED_AFTER);
                    sharing.settled.store(settled, Ordering::Relaxed);
                }
                _ = self.from.changed() => {
                    self.next = *self.from.borrow_and_update();
                    return End::Anew;
                }
                answer = lines.watch.message() => match answer {
                    Ok(Some(answer)) => {
                        if let Some(end) = self.take(answer, sharing) {
                            return end;
                        }
                        if in_sync_since.is_none() && self.next > lines.mark {
                            in_sync_since = Some(Instant::now());
                            self.inbox.in_sync();
                            tracing::info!("in touch with etcd");
                        }
                    }
                    Ok(None) => return End::Broken("etcd ended the watch".to_owned()),
                    Err(status) => return self.broken(self.database.client.fault(status)),
                },
                Some(claim) = said.recv() => self.note(claim),
                () = ready(()), if !self.untold.is_empty() => {}
            }
            // Whatever the turn was for: a watch that never rests would keep claims waiting.
            while let Ok(claim) = said.try_recv() {
                self.note(claim);
            }
            if let Err(fault) = self.tell().await {
                return self.broken(fault);
            }
        }
    }

    fn broken(&mut self, fault: CallFault) -> End {
        match fault {
            CallFault::Compacted => End::Lost,
            CallFault::LeaseGone => {
                self.lease = None;
                End::Broken("this replica was silent for so long that the others took it for gone".to_owned())
            }
            fault => End::Broken(fault.to_string()),
        }
    }

    async fn begin(&mut self) -> Result<Lines, CallFault> {
        let client = self.database.client.clone();
        let keys = &self.database.keys;
        let lease = match self.lease {
            Some(lease) => lease,
            None => {
                let grant = LeaseGrantRequest { ttl: LEASE_SECONDS };
                let granted: LeaseGrantResponse =
                    client.call("/etcdserverpb.Lease/LeaseGrant", grant).await?;
                // What was said under another lease has gone with it.
                self.untold.extend(self.held.keys().cloned());
                self.report.iter_mut().for_each(|(_, is_told)| *is_told = false);
                *self.lease.insert(granted.id)
            }
        };
        let (renew, alive) = client.keep_alive(lease).await?;
        let create = WatchCreateRequest {
            key: keys.live().into(),
            range_end: end_of(&keys.live()),
            start_revision: self.next,
        };
        let (ask, questions) = mpsc::channel(1);
        let _ = ask.send(WatchRequest { create: Some(create) }).await;
        let watch = client.converse("/etcdserverpb.Watch/Watch", questions).await?;
        let mark =
            PutRequest { key: keys.replica(&self.database.replica).into(), value: b"{}".to_vec(), lease };
        let marked: PutResponse = client.call("/etcdserverpb.KV/Put", mark).await?;
        let mark = marked.header.map_or(0, |header| header.revision);
        Ok(Lines { watch, alive, renew, _ask: ask, mark })
    }

    /// Takes what the watch says; an end where it says that there is nothing more.
    fn take(&mut self, answer: WatchResponse, sharing: &Sharing) -> Option<End> {
        if answer.compact_revision != 0 {
            return Some(End::Lost);
        }
        if answer.canceled {
            return Some(End::Broken(format!("etcd ended the watch: {}", answer.cancel_reason)));
        }
        let (mut steps, mut claims): (Vec<Step>, Vec<ClaimNews>) = Default::default();
        for event in answer.events {
            let is_gone = event.kind != 0;
            let Some(kv) = event.kv else { continue };
            self.next = self.next.max(kv.mod_revision + 1);
            match self.database.keys.read_live(&kv.key) {
                Some(Live::Head) if is_gone => return Some(End::Lost),
                Some(Live::Head) => match Head::read(&self.database.keys.head(), &kv.value) {
                    Ok(head) => steps.push(Step { at: kv.mod_revision, head: Some(head) }),
                    Err(fault) => {
                        tracing::error!(%fault, "what another replica wrote cannot be read");
                        return Some(End::Lost);
                    }
                },
                Some(live) => {
                    let news = self.database.claim(&kv.key, (!is_gone).then_some(kv.value.as_slice()));
                    if let (Live::Replica(replica), Some(_)) = (live, &news) {
                        let what = if is_gone { "a replica is gone" } else { "another replica is there" };
                        tracing::info!(replica = &*replica, what);
                    }
                    claims.extend(news);
                }
                None => {}
            }
        }
        if !steps.is_empty() || !claims.is_empty() {
            self.inbox.add(steps, claims);
            sharing.wake.wake();
        }
        None
    }

    fn note(&mut self, claim: Claim) {
        let (key, is_news) = match claim {
            Claim::Hold { key, node } => {
                let is_news = self.held.get(&key) != Some(&node);
                self.held.insert(key.clone(), node);
                (key, is_news)
            }
            Claim::LetGo { key } => {
                let is_news = self.held.remove(&key).is_some();
                (key, is_news)
            }
            Claim::Nodes(report) => {
                match reported(report) {
                    Ok(report) => self.report = Some((report, false)),
                    Err(fault) => tracing::warn!(%fault, "other replicas are not told of this one's nodes"),
                }
                return;
            }
        };
        if is_news {
            self.untold.insert(key);
        }
    }

    /// Tells etcd whom this process hears from, as far as that is news and goes into one transaction. Between two of
    /// them there are signs of life: without, the lease would end while thousands are told, and all would be untold.
    async fn tell(&mut self) -> Result<(), CallFault> {
        let Some(lease) = self.lease else { return Ok(()) };
        if let Some((report, is_told @ false)) = &mut self.report {
            let key = self.database.keys.nodes(&self.database.replica).into();
            let put = PutRequest { key, value: report.clone(), lease };
            let _: PutResponse = self.database.client.call("/etcdserverpb.KV/Put", put).await?;
            *is_told = true;
        }
        let keys: Vec<InstanceKey> = self.untold.iter().take(TOGETHER).cloned().collect();
        if keys.is_empty() {
            return Ok(());
        }
        let operation = |key: &InstanceKey| {
            let place = self.database.keys.claim(&self.database.replica, key);
            match self.held.get(key) {
                Some(node) => RequestOp::put(place, node.as_deref().unwrap_or_default(), lease),
                None => RequestOp::delete(place),
            }
        };
        let success = keys.iter().map(operation).collect();
        let request = TxnRequest { compare: Vec::<Compare>::new(), success, failure: Vec::new() };
        let _: TxnResponse = self.database.client.call("/etcdserverpb.KV/Txn", request).await?;
        for key in &keys {
            self.untold.remove(key);
        }
        Ok(())
    }
}
