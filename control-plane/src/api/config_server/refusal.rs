//! Every "no" of the config server, in the two shapes that Spring's clients and people know.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::super::refusals::Why;
use super::asked::PathFault;
use crate::configuration::{ConfigurationFault, KeyFault};
use crate::state::excerpt;

/// A refusal on its way to a client.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Spring's error document.
    Plain { status: StatusCode, message: String },
    /// What `/encrypt` and its like say.
    Encryption { status: StatusCode, word: &'static str, description: &'static str },
    /// A method that a path does not have.
    Method(&'static str),
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self::Plain { status, message: message.into() }
    }

    /// The answer; `path` is what was asked for.
    pub(super) fn answer(self, path: &str) -> Response {
        match self {
            Self::Plain { status, message } => plain(status, &message, path),
            Self::Encryption { status, word, description } => {
                let body = json!({"status": word, "description": description});
                let mut response = (status, json_type(), body.to_string()).into_response();
                response.extensions_mut().insert(Why(description.to_owned()));
                response
            }
            Self::Method(allow) => {
                let mut response =
                    plain(StatusCode::METHOD_NOT_ALLOWED, "this path does not take the method", path);
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
                response
            }
        }
    }
}

fn plain(status: StatusCode, message: &str, path: &str) -> Response {
    let body = json!({
        "timestamp": jiff::Timestamp::now().to_string(),
        "status": status.as_u16(),
        "error": status.canonical_reason().unwrap_or("Error"),
        "message": message,
        "path": excerpt(path),
    });
    let mut response = (status, json_type(), body.to_string()).into_response();
    response.extensions_mut().insert(Why(message.to_owned()));
    response
}

fn json_type() -> [(header::HeaderName, &'static str); 1] {
    [(header::CONTENT_TYPE, "application/json")]
}

impl From<PathFault> for Refusal {
    fn from(fault: PathFault) -> Self {
        let status = match fault {
            PathFault::Unknown => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, fault.to_string())
    }
}

impl From<ConfigurationFault> for Refusal {
    fn from(fault: ConfigurationFault) -> Self {
        let status = match fault {
            ConfigurationFault::File(_) => StatusCode::INTERNAL_SERVER_ERROR,
            // Spring says the same of a repository that could never be read.
            ConfigurationFault::NoLabel(_)
            | ConfigurationFault::Empty
            | ConfigurationFault::NoText
            | ConfigurationFault::Git(_) => StatusCode::NOT_FOUND,
        };
        Self::new(status, fault.to_string())
    }
}

impl From<KeyFault> for Refusal {
    fn from(fault: KeyFault) -> Self {
        Self::new(StatusCode::BAD_REQUEST, fault.to_string())
    }
}
