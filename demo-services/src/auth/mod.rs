//! The auth service: signs RS256 tokens for users and publishes, as OpenID Connect discovery and a JWKS, the
//! keys they are checked with. Signing in asks for no password here: that is what the users service is for.

mod keys;
mod store;

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde_json::{Value, json};

use crate::body::{Fields, USER_ID_RULE, is_user_id};
use crate::problem::Problem;
use crate::running::{Opened, StartError, Surroundings};

use self::keys::{AUDIENCE, ISSUER, KeyFault, KeyRing, LIFETIME};
use self::store::SqliteKeys;

pub(crate) async fn open(surroundings: Surroundings) -> Result<Opened, StartError> {
    let store = SqliteKeys::open(&surroundings.data_dir).await?;
    let database = store.database.clone();
    let ring = KeyRing::open(Box::new(store)).await?;
    let routes = Router::new()
        .route("/signIn", get(sign_in))
        .route("/token", post(token))
        .route("/rotate", post(rotate))
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/.well-known/jwks.json", get(jwks))
        .with_state(Arc::new(ring));
    Ok(Opened { routes, working: Vec::new(), database })
}

type Ring = State<Arc<KeyRing>>;
/// A token or a key set must not be kept by anything on its way, except for as long as said here.
type Answer = Result<([(http::HeaderName, &'static str); 1], Json<Value>), Problem>;

type Parameters = Result<Query<Vec<(String, String)>>, QueryRejection>;

async fn sign_in(State(ring): Ring, parameters: Parameters) -> Answer {
    let Query(parameters) = parameters.map_err(|rejection| bad_request(rejection.body_text()))?;
    let mut users = parameters.iter().filter(|(name, _)| name == "user_id").map(|(_, value)| value);
    match (users.next(), users.next()) {
        (Some(user), None) if is_user_id(user) => issue(&ring, user).await,
        (Some(_), None) => Err(bad_request(format!("`user_id` {USER_ID_RULE}"))),
        (Some(_), Some(_)) => Err(bad_request("`user_id` is there more than once".to_owned())),
        (None, _) => Err(bad_request("`user_id` is missing: ask for /signIn?user_id=alice".to_owned())),
    }
}

fn bad_request(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

async fn token(State(ring): Ring, mut fields: Fields) -> Answer {
    let user = fields.user_id("user_id");
    fields.finish()?;
    issue(&ring, &user).await
}

async fn issue(ring: &KeyRing, user: &str) -> Answer {
    let token = ring.sign(user).await?;
    let body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": LIFETIME.as_secs() });
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)))
}

async fn rotate(State(ring): Ring) -> Result<(StatusCode, Json<Value>), Problem> {
    let kid = ring.rotate().await?;
    Ok((StatusCode::CREATED, Json(json!({ "kid": kid }))))
}

async fn jwks(State(ring): Ring) -> Answer {
    let keys = ring.published().await?;
    Ok(([(CACHE_CONTROL, "public, max-age=60")], Json(json!({ "keys": keys }))))
}

/// OpenID Connect Discovery 1.0, section 3. There is no login page, so `authorization_endpoint` is the sign-in.
async fn discovery() -> Answer {
    let body = json!({
        "issuer": ISSUER,
        "authorization_endpoint": format!("{ISSUER}/signIn"),
        "token_endpoint": format!("{ISSUER}/token"),
        "jwks_uri": format!("{ISSUER}/.well-known/jwks.json"),
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["iss", "aud", "sub", "iat", "nbf", "exp", "jti"],
        "audiences_supported": [AUDIENCE],
    });
    Ok(([(CACHE_CONTROL, "public, max-age=60")], Json(body)))
}

impl From<KeyFault> for Problem {
    fn from(fault: KeyFault) -> Self {
        match fault {
            KeyFault::Storage(error) => error.into(),
            KeyFault::TooMany => {
                let detail = "too many keys are still published; rotate again when the tokens of an older one \
                              have expired";
                Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
            }
            KeyFault::Unusable(detail) => {
                tracing::error!(detail, "a signing key cannot be used");
                Problem::unavailable("no token can be signed at the moment")
            }
        }
    }
}
