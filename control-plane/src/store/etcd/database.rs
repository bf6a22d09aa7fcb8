//! Reads and writes of the whole: a snapshot of everything, and the one transaction that a commit is. A change that no
//! request can hold stands in parts first; putting the head in place makes it true, and it is settled afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::client::{CallFault, Client};
use super::layout::{Head, Keys, Live, fold, node, operations};
use super::messages::{
    Compare, Done, KeyValue, PutRequest, RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse,
    end_of,
};
use super::pieces::{
    OPERATIONS, REQUEST_BYTES, batches, json, nested, packed, packed_if_large, size, unpacked,
};
use crate::store::{ClaimNews, Commit, Contents, NodesReport, Record, ReplicaId, StoreError, Versioned};

/// Bytes of a change that may stand in the head itself.
const HEAD_BYTES: usize = 400_000;
/// One part of a change.
const PART_BYTES: usize = 512 * 1024;
/// Keys that are read at one time.
const PAGE: i64 = 500;

const RANGE: &str = "/etcdserverpb.KV/Range";
const PUT: &str = "/etcdserverpb.KV/Put";
const TXN: &str = "/etcdserverpb.KV/Txn";

/// What is kept below one prefix.
#[derive(Clone)]
pub(super) struct Database {
    pub(super) client: Arc<Client>,
    pub(super) keys: Keys,
    /// The name of this process.
    pub(super) replica: ReplicaId,
}

/// A head, and etcd's revision that put it in place.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    /// 0 where there never was one.
    pub(super) at: i64,
    pub(super) head: Option<Head>,
}

/// Everything, as of one revision of etcd.
pub(super) struct Found {
    pub(super) at: i64,
    pub(super) step: Step,
    pub(super) contents: Contents,
    pub(super) claims: Vec<ClaimNews>,
}

/// What came of a commit.
pub(super) enum Outcome {
    /// It is kept.
    Done(Step),
    /// The head is another one than was known.
    Behind,
}

impl Step {
    /// Without what was done, which is needed once.
    pub(super) fn bare(&self) -> Self {
        let head = self.head.as_ref().map(|head| Head { commits: Vec::new(), ..head.clone() });
        Self { at: self.at, head }
    }
}

impl Database {
    /// Reads everything.
    pub(super) async fn read_all(&self) -> Result<Found, StoreError> {
        let question = RangeRequest { key: self.keys.head().into(), ..RangeRequest::default() };
        let answer: RangeResponse = self.client.call(RANGE, question).await.map_err(store_fault)?;
        let at = answer.header.map_or(0, |header| header.revision);
        let step = match answer.kvs.first() {
            Some(kv) => Step { at: kv.mod_revision, head: Some(Head::read(&self.keys.head(), &kv.value)?) },
            None => Step::default(),
        };
        let mut records = BTreeMap::new();
        for kv in self.range(&self.keys.records(), at).await? {
            let record: Versioned<Record> = self.parsed(&kv.key, kv.value)?;
            records.insert(kv.key, record);
        }
        if let Some(head) = step.head.as_ref().filter(|head| head.parts > 0) {
            fold(&self.keys, &mut records, &self.read_parts(head, at).await?);
        }
        let mut contents = Contents::default();
        if let Some(head) = &step.head {
            (contents.revision, contents.routes_revision) = (head.revision, head.routes_revision);
        }
        for Versioned { revision, value } in records.into_values() {
            contents.add(revision, value);
        }
        let mut claims = self.range(&self.keys.replicas(), at).await?;
        claims.extend(self.range(&self.keys.nodes(""), at).await?);
        claims.extend(self.range(&self.keys.claims(), at).await?);
        let claims = claims.iter().filter_map(|kv| self.claim(&kv.key, Some(&kv.value)));
        let claims = std::iter::once(ClaimNews::Anew).chain(claims).collect();
        Ok(Found { at, step: step.bare(), contents, claims })
    }

    /// What a key says of another replica; without a value it is gone.
    pub(super) fn claim(&self, key: &[u8], value: Option<&[u8]>) -> Option<ClaimNews> {
        let news = match self.keys.read_live(key)? {
            Live::Claim(replica, _) | Live::Replica(replica) | Live::Nodes(replica)
                if replica == self.replica =>
            {
                return None;
            }
            Live::Head => return None,
            Live::Replica(replica) => ClaimNews::Replica { replica, is_there: value.is_some() },
            // It goes together with the replica.
            Live::Nodes(replica) => ClaimNews::Nodes { replica, report: Arc::new(report(value?)?) },
            Live::Claim(replica, key) => match value {
                Some(value) => ClaimNews::Held { replica, key, node: node(value) },
                None => ClaimNews::Gone { replica, key },
            },
        };
        Some(news)
    }

    /// What the change that `head` is did; `at` is when it was put in place.
    pub(super) async fn commits_of(&self, head: &Head, at: i64) -> Result<Vec<Commit>, StoreError> {
        match head.parts {
            0 => Ok(head.commits.clone()),
            _ => self.read_parts(head, at).await,
        }
    }

    /// Puts `head` in the place of the one that is known, together with what `commits` leave behind.
    pub(super) async fn commit(
        &self,
        known: &Step,
        head: &Head,
        commits: &[Commit],
    ) -> Result<Outcome, StoreError> {
        let mut known = known.clone();
        if known.head.as_ref().is_some_and(|head| head.parts > 0) {
            match self.settle(&known).await? {
                Some(settled) => known = settled,
                None => return Ok(Outcome::Behind),
            }
        }
        let operations = self.written(commits)?;
        let text = json(commits)?;
        let bytes: usize = operations.iter().map(size).sum();
        let is_small = text.len() <= HEAD_BYTES && bytes + text.len() <= REQUEST_BYTES;
        if is_small && operations.len() <= OPERATIONS * OPERATIONS {
            let head = Head { commits: commits.to_vec(), ..head.clone() };
            return self.replace(&known, head, operations).await;
        }
        let packed = packed(text)?;
        let parts: Vec<&[u8]> = packed.chunks(PART_BYTES).collect();
        for (index, part) in parts.iter().enumerate() {
            let put =
                PutRequest { key: self.keys.part(&head.id, index).into(), value: part.to_vec(), lease: 0 };
            let _: Done = self.client.call(PUT, put).await.map_err(store_fault)?;
        }
        let head = Head { parts: parts.len(), ..head.clone() };
        let id = head.id.clone();
        match self.replace(&known, head, Vec::new()).await? {
            Outcome::Done(step) => {
                // It is true from here on. If settling fails, whoever writes next does it.
                let settled = self.settle_as(&step, operations).await.ok().flatten();
                Ok(Outcome::Done(settled.unwrap_or(step)))
            }
            Outcome::Behind => {
                let _ = self.transact(Vec::new(), vec![RequestOp::delete_all(&self.keys.parts(&id))]).await;
                Ok(Outcome::Behind)
            }
        }
    }

    /// Brings `records/` up to the change that stands in parts. `None` where somebody else has done so.
    async fn settle(&self, step: &Step) -> Result<Option<Step>, StoreError> {
        let Some(head) = &step.head else { return Ok(None) };
        let commits = self.read_parts(head, step.at).await?;
        let operations = self.written(&commits)?;
        self.settle_as(step, operations).await
    }

    async fn settle_as(&self, step: &Step, operations: Vec<RequestOp>) -> Result<Option<Step>, StoreError> {
        let Some(head) = &step.head else { return Ok(None) };
        for batch in batches(operations) {
            let same = vec![Compare::unchanged(&self.keys.head(), step.at)];
            if !self.transact(same, nested(batch)).await?.succeeded {
                return Ok(None);
            }
        }
        let parts = self.keys.parts(&head.id);
        let settled = Head { parts: 0, commits: Vec::new(), ..head.clone() };
        match self.replace(step, settled, vec![RequestOp::delete_all(&parts)]).await? {
            Outcome::Done(step) => Ok(Some(step)),
            Outcome::Behind => Ok(None),
        }
    }

    async fn replace(
        &self,
        known: &Step,
        head: Head,
        mut operations: Vec<RequestOp>,
    ) -> Result<Outcome, StoreError> {
        let place = self.keys.head();
        let same = vec![Compare::unchanged(&place, known.at)];
        operations = nested(operations);
        operations.push(RequestOp::put(place, json(&head)?, 0));
        let answer = self.transact(same, operations).await?;
        match answer.succeeded {
            true => {
                let at = answer.header.map_or(0, |header| header.revision);
                Ok(Outcome::Done(Step { at, head: Some(head) }.bare()))
            }
            false => Ok(Outcome::Behind),
        }
    }

    async fn transact(
        &self,
        compare: Vec<Compare>,
        success: Vec<RequestOp>,
    ) -> Result<TxnResponse, StoreError> {
        let request = TxnRequest { compare, success, failure: Vec::new() };
        self.client.call(TXN, request).await.map_err(store_fault)
    }

    fn written(&self, commits: &[Commit]) -> Result<Vec<RequestOp>, StoreError> {
        operations(&self.keys, commits, packed_if_large)
    }

    async fn read_parts(&self, head: &Head, at: i64) -> Result<Vec<Commit>, StoreError> {
        let place = self.keys.parts(&head.id);
        let parts = self.range(&place, at).await?;
        if parts.len() != head.parts {
            let problem = format!("{} of {} parts are there", parts.len(), head.parts);
            return Err(StoreError::Foreign { place, problem });
        }
        let packed: Vec<u8> = parts.into_iter().flat_map(|part| part.value).collect();
        self.parsed(place.as_bytes(), packed)
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self, key: &[u8], value: Vec<u8>) -> Result<T, StoreError> {
        let text = unpacked(value).map_err(|fault| fault.to_string());
        let parsed = text.and_then(|text| serde_json::from_slice(&text).map_err(|fault| fault.to_string()));
        let place = String::from_utf8_lossy(key).into_owned();
        parsed.map_err(|problem| StoreError::Foreign { place, problem })
    }

    /// All keys that begin with `prefix`, as of etcd's revision `at`.
    async fn range(&self, prefix: &str, at: i64) -> Result<Vec<KeyValue>, StoreError> {
        let mut all: Vec<KeyValue> = Vec::new();
        let mut key = prefix.as_bytes().to_vec();
        loop {
            let question = RangeRequest { key, range_end: end_of(prefix), limit: PAGE, revision: at };
            let answer: RangeResponse = self.client.call(RANGE, question).await.map_err(store_fault)?;
            all.extend(answer.kvs);
            match all.last() {
                Some(last) if answer.more => {
                    key = last.key.clone();
                    key.push(0);
                }
                _ => return Ok(all),
            }
        }
    }
}

/// What a call's fault means to whoever uses the store.
pub(super) fn store_fault(fault: CallFault) -> StoreError {
    match fault {
        CallFault::Full => StoreError::Full("etcd".into()),
        CallFault::Refused(problem) if problem.contains("too large") => StoreError::TooLarge(problem),
        CallFault::Refused(problem) => StoreError::Refused(problem),
        other => StoreError::Away(other.to_string()),
    }
}

/// What another replica says of its nodes; nothing where it says so in a way that this one does not know.
pub(super) fn report(value: &[u8]) -> Option<NodesReport> {
    let text = unpacked(value.to_vec()).ok()?;
    serde_json::from_slice(&text).ok()
}

/// What this replica says of its nodes, in the size that etcd takes: those that have followed may be left out.
pub(super) fn reported(mut report: NodesReport) -> Result<Vec<u8>, StoreError> {
    let whole = packed_if_large(json(&report)?);
    if !matches!(whole, Err(StoreError::TooLarge(_))) {
        return whole;
    }
    let revision = report.revision;
    report.nodes.retain(|node| node.acknowledged < revision);
    packed_if_large(json(&report)?)
}
