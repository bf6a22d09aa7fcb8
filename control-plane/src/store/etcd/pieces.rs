//! What fits one request to etcd and what does not: operations in levels and batches, texts compressed.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::messages::RequestOp;
use crate::store::StoreError;

/// etcd takes 1.5 MiB a request, unless it is told otherwise.
pub(super) const REQUEST_BYTES: usize = 1_000_000;
/// etcd takes 128 operations a transaction. Transactions in a transaction count by level: 60 times 60 fit.
pub(super) const OPERATIONS: usize = 60;
/// Larger records are compressed.
const COMPRESS_FROM: usize = 16 * 1024;
/// How a compressed text begins; JSON does not.
const COMPRESSED: [u8; 2] = [0x1f, 0x8b];

/// `operations` as few enough of them, each of which may hold many.
pub(super) fn nested(mut operations: Vec<RequestOp>) -> Vec<RequestOp> {
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
pub(super) fn batches(operations: Vec<RequestOp>) -> Vec<Vec<RequestOp>> {
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

pub(super) fn size(operation: &RequestOp) -> usize {
    prost::Message::encoded_len(operation)
}

pub(super) fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|fault| StoreError::TooLarge(format!("it cannot be written: {fault}")))
}

/// A record's text as it is stored, if it is not too large for that.
pub(super) fn packed_if_large(text: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    let text = if text.len() >= COMPRESS_FROM { packed(text)? } else { text };
    if text.len() > REQUEST_BYTES {
        let problem =
            format!("a single record has {} bytes compressed, and etcd takes {REQUEST_BYTES}", text.len());
        return Err(StoreError::TooLarge(problem));
    }
    Ok(text)
}

pub(super) fn packed(text: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    let failed = |fault: std::io::Error| StoreError::TooLarge(format!("it cannot be compressed: {fault}"));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&text).map_err(failed)?;
    encoder.finish().map_err(failed)
}

/// What was stored, as text again.
pub(super) fn unpacked(value: Vec<u8>) -> std::io::Result<Vec<u8>> {
    if !value.starts_with(&COMPRESSED) {
        return Ok(value);
    }
    let mut text = Vec::new();
    GzDecoder::new(value.as_slice()).read_to_end(&mut text)?;
    Ok(text)
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
