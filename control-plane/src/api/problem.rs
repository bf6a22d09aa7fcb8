//! Every "no" of the API as problem+json (RFC 9457). The one table from refusals to status codes.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use portreeve_config::{Fault, Faults};
use schemars::JsonSchema;
use serde::Serialize;

use super::refusals::Why;
use crate::state::{Refusal, excerpt};

/// A refusal on its way to a client.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "number")]
    #[schemars(with = "u16")]
    status: StatusCode,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    faults: Vec<Fault>,
    #[serde(skip)]
    retry_after: Option<u32>,
    #[serde(skip)]
    allow: Option<Box<HeaderValue>>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            kind: "about:blank",
            title,
            status,
            detail: detail.into(),
            faults: Vec::new(),
            retry_after: None,
            allow: None,
        }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn missing(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// A document that was understood and cannot be accepted (422), with all that is wrong with it.
    pub(super) fn faulty(faults: Faults) -> Self {
        let detail = match faults.0.len() {
            1 => "one fault was found; nothing was changed".to_owned(),
            count => format!("{count} faults were found; nothing was changed"),
        };
        Self { faults: bounded(faults).0, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    pub(super) fn with_faults(mut self, faults: Vec<Fault>) -> Self {
        self.faults = faults;
        self
    }

    /// The same in plain text, for APIs that have no problem documents.
    pub(super) fn plain(self) -> (StatusCode, String) {
        (self.status, self.detail)
    }

    /// What the log says of it: the first fault where there are some.
    pub(super) fn reason(&self) -> String {
        self.faults.first().map_or_else(|| self.detail.clone(), |fault| format!("{}: {fault}", self.detail))
    }

    /// Adds `Allow`.
    pub(super) fn allow(mut self, methods: &str) -> Self {
        self.allow = HeaderValue::from_str(methods).ok().map(Box::new);
        self
    }

    /// Adds `Retry-After`, in seconds.
    pub(super) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

/// What a refusal is in HTTP.
pub(super) fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Unknown(_) | Refusal::NotYet { .. } => StatusCode::NOT_FOUND,
        Refusal::Forgotten { .. } => StatusCode::GONE,
        Refusal::Duplicate(_) | Refusal::InUse(_) | Refusal::Held { .. } => StatusCode::CONFLICT,
        Refusal::Changed(_) => StatusCode::PRECONDITION_FAILED,
        Refusal::Full => StatusCode::INSUFFICIENT_STORAGE,
        Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Away | Refusal::Storage | Refusal::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// When to ask again, in seconds, where that may help soon.
pub(super) fn retry_after(refusal: &Refusal) -> Option<u32> {
    matches!(refusal, Refusal::Away).then_some(1)
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = Self::new(status_of(&refusal), refusal.to_string());
        match refusal {
            Refusal::Invalid(faults) => Self::faulty(faults),
            refusal => match retry_after(&refusal) {
                Some(seconds) => problem.retry_after(seconds),
                None => problem,
            },
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Self {
        Self::bad_request("the path is not UTF-8 after percent-decoding, or one of its numbers is none")
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(format!("the query cannot be read: {}", excerpt(&rejection.body_text())))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        response.extensions_mut().insert(Why(self.reason()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        headers.extend(self.allow.map(|methods| (header::ALLOW, *methods)));
        response
    }
}

/// The same faults with texts that fit an answer, whatever a client sent.
pub(super) fn bounded(mut faults: Faults) -> Faults {
    const LONGEST: usize = 300;
    const MOST: usize = 200;
    faults.0.truncate(MOST);
    for fault in &mut faults.0 {
        for text in [&mut fault.path, &mut fault.problem].into_iter().chain(&mut fault.hint) {
            if let Some((at, _)) = text.char_indices().nth(LONGEST) {
                text.truncate(at);
                text.push('…');
            }
        }
    }
    faults
}

/// Answers a path that is nobody's.
pub(super) async fn not_found(uri: Uri) -> Problem {
    Problem::missing(format!("there is nothing at {}", excerpt(uri.path())))
}

/// Answers a method that a path does not have.
pub(super) async fn method_not_allowed(method: Method) -> Problem {
    let detail = format!("this path does not take {}; `Allow` says what it takes", excerpt(method.as_str()));
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
