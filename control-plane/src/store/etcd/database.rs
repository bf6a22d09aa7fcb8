//! Reads and writes of the whole: a snapshot of everything, and the one transaction that a commit is. A change that no
//! request can hold stands in parts first; putting the head in place makes it true, and it is settled afterwards.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::client::{CallFault, Client};
use super::layout::{Head, Keys, Live, fold, node, operations};
use super::messages::{
    Compare, Done, KeyValue, PutRequest, RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse, end_of,
};
use crate::store::{ClaimNews, Commit, Contents, Record, ReplicaId, StoreError, Versioned};

/// etcd takes 1.5 MiB a request, unless it is told otherwise.
const REQUEST_BYTES: usize = 1_000_000;
/// Bytes of a change that may stand in the head itself.
const HEAD_BYTES: usize = 400_000;
/// One part of a change.
const PART_BYTES: usize = 512 * 1024;
/// etcd takes 128 operations a transaction. Transactions in a transaction count by level: 60 times 60 fit.
const OPERATIONS: usize = 60;
/// Keys that are read at one time.
const PAGE: i64 = 500;
/// Larger records are compressed.
const COMPRESS_FROM: usize = 16 * 1024;

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
            Some(kv) => {
                Step { at: kv.mod_revision, head: Some(Head::read(&self.keys.head(), &kv.value)?) }
            }
            None => Step::default(),
        };
        let mut records = BTreeMap::new();
        for kv in self.range(&self.keys.records(), at).await? {
            records.insert(kv.key.clone(), self.read_record(&kv)?);
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
        let claims = self.range(&self.keys.claims(), at).await?;
        let claims = claims.iter().filter_map(|kv| self.claim(&kv.key, Some(&kv.value)));
        let claims = std::iter::once(ClaimNews::Anew).chain(claims).collect();
        Ok(Found { at, step: step.bare(), contents, claims })
    }

    /// What a key says of a claim of another replica; without a value it is gone.
    pub(super) fn claim(&self, key: &[u8], value: Option<&[u8]>) -> Option<ClaimNews> {
        let Some(Live::Claim(replica, key)) = self.keys.read_live(key) else { return None };
        if replica == self.replica {
            return None;
        }
        Some(match value {
            Some(value) => ClaimNews::Held { replica, key, node: node(value) },
            None => ClaimNews::Gone { replica, key },
        })
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
            let put = PutRequest { key: self.keys.part(&head.id, index).into(), value: part.to_vec(), lease: 0 };
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

    fn read_record(&self, kv: &KeyValue) -> Result<Versioned<Record>, StoreError> {
        self.unpacked(&kv.key, &kv.value)
    }

    async fn read_parts(&self, head: &Head, at: i64) -> Result<Vec<Commit>, StoreError> {
        let place = self.keys.parts(&head.id);
        let parts = self.range(&place, at).await?;
        if parts.len() != head.parts {
            let problem = format!("{} of {} parts are there", parts.len(), head.parts);
            return Err(StoreError::Foreign { place, problem });
        }
        let packed: Vec<u8> = parts.into_iter().flat_map(|part| part.value).collect();
        self.unpacked(place.as_bytes(), &packed)
    }

    fn unpacked<T: serde::de::DeserializeOwned>(&self, key: &[u8], value: &[u8]) -> Result<T, StoreError> {
        let mut text = Vec::new();
        let read = match value.starts_with(&[0x1f, 0x8b]) {
            true => GzDecoder::new(value).read_to_end(&mut text).map_err(|fault| fault.to_string()),
            false => {
                text.extend_from_slice(value);
                Ok(text.len())
            }
        };
        let parsed = read.and_then(|_| serde_json::from_slice(&text).map_err(|fault| fault.to_string()));
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
        other => StoreError::Away(other.to_string()),
    }
}

/// `operations` as few enough of them, each of which may hold many.
fn nested(mut operations: Vec<RequestOp>) -> Vec<RequestOp> {
    if operations.len() <= OPERATIONS {
        return operations;
    }
    let mut groups = Vec::new();
    while !operations.is_empty() {
        let rest = operations.split_off(operations.len().min(OPERATIONS));
        groups.push(RequestOp::all(std::mem::replace(&mut operations, rest)));
    }
    groups
}

/// `operations` in pieces that fit a request each.
fn batches(operations: Vec<RequestOp>) -> Vec<Vec<RequestOp>> {
    let mut batches = vec![Vec::new()];
    let mut bytes = 0;
    for operation in operations {
        let more = size(&operation);
        let is_full = batches.last().is_none_or(|batch| batch.len() >= OPERATIONS * (OPERATIONS - 1));
        if is_full || (bytes + more > REQUEST_BYTES && bytes > 0) {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        if let Some(batch) = batches.last_mut() {
            batch.push(operation);
        }
    }
    batches
}

fn size(operation: &RequestOp) -> usize {
    prost::Message::encoded_len(operation)
}

fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|fault| StoreError::TooLarge(format!("it cannot be written: {fault}")))
}

/// A record's text as it is stored, if it is not too large for that.
fn packed_if_large(text: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    let text = if text.len() >= COMPRESS_FROM { packed(text)? } else { text };
    if text.len() > REQUEST_BYTES {
        let problem = format!("a single record has {} bytes compressed, and etcd takes {REQUEST_BYTES}", text.len());
        return Err(StoreError::TooLarge(problem));
    }
    Ok(text)
}

fn packed(text: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    let failed = |fault: std::io::Error| StoreError::TooLarge(format!("it cannot be compressed: {fault}"));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&text).map_err(failed)?;
    encoder.finish().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_operations_fit_one_transaction_by_level() {
        let many = (0..3_600).map(|n| RequestOp::delete(n.to_string())).collect();
        let groups = nested(many);
        assert_eq!(groups.len(), OPERATIONS);
        let few: Vec<_> = (0..3).map(|n| RequestOp::delete(n.to_string())).collect();
        assert_eq!(nested(few.clone()), few);
    }

    #[test]
    fn batches_keep_every_operation_and_their_order() {
        let all: Vec<_> = (0..5_000).map(|n| RequestOp::put(format!("{n:06}"), vec![0; 1_000], 0)).collect();
        let batches = batches(all.clone());
        assert!(batches.iter().all(|batch| batch.iter().map(size).sum::<usize>() <= REQUEST_BYTES));
        assert_eq!(batches.concat(), all);
    }
}
