//! The lines that watchers get, encoded once for all watchers of the same kind.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use portreeve_config::wire::{Change, ConfigScope, ControlMessage, Event, NodeKind, Revision, Snapshot};
use serde::Serialize;

use super::View;
use crate::state::Model;
use crate::store::{Commit, Record, Values};

/// How the end of an encoded snapshot looks before its configuration is put in.
const OPEN_END: &[u8] = b"{}}";

/// One message as a line.
pub(super) fn line(message: &ControlMessage) -> Bytes {
    encode(message)
}

/// The snapshot of one view without a configuration, open at its end.
pub(super) fn snapshot_head(model: &Model, view: &View, epoch: &str) -> Bytes {
    let routes = match view.has_routes() {
        true => model.catalog.routes.values().map(|route| (*route.value).clone()).collect(),
        false => Vec::new(),
    };
    let services = model.catalog.services.iter().filter(|name| view.has_service(name)).cloned();
    let instances = match &view.services {
        None => model.registry.all().map(|instance| instance.to_wire()).collect(),
        Some(services) => {
            let instances = services.iter().flat_map(|name| model.registry.of_service(name));
            instances.map(|instance| instance.to_wire()).collect()
        }
    };
    let snapshot = Snapshot {
        revision: model.revision,
        epoch: epoch.to_owned(),
        routes,
        services: services.collect(),
        instances,
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

/// A view, an application and a profile.
type Scoped = (View, String, String);

/// The lines of one commit.
pub(super) struct ChangeFrames<'a> {
    commit: &'a Commit,
    model: &'a Model,
    touches_config: bool,
    /// For views of all services, by kind.
    whole: HashMap<NodeKind, Bytes>,
    /// By what a view has of the commit, which is everything or nothing for most views.
    parts: HashMap<Vec<bool>, Bytes>,
    scopes: HashMap<Scoped, (Arc<Values>, Option<Bytes>)>,
}

impl<'a> ChangeFrames<'a> {
    /// `model` is the state after the whole group that `commit` belongs to.
    pub(super) fn new(commit: &'a Commit, model: &'a Model) -> Self {
        let touches_config = commit.records.iter().any(|record| matches!(record, Record::Layer { .. }));
        let (whole, parts, scopes) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { commit, model, touches_config, whole, parts, scopes }
    }

    /// Lines about configuration only, for a change that no record tells of.
    pub(super) fn of_config(commit: &'a Commit, model: &'a Model) -> Self {
        Self { touches_config: true, ..Self::new(commit, model) }
    }

    /// Whether configuration may differ after this commit.
    pub(super) fn touches_config(&self) -> bool {
        self.touches_config
    }

    /// The line for a view, configuration left out.
    pub(super) fn plain(&mut self, view: &View) -> Bytes {
        let commit = self.commit;
        let line = || change(commit.revision, events(commit, view));
        if view.services.is_none() {
            return self.whole.entry(view.kind).or_insert_with(line).clone();
        }
        let part = self.part(view).collect();
        self.parts.entry(part).or_insert_with(line).clone()
    }

    /// What a view has of the commit, record by record.
    pub(super) fn part(&self, view: &View) -> impl Iterator<Item = bool> {
        self.commit.records.iter().map(|record| view.has(record))
    }

    /// The line for a sidecar of `scope` that was told `told` last; `told` follows what this line says.
    pub(super) fn sidecar(
        &mut self,
        view: &View,
        scope: Option<&ConfigScope>,
        told: &mut Arc<Values>,
    ) -> Bytes {
        self.config(view, scope, told).unwrap_or_else(|| self.plain(view))
    }

    /// As [`ChangeFrames::sidecar`], and nothing where its configuration is what it was told last.
    pub(super) fn config(
        &mut self,
        view: &View,
        scope: Option<&ConfigScope>,
        told: &mut Arc<Values>,
    ) -> Option<Bytes> {
        let scope = scope.filter(|_| self.touches_config)?;
        let (commit, model) = (self.commit, self.model);
        let (merged, line) = self
            .scopes
            .entry((view.clone(), scope.application.clone(), scope.profile.clone()))
            .or_insert_with(|| (Arc::new(model.merged(scope)), None));
        if merged == told {
            return None;
        }
        *told = merged.clone();
        let line = line.get_or_insert_with(|| {
            let mut events = events(commit, view);
            events.push(Event::Config((**merged).clone()));
            change(commit.revision, events)
        });
        Some(line.clone())
    }
}

fn change(revision: Revision, events: Vec<Event>) -> Bytes {
    encode(&ControlMessage::Change(Change { revision, events }))
}

fn events(commit: &Commit, view: &View) -> Vec<Event> {
    let event = |record: &Record| match record.clone() {
        Record::Route { value: Some(route), .. } => {
            Some(Event::RoutePut(Box::new(Arc::unwrap_or_clone(route))))
        }
        Record::Route { name, value: None } => Some(Event::RouteRemoved(name)),
        Record::Service { name, known: true } => Some(Event::ServicePut(name)),
        Record::Service { name, known: false } => Some(Event::ServiceRemoved(name)),
        Record::Instance { value: Some(instance), .. } => Some(Event::InstancePut(instance.to_wire())),
        Record::Instance { key, value: None } => {
            Some(Event::InstanceRemoved { service: key.service.to_string(), id: key.id.to_string() })
        }
        Record::Layer { .. } | Record::History { .. } => None,
    };
    commit.records.iter().filter(|record| view.has(record)).filter_map(event).collect()
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
        let head = snapshot_head(&model, &View { kind: NodeKind::Sidecar, services: None }, "e");
        let text = [head, snapshot_tail(&config)].concat();
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
        let expected = ControlMessage::Snapshot(Snapshot {
            revision: 7,
            epoch: "e".to_owned(),
            config,
            ..Snapshot::default()
        });
        assert_eq!(serde_json::from_slice::<ControlMessage>(&text).unwrap(), expected);
    }
}
