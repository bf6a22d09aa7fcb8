//! `/v1/history` and `/v1/revisions`: what was changed by whom, what differs between two revisions, and the way back.

use axum::extract::State;
use portreeve_config::wire::Revision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{At, Path, Query};
use super::problem::Problem;
use super::write::{Done, Writing};
use crate::history::{Change, Difference, Entry};
use crate::state::{Catalog, Command, Precondition, Refusal, State as ControlState};

const SHOWN: usize = 20;
const MOST_SHOWN: usize = 200;

/// Which part of the history.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Page {
    /// How many entries, 1 to 200; 20 by default.
    limit: Option<usize>,
    /// Only those before this revision: the last one of the page before.
    before: Option<Revision>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Until {
    /// The other revision; the newest by default. It may be the older one.
    to: Option<Revision>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "History")]
pub(super) struct Listed {
    /// The oldest revision that can be gone back to.
    oldest: Revision,
    /// The newest first.
    history: Vec<Accepted>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OneAccepted")]
pub(super) struct One {
    entry: Accepted,
}

/// One accepted change.
#[derive(Debug, Serialize, JsonSchema)]
struct Accepted {
    /// The revision it made.
    revision: Revision,
    /// When, in UTC (RFC 3339).
    at: String,
    /// Who made it: the token's name with its own word in parentheses, or that word alone where there are no tokens.
    who: String,
    /// Why, where that was said.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(default)]
    message: String,
    /// What changed; in lists without its fields.
    changes: Vec<Change>,
}

/// What differs between two revisions.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Compared {
    from: Revision,
    to: Revision,
    changes: Vec<Change>,
}

/// `GET /v1/history`
pub(super) async fn list(
    State(state): State<ControlState>,
    Query(page): Query<Page>,
) -> Result<At<Listed>, Problem> {
    let limit = page.limit.unwrap_or(SHOWN);
    if !(1..=MOST_SHOWN).contains(&limit) {
        return Err(Problem::bad_request(format!("`limit` is 1 to {MOST_SHOWN}")));
    }
    let (newest, catalog) = state.read(|model| (model.revision, model.catalog.clone()));
    let entries = catalog.history.newest_first();
    let entries = entries.filter(|(revision, _)| page.before.is_none_or(|before| *revision < before));
    let history =
        entries.take(limit).map(|(at, entry)| Accepted::of(at, entry, Difference::headline)).collect();
    Ok(At::new(newest, Listed { oldest: oldest(&catalog), history }))
}

/// `GET /v1/revisions/{revision}`
pub(super) async fn read(
    State(state): State<ControlState>,
    Path(revision): Path<Revision>,
) -> Result<At<One>, Problem> {
    let (newest, catalog) = state.read(|model| (model.revision, model.catalog.clone()));
    if let Some(entry) = catalog.history.get(revision) {
        let entry = Accepted::of(revision, entry, Difference::shown);
        return Ok(At::new(revision, One { entry }));
    }
    reachable(revision, newest, &catalog)?;
    let detail = format!(
        "revision {revision} changed no route, service or configuration: instances came or went with it"
    );
    Err(Problem::missing(detail))
}

/// `GET /v1/revisions/{revision}/diff`
pub(super) async fn compare(
    State(state): State<ControlState>,
    Path(from): Path<Revision>,
    Query(until): Query<Until>,
) -> Result<At<Compared>, Problem> {
    let (newest, catalog) = state.read(|model| (model.revision, model.catalog.clone()));
    let to = until.to.unwrap_or(newest);
    for revision in [from, to] {
        reachable(revision, newest, &catalog)?;
    }
    let changes = catalog.history.between(from, to).iter().map(Difference::shown).collect();
    Ok(At::new(newest, Compared { from, to, changes }))
}

/// `POST /v1/revisions/{revision}/rollback`
pub(super) async fn roll_back(
    State(state): State<ControlState>,
    Path(revision): Path<Revision>,
    writing: Writing,
    precondition: Precondition,
) -> Result<At<Done>, Problem> {
    writing.carry_out(&state, Command::Rollback(revision, precondition)).await
}

fn oldest(catalog: &Catalog) -> Revision {
    catalog.history.oldest().unwrap_or_else(|| catalog.changed_at())
}

fn reachable(revision: Revision, newest: Revision, catalog: &Catalog) -> Result<(), Refusal> {
    let oldest = oldest(catalog);
    match revision {
        _ if revision > newest => Err(Refusal::NotYet { revision, newest }),
        _ if revision < oldest => Err(Refusal::Forgotten { revision, oldest }),
        _ => Ok(()),
    }
}

impl Accepted {
    fn of(revision: Revision, entry: &Entry, show: fn(&Difference) -> Change) -> Self {
        Self {
            revision,
            at: entry.at.to_string(),
            who: entry.who.clone(),
            message: entry.why.clone(),
            changes: entry.differences.iter().map(show).collect(),
        }
    }
}
