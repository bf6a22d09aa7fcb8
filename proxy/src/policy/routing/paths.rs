//! The paths of one host: a hash map for exact ones, a tree of segments for templates and prefixes.

use foldhash::HashMap;
use http::Method;
use memchr::memchr;

use super::pattern::Segment;
use super::{Captures, Conditions, RequestView, Trial, Witness};

/// All routes of one host.
pub(super) struct PathTable<R> {
    exact: HashMap<Box<str>, Candidates<R>>,
    tree: Node<R>,
}

/// Routes with the same path, best first.
type Candidates<R> = Vec<(Conditions, R)>;

struct Node<R> {
    literals: HashMap<Box<str>, Node<R>>,
    placeholder: Option<Box<Node<R>>>,
    /// Templates that end here.
    ends: Candidates<R>,
    /// Prefixes whose `*` stands here.
    prefixes: Candidates<R>,
}

impl<R> Default for PathTable<R> {
    fn default() -> Self {
        Self { exact: HashMap::default(), tree: Node::default() }
    }
}

impl<R> Default for Node<R> {
    fn default() -> Self {
        Self { literals: HashMap::default(), placeholder: None, ends: Vec::new(), prefixes: Vec::new() }
    }
}

impl<R> PathTable<R> {
    pub(super) fn insert(&mut self, conditions: Conditions, target: R) {
        if conditions.path.is_exact() {
            let path = written_path(&conditions.path.segments);
            return add(self.exact.entry(path.into()).or_default(), (conditions, target));
        }
        let mut node = &mut self.tree;
        for segment in &conditions.path.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Placeholder => node.placeholder.get_or_insert_default(),
            };
        }
        let list = if conditions.path.is_prefix { &mut node.prefixes } else { &mut node.ends };
        add(list, (conditions, target));
    }

    /// Puts the best candidate of each path first; the sort is stable, so equals keep their order.
    pub(super) fn sort(&mut self) {
        self.exact.values_mut().for_each(sort);
        self.tree.sort();
    }

    pub(super) fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Conditions, &'a R)) {
        self.exact.values().flatten().for_each(|(conditions, target)| see(conditions, target));
        self.tree.visit(see);
    }

    /// The route for a request; methods that a fitting path would have taken are added to `refused`.
    pub(super) fn find<'a>(
        &'a self,
        request: &RequestView<'_>,
        refused: &mut Vec<Method>,
        witness: &mut impl Witness<R>,
    ) -> Option<(&'a R, Captures)> {
        let mut search = Search { request, refused, witness, captures: Captures::default() };
        if let Some(target) = self.exact.get(request.path).and_then(|list| search.first(list)) {
            return Some((target, search.captures));
        }
        let target = search.template(&self.tree, 0).or_else(|| search.prefix(&self.tree, 0))?;
        Some((target, search.captures))
    }
}

impl<R> Node<R> {
    fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Conditions, &'a R)) {
        self.ends.iter().chain(&self.prefixes).for_each(|(conditions, target)| see(conditions, target));
        for child in self.literals.values().chain(self.placeholder.as_deref()) {
            child.visit(see);
        }
    }

    fn sort(&mut self) {
        sort(&mut self.ends);
        sort(&mut self.prefixes);
        self.literals.values_mut().for_each(Node::sort);
        if let Some(node) = &mut self.placeholder {
            node.sort();
        }
    }
}

/// Nearly every path has one route: room for more would be most of what a router takes.
fn add<R>(list: &mut Candidates<R>, candidate: (Conditions, R)) {
    list.reserve_exact(1);
    list.push(candidate);
}

fn sort<R>(list: &mut Candidates<R>) {
    list.sort_by_key(|(conditions, _)| std::cmp::Reverse(conditions.rank()));
}

fn written_path(segments: &[Segment]) -> String {
    segments.iter().fold(String::new(), |mut path, segment| {
        path.push('/');
        if let Segment::Literal(text) = segment {
            path.push_str(text);
        }
        path
    })
}

/// One walk through a table. Positions are those of the `/` before the next segment.
struct Search<'r, 'v, 'm, W> {
    request: &'r RequestView<'v>,
    refused: &'m mut Vec<Method>,
    witness: &'m mut W,
    captures: Captures,
}

impl<'v, W> Search<'_, 'v, '_, W> {
    fn first<'a, R>(&mut self, list: &'a Candidates<R>) -> Option<&'a R>
    where
        W: Witness<R>,
    {
        for (conditions, target) in list {
            if !conditions.hold(self.request) {
                self.witness.tried(conditions, target, Trial::ConditionFails);
                continue;
            }
            if conditions.takes_method(self.request.method) {
                self.witness.tried(conditions, target, Trial::Taken);
                return Some(target);
            }
            self.witness.tried(conditions, target, Trial::MethodFails);
            self.refused.extend(conditions.methods.iter().cloned());
        }
        None
    }

    fn template<'a, R>(&mut self, node: &'a Node<R>, at: usize) -> Option<&'a R>
    where
        W: Witness<R>,
    {
        if at >= self.request.path.len() {
            return self.first(&node.ends);
        }
        let (segment, next) = self.segment(at);
        if let Some(target) = node.literals.get(segment).and_then(|child| self.template(child, next)) {
            return Some(target);
        }
        let child = node.placeholder.as_deref().filter(|_| !segment.is_empty())?;
        self.captures.push_segment(at + 1..next);
        let found = self.template(child, next);
        if found.is_none() {
            self.captures.pop_segment();
        }
        found
    }

    /// The longest prefix: children first, this node's own `*` last.
    fn prefix<'a, R>(&mut self, node: &'a Node<R>, at: usize) -> Option<&'a R>
    where
        W: Witness<R>,
    {
        if at < self.request.path.len() {
            let (segment, next) = self.segment(at);
            if let Some(target) = node.literals.get(segment).and_then(|child| self.prefix(child, next)) {
                return Some(target);
            }
            if let Some(child) = node.placeholder.as_deref().filter(|_| !segment.is_empty()) {
                self.captures.push_segment(at + 1..next);
                if let Some(target) = self.prefix(child, next) {
                    return Some(target);
                }
                self.captures.pop_segment();
            }
        }
        let target = self.first(&node.prefixes)?;
        self.captures.set_rest(at);
        Some(target)
    }

    /// The segment after the `/` at `at`, and where the next `/` (or the end) is.
    fn segment(&self, at: usize) -> (&'v str, usize) {
        let path = self.request.path;
        let start = at + 1;
        let end = memchr(b'/', &path.as_bytes()[start..]).map_or(path.len(), |length| start + length);
        (&path[start..end], end)
    }
}
