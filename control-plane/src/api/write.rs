//! What every change of routes, services and configuration takes beside its body: who makes it, why, and whether it
//! is only tried.

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{At, Query};
use super::problem::Problem;
use crate::access::Caller;
use crate::history::{Author, Change, Difference};
use crate::state::{Command, State as ControlState};

/// The request field in which a caller says who it is.
pub(super) const ACTOR: &str = "x-portreeve-actor";
/// The one who says nothing of itself.
const NOBODY: &str = "anonymous";
/// The longest name of a caller, in characters.
const LONGEST_ACTOR: usize = 128;
/// The longest message, in characters.
const LONGEST_MESSAGE: usize = 1_000;

/// How a write is meant.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) dry_run: bool,
    author: Author,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Parameters {
    /// Check the write, say what it would change, and change nothing.
    dry_run: bool,
    /// Why it is made, for the history: at most 1,000 characters.
    message: String,
}

/// What a write answers beside the revision.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Done {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    dry_run: bool,
    /// What changed; after a dry run with every field of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    changes: Vec<Change>,
}

impl Writing {
    /// Carries `command` out, or only checks it.
    pub(super) async fn carry_out(self, state: &ControlState, command: Command) -> Result<At<Done>, Problem> {
        let who = self.author.who.clone();
        let written = state.write_by(self.author, command, self.dry_run).await?;
        let differences = written.entry.as_ref().map_or(&[][..], |entry| &entry.differences);
        if !self.dry_run && !differences.is_empty() {
            tracing::info!(who, revision = written.revision, changes = differences.len(), "change accepted");
        }
        let shown = if self.dry_run { Difference::shown } else { Difference::headline };
        let changes = differences.iter().map(shown).collect();
        Ok(At::new(written.revision, Done { dry_run: self.dry_run, changes }))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Writing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(Parameters { dry_run, message }) = Query::from_request_parts(parts, state).await?;
        let is_text = |character: char| !character.is_control() || matches!(character, '\n' | '\t');
        if message.chars().count() > LONGEST_MESSAGE || !message.chars().all(is_text) {
            let detail = "`message` is text of at most 1000 characters, without control characters";
            return Err(Problem::bad_request(detail));
        }
        let caller = Caller::from_request_parts(parts, state).await?;
        let who = match (caller.name(), actor(&parts.headers)?) {
            (Some(token), Some(actor)) => format!("{token} ({actor})"),
            (Some(token), None) => token.to_string(),
            (None, actor) => actor.unwrap_or_else(|| NOBODY.to_owned()),
        };
        Ok(Self { dry_run, author: Author::new(who, message) })
    }
}

fn actor(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    if !headers.contains_key(ACTOR) {
        return Ok(None);
    }
    said_actor(headers).map(Some).ok_or_else(|| {
        let detail = "`X-Portreeve-Actor` is a name of 1 to 128 characters, without control characters";
        Problem::bad_request(detail)
    })
}

/// Who a caller says it acts for, where that is a name.
pub(super) fn said_actor(headers: &HeaderMap) -> Option<String> {
    let name = std::str::from_utf8(headers.get(ACTOR)?.as_bytes()).unwrap_or_default().trim();
    let is_name =
        !name.is_empty() && name.chars().count() <= LONGEST_ACTOR && !name.chars().any(char::is_control);
    is_name.then(|| name.to_owned())
}
