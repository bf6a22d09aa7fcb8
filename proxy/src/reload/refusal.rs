//! What a control plane that refuses a stream means, in words that say which file is to be mended.

use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;

/// The longest refusal that is read, in bytes.
const LONGEST: usize = 16 * 1024;
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// The `detail` of a problem document (RFC 9457, 3.1.4), without control characters; empty when there is none.
pub(super) async fn detail(body: Incoming) -> String {
    let read = tokio::time::timeout(PATIENCE, Limited::new(body, LONGEST).collect()).await;
    let Ok(Ok(read)) = read else { return String::new() };
    let problem: Option<Problem> = serde_json::from_slice(&read.to_bytes()).ok();
    let detail = problem.map(|problem| problem.detail).unwrap_or_default();
    detail.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// Why there is no stream, and what to do. `token` is the file whose token was shown.
pub(super) fn reason(url: &str, status: StatusCode, said: &str, token: Option<&Path>) -> String {
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let is_about_token = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    match token {
        Some(file) if is_about_token => {
            let file = file.display();
            format!("{url} refuses the token in {file} ({status}){said}; put one of the role `node` there")
        }
        None if is_about_token => {
            format!("{url} wants a token ({status}){said}; name its file as `token_file` of `control_plane`")
        }
        _ => format!("{url} answered {status}{said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_file_to_mend() {
        let told =
            |status, token: Option<&str>| reason("https://c", status, "who are you?", token.map(Path::new));
        for (told, part) in [
            (told(StatusCode::UNAUTHORIZED, None), "`token_file`"),
            (
                told(StatusCode::FORBIDDEN, Some("/run/t")),
                "the token in /run/t (403 Forbidden): who are you?",
            ),
            (told(StatusCode::BAD_REQUEST, Some("/run/t")), "answered 400 Bad Request: who are you?"),
        ] {
            assert!(told.contains(part), "{told}");
        }
    }
}
