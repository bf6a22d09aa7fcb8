//! The mailbox in SQLite, behind the trait that other databases will implement.

use std::path::Path;

use serde::Serialize;

use crate::database::{Database, StorageError, Stored};

/// Where messages are kept.
pub(super) trait Mailbox: Send + Sync {
    /// Keeps a message and says its id; with a key that this user's messages have already, says the id of
    /// that one and keeps nothing.
    fn put(&self, message: NewMessage) -> Stored<'_, String>;
    /// The newest messages of one user, or of all, newest first.
    fn newest(&self, user_id: Option<String>, limit: i64) -> Stored<'_, Vec<Message>>;
}

/// A message without its id.
pub(super) struct NewMessage {
    pub(super) user_id: Option<String>,
    pub(super) channel: String,
    pub(super) message: String,
    pub(super) key: Option<String>,
}

/// A message as clients see it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Message {
    pub(super) notification_id: String,
    pub(super) user_id: Option<String>,
    pub(super) channel: String,
    pub(super) message: String,
    pub(super) status: &'static str,
}

// Keys of different users never meet: each is unique together with its user ('' for a message to nobody).
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS messages (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        notification_id TEXT NOT NULL,
        user_id TEXT,
        channel TEXT NOT NULL,
        message TEXT NOT NULL,
        idempotency_key TEXT
    ) STRICT;
    CREATE UNIQUE INDEX IF NOT EXISTS messages_by_key
        ON messages (coalesce(user_id, ''), idempotency_key) WHERE idempotency_key IS NOT NULL;
    CREATE INDEX IF NOT EXISTS messages_by_user ON messages (user_id, number);";

/// The shop's mailbox.
pub(super) struct SqliteMailbox {
    pub(super) database: Database,
}

impl SqliteMailbox {
    pub(super) async fn open(folder: &Path) -> Result<Self, StorageError> {
        Ok(Self { database: Database::open(folder, "notifications", SCHEMA).await? })
    }
}

impl Mailbox for SqliteMailbox {
    fn put(&self, message: NewMessage) -> Stored<'_, String> {
        self.database.stored(async move {
            let mut change = self.database.begin().await?;
            let earlier: Option<String> = sqlx::query_scalar(
                "SELECT notification_id FROM messages WHERE coalesce(user_id, '') = ? AND idempotency_key = ?",
            )
            .bind(message.user_id.as_deref().unwrap_or_default())
            .bind(&message.key)
            .fetch_optional(&mut *change)
            .await?;
            if let Some(earlier) = earlier {
                return Ok(earlier);
            }
            let id = format!("{:032x}", rand::random::<u128>());
            sqlx::query(
                "INSERT INTO messages (notification_id, user_id, channel, message, idempotency_key)
                 VALUES (?, ?, ?, ?, ?)",
            )
            .bind(&id)
            .bind(message.user_id)
            .bind(message.channel)
            .bind(message.message)
            .bind(message.key)
            .execute(&mut *change)
            .await?;
            change.commit().await?;
            Ok(id)
        })
    }

    fn newest(&self, user_id: Option<String>, limit: i64) -> Stored<'_, Vec<Message>> {
        self.database.stored(async move {
            let rows: Vec<(String, Option<String>, String, String)> = sqlx::query_as(
                "SELECT notification_id, user_id, channel, message FROM messages
                 WHERE ?1 IS NULL OR user_id = ?1 ORDER BY number DESC LIMIT ?2",
            )
            .bind(user_id)
            .bind(limit)
            .fetch_all(self.database.readers())
            .await?;
            Ok(rows.into_iter().map(message).collect())
        })
    }
}

fn message(
    (notification_id, user_id, channel, message): (String, Option<String>, String, String),
) -> Message {
    Message { notification_id, user_id, channel, message, status: "sent" }
}
