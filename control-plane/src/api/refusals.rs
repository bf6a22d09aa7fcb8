//! One line in the log for each request that is refused: what was asked, what the answer was, and why.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode, Uri};

use super::strangers;
use crate::state::excerpt;

/// Why a request was refused, on its way to the log.
#[derive(Clone, Debug)]
pub(super) struct Why(pub(super) String);

/// Tells of every refusal behind it.
pub(super) async fn told(request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let mut response = next.run(request).await;
    let status = response.status();
    // 504 is what a wait for nodes says while they have not followed.
    let is_refusal =
        (status.is_client_error() || status.is_server_error()) && status != StatusCode::GATEWAY_TIMEOUT;
    // Guesses without end must not fill the log.
    if is_refusal && !strangers::is_spent(&response) {
        let why = response.extensions_mut().remove::<Why>();
        tell((&method, &uri), status, &why.map(|Why(why)| why).unwrap_or_default());
    }
    response
}

/// Writes the line. What is not there, or has changed meanwhile, is everyday; the rest is somebody's mistake.
pub(super) fn tell((method, uri): (&Method, &Uri), status: StatusCode, why: &str) {
    let (method, path, why) = (excerpt(method.as_str()), excerpt(uri.path()), long_excerpt(why));
    let number = status.as_u16();
    match status {
        StatusCode::NOT_FOUND | StatusCode::PRECONDITION_FAILED => {
            tracing::info!(method, path, status = number, why, "a request was refused");
        }
        _ => tracing::warn!(method, path, status = number, why, "a request was refused"),
    }
}

/// A sentence of ours that may repeat what a client sent.
pub(super) fn long_excerpt(text: &str) -> String {
    const SHOWN: usize = 300;
    text.chars().take(SHOWN).map(|character| if character.is_control() { ' ' } else { character }).collect()
}
