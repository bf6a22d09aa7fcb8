//! A group of writes before it is stored: each is checked against what the ones before it would leave behind.
//! If the store fails, the draft is dropped and nothing has happened.

mod catalog;
mod instances;

use std::collections::HashMap;
use std::sync::Arc;

use portreeve_config::wire::Revision;

use super::command::{Command, Refusal};
use super::model::{Catalog, InstanceChanges, Model};
use crate::history::{Author, Entry};
use crate::registry::{Holder, InstanceKey};
use crate::store::Record;

/// The state as it will be.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) revision: Revision,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) instances: InstanceChanges,
    /// Who registered what within this group; the leases do not know it yet.
    holders: HashMap<InstanceKey, Option<Holder>>,
}

/// What a draft looks at and does not change.
pub(crate) struct Ground<'a> {
    pub(crate) model: &'a Model,
    /// Who holds an instance over a live stream.
    pub(crate) holder: &'a dyn Fn(&InstanceKey) -> Option<Holder>,
    /// Whether an instance's lease is over.
    pub(crate) is_over: &'a dyn Fn(&InstanceKey) -> bool,
    /// Milliseconds since 1970.
    pub(crate) now: u64,
}

impl Draft {
    /// A draft of about `commands` commands.
    pub(crate) fn of(model: &Model, commands: usize) -> Self {
        Self {
            revision: model.revision,
            catalog: model.catalog.clone(),
            instances: InstanceChanges::with_capacity(commands),
            holders: HashMap::with_capacity(commands),
        }
    }

    /// Checks `command` and puts it on top; gives what changed, and what history keeps of it. Nothing, where all was
    /// so already: then there is no new revision.
    pub(crate) fn carry_out(
        &mut self,
        command: Command,
        author: &Author,
        ground: &Ground<'_>,
    ) -> Result<(Vec<Record>, Option<Arc<Entry>>), Refusal> {
        let is_kept = command.is_kept();
        let records = self.records(command, ground)?;
        let (records, entry) = if is_kept { self.keep(records, author) } else { (records, None) };
        self.put(&records);
        Ok((records, entry))
    }

    /// Adds to `records` what history keeps of them.
    pub(super) fn keep(
        &self,
        mut records: Vec<Record>,
        author: &Author,
    ) -> (Vec<Record>, Option<Arc<Entry>>) {
        let Some(entry) = Entry::of(&self.catalog, &records, self.revision, author) else {
            return (records, None);
        };
        let entry = Arc::new(entry);
        records.extend(self.catalog.history.records(self.revision + 1, entry.clone()));
        (records, Some(entry))
    }

    fn records(&mut self, command: Command, ground: &Ground<'_>) -> Result<Vec<Record>, Refusal> {
        match command {
            Command::CreateRoute(route) => self.create_route(*route),
            Command::PutRoute(route, precondition) => self.put_route(*route, &precondition),
            Command::ReplaceRoutes(routes, precondition) => self.replace_routes(routes, &precondition),
            Command::RemoveRoute(name, precondition) => self.remove_route(name, &precondition),
            Command::DeclareService(name) => self.declare_service(name),
            Command::RemoveService(name) => self.remove_service(name, ground),
            Command::Register(instance, holder) => self.register(*instance, holder, false, ground),
            Command::RegisterClient { instance, replicated } => {
                self.register(*instance, None, replicated, ground)
            }
            Command::Amend(key, amendment) => self.amend(key, amendment, ground),
            Command::SetStatus(key, status) => self.set_status(key, status, ground),
            Command::Deregister(key, asking) => self.deregister(key, asking.as_ref(), ground),
            Command::Expire(keys) => Ok(self.expire(keys, ground)),
            Command::PutLayer(key, values, precondition) => self.put_layer(key, values, &precondition),
            Command::PatchLayer(key, patch, precondition) => self.patch_layer(key, patch, &precondition),
            Command::RemoveLayer(key, precondition) => self.remove_layer(key, &precondition),
            Command::Apply(state, precondition) => self.apply(*state, &precondition, ground),
            Command::Rollback(revision, precondition) => self.roll_back(revision, &precondition, ground),
        }
    }

    /// Makes `records` the next revision.
    pub(crate) fn put(&mut self, records: &[Record]) {
        if records.is_empty() {
            return;
        }
        self.revision += 1;
        for record in records {
            if let Record::Instance { key, value } = record {
                self.instances.insert(key.clone(), value.clone());
            } else {
                // Copies the catalogue once a group, and only for a group that changes it.
                Arc::make_mut(&mut self.catalog).apply(record, self.revision);
            }
        }
    }
}
