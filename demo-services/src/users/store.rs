//! Users in SQLite, behind the trait that other databases will implement.

use std::path::Path;

use crate::database::{Database, StorageError, Stored};

/// Where users are kept.
pub(super) trait UserStore: Send + Sync {
    /// Adds a user; false when there is one of this name.
    fn add(&self, user: String, hash: String) -> Stored<'_, bool>;
    /// The hash of a user's password.
    fn hash_of(&self, user: String) -> Stored<'_, Option<String>>;
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS users (
        user_id TEXT PRIMARY KEY,
        password_hash TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;";

/// The users of the shop.
pub(super) struct SqliteUsers {
    pub(super) database: Database,
}

impl SqliteUsers {
    pub(super) async fn open(folder: &Path) -> Result<Self, StorageError> {
        Ok(Self { database: Database::open(folder, "users", SCHEMA).await? })
    }
}

impl UserStore for SqliteUsers {
    fn add(&self, user: String, hash: String) -> Stored<'_, bool> {
        self.database.stored(async move {
            let mut change = self.database.begin().await?;
            let added = sqlx::query(
                "INSERT INTO users (user_id, password_hash) VALUES (?, ?) ON CONFLICT DO NOTHING",
            )
            .bind(user)
            .bind(hash)
            .execute(&mut *change)
            .await?;
            change.commit().await?;
            Ok(added.rows_affected() == 1)
        })
    }

    fn hash_of(&self, user: String) -> Stored<'_, Option<String>> {
        self.database.stored(async move {
            sqlx::query_scalar("SELECT password_hash FROM users WHERE user_id = ?")
                .bind(user)
                .fetch_optional(self.database.readers())
                .await
        })
    }
}
