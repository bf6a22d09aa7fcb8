//! The notifications service: takes messages to users and keeps them as a mailbox; nothing leaves the shop. A
//! message sent again with the same idempotency key is the same message.

mod store;

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};

use crate::body::Fields;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::running::{Opened, StartError, Surroundings};

use self::store::{Mailbox, Message, NewMessage, SqliteMailbox};

/// Messages shown at one time, the newest.
const SHOWN: i64 = 1000;

pub(crate) async fn open(surroundings: Surroundings) -> Result<Opened, StartError> {
    let mailbox = SqliteMailbox::open(&surroundings.data_dir).await?;
    let database = mailbox.database.clone();
    let mailbox: Arc<dyn Mailbox> = Arc::new(mailbox);
    let routes = Router::new()
        .route("/notifications/send", post(send))
        .route("/notifications", get(list))
        .with_state(mailbox);
    Ok(Opened { routes, working: Vec::new(), database })
}

async fn send(
    State(mailbox): State<Arc<dyn Mailbox>>,
    Caller(caller): Caller,
    mut fields: Fields,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let user = fields.optional_text("user_id", 1..=256);
    let channel = fields.text("channel", 1..=16);
    if !channel.is_empty() && !["mail", "sms"].contains(&channel.as_str()) {
        fields.refuse("channel", "must be `mail` or `sms`");
    }
    let message = fields.text("message", 1..=2000);
    let key = fields.optional_text("idempotency_key", 1..=128);
    fields.finish()?;
    let user_id = recipient(caller, user)?;
    let id = mailbox.put(NewMessage { user_id, channel, message, key }).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "notification_id": id, "status": "sent" }))))
}

/// Inside the shop anyone may be written to; a user only writes to themselves.
fn recipient(caller: Option<String>, named: Option<String>) -> Result<Option<String>, Problem> {
    match (caller, named) {
        (Some(caller), Some(named)) if caller != named => {
            let detail = "a user can only send notifications to themselves: leave `user_id` out";
            Err(Problem::new(StatusCode::FORBIDDEN, detail))
        }
        (caller, named) => Ok(caller.or(named)),
    }
}

async fn list(
    State(mailbox): State<Arc<dyn Mailbox>>,
    Caller(user): Caller,
) -> Result<Json<Vec<Message>>, Problem> {
    Ok(Json(mailbox.newest(user, SHOWN).await?))
}
