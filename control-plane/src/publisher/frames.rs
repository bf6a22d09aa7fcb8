//! The lines that watchers get, encoded once for all watchers of the same kind.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use portreeve_config::wire::{Change, ConfigScope, ControlMessage, Event, NodeKind, Revision, Snapshot};
use serde::Serialize;

use crate::state::Model;
use crate::store::{Commit, Record, Values};

/// How the end of an encoded snapshot looks before its configuration is put in.
const OPEN_END: &[u8] = b"{}}";

/// One message as a line.
pub(super) fn line(message: &ControlMessage) -> Bytes {
    encode(message)
}

/// The snapshot of one kind of node without a configuration, open at its end.
pub(super) fn snapshot_head(model: &Model, kind: NodeKind) -> Bytes {
    let routes = match kind {
        NodeKind::Gateway => model.catalog.routes.values().map(|route| (*route.value).clone()).collect(),
        NodeKind::Sidecar => Vec::new(),
    };
    let snapshot = Snapshot {
        revision: model.revision,
        routes,
        services: model.catalog.services.iter().cloned().collect(),
        instances: model.registry.all().map(|instance| instance.to_wire()).collect(),
        config: Values::new(),
    };
    let whole = encode(&ControlMessage::Snapshot(snapshot));
    whole.slice(..whole.len() - OPEN_END.len() - 1)
}

/// What closes a snapshot: the configuration of one scope.
pub(super) fn snapshot_tail(config: &Values) -> Bytes {
    let mut tail = serde_json::to_vec(config).unwrap_or_else(|_| b"{}".to_vec());
    tail.extend_from_slice(b"}\n");
    tail.into()
}

/// The lines of one commit.
pub(super) struct ChangeFrames<'a> {
    commit: &'a Commit,
    model: &'a Model,
    touches_config: bool,
    gateway: Option<Bytes>,
    sidecar: Option<Bytes>,
    /// By application and profile.
    scopes: HashMap<(String, String), (Arc<Values>, Option<Bytes>)>,
}

impl<'a> ChangeFrames<'a> {
    /// `model` is the state after the whole group that `commit` belongs to.
    pub(super) fn new(commit: &'a Commit, model: &'a Model) -> Self {
        let touches_config = commit.records.iter().any(|record| matches!(record, Record::Layer { .. }));
        Self { commit, model, touches_config, gateway: None, sidecar: None, scopes: HashMap::new() }
    }

    /// Lines about configuration only, for a change that no record tells of.
    pub(super) fn of_config(commit: &'a Commit, model: &'a Model) -> Self {
        Self { touches_config: true, ..Self::new(commit, model) }
    }

    /// Whether configuration may differ after this commit.
    pub(super) fn touches_config(&self) -> bool {
        self.touches_config
    }

    /// The line for a gateway.
    pub(super) fn gateway(&mut self) -> Bytes {
        let (commit, kind) = (self.commit, NodeKind::Gateway);
        self.gateway.get_or_insert_with(|| change(commit.revision, events(commit, kind))).clone()
    }

    /// The line for a sidecar of `scope` that was told `told` last; `told` follows what this line says.
    pub(super) fn sidecar(&mut self, scope: Option<&ConfigScope>, told: &mut Arc<Values>) -> Bytes {
        if let Some(line) = self.config(scope, told) {
            return line;
        }
        let commit = self.commit;
        self.sidecar.get_or_insert_with(|| change(commit.revision, events(commit, NodeKind::Sidecar))).clone()
    }

    /// As [`ChangeFrames::sidecar`], and nothing where its configuration is what it was told last.
    pub(super) fn config(&mut self, scope: Option<&ConfigScope>, told: &mut Arc<Values>) -> Option<Bytes> {
        let scope = scope.filter(|_| self.touches_config)?;
        let (commit, model) = (self.commit, self.model);
        let (merged, line) = self
            .scopes
            .entry((scope.application.clone(), scope.profile.clone()))
            .or_insert_with(|| (Arc::new(model.merged(scope)), None));
        if merged == told {
            return None;
        }
        *told = merged.clone();
        let line = line.get_or_insert_with(|| {
            let mut events = events(commit, NodeKind::Sidecar);
            events.push(Event::Config((**merged).clone()));
            change(commit.revision, events)
        });
        Some(line.clone())
    }
}

fn change(revision: Revision, events: Vec<Event>) -> Bytes {
    encode(&ControlMessage::Change(Change { revision, events }))
}

fn events(commit: &Commit, kind: NodeKind) -> Vec<Event> {
    let with_routes = kind == NodeKind::Gateway;
    let event = |record: &Record| match record.clone() {
        Record::Route { value: Some(route), .. } => {
            with_routes.then(|| Event::RoutePut(Box::new(Arc::unwrap_or_clone(route))))
        }
        Record::Route { name, value: None } => with_routes.then_some(Event::RouteRemoved(name)),
        Record::Service { name, known: true } => Some(Event::ServicePut(name)),
        Record::Service { name, known: false } => Some(Event::ServiceRemoved(name)),
        Record::Instance { value: Some(instance), .. } => Some(Event::InstancePut(instance.to_wire())),
        Record::Instance { key, value: None } => {
            Some(Event::InstanceRemoved { service: key.service.to_string(), id: key.id.to_string() })
        }
        Record::Layer { .. } | Record::History { .. } => None,
    };
    commit.records.iter().filter_map(event).collect()
}

/// These types have only string keys and cannot fail to encode; an empty line would be skipped by a node.
fn encode(message: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec(message).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn head_and_tail_make_one_snapshot() {
        let model = Model { revision: 7, ..Model::default() };
        let config = Values::from([("greeting".to_owned(), "a \"quoted\"\nline".to_owned())]);
        let head = snapshot_head(&model, NodeKind::Sidecar);
        let text = [head, snapshot_tail(&config)].concat();
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
        let expected = ControlMessage::Snapshot(Snapshot { revision: 7, config, ..Snapshot::default() });
        assert_eq!(serde_json::from_slice::<ControlMessage>(&text).unwrap(), expected);
    }
}
