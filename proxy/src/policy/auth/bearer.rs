//! The token of a request: in the `Authorization` field and nowhere else (a query ends up in logs).

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::AuthFault;

/// The longest token that is looked at, in bytes.
pub(super) const LONGEST: usize = 8 * 1024;

const SCHEME: &str = "bearer";

/// The bearer token of a request (RFC 6750, 2.1).
///
/// # Errors
/// [`AuthFault::Missing`] without one, also where another scheme is used; [`AuthFault::Request`] where it can't
/// be told which one counts; [`AuthFault::TooLarge`].
pub(super) fn token(headers: &HeaderMap) -> Result<&str, AuthFault> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let field = fields.next().ok_or(AuthFault::Missing)?;
    if fields.next().is_some() {
        return Err(AuthFault::Request("there is more than one Authorization field"));
    }
    let text = field.to_str().map_err(|_| AuthFault::Request("the Authorization field is not plain text"))?;
    let Some((scheme, rest)) = text.split_at_checked(SCHEME.len()) else {
        return Err(AuthFault::Missing);
    };
    if !scheme.eq_ignore_ascii_case(SCHEME) || !(rest.is_empty() || rest.starts_with(' ')) {
        return Err(AuthFault::Missing);
    }
    match rest.trim_matches(' ') {
        "" => Err(AuthFault::Request("the Authorization field holds no token")),
        token if token.len() > LONGEST => Err(AuthFault::TooLarge),
        token => Ok(token),
    }
}
