//! `portreeve config …`: what should be in force, what is, what was, and the way between them.

mod apply;
mod changes;
mod history;
mod wait;

use std::path::PathBuf;

use portreeve::config::Period;

use super::api::Asking;
use super::{Outcome, block_on, check};

const HELP: &str = "\
Examples:
  portreeve config validate shop.yaml
  portreeve config diff shop.yaml
  portreeve config apply shop.yaml --message 'orders have a timeout'
  portreeve config history
  portreeve config show 12
  portreeve config rollback 11 --message 'back to before the timeout'
  portreeve config wait 13 --timeout 10s

Exit codes: 0 done; 1 refused, not reached, or not every node has followed; 2 the command line is wrong;
78 a file, or what it asks for, is wrong.";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Say everything that is wrong with files, without asking a control plane.
    Validate(check::Arguments),
    /// Say what applying a file would change, or what differs between two revisions.
    Diff(Diff),
    /// Put a file's services, routes and configuration in force: all of it, or nothing.
    Apply(Apply),
    /// List the changes that were accepted, the newest first.
    History(History),
    /// Show one accepted change.
    Show(Show),
    /// Put in force again what was so at a revision.
    Rollback(Rollback),
    /// Wait until every connected node has acknowledged a revision.
    Wait(Wait),
}

#[derive(clap::Args)]
struct Diff {
    /// A file of `kind: desired-state`.
    #[arg(value_name = "FILE", required_unless_present = "from", conflicts_with_all = ["from", "to"])]
    file: Option<PathBuf>,
    /// Compare this revision with another one instead of a file with what is in force.
    #[arg(long, value_name = "REV")]
    from: Option<u64>,
    /// The other revision; the newest by default.
    #[arg(long, value_name = "REV", requires = "from")]
    to: Option<u64>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(clap::Args)]
struct Apply {
    /// A file of `kind: desired-state`.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    asking: Asking,
}

#[derive(clap::Args)]
struct History {
    /// How many, 200 at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: u32,
    /// Only those before this revision.
    #[arg(long, value_name = "REV")]
    before: Option<u64>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(clap::Args)]
struct Show {
    /// The revision.
    #[arg(value_name = "REV")]
    revision: u64,
    #[command(flatten)]
    asking: Asking,
}

#[derive(clap::Args)]
struct Rollback {
    /// The revision.
    #[arg(value_name = "REV")]
    revision: u64,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    asking: Asking,
}

#[derive(clap::Args)]
struct Wait {
    /// The revision.
    #[arg(value_name = "REV")]
    revision: u64,
    /// How long to wait at most.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    timeout: Period,
    #[command(flatten)]
    asking: Asking,
}

/// How a change is meant.
#[derive(clap::Args)]
struct Change {
    /// Check it and say what it would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Why it is made, for the history.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Only if the last change was this revision, as `config history` shows it.
    #[arg(long, value_name = "REV")]
    if_match: Option<u64>,
}

pub(crate) fn run(arguments: Arguments) -> Outcome {
    match arguments.action {
        Action::Validate(files) => check::run(&files),
        Action::Diff(diff) => block_on(apply::diff(diff)),
        Action::Apply(apply) => block_on(apply::apply(apply)),
        Action::History(history) => block_on(history::list(history)),
        Action::Show(show) => block_on(history::show(show)),
        Action::Rollback(rollback) => block_on(apply::roll_back(rollback)),
        Action::Wait(wait) => block_on(wait::wait(wait)),
    }
}
