//! From a file's text to a checked document, with every fault of the text in one error.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::str::FromStr;

use serde::de::DeserializeOwned;

use crate::mend::{MOST_FAULTS, read};
use crate::render::Content;
use crate::substitute::{self, Environment};
use crate::tree::{Entry, Found, Node, Position, Spotted, State, Value};
use crate::{
    Checked, ControlPlaneConfig, DesiredState, Fault, Faults, GatewayConfig, PlacedFault, SidecarConfig,
};
use crate::{check, suggest, yaml};

/// The largest file that is read: three times what 100,000 routes take.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

/// A checked document; its `kind:` says which.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// `kind: gateway`
    Gateway(Box<Checked<GatewayConfig>>),
    /// `kind: sidecar`
    Sidecar(Box<SidecarConfig>),
    /// `kind: control-plane`
    ControlPlane(Box<ControlPlaneConfig>),
    /// `kind: desired-state`
    DesiredState(Box<DesiredState>),
}

/// What a document says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `kind: gateway`
    Gateway,
    /// `kind: sidecar`
    Sidecar,
    /// `kind: control-plane`
    ControlPlane,
    /// `kind: desired-state`
    DesiredState,
}

impl Kind {
    /// Every kind there is.
    pub const ALL: [Kind; 4] = [Kind::Gateway, Kind::Sidecar, Kind::ControlPlane, Kind::DesiredState];

    /// The word in the document: `gateway`, `sidecar`, `control-plane` or `desired-state`.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Gateway => "gateway",
            Kind::Sidecar => "sidecar",
            Kind::ControlPlane => "control-plane",
            Kind::DesiredState => "desired-state",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Kind::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| "a kind is `gateway`, `sidecar`, `control-plane` or `desired-state`".to_owned())
    }
}

/// Why a file could not be used. `Display` gives the whole message for a terminal, each fault with its file,
/// line and caret, without colours; [`LoadError::render`] gives it with colours.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such file.
    #[error(
        "there is no file `{path}`: check the name, or start from one of the shipped examples in `config/`"
    )]
    NotFound {
        /// Which file.
        path: String,
    },
    /// The path leads to a folder.
    #[error("`{path}` is a folder: name a file in it")]
    Folder {
        /// Which folder.
        path: String,
    },
    /// The file is there and cannot be read.
    #[error("cannot read `{path}`: {source}: check who may read it")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// More than 32 MiB.
    #[error("`{path}` is larger than 32 MiB: it is hardly a configuration file; split it, or check the name")]
    TooLarge {
        /// Which file.
        path: String,
    },
    /// Not text.
    #[error("`{path}` is not UTF-8 text (line {line}): save it as UTF-8, or check the name")]
    NotText {
        /// Which file.
        path: String,
        /// The line of the first byte that is not text, from 1.
        line: usize,
    },
    /// The text has faults.
    #[error("{0}")]
    Content(Box<Content>),
}

impl LoadError {
    /// Every fault of the text with its place, in the order of the text; none when there was no text.
    pub fn faults(&self) -> &[PlacedFault] {
        match self {
            LoadError::Content(content) => content.faults(),
            _ => &[],
        }
    }

    /// The message for a terminal, in colours when asked.
    pub fn render(&self, colours: bool) -> String {
        match self {
            LoadError::Content(content) => content.render(colours),
            other => other.to_string(),
        }
    }
}

/// Reads and checks a file. `${VAR}` and `${VAR:-default}` in its values are replaced from the environment.
pub fn load_file(path: &Path) -> Result<Document, LoadError> {
    let name = path.display().to_string();
    let text = read_text(path, &name)?;
    load_document(&name, &text)
}

/// As [`load_file`]; `further` looks at the document once nothing else is wrong with it, and what it finds is told in
/// the same way, with line and caret. Its paths start at the document.
pub fn load_file_with(path: &Path, further: &dyn Fn(&Document) -> Faults) -> Result<Document, LoadError> {
    let name = path.display().to_string();
    let text = read_text(path, &name)?;
    load_document_with(&name, &text, further)
}

/// Checks a text as [`load_file`] does. `name` stands for the file in messages.
pub fn load_document(name: &str, text: &str) -> Result<Document, LoadError> {
    load_with(name, text, &substitute::process)
}

/// Checks a text as [`load_file_with`] does a file.
pub fn load_document_with(
    name: &str,
    text: &str,
    further: &dyn Fn(&Document) -> Faults,
) -> Result<Document, LoadError> {
    let read = read_document(text, &substitute::process);
    let (document, tree) = read.map_err(|faults| content(name, text, faults))?;
    let placed = further(&document).into_iter().filter_map(|fault| place(&tree, fault));
    let spotted: Vec<Spotted> = placed.take(MOST_FAULTS).collect();
    match spotted.is_empty() {
        true => Ok(document),
        false => Err(content(name, text, in_order(spotted))),
    }
}

/// Deserialises any type from YAML text with every fault found, for documents that have no `kind:`. Nothing is
/// replaced from the environment: the text may come from someone who must not see it.
pub fn parse_document<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, LoadError> {
    let (mut tree, spotted) = yaml::parse(text).map_err(|fault| content(name, text, vec![fault]))?;
    typed(&mut tree, spotted, |_: &Node, _: &T| Faults::default())
        .map_err(|faults| content(name, text, faults))
}

/// Deserialises any type from JSON with every fault found, in the words of the file loader: for APIs. The
/// caller bounds the length. Nothing is replaced from the environment.
pub fn parse_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, Faults> {
    check_json(json, |_: &T| Faults::default())
}

/// As [`parse_json`], and `check` adds what is wrong beyond the shape, so that both come in one answer. It may
/// get a value that was mended to be checked at all; faults of what was mended are not repeated.
pub fn check_json<T: DeserializeOwned>(json: &[u8], check: impl FnOnce(&T) -> Faults) -> Result<T, Faults> {
    let mut tree: Node = serde_json::from_slice(json)
        .map_err(|fault| Fault::new("", format!("this is not valid JSON: {fault}")))?;
    let spotted = yaml::drop_repeated(&mut tree);
    typed(&mut tree, spotted, |_: &Node, value: &T| check(value))
        .map_err(|spotted| Faults(spotted.into_iter().map(|spotted| spotted.fault).collect()))
}

pub(crate) fn load_with(name: &str, text: &str, environment: Environment<'_>) -> Result<Document, LoadError> {
    read_document(text, environment)
        .map(|(document, _)| document)
        .map_err(|faults| content(name, text, faults))
}

/// The document, and the tree it was read from.
fn read_document(text: &str, environment: Environment<'_>) -> Result<(Document, Node), Vec<Spotted>> {
    let (mut tree, mut spotted) = yaml::parse(text).map_err(|fault| vec![fault])?;
    spotted.extend(substitute::substitute(&mut tree, text, environment));
    match take_kind(&mut tree, &mut spotted) {
        None => Err(in_order(spotted)),
        Some(Kind::Gateway) => {
            let check = |tree: &Node, config: &_| {
                check::gateway_document(config, is_sound(tree, &["services", "control_plane", "auth"]))
            };
            let config = typed(&mut tree, spotted, check)?;
            Ok((Document::Gateway(Box::new(Checked::known(config))), tree))
        }
        Some(Kind::Sidecar) => {
            let config = typed(&mut tree, spotted, |_: &Node, config: &_| check::sidecar(config))?;
            Ok((Document::Sidecar(Box::new(config)), tree))
        }
        Some(Kind::ControlPlane) => {
            let check = |tree: &Node, config: &_| {
                let seed = tree.entries().iter().find(|entry| entry.key == "seed");
                let sound = seed.is_none_or(|seed| is_sound(&seed.node, &["services"]));
                check::control_plane_document(config, sound)
            };
            let config = typed(&mut tree, spotted, check)?;
            Ok((Document::ControlPlane(Box::new(config)), tree))
        }
        Some(Kind::DesiredState) => {
            let check = |tree: &Node, state: &DesiredState| {
                check::desired_state_document(state, is_sound(tree, &["services"]))
            };
            let state = typed(&mut tree, spotted, check)?;
            Ok((Document::DesiredState(Box::new(state)), tree))
        }
    }
}

/// The typed value of a tree, or every fault of its shape and its content in the order of the document.
fn typed<T: DeserializeOwned>(
    tree: &mut Node,
    mut spotted: Vec<Spotted>,
    check: impl FnOnce(&Node, &T) -> Faults,
) -> Result<T, Vec<Spotted>> {
    let (value, misshapen) = read::<T>(tree);
    spotted.extend(misshapen);
    if let Some(value) = &value {
        let placed = check(tree, value).into_iter().filter_map(|fault| place(tree, fault));
        spotted.extend(placed.take(MOST_FAULTS));
    }
    match value {
        Some(value) if spotted.is_empty() => Ok(value),
        _ => Err(in_order(spotted)),
    }
}

/// Faults as they stand in the document, and not more of them than anyone reads at a time.
fn in_order(mut spotted: Vec<Spotted>) -> Vec<Spotted> {
    spotted.sort_by(|one, other| one.position.cmp(&other.position));
    spotted.dedup_by(|one, other| one.fault == other.fault);
    spotted.truncate(MOST_FAULTS);
    spotted
}

/// Finds a fault of the typed document in the tree; `None` when it speaks of a value already reported.
fn place(tree: &Node, fault: Fault) -> Option<Spotted> {
    let Found::At(position, absent) = tree.find(&fault.path) else { return None };
    let mut spotted = match absent.is_empty() {
        true => tree.spot(&position, fault.problem),
        false => tree.spot_key(&position, fault.problem),
    };
    spotted.fault =
        Fault { hint: fault.hint, ..Fault::new(absent, spotted.fault.problem) }.under(&spotted.fault.path);
    Some(spotted)
}

/// Takes `kind:` out of the tree. A misspelled kind is reported and taken for the one that was meant.
fn take_kind(tree: &mut Node, spotted: &mut Vec<Spotted>) -> Option<Kind> {
    let hint = "begin with `kind: gateway`, `sidecar`, `control-plane` or `desired-state`";
    if !matches!(tree.value, Value::Map(_)) {
        spotted.push(tree.spot(&[], "expected a document of fields").hint(hint));
        return None;
    }
    let Some(index) = tree.entries().iter().position(|entry| entry.key == "kind") else {
        spotted.push(tree.spot(&[], "the field `kind` is missing").hint(hint));
        return None;
    };
    let position: Position = vec![index];
    let node = tree.at_mut(&position)?;
    if node.state == State::Dropped {
        return None;
    }
    node.state = State::Dropped;
    let Value::Scalar { text, .. } = &node.value else {
        spotted.push(tree.spot(&position, "the kind must be one word").hint(hint));
        return None;
    };
    let text = text.clone();
    if let Ok(kind) = text.parse() {
        return Some(kind);
    }
    let meant = suggest::closest(&text, Kind::ALL.map(Kind::name));
    let remedy = meant.map_or_else(|| hint.to_owned(), suggest::did_you_mean);
    spotted.push(tree.spot(&position, format!("there is no kind `{text}`")).hint(remedy));
    meant?.parse().ok()
}

/// Whether nothing was dropped from these sections: only then can others be blamed for pointing at something
/// that is not there.
fn is_sound(tree: &Node, sections: &[&str]) -> bool {
    let concerned = |entry: &&Entry| sections.contains(&entry.key.as_str());
    tree.entries().iter().filter(concerned).all(|entry| is_whole(&entry.node))
}

fn is_whole(node: &Node) -> bool {
    node.state == State::Live
        && match &node.value {
            Value::Scalar { .. } => true,
            Value::List(items) => items.iter().all(is_whole),
            Value::Map(entries) => entries.iter().all(|entry| is_whole(&entry.node)),
        }
}

pub(crate) fn content(name: &str, text: &str, spotted: Vec<Spotted>) -> LoadError {
    LoadError::Content(Box::new(Content::new(name, text, spotted)))
}

fn read_text(path: &Path, name: &str) -> Result<String, LoadError> {
    let bytes = read_bytes(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => LoadError::NotFound { path: name.to_owned() },
        ErrorKind::IsADirectory => LoadError::Folder { path: name.to_owned() },
        _ => LoadError::Unreadable { path: name.to_owned(), source },
    })?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(LoadError::TooLarge { path: name.to_owned() });
    }
    String::from_utf8(bytes).map_err(|fault| {
        let sound = &fault.as_bytes()[..fault.utf8_error().valid_up_to()];
        let line = sound.iter().filter(|byte| **byte == b'\n').count() + 1;
        LoadError::NotText { path: name.to_owned(), line }
    })
}

/// At most one byte more than is allowed, so that a device without an end is no trap.
fn read_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
