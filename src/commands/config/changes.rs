//! Changes as people read them: `+` was added, `-` was removed, `~` has become another, with the fields that did.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::commands::Failure;
use crate::commands::output;

/// What a write, or a comparison, has to say.
#[derive(Debug, Deserialize)]
pub(super) struct Done {
    pub(super) revision: u64,
    #[serde(default)]
    pub(super) changes: Vec<Changed>,
}

/// One thing that changed.
#[derive(Debug, Deserialize)]
pub(super) struct Changed {
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    application: String,
    #[serde(default)]
    profile: String,
    change: String,
    #[serde(default)]
    fields: Vec<Field>,
}

#[derive(Debug, Deserialize)]
struct Field {
    path: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// An answer as a `T`.
pub(super) fn understood<T: DeserializeOwned>(answer: &Value) -> Result<T, Failure> {
    T::deserialize(answer).map_err(|fault| {
        Failure::new(format!("the control plane is of another version: its answer makes no sense ({fault})"))
    })
}

/// How many things were added, changed and removed.
pub(super) fn counted(changes: &[Changed]) -> String {
    let count = |change: &str| changes.iter().filter(|changed| changed.change == change).count();
    let counts = [("added", count("added")), ("changed", count("changed")), ("removed", count("removed"))];
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    counts.map(|(change, count)| format!("{count} {change}")).collect::<Vec<_>>().join(", ")
}

/// Each change with its fields.
pub(super) fn print(changes: &[Changed]) -> Result<(), Failure> {
    for changed in changes {
        output::print(&output::plain(&changed.to_string()))?;
        for field in &changed.fields {
            output::print(&format!("    {}", output::plain(&field.to_string())))?;
        }
    }
    Ok(())
}

impl std::fmt::Display for Changed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = sign(self.change != "added", self.change != "removed");
        match &*self.kind {
            "config" => write!(out, "{sign} config {}/{}", self.application, self.profile),
            kind => write!(out, "{sign} {kind} {}", self.name),
        }
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = sign(self.before.is_some(), self.after.is_some());
        write!(out, "{sign} {}: ", self.path)?;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(out, "{before} → {after}"),
            (one, other) => write!(out, "{}", one.as_ref().or(other.as_ref()).unwrap_or(&Value::Null)),
        }
    }
}

fn sign(was: bool, is: bool) -> char {
    match (was, is) {
        (false, _) => '+',
        (true, false) => '-',
        (true, true) => '~',
    }
}
