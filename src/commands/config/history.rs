//! What was changed, when, by whom and why.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::Value;

use super::changes::{self, Changed};
use super::{History, Show};
use crate::commands::Outcome;
use crate::commands::api::Question;
use crate::commands::output::{self, Form, Table};

#[derive(Debug, Deserialize)]
struct Listed {
    oldest: u64,
    history: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct One {
    entry: Entry,
}

#[derive(Debug, Deserialize)]
struct Entry {
    revision: u64,
    at: String,
    who: String,
    #[serde(default)]
    message: String,
    changes: Vec<Changed>,
}

pub(super) async fn list(arguments: History) -> Outcome {
    let question =
        Question::get("/v1/history").with("limit", Some(arguments.limit)).with("before", arguments.before);
    let answer: Value = arguments.asking.connection.open()?.ask(question).await?;
    if arguments.asking.output == Form::Json {
        output::print_json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let listed: Listed = changes::understood(&answer)?;
    let mut table = Table::new(&["REVISION", "AT", "WHO", "CHANGES", "MESSAGE"]);
    for entry in &listed.history {
        let changes = changes::counted(&entry.changes);
        table.line([
            entry.revision.to_string(),
            second(&entry.at),
            entry.who.clone(),
            changes,
            entry.message.clone(),
        ]);
    }
    table.print("nothing was changed yet")?;
    if !listed.history.is_empty() {
        output::print(&format!(
            "(`portreeve config rollback` goes back to revision {} at most)",
            listed.oldest
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show(arguments: Show) -> Outcome {
    let question = Question::get(format!("/v1/revisions/{}", arguments.revision));
    let answer: Value = arguments.asking.connection.open()?.ask(question).await?;
    if arguments.asking.output == Form::Json {
        output::print_json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let One { entry } = changes::understood(&answer)?;
    let mut headline = format!("revision {}, {}, by {}", entry.revision, second(&entry.at), entry.who);
    if !entry.message.is_empty() {
        headline = format!("{headline}: {}", entry.message);
    }
    output::print(&output::plain(&headline))?;
    changes::print(&entry.changes)?;
    Ok(ExitCode::SUCCESS)
}

/// A time without the parts of its second.
fn second(at: &str) -> String {
    match at.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => at.to_owned(),
    }
}
