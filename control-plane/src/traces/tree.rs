//! The spans of one trace as a tree. What has lost its parent hangs below the root.

use std::collections::HashMap;

use super::merge::Piece;
use super::span::Endpoint;

/// One span and its place. The tree's first node is its root, which may have no span of its own.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Option<Piece>,
    pub(super) parent: Option<usize>,
    pub(super) children: Vec<usize>,
}

/// How a span is found: by its id, or, for the server's half of a shared one, also by where it ran, because
/// several servers may answer for one id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Id(String),
    Shared(String, Option<Endpoint>),
}

/// Builds the tree; the nodes come in no particular order but the root, which is first.
pub(super) fn build(pieces: Vec<Piece>) -> Vec<Node> {
    let mut parents: HashMap<Key, Option<Key>> =
        pieces.iter().map(|piece| (piece.key(), piece.parent_key())).collect();
    let mut order: Vec<Key> = Vec::with_capacity(pieces.len());
    let mut nodes = vec![Node { span: None, parent: None, children: Vec::new() }];
    let mut places: HashMap<Key, usize> = HashMap::new();
    for piece in pieces {
        let key = piece.key();
        if let (false, Some(parent)) = (piece.shared, &piece.parent) {
            // A span below the server's half is nearer to it than to the client's, which has the same id.
            let near = Key::Shared(parent.clone(), piece.local.clone());
            if parents.contains_key(&near) {
                parents.insert(key.clone(), Some(near));
            }
        }
        if piece.parent_key().is_none() && nodes[0].span.is_none() {
            parents.remove(&key);
            nodes[0].span = Some(piece);
            continue;
        }
        let place = nodes.len();
        if piece.shared {
            places.insert(Key::Shared(piece.id.clone(), None), place);
        }
        places.insert(key.clone(), place);
        order.push(key);
        nodes.push(Node { span: Some(piece), parent: None, children: Vec::new() });
    }
    for key in order {
        let Some(child) = places.get(&key).copied() else { continue };
        let parent =
            parents.remove(&key).flatten().and_then(|parent| places.get(&parent).copied()).unwrap_or(0);
        if nodes[child].parent.is_none() && parent != child {
            nodes[child].parent = Some(parent);
            nodes[parent].children.push(child);
        }
    }
    nodes
}

impl Piece {
    fn key(&self) -> Key {
        match self.shared {
            true => Key::Shared(self.id.clone(), self.local.clone()),
            false => Key::Id(self.id.clone()),
        }
    }

    fn parent_key(&self) -> Option<Key> {
        match self.shared {
            true => Some(Key::Id(self.id.clone())),
            false => self.parent.clone().map(Key::Id),
        }
    }
}
