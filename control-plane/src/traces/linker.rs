//! Who called whom, and how often it failed, by the rules of Zipkin's dependency linker.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;

use super::merge::{Piece, merge};
use super::span::{Kind, Span};
use super::tree::{self, Node};

/// Calls from one service to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Link {
    pub(crate) parent: String,
    pub(crate) child: String,
    pub(crate) call_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) error_count: u64,
}

/// The links of all these traces together, in order of name.
pub(super) fn links<'a>(traces: impl Iterator<Item = &'a [Arc<Span>]>) -> Vec<Link> {
    let mut counts = Counts::default();
    for trace in traces {
        counts.add_trace(&tree::build(merge(trace)));
    }
    let link = |((parent, child), (call_count, error_count))| Link { parent, child, call_count, error_count };
    counts.0.into_iter().map(link).collect()
}

/// Calls and failed calls, by caller and called.
#[derive(Default)]
struct Counts(BTreeMap<(String, String), (u64, u64)>);

impl Counts {
    fn add_trace(&mut self, nodes: &[Node]) {
        let mut waiting = VecDeque::from([0]);
        while let Some(place) = waiting.pop_front() {
            self.add_span(nodes, place);
            waiting.extend(&nodes[place].children);
        }
    }

    fn add_span(&mut self, nodes: &[Node], place: usize) {
        let Some(span) = &nodes[place].span else { return };
        let (local, remote) = (span.local_service(), span.remote_service.as_deref());
        let kind = match span.kind {
            // The server below it names itself better than its client could.
            Some(Kind::Client) if !nodes[place].children.is_empty() => return,
            Some(kind) => kind,
            None if local.is_some() && remote.is_some() => Kind::Client,
            None => return,
        };
        match kind {
            Kind::Producer => self.count(local, remote, span.error),
            Kind::Consumer => self.count(remote, local, span.error),
            Kind::Client | Kind::Server => self.add_call(nodes, place, span, kind),
        }
    }

    fn add_call(&mut self, nodes: &[Node], place: usize, span: &Piece, kind: Kind) {
        let (local, remote) = (span.local_service(), span.remote_service.as_deref());
        let (mut parent, child) = if kind == Kind::Server { (remote, local) } else { (local, remote) };
        let mut error = span.error;
        if let Some(ancestor) = remote_ancestor(nodes, place)
            && let Some(name) = ancestor.local_service()
        {
            // A client that calls itself something else was reached through that other name.
            if kind == Kind::Client && local.is_some_and(|local| local != name) {
                self.count(Some(name), local, false);
            }
            if kind == Kind::Server || parent.is_none() {
                parent = Some(name);
            }
            error |= ancestor.kind == Some(Kind::Client)
                && span.parent.as_ref() == Some(&ancestor.id)
                && ancestor.error;
        }
        self.count(parent, child, error);
    }

    fn count(&mut self, parent: Option<&str>, child: Option<&str>, error: bool) {
        if let (Some(parent), Some(child)) = (parent, child) {
            let (calls, errors) = self.0.entry((parent.to_owned(), child.to_owned())).or_default();
            *calls += 1;
            *errors += u64::from(error);
        }
    }
}

/// The nearest span above that saw one side of a call; local spans may be in between.
fn remote_ancestor(nodes: &[Node], place: usize) -> Option<&Piece> {
    let mut above = nodes[place].parent;
    while let Some(place) = above {
        match &nodes[place].span {
            Some(span) if span.kind.is_some() => return Some(span),
            _ => above = nodes[place].parent,
        }
    }
    None
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::super::json::decode;
    use super::*;

    /// Each span as `id parent kind local remote [shared] [error]`, with `-` for what it does not say.
    fn linked(spans: &[&str]) -> Vec<String> {
        let span = |line: &&str| {
            let words: Vec<_> = line.split(' ').collect();
            let mut span = serde_json::json!({"traceId": "1", "id": words[0], "tags": {}});
            let mut say = |key: &str, word: &str, value: serde_json::Value| {
                if word != "-" {
                    span[key] = value;
                }
            };
            say("parentId", words[1], words[1].into());
            say("kind", words[2], words[2].into());
            say("localEndpoint", words[3], serde_json::json!({"serviceName": words[3]}));
            say("remoteEndpoint", words[4], serde_json::json!({"serviceName": words[4]}));
            if words.contains(&"shared") {
                span["shared"] = true.into();
            }
            if words.contains(&"error") {
                span["tags"]["error"] = "".into();
            }
            span
        };
        let spans: Vec<_> = spans.iter().map(span).collect();
        let spans = decode(serde_json::Value::from(spans).to_string().as_bytes()).unwrap();
        let spans: Vec<_> = spans.into_iter().map(Arc::new).collect();
        let text = |link: Link| match link.error_count {
            0 => format!("{}>{} {}", link.parent, link.child, link.call_count),
            errors => format!("{}>{} {} {errors}", link.parent, link.child, link.call_count),
        };
        links(std::iter::once(spans.as_slice())).into_iter().map(text).collect()
    }

    #[test]
    fn calls_are_linked_by_zipkins_rules() {
        for (about, spans, expected) in [
            (
                "a shared pair is one call",
                &["a - CLIENT gateway cart", "a - SERVER cart - shared"][..],
                &["gateway>cart 1"][..],
            ),
            (
                "a pair that forgot to say shared",
                &["a - CLIENT gateway cart", "a - SERVER cart -"],
                &["gateway>cart 1"],
            ),
            ("a client alone", &["a - CLIENT gateway cart"], &["gateway>cart 1"]),
            ("a server alone knows its caller", &["a - SERVER cart gateway"], &["gateway>cart 1"]),
            ("a root server without caller", &["a - SERVER cart -"], &[]),
            (
                "split spans",
                &["a - SERVER gateway -", "b a CLIENT gateway -", "c b SERVER cart -"],
                &["gateway>cart 1"],
            ),
            (
                "the server's name wins",
                &["a - CLIENT gateway wrong", "b a SERVER cart -"],
                &["gateway>cart 1"],
            ),
            (
                "local spans lie between",
                &["a - SERVER gateway -", "b a - gateway -", "c b CLIENT gateway db"],
                &["gateway>db 1"],
            ),
            ("no kind but both names", &["a - - gateway db"], &["gateway>db 1"]),
            ("no kind and one name", &["a - - gateway -"], &[]),
            ("a client's error", &["a - CLIENT gateway - error", "b a SERVER cart -"], &["gateway>cart 1 1"]),
            ("a server's error", &["a - CLIENT gateway -", "b a SERVER cart - error"], &["gateway>cart 1 1"]),
            (
                "messages go over the broker",
                &["a - PRODUCER orders kafka", "b a CONSUMER mail kafka"],
                &["kafka>mail 1", "orders>kafka 1"],
            ),
            ("messages without a broker", &["a - PRODUCER orders -", "b a CONSUMER mail -"], &[]),
            ("a call to oneself", &["a - CLIENT gateway gateway"], &["gateway>gateway 1"]),
            (
                "a missing root",
                &["b a SERVER cart gateway", "c b CLIENT cart db"],
                &["cart>db 1", "gateway>cart 1"],
            ),
            (
                "a client of another name",
                &["a - SERVER gateway -", "b a CLIENT cart db"],
                &["cart>db 1", "gateway>cart 1"],
            ),
            (
                "below a shared server",
                &["a - CLIENT gateway cart", "a - SERVER cart - shared", "b a CLIENT cart db"],
                &["cart>db 1", "gateway>cart 1"],
            ),
            (
                "two servers of one id",
                &["a - CLIENT gateway -", "a - SERVER cart - shared", "a - SERVER stock - shared"],
                &["gateway>cart 1", "gateway>stock 1"],
            ),
            (
                "a span in pieces",
                &["a - CLIENT gateway -", "a - CLIENT gateway db", "a - - gateway - error"],
                &["gateway>db 1 1"],
            ),
            ("parents in a circle", &["a b CLIENT x y", "b a CLIENT y z"], &[]),
        ] {
            assert_eq!(linked(spans), expected, "{about}");
        }
    }
}
