//! Waiting until every node has put a revision in force, or saying which have not.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};

use super::Wait;
use crate::commands::api::Question;
use crate::commands::output::{self, Form};
use crate::commands::{Failure, Outcome};

/// The control plane does not wait any longer for one request.
const AT_A_TIME: Duration = Duration::from_secs(30);

pub(super) async fn wait(arguments: Wait) -> Outcome {
    let api = arguments.asking.connection.open()?;
    let is_json = arguments.asking.output == Form::Json;
    let (revision, limit) = (arguments.revision, arguments.timeout.get());
    let path = format!("/v1/revisions/{revision}/acknowledged");
    let deadline = Instant::now() + limit;
    loop {
        let share = deadline.saturating_duration_since(Instant::now()).min(AT_A_TIME);
        let share_text = format!("{}ms", share.as_millis());
        let question = Question::get(&path).with("timeout", Some(share_text)).waits(share);
        let refusal = match api.try_ask::<Value>(question).await? {
            Ok(answer) if is_json => {
                output::print_json(&answer)?;
                return Ok(ExitCode::SUCCESS);
            }
            Ok(_) => {
                output::print(&format!("every connected node has revision {revision} in force"))?;
                return Ok(ExitCode::SUCCESS);
            }
            Err(refusal) => refusal,
        };
        if refusal.status != StatusCode::GATEWAY_TIMEOUT {
            return Err(api.failure(&path, refusal));
        }
        if Instant::now() < deadline {
            continue;
        }
        if is_json {
            output::print_json(&json!({"revision": revision, "behind": refusal.faults}))?;
            return Ok(ExitCode::FAILURE);
        }
        let mut message = format!("after {} revision {revision} is not in force on:", arguments.timeout);
        for node in &refusal.faults {
            message.push_str(&format!("\n  {}", output::plain(&node.to_string())));
        }
        return Err(Failure::new(message));
    }
}
