//! Spans as they were sent become spans as they were meant: pieces of one span are put together, and shared
//! halves that do not say so are recognised. Only what the dependency links need is kept of them.

use std::cmp::Ordering;
use std::sync::Arc;

use super::span::{Endpoint, Kind, Span};

/// What matters of a span for who called whom.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) id: String,
    pub(super) parent: Option<String>,
    pub(super) kind: Option<Kind>,
    pub(super) shared: bool,
    pub(super) local: Option<Endpoint>,
    pub(super) remote_service: Option<String>,
    pub(super) error: bool,
}

/// The spans of one trace, cleaned, in order of id, clients before the servers that share it.
pub(super) fn merge(spans: &[Arc<Span>]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = spans.iter().map(|span| Piece::of(span)).collect();
    pieces.sort_by(order);
    let mut merged: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match merged.last_mut().filter(|last| last.takes(&piece)) {
            Some(last) => last.absorb(piece),
            None => merged.push(piece),
        }
    }
    for index in 1..merged.len() {
        let (before, after) = merged.split_at_mut(index);
        after[0].follow(&before[index - 1]);
    }
    merged
}

impl Piece {
    fn of(span: &Span) -> Self {
        Self {
            id: span.id.clone(),
            parent: span.parent_id.clone(),
            kind: span.kind,
            shared: span.shared,
            local: span.local_endpoint.clone(),
            remote_service: span.remote_service().map(str::to_owned),
            error: span.tags.contains_key("error"),
        }
    }

    pub(super) fn local_service(&self) -> Option<&str> {
        self.local.as_ref()?.service_name.as_deref()
    }

    /// Whether `next` is another piece of this span: the same half, and nothing says another place.
    fn takes(&self, next: &Self) -> bool {
        self.id == next.id
            && self.shared == next.shared
            && compatible(self.local.as_ref(), next.local.as_ref())
    }

    fn absorb(&mut self, next: Self) {
        self.parent = self.parent.take().or(next.parent);
        self.kind = self.kind.or(next.kind);
        self.remote_service = self.remote_service.take().or(next.remote_service);
        self.error |= next.error;
        self.local = match (self.local.take(), next.local) {
            (Some(mine), Some(other)) => Some(Endpoint {
                service_name: mine.service_name.or(other.service_name),
                ipv4: mine.ipv4.or(other.ipv4),
                ipv6: mine.ipv6.or(other.ipv6),
                port: mine.port.or(other.port),
            }),
            (mine, other) => mine.or(other),
        };
    }

    /// What the span before it says about this one, if both have the same id.
    fn follow(&mut self, before: &Self) {
        if self.id != before.id {
            return;
        }
        if before.kind == Some(Kind::Client) && self.kind == Some(Kind::Server) {
            self.shared = true;
        }
        if self.shared && self.parent.is_none() {
            self.parent.clone_from(&before.parent);
        }
    }
}

fn order(one: &Piece, other: &Piece) -> Ordering {
    let is_client = |piece: &Piece| !piece.shared && piece.kind == Some(Kind::Client);
    (one.id.cmp(&other.id))
        .then_with(|| one.shared.cmp(&other.shared))
        .then_with(|| is_client(other).cmp(&is_client(one)))
        .then_with(|| one.local.cmp(&other.local))
}

fn compatible(one: Option<&Endpoint>, other: Option<&Endpoint>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return true };
    agree(one.service_name.as_ref(), other.service_name.as_ref())
        && agree(one.ipv4.as_ref(), other.ipv4.as_ref())
        && agree(one.ipv6.as_ref(), other.ipv6.as_ref())
        && agree(one.port.as_ref(), other.port.as_ref())
}

fn agree<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    one.is_none() || other.is_none() || one == other
}
