//! Credentials that were shown, and how those who show wrong ones are slowed down. Whoever shows right ones is let in
//! whatever others of the same address have tried.

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::problem::Problem;
use crate::access::{Patience, Visit};

/// What `Authorization` holds.
pub(super) enum Shown {
    Nothing,
    /// Twice, or in a scheme that is not known here.
    Unreadable,
    /// A token, or a password with its user's name.
    Secret {
        user: Option<String>,
        secret: String,
    },
}

/// An answer to wrong credentials, and when it is given.
#[derive(Clone, Copy)]
struct Answered(Patience);

/// What the log says of whoever is not known.
pub(super) const WRONG: &str = "it showed no right credentials";

/// What a request shows, by RFC 6750 (2.1) or RFC 7617.
pub(super) fn shown(headers: &HeaderMap) -> Shown {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Shown::Nothing };
    if fields.next().is_some() {
        return Shown::Unreadable;
    }
    read(field).unwrap_or(Shown::Unreadable)
}

fn read(field: &HeaderValue) -> Option<Shown> {
    let (scheme, credentials) = field.to_str().ok()?.split_once(' ')?;
    let credentials = credentials.trim_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Shown::Secret { user: None, secret: credentials.to_owned() });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    let (user, secret) = decoded.split_once(':')?;
    Some(Shown::Secret { user: Some(user.to_owned()), secret: secret.to_owned() })
}

/// Refuses wrong credentials with `response`, or later and otherwise where there were many from this address.
pub(super) fn refuse(response: Response, visit: Option<&Arc<Visit>>) -> Response {
    let patience = visit.map_or(Patience::Unbroken, |visit| visit.client.fail());
    if patience == Patience::Unbroken {
        return response;
    }
    let detail = "too many requests with wrong credentials came from this address";
    let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(1).into_response();
    if patience == Patience::Spent {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.extensions_mut().insert(Answered(patience));
    response
}

/// Asks for credentials, with `response`, whoever showed none: that is no guess. Beyond some it is not told of.
pub(super) fn ask(mut response: Response, visit: Option<&Arc<Visit>>) -> Response {
    if visit.is_some_and(|visit| visit.client.fail() != Patience::Unbroken) {
        response.extensions_mut().insert(Answered(Patience::Spent));
    }
    response
}

/// Holds an answer back for as long as [`refuse`] said. Outermost, where it takes up nobody's turn.
pub(super) async fn slow_down(response: Response, visit: Option<&Arc<Visit>>) -> Response {
    if let (Some(Answered(Patience::Worn(time))), Some(visit)) = (response.extensions().get(), visit) {
        let time: Duration = *time;
        visit.client.clone().wait(time).await;
    }
    response
}

/// Whether so many came that not even the audit log has this one.
pub(super) fn is_spent(response: &Response) -> bool {
    matches!(response.extensions().get(), Some(Answered(Patience::Spent)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn secret(fields: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::AUTHORIZATION, field.parse().unwrap());
        }
        match shown(&headers) {
            Shown::Secret { secret, .. } => Some(secret),
            _ => None,
        }
    }

    #[test]
    fn one_field_in_a_known_scheme_shows_a_secret() {
        for (field, expected) in [
            ("Bearer abc", Some("abc")),
            ("bEARER  abc ", Some("abc")),
            ("Basic OmFiYw==", Some("abc")),
            ("basic dXNlcjphOmI=", Some("a:b")),
            ("Bearer", None),
            ("Bearerabc", None),
            ("abc", None),
            ("Digest abc", None),
            ("Token abc", None),
            ("Basic abc", None),
            ("Basic YWJj", None),
            ("Basic /////w==", None),
            ("Bearer\tabc", None),
        ] {
            assert_eq!(secret(&[field]).as_deref(), expected, "{field}");
        }
        assert_eq!(secret(&["Bearer abc", "Bearer abc"]), None);
        assert_eq!(secret(&["Bearer abc", ""]), None);
    }
}
