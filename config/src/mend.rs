//! Every fault of a document in one go: read it, and while that fails note the fault, mend the tree just enough
//! to get past it, and read again. What only goes wrong because of a mended value is not reported.

use serde::de::DeserializeOwned;

use crate::shape::{Reader, Refusal, Why, listed};
use crate::suggest;
use crate::tree::{Entry, Node, Position, Spotted, State, Value};

/// Each fault costs one reading of the whole document, and nobody reads more of them than this at a time.
pub(crate) const MOST_FAULTS: usize = 50;

/// Reads the tree as a `T`. The value is there when enough of the document is sound to go on checking it.
pub(crate) fn read<T: DeserializeOwned>(tree: &mut Node) -> (Option<T>, Vec<Spotted>) {
    let mut spotted = Vec::new();
    while spotted.len() < MOST_FAULTS {
        match T::deserialize(Reader(tree)) {
            Ok(value) => return (Some(value), spotted),
            Err(refusal) => {
                if !mend(tree, refusal, &mut spotted) {
                    break;
                }
            }
        }
    }
    (None, spotted)
}

/// Notes what was refused and makes the tree readable at that point. `false` when nothing is left to read.
///
/// Every call moves one value on from live to dropped to hole to "its parent is dropped", or renames it to a
/// name that is known; so this comes to an end.
fn mend(tree: &mut Node, refusal: Refusal, spotted: &mut Vec<Spotted>) -> bool {
    let position = refusal.position();
    if tree.at(&position).is_some_and(|node| node.state == State::Hole) {
        let parent = position.len().saturating_sub(1);
        return drop_at(tree, &position[..parent]);
    }
    match refusal.why {
        Why::MissingField(name) => fill(tree, &position, name, spotted),
        Why::UnknownField { name, known } => {
            spotted.push(unknown(tree.spot_key(&position, format!("unknown field `{name}`")), &name, known));
            rename_key(tree, &position, suggest::closest(&name, known.iter().copied()))
        }
        Why::UnknownVariant { name, known } => {
            let problem = format!("`{name}` is not known here");
            spotted.push(unknown(tree.spot(&position, problem), &name, known));
            rename_variant(tree, &position, &name, suggest::closest(&name, known.iter().copied()))
        }
        Why::Other(problem) => {
            spotted.push(tree.spot(&position, problem));
            drop_at(tree, &position)
        }
        Why::Hole => drop_at(tree, &position),
    }
}

fn unknown(spotted: Spotted, name: &str, known: &[&str]) -> Spotted {
    match suggest::closest(name, known.iter().copied()) {
        Some(close) => spotted.hint(suggest::did_you_mean(close)),
        None if known.is_empty() => spotted,
        None => spotted.hint(format!("known here: {}", listed(known))),
    }
}

/// Makes a hole where a field is missing. When it is missing because it was dropped, that has been reported.
fn fill(tree: &mut Node, position: &Position, name: &str, spotted: &mut Vec<Spotted>) -> bool {
    let dropped = |entry: &Entry| entry.key == name && entry.node.state == State::Dropped;
    if !tree.at(position).is_some_and(|node| node.entries().iter().any(dropped)) {
        spotted.push(tree.spot(position, format!("the field `{name}` is missing")));
    }
    let Some(Node { value: Value::Map(entries), .. }) = tree.at_mut(position) else {
        return drop_at(tree, position);
    };
    match entries.iter_mut().find(|entry| dropped(entry)) {
        Some(entry) => entry.node.state = State::Hole,
        None => {
            let node = Node { state: State::Hole, ..Node::null() };
            entries.push(Entry { key: name.to_owned(), key_span: 0..0, node });
        }
    }
    true
}

/// Takes a misspelled field for the one that was meant, unless that one is there too.
fn rename_key(tree: &mut Node, position: &[usize], meant: Option<&str>) -> bool {
    let parent = position.split_last().and_then(|(_, parent)| tree.at(parent));
    let taken = |name: &str| parent.is_some_and(|node| node.entries().iter().any(|entry| entry.key == name));
    match (meant.filter(|name| !taken(name)), tree.entry_mut(position)) {
        (Some(meant), Some(entry)) => {
            meant.clone_into(&mut entry.key);
            true
        }
        _ => drop_at(tree, position),
    }
}

/// Takes a misspelled value, or a variant's misspelled name, for the one that was meant.
fn rename_variant(tree: &mut Node, position: &[usize], name: &str, meant: Option<&str>) -> bool {
    let Some(meant) = meant else { return drop_at(tree, position) };
    match tree.at_mut(position).map(|node| &mut node.value) {
        Some(Value::Scalar { text, .. }) if text == name => {
            meant.clone_into(text);
            true
        }
        _ => rename_key(tree, position, Some(meant)),
    }
}

fn drop_at(tree: &mut Node, position: &[usize]) -> bool {
    match tree.at_mut(position) {
        Some(node) if node.state != State::Dropped => {
            node.state = State::Dropped;
            !position.is_empty()
        }
        _ => false,
    }
}
