//! How a difference is shown: which thing, and which of its fields became what. Secrets are left out here, so that
//! neither the API nor a terminal ever has them from history.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{Difference, LayerDifference};
use crate::redaction;
use crate::store::LayerKey;

/// Which thing changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Subject {
    Service {
        name: String,
    },
    Route {
        name: String,
    },
    /// One layer of configuration.
    Config {
        application: String,
        profile: String,
    },
}

/// One thing that changed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Change {
    #[serde(flatten)]
    pub(crate) subject: Subject,
    pub(crate) change: ChangeKind,
    /// In order of their places; a value that is, or may be, a secret is shown as `***`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub(crate) fields: Vec<FieldChange>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChangeKind {
    Added,
    Changed,
    Removed,
}

/// One field that was added, changed or removed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct FieldChange {
    /// Where it is, such as `match.path`; for configuration, the key.
    pub(crate) path: String,
    /// Absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<Value>,
    /// Absent where there is none any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<Value>,
}

impl Difference {
    pub(super) fn subject(&self) -> Subject {
        match self {
            Self::Route { name, .. } => Subject::Route { name: name.clone() },
            Self::Service { name, .. } => Subject::Service { name: name.clone() },
            Self::Layer { key: LayerKey { application, profile }, .. } => {
                Subject::Config { application: application.clone(), profile: profile.clone() }
            }
        }
    }

    /// The difference field by field.
    pub(crate) fn shown(&self) -> Change {
        let (before, after) = match self {
            Self::Route { before, after, .. } => (fields(before.as_deref()), fields(after.as_deref())),
            Self::Layer { values: LayerDifference { before, after }, .. } => {
                (as_fields(before.as_ref()), as_fields(after.as_ref()))
            }
            Self::Service { before, after, .. } => {
                let fields = |known: bool| known.then(BTreeMap::new);
                (fields(*before), fields(*after))
            }
        };
        let change = match (&before, &after) {
            (None, Some(_)) => ChangeKind::Added,
            (Some(_), None) => ChangeKind::Removed,
            _ => ChangeKind::Changed,
        };
        let fields = compared(before.unwrap_or_default(), after.unwrap_or_default());
        Change { subject: self.subject(), change, fields }
    }

    /// The difference without its fields, for lists.
    pub(crate) fn headline(&self) -> Change {
        let change = match self {
            Self::Route { before: None, .. }
            | Self::Layer { values: LayerDifference { before: None, .. }, .. }
            | Self::Service { before: false, .. } => ChangeKind::Added,
            Self::Route { after: None, .. }
            | Self::Layer { values: LayerDifference { after: None, .. }, .. }
            | Self::Service { after: false, .. } => ChangeKind::Removed,
            _ => ChangeKind::Changed,
        };
        Change { subject: self.subject(), change, fields: Vec::new() }
    }
}

type Fields = BTreeMap<String, Value>;

fn compared(mut before: Fields, after: Fields) -> Vec<FieldChange> {
    let mut fields = Vec::new();
    for (path, after) in after {
        match before.remove(&path) {
            Some(same) if same == after => {}
            before => fields.push(FieldChange { path, before, after: Some(after) }),
        }
    }
    fields.extend(before.into_iter().map(|(path, gone)| FieldChange {
        path,
        before: Some(gone),
        after: None,
    }));
    fields.sort_by(|one, other| one.path.cmp(&other.path));
    for field in &mut fields {
        redact(&field.path, &mut field.before);
        redact(&field.path, &mut field.after);
    }
    fields
}

/// After the comparison, so that a changed secret is seen to have changed.
fn redact(path: &str, value: &mut Option<Value>) {
    if let Some(Value::String(text)) = value
        && redaction::is_secret(path, text)
    {
        *text = redaction::HIDDEN.to_owned();
    }
}

fn as_fields(layer: Option<&BTreeMap<String, String>>) -> Option<Fields> {
    layer.map(|layer| layer.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect())
}

fn fields(thing: Option<&impl Serialize>) -> Option<Fields> {
    let mut fields = Fields::new();
    // The types that come here have only string keys and cannot fail to encode.
    flatten("", serde_json::to_value(thing?).unwrap_or_default(), &mut fields);
    fields.remove("name");
    Some(fields)
}

fn flatten(path: &str, value: Value, fields: &mut Fields) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                let place = if path.is_empty() { key } else { format!("{path}.{key}") };
                flatten(&place, value, fields);
            }
        }
        value => drop(fields.insert(path.to_owned(), value)),
    }
}
