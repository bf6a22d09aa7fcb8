//! Changes of everything at once: from a file, or back to a revision; and what they would change.

use std::path::Path;
use std::process::ExitCode;

use http::Method;
use portreeve::Document;
use portreeve::config::DesiredState;
use serde_json::Value;

use super::changes::{self, Done};
use super::{Apply, Change, Diff, Rollback};
use crate::commands::api::{Asking, Question};
use crate::commands::output::{self, Form};
use crate::commands::{Failure, Outcome, load};

pub(super) async fn diff(arguments: Diff) -> Outcome {
    let question = match (&arguments.file, arguments.from) {
        (Some(file), _) => put(file)?.with("dry_run", Some(true)),
        (None, from) => {
            let path = format!("/v1/revisions/{}/diff", from.unwrap_or_default());
            Question::get(path).with("to", arguments.to)
        }
    };
    let answer: Value = arguments.asking.connection.open()?.ask(question).await?;
    tell(&answer, arguments.asking.output, |done| match done.changes.is_empty() {
        true => "no difference".to_owned(),
        false => changes::counted(&done.changes),
    })
}

pub(super) async fn apply(arguments: Apply) -> Outcome {
    change(put(&arguments.file)?, &arguments.change, &arguments.asking).await
}

pub(super) async fn roll_back(arguments: Rollback) -> Outcome {
    let path = format!("/v1/revisions/{}/rollback", arguments.revision);
    change(Question::new(Method::POST, path), &arguments.change, &arguments.asking).await
}

async fn change(question: Question, change: &Change, asking: &Asking) -> Outcome {
    let question = question
        .with("dry_run", change.dry_run.then_some(true))
        .with("message", change.message.as_ref())
        .if_match(change.if_match);
    let answer: Value = asking.connection.open()?.ask(question).await?;
    tell(&answer, asking.output, |done| match (done.changes.is_empty(), change.dry_run) {
        (true, _) => format!("nothing to change; revision {}", done.revision),
        (false, true) => format!("{}; nothing was changed (dry run)", changes::counted(&done.changes)),
        (false, false) => format!("revision {}: {}", done.revision, changes::counted(&done.changes)),
    })
}

fn tell(answer: &Value, form: Form, headline: impl FnOnce(&Done) -> String) -> Outcome {
    if form == Form::Json {
        output::print_json(answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let done: Done = changes::understood(answer)?;
    output::print(&headline(&done))?;
    changes::print(&done.changes)?;
    Ok(ExitCode::SUCCESS)
}

/// The file was checked here already, so that its faults are told with their lines.
fn put(file: &Path) -> Result<Question, Failure> {
    let state: Box<DesiredState> = load(file, "desired-state", |document| match document {
        Document::DesiredState(state) => Some(state),
        _ => None,
    })?;
    let body = serde_json::to_string(&state).map_err(Failure::new)?;
    Ok(Question::new(Method::PUT, "/v1/desired-state").body(body))
}
