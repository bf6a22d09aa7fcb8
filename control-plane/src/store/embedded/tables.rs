//! The tables of the database file, and how a commit is written into them.

use std::io;

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
            self.put(&Commit { revision, records: vec![value] })?;
        }
        self.meta.insert("revision", contents.revision)?;
        self.meta.insert("routes_revision", contents.routes_revision)?;
        Ok(())
    }

    pub(super) fn put(&mut self, commit: &Commit) -> Result<(), redb::Error> {
        let revision = commit.revision;
        self.meta.insert("revision", revision)?;
        for record in &commit.records {
            match record {
                Record::Route { name, value } => {
                    let value = value.as_ref().map(|value| Versioned { revision, value });
                    set(&mut self.routes, name.as_str(), value.as_ref())?;
                    self.meta.insert("routes_revision", revision)?;
                }
                Record::Service { name, known } => {
                    set(&mut self.services, name.as_str(), known.then_some(&revision))?;
                }
                Record::Instance { key, value } => {
                    set(&mut self.instances, (&*key.service, &*key.id), value.as_ref())?;
                }
                Record::Layer { key, value } => {
                    let value = value.as_ref().map(|value| Versioned { revision, value });
                    let name = (key.application.as_str(), key.profile.as_str());
                    set(&mut self.layers, name, value.as_ref())?;
                }
                Record::History { revision, value } => set(&mut self.history, *revision, value.as_ref())?,
            }
        }
        Ok(())
    }
}

fn set<'k, K: Key + 'static>(
    table: &mut Table<'_, K, &'static [u8]>,
    key: impl std::borrow::Borrow<K::SelfType<'k>>,
    value: Option<&impl Serialize>,
) -> Result<(), redb::Error> {
    match value {
        Some(value) => {
            let text = serde_json::to_vec(value).map_err(io::Error::other)?;
            table.insert(key, text.as_slice())?;
        }
        None => {
            table.remove(key)?;
        }
    }
    Ok(())
}
