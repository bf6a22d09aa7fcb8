//! The changes of one group of writes as what each watcher is sent: one piece for all of them, encoded once for all
//! watchers that are told the same, so that a burst of writes wakes nobody more than once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use portreeve_config::wire::{ConfigScope, NodeKind};

use super::View;
use super::frames::ChangeFrames;
use crate::state::Model;
use crate::store::{Commit, Record, Values};

/// The lines of a group.
pub(super) struct GroupFrames<'a> {
    commits: Vec<ChangeFrames<'a>>,
    touches_config: bool,
    touches_routes: bool,
    services: HashSet<&'a str>,
    /// For views of all services, by kind.
    whole: HashMap<NodeKind, Bytes>,
    /// By what a view has of each commit.
    parts: HashMap<Vec<bool>, Bytes>,
    /// For views that have nothing of it: the newest revision only.
    nothing: Option<Bytes>,
}

impl<'a> GroupFrames<'a> {
    /// `model` is the state after all of `commits`.
    pub(super) fn new(commits: &'a [Commit], model: &'a Model) -> Self {
        let frames: Vec<_> = commits.iter().map(|commit| ChangeFrames::new(commit, model)).collect();
        let records = || commits.iter().flat_map(|commit| &commit.records);
        let services = records().filter_map(|record| match record {
            Record::Service { name, .. } => Some(name.as_str()),
            Record::Instance { key, .. } => Some(&*key.service),
            _ => None,
        });
        Self {
            touches_config: frames.iter().any(ChangeFrames::touches_config),
            touches_routes: records().any(|record| matches!(record, Record::Route { .. })),
            services: services.collect(),
            commits: frames,
            whole: HashMap::new(),
            parts: HashMap::new(),
            nothing: None,
        }
    }

    /// Whether configuration may differ after this group.
    pub(super) fn touches_config(&self) -> bool {
        self.touches_config
    }

    /// The lines for a view, configuration left out.
    pub(super) fn plain(&mut self, view: &View) -> Bytes {
        let commits = &mut self.commits;
        let Some(services) = &view.services else {
            let whole = || joined(commits.iter_mut().map(|frames| frames.plain(view)));
            return self.whole.entry(view.kind).or_insert_with(whole).clone();
        };
        let has_any = self.touches_routes && view.has_routes()
            || services.iter().any(|service| self.services.contains(service.as_str()));
        if !has_any {
            let newest = || commits.last_mut().map(|frames| frames.plain(view)).unwrap_or_default();
            return self.nothing.get_or_insert_with(newest).clone();
        }
        let part: Vec<_> = commits.iter().flat_map(|frames| frames.part(view)).collect();
        let last = commits.len() - 1;
        // What has nothing for the view is left out; the newest revision is told in any case.
        let told = |(at, frames): (usize, &mut ChangeFrames<'_>)| {
            (at == last || frames.part(view).any(|has| has)).then(|| frames.plain(view))
        };
        self.parts
            .entry(part)
            .or_insert_with(|| joined(commits.iter_mut().enumerate().filter_map(told)))
            .clone()
    }

    /// The lines for a sidecar of `scope` that was told `told` last; `told` follows what they say.
    pub(super) fn sidecar(
        &mut self,
        view: &View,
        scope: Option<&ConfigScope>,
        told: &mut Arc<Values>,
    ) -> Bytes {
        if !self.touches_config {
            return self.plain(view);
        }
        joined(self.commits.iter_mut().map(|frames| frames.sidecar(view, scope, told)))
    }
}

fn joined(lines: impl Iterator<Item = Bytes>) -> Bytes {
    let mut lines = lines.peekable();
    let Some(first) = lines.next() else { return Bytes::new() };
    if lines.peek().is_none() {
        return first;
    }
    let mut all = BytesMut::from(first);
    lines.for_each(|line| all.extend_from_slice(&line));
    all.freeze()
}
