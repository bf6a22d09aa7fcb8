//! Where what stands in etcd, below the prefix, and how it is written down: `live/head` is the newest change, with all
//! it did; `records/` holds what is true now; `parts/` what does not fit one request; the rest of `live/` who is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use portreeve_config::wire::Revision;
use serde::{Deserialize, Serialize};

use super::messages::RequestOp;
use crate::registry::InstanceKey;
use crate::store::{Commit, Record, ReplicaId, StoreError, Versioned};

/// The newest layout this build reads and the one it writes.
const FORMAT: u64 = 1;

/// The newest change. Whoever replaces it has seen it: that makes revisions one row for all replicas.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) format: u64,
    /// Names this change, so that whoever lost the answer finds out whether it came to be.
    pub(super) id: String,
    pub(super) revision: Revision,
    pub(super) routes_revision: Revision,
    /// What it did, where that fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) commits: Vec<Commit>,
    /// Else: in how many parts that stands below `parts/<id>/`. It may not be in `records/` yet.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(super) parts: usize,
}

/// The names of keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

/// What a key below `live/` says.
#[derive(Debug, PartialEq)]
pub(super) enum Live {
    Head,
    Replica(ReplicaId),
    Nodes(ReplicaId),
    Claim(ReplicaId, InstanceKey),
}

impl Head {
    pub(super) fn new(id: String, revision: Revision, routes_revision: Revision) -> Self {
        Self { format: FORMAT, id, revision, routes_revision, commits: Vec::new(), parts: 0 }
    }

    /// Reads a head; what a newer Portreeve wrote, or something else, is refused.
    pub(super) fn read(place: &str, text: &[u8]) -> Result<Self, StoreError> {
        #[derive(Deserialize)]
        struct Format {
            format: u64,
        }
        let foreign = |problem: String| StoreError::Foreign { place: place.to_owned(), problem };
        match serde_json::from_slice(text) {
            Ok(Format { format: FORMAT }) => {}
            Ok(Format { format }) => {
                let problem = format!("it has format {format}, and this version of Portreeve reads {FORMAT}");
                return Err(foreign(problem));
            }
            Err(fault) => return Err(foreign(fault.to_string())),
        }
        serde_json::from_slice(text).map_err(|fault| foreign(fault.to_string()))
    }
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(super) fn live(&self) -> String {
        format!("{}live/", self.prefix)
    }

    pub(super) fn head(&self) -> String {
        format!("{}live/head", self.prefix)
    }

    pub(super) fn replica(&self, replica: &str) -> String {
        format!("{}live/replicas/{replica}", self.prefix)
    }

    pub(super) fn replicas(&self) -> String {
        format!("{}live/replicas/", self.prefix)
    }

    pub(super) fn nodes(&self, replica: &str) -> String {
        format!("{}live/nodes/{replica}", self.prefix)
    }

    pub(super) fn claims(&self) -> String {
        format!("{}live/claims/", self.prefix)
    }

    pub(super) fn claim(&self, replica: &str, key: &InstanceKey) -> String {
        format!("{}{replica}/{}/{}", self.claims(), escaped(&key.service), escaped(&key.id))
    }

    pub(super) fn records(&self) -> String {
        format!("{}records/", self.prefix)
    }

    pub(super) fn parts(&self, id: &str) -> String {
        format!("{}parts/{id}/", self.prefix)
    }

    pub(super) fn part(&self, id: &str, index: usize) -> String {
        format!("{}{index:06}", self.parts(id))
    }

    /// The key of one record.
    pub(super) fn record(&self, record: &Record) -> String {
        let records = self.records();
        match record {
            Record::Route { name, .. } => format!("{records}routes/{}", escaped(name)),
            Record::Service { name, .. } => format!("{records}services/{}", escaped(name)),
            Record::Instance { key, .. } => {
                format!("{records}instances/{}/{}", escaped(&key.service), escaped(&key.id))
            }
            Record::Layer { key, .. } => {
                format!("{records}config/{}/{}", escaped(&key.application), escaped(&key.profile))
            }
            // With leading zeros, so that they are listed in order.
            Record::History { revision, .. } => format!("{records}history/{revision:020}"),
        }
    }

    /// What a key says; `None` for one that is nobody's.
    pub(super) fn read_live(&self, key: &[u8]) -> Option<Live> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(&self.live())?;
        let mut names = rest.split('/');
        let live = match (names.next()?, names.next(), names.next(), names.next()) {
            ("head", None, ..) => Live::Head,
            ("replicas", Some(replica), None, _) => Live::Replica(replica.into()),
            ("nodes", Some(replica), None, _) => Live::Nodes(replica.into()),
            ("claims", Some(replica), Some(service), Some(id)) => {
                Live::Claim(replica.into(), InstanceKey::new(unescaped(service)?, unescaped(id)?))
            }
            _ => return None,
        };
        names.next().is_none().then_some(live)
    }
}

/// What `commits` leave behind in `records/`: each key once, however often it was changed. `pack` makes of a record's
/// text what is stored.
pub(super) fn operations(
    keys: &Keys,
    commits: &[Commit],
    pack: impl Fn(Vec<u8>) -> Result<Vec<u8>, StoreError>,
) -> Result<Vec<RequestOp>, StoreError> {
    let mut last: BTreeMap<String, (Revision, &Record)> = BTreeMap::new();
    for commit in commits {
        for record in &commit.records {
            last.insert(keys.record(record), (commit.revision, record));
        }
    }
    let operation = |(key, (revision, record)): (String, (Revision, &Record))| {
        if record.is_removal() {
            return Ok(RequestOp::delete(key));
        }
        let text = serde_json::to_vec(&Versioned { revision, value: record });
        let text =
            text.map_err(|fault| StoreError::TooLarge(format!("a record cannot be written: {fault}")))?;
        Ok(RequestOp::put(key, pack(text)?, 0))
    };
    last.into_iter().map(operation).collect()
}

/// Puts `commits` on top of records by key.
pub(super) fn fold(keys: &Keys, records: &mut BTreeMap<Vec<u8>, Versioned<Record>>, commits: &[Commit]) {
    for Commit { revision, records: changed } in commits {
        for record in changed {
            let key = keys.record(record).into_bytes();
            match record.is_removal() {
                true => records.remove(&key),
                false => records.insert(key, Versioned { revision: *revision, value: record.clone() }),
            };
        }
    }
}

/// The node that a claim names.
pub(super) fn node(value: &[u8]) -> Option<Arc<str>> {
    std::str::from_utf8(value).ok().filter(|node| !node.is_empty()).map(Arc::from)
}

/// A name as one step of a key.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}

fn unescaped(step: &str) -> Option<String> {
    (!step.is_empty()).then(|| step.replace("%2F", "/").replace("%25", "%"))
}

fn is_none(number: &usize) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_come_back_from_keys_as_they_were() {
        let keys = Keys::new("/portreeve/");
        for id in ["orders-1", "host:orders:8080", "a/b", "%2F", "%", "50%/x", "ü €"] {
            let key = InstanceKey::new("orders", id);
            let text = keys.claim("r1", &key);
            assert_eq!(keys.read_live(text.as_bytes()), Some(Live::Claim("r1".into(), key)), "{text}");
        }
        assert_eq!(keys.read_live(b"/portreeve/live/head"), Some(Live::Head));
        assert_eq!(keys.read_live(b"/portreeve/live/replicas/r1"), Some(Live::Replica("r1".into())));
        assert_eq!(keys.read_live(keys.nodes("r1").as_bytes()), Some(Live::Nodes("r1".into())));
        for foreign in [&b"/other/live/head"[..], b"/portreeve/live/head/x", b"/portreeve/live/\xff", b""] {
            assert_eq!(keys.read_live(foreign), None);
        }
    }

    #[test]
    fn a_group_changes_each_key_once() {
        let keys = Keys::new("/p/");
        let service = |known| Record::Service { name: "orders".to_owned(), known };
        let commits = [
            Commit { revision: 1, records: vec![service(true)] },
            Commit { revision: 2, records: vec![service(false)] },
            Commit { revision: 3, records: vec![service(true)] },
        ];
        assert_eq!(
            operations(&keys, &commits[..2], Ok).unwrap(),
            [RequestOp::delete("/p/records/services/orders")]
        );
        assert_eq!(operations(&keys, &commits, Ok).unwrap().len(), 1);
        let mut records = BTreeMap::new();
        fold(&keys, &mut records, &commits);
        assert_eq!(records.into_values().map(|record| record.revision).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_head_of_another_format_is_refused() {
        let text = serde_json::to_vec(&Head { format: 2, ..Head::new("a".to_owned(), 1, 1) }).unwrap();
        assert!(Head::read("/p/live/head", &text).unwrap_err().to_string().contains("format 2"));
        assert!(Head::read("/p/live/head", b"something else").is_err());
    }
}
