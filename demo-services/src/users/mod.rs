//! The users service: keeps users and the hashes of their passwords, and signs them in with a token that the
//! auth service makes.

mod passwords;
mod store;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Extension, Json, Router};
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderName, Method, StatusCode};
use serde_json::{Value, json};

use crate::body::Fields;
use crate::outbound::{Call, Outbound};
use crate::problem::Problem;
use crate::running::{Opened, StartError, Surroundings};
use crate::trace::TraceContext;

use self::passwords::{PasswordFault, Passwords};
use self::store::{SqliteUsers, UserStore};

/// How long the auth service may take.
const TOKEN_LIMIT: Duration = Duration::from_secs(2);

pub(crate) async fn open(surroundings: Surroundings) -> Result<Opened, StartError> {
    let store = SqliteUsers::open(&surroundings.data_dir).await?;
    let database = store.database.clone();
    let users =
        Users { store: Box::new(store), passwords: Passwords::new(), outbound: surroundings.outbound };
    let routes = Router::new()
        .route("/users", post(register))
        .route("/users/login", post(login))
        .with_state(Arc::new(users));
    Ok(Opened { routes, working: Vec::new(), database })
}

struct Users {
    store: Box<dyn UserStore>,
    passwords: Passwords,
    outbound: Outbound,
}

type Created = (StatusCode, [(HeaderName, String); 1], Json<Value>);

async fn register(State(users): State<Arc<Users>>, mut fields: Fields) -> Result<Created, Problem> {
    let user = fields.user_id("user_id");
    let password = fields.secret("password", 8..=128);
    fields.finish()?;
    let hash = users.passwords.hash(password).await?;
    if !users.store.add(user.clone(), hash).await? {
        return Err(Problem::new(StatusCode::CONFLICT, format!("the user `{user}` is there already")));
    }
    let location = format!("/users/{user}");
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(json!({ "user_id": user }))))
}

type Token = ([(HeaderName, &'static str); 1], Json<Value>);

async fn login(
    State(users): State<Arc<Users>>,
    Extension(trace): Extension<TraceContext>,
    mut fields: Fields,
) -> Result<Token, Problem> {
    let user = fields.user_id("user_id");
    let password = fields.secret("password", 0..=128);
    fields.finish()?;
    // An unknown user costs the same work as a known one, so that time does not tell them apart.
    let hash = users.store.hash_of(user.clone()).await?;
    if !users.passwords.verify(password, hash).await? {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "the user or the password is wrong"));
    }
    let call = Call {
        service: "auth",
        method: Method::POST,
        path: "/token".to_owned(),
        body: Some(json!({ "user_id": user })),
        limit: TOKEN_LIMIT,
    };
    let reply = users.outbound.call(&trace, call).await?;
    if reply.status != StatusCode::OK {
        tracing::error!(status = reply.status.as_u16(), "the auth service gave no token");
        return Err(Problem::unavailable("no token can be had at the moment"));
    }
    Ok(([(CACHE_CONTROL, "no-store")], Json(reply.body)))
}

impl From<PasswordFault> for Problem {
    fn from(fault: PasswordFault) -> Self {
        match fault {
            PasswordFault::Busy => Problem::unavailable("too many sign-ins at once; try again"),
            PasswordFault::Hashing(detail) => {
                tracing::error!(detail, "a password could not be hashed");
                Problem::unavailable("passwords cannot be checked at the moment")
            }
        }
    }
}
