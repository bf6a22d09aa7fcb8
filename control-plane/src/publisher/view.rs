//! Which part of everything a node is told: by its kind, and of which services.

use std::collections::BTreeSet;
use std::sync::Arc;

use portreeve_config::wire::NodeKind;

use crate::store::Record;

/// What a node wants to hear of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    pub(crate) kind: NodeKind,
    /// The services it asked for; all where it asked for none.
    pub(crate) services: Option<Arc<BTreeSet<String>>>,
}

impl View {
    pub(super) fn has_routes(&self) -> bool {
        self.kind == NodeKind::Gateway
    }

    pub(super) fn has_service(&self, service: &str) -> bool {
        self.services.as_ref().is_none_or(|services| services.contains(service))
    }

    /// Whether a node with this view is told of `record`.
    pub(super) fn has(&self, record: &Record) -> bool {
        match record {
            Record::Route { .. } => self.has_routes(),
            Record::Service { name, .. } => self.has_service(name),
            Record::Instance { key, .. } => self.has_service(&key.service),
            Record::Layer { .. } | Record::History { .. } => false,
        }
    }
}
