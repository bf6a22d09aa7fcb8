//! Who a request is for, and which thing it names: the `X-User-Id` a gateway sets from the token's subject, and
//! removes when a client sends it (a request without it comes from inside the shop), and the id in the path.

use axum::extract::{FromRequestParts, Path};
use http::StatusCode;
use http::request::Parts;

use crate::problem::Problem;

/// The header field with the signed-in user.
pub(crate) const USER_HEADER: &str = "x-user-id";

/// The user the gateway named, or `None` for a call from inside the shop.
pub(crate) struct Caller(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(USER_HEADER).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let user = value.to_str().ok().filter(|user| (1..=256).contains(&user.len()));
        match (user, values.next()) {
            (Some(user), None) => Ok(Self(Some(user.to_owned()))),
            _ => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "X-User-Id must be there once, with 1 to 256 characters",
            )),
        }
    }
}

/// The user, where there has to be one.
pub(crate) struct SignedIn(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Caller(user) = Caller::from_request_parts(parts, state).await?;
        user.map(Self).ok_or_else(|| {
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "the request names no user: send it through the gateway with a token",
            )
        })
    }
}

/// The id at the end of the path. What cannot be an id names nothing: 404.
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.ok()
            .filter(|Path(id)| (1..=128).contains(&id.len()))
            .map(|Path(id)| Self(id))
            .ok_or_else(|| Problem::not_found("nothing has such an id"))
    }
}
