//! The tables of the database file, and how a commit is written into them.

use std::collections::BTreeMap;
use std::io;

use portreeve_config::wire::Revision;
use redb::{Key, Table, TableDefinition, WriteTransaction};
use serde::Serialize;

use crate::store::{Commit, Contents, Record, Versioned};

pub(super) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
pub(super) const ROUTES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("routes");
pub(super) const SERVICES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("services");
pub(super) const INSTANCES: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("instances");
pub(super) const LAYERS: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("config");
pub(super) const HISTORY: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("history");

/// The tables of one write transaction.
pub(super) struct Tables<'txn> {
    pub(super) meta: Table<'txn, &'static str, u64>,
    routes: Table<'txn, &'static str, &'static [u8]>,
    services: Table<'txn, &'static str, &'static [u8]>,
    instances: Table<'txn, (&'static str, &'static str), &'static [u8]>,
    layers: Table<'txn, (&'static str, &'static str), &'static [u8]>,
    history: Table<'txn, u64, &'static [u8]>,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            routes: transaction.open_table(ROUTES)?,
            services: transaction.open_table(SERVICES)?,
            instances: transaction.open_table(INSTANCES)?,
            layers: transaction.open_table(LAYERS)?,
            history: transaction.open_table(HISTORY)?,
        })
    }

    /// Puts in all of `contents`.
    pub(super) fn fill(&mut self, contents: &Contents) -> Result<(), redb::Error> {
        for Versioned { revision, value } in contents.records() {
            self.put(revision, &value)?;
        }
        self.meta.insert("revision", contents.revision)?;
        self.meta.insert("routes_revision", contents.routes_revision)?;
        Ok(())
    }

    /// Puts in what is left of all of `commits` in the end.
    pub(super) fn put_all(&mut self, commits: &[Commit]) -> Result<(), redb::Error> {
        let Some(newest) = commits.last() else { return Ok(()) };
        let mut instances = BTreeMap::new();
        for (commit, record) in
            commits.iter().flat_map(|one| one.records.iter().map(move |record| (one, record)))
        {
            match record {
                // In order, so that each page is come to once.
                Record::Instance { key, value } => drop(instances.insert((&*key.service, &*key.id), value)),
                other => self.put(commit.revision, other)?,
            }
        }
        let mut text = Vec::new();
        for (key, value) in instances {
            set(&mut self.instances, key, value.as_ref(), &mut text)?;
        }
        self.meta.insert("revision", newest.revision)?;
        Ok(())
    }

    fn put(&mut self, revision: Revision, record: &Record) -> Result<(), redb::Error> {
        let text = &mut Vec::new();
        match record {
            Record::Route { name, value } => {
                let value = value.as_ref().map(|value| Versioned { revision, value });
                set(&mut self.routes, name.as_str(), value.as_ref(), text)?;
                self.meta.insert("routes_revision", revision)?;
            }
            Record::Service { name, known } => {
                set(&mut self.services, name.as_str(), known.then_some(&revision), text)?;
            }
            Record::Instance { key, value } => {
                set(&mut self.instances, (&*key.service, &*key.id), value.as_ref(), text)?;
            }
            Record::Layer { key, value } => {
                let value = value.as_ref().map(|value| Versioned { revision, value });
                let name = (key.application.as_str(), key.profile.as_str());
                set(&mut self.layers, name, value.as_ref(), text)?;
            }
            Record::History { revision, value } => {
                set(&mut self.history, *revision, value.as_ref(), text)?;
            }
        }
        Ok(())
    }
}

/// `text` is memory for the value's text.
fn set<'k, K: Key + 'static>(
    table: &mut Table<'_, K, &'static [u8]>,
    key: impl std::borrow::Borrow<K::SelfType<'k>>,
    value: Option<&impl Serialize>,
    text: &mut Vec<u8>,
) -> Result<(), redb::Error> {
    match value {
        Some(value) => {
            text.clear();
            serde_json::to_writer(&mut *text, value).map_err(io::Error::other)?;
            table.insert(key, text.as_slice())?;
        }
        None => {
            table.remove(key)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::sync::Arc;

    use portreeve_config::wire::{Instance, InstanceStatus};

    use super::*;
    use crate::registry::InstanceKey;
    use crate::store::{EmbeddedStore, Store};

    fn record(id: &str, lease_ms: Option<u64>) -> Record {
        let value = lease_ms.map(|lease_ms| {
            let (service, address) = ("orders".to_owned(), "127.0.0.1:4001".parse().unwrap());
            let (id, status, metadata) = (id.to_owned(), InstanceStatus::Up, Default::default());
            Arc::new(Instance { service, id, address, status, lease_ms, metadata }.into())
        });
        Record::Instance { key: InstanceKey::new("orders".to_owned(), id.to_owned()), value }
    }

    #[test]
    fn of_a_group_the_last_word_on_each_instance_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = EmbeddedStore::open(folder.path()).unwrap();
        let group = |from: u64, records: &[Record]| -> Vec<_> {
            let commit = |(at, record): (usize, &Record)| Commit {
                revision: from + at as u64,
                records: vec![record.clone()],
            };
            records.iter().enumerate().map(commit).collect()
        };
        let first = [record("b", Some(1)), record("a", Some(2)), record("c", Some(3)), record("b", Some(4))];
        store.commit(&group(1, &first)).unwrap();
        let second = [
            record("a", None),
            record("c", None),
            record("c", Some(5)),
            record("d", Some(6)),
            record("d", None),
        ];
        store.commit(&group(5, &second)).unwrap();
        drop(store);
        let found = EmbeddedStore::open(folder.path()).unwrap().load().unwrap();
        assert_eq!(found.revision, 9);
        let left: Vec<_> =
            found.instances.iter().map(|instance| (&*instance.id, instance.lease_ms)).collect();
        assert_eq!(left, [("b", 4), ("c", 5)]);
    }
}
