//! What must hold for whatever stands in a shared store, whoever wrote it: it is refused, or what it says can be said
//! again.
#![allow(clippy::expect_used)]

use super::database::report;
use super::layout::{Head, Keys, Live};
use super::pieces::unpacked;
use crate::store::{Record, Versioned};

/// A line with a key, and a value.
pub fn etcd(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (key, value) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let keys = Keys::new("/portreeve/");
    match keys.read_live(key) {
        Some(Live::Claim(replica, instance)) => {
            let again = keys.claim(&replica, &instance);
            assert_eq!(keys.read_live(again.as_bytes()), Some(Live::Claim(replica, instance)), "{again}");
        }
        Some(Live::Nodes(_)) => drop(report(value)),
        _ => {}
    }
    if let Ok(head) = Head::read("head", value) {
        let text = serde_json::to_vec(&head).expect("what was read can be written");
        Head::read("head", &text).expect("what was written can be read");
    }
    let Ok(text) = unpacked(value.to_vec()) else { return };
    if let Ok(record) = serde_json::from_slice::<Versioned<Record>>(&text) {
        let name = keys.record(&record.value);
        let text = serde_json::to_vec(&record).expect("what was read can be written");
        let again: Versioned<Record> = serde_json::from_slice(&text).expect("what was written can be read");
        assert_eq!(keys.record(&again.value), name);
    }
}
