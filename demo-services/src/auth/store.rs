//! Signing keys in SQLite. The file is readable by its owner only.

use std::path::Path;

use super::keys::{KeyStore, Live, StoredKey};
use crate::database::{Database, StorageError, Stored};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS keys (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        kid TEXT NOT NULL UNIQUE,
        pem TEXT NOT NULL,
        replaced_at INTEGER
    ) STRICT;";

/// The keys of one auth service.
pub(super) struct SqliteKeys {
    pub(super) database: Database,
}

impl SqliteKeys {
    pub(super) async fn open(folder: &Path) -> Result<Self, StorageError> {
        Ok(Self { database: Database::open(folder, "auth", SCHEMA).await? })
    }
}

impl KeyStore for SqliteKeys {
    fn live(&self, replaced_after: i64) -> Stored<'_, Vec<StoredKey>> {
        self.database.stored(async move {
            let rows: Vec<(String, String)> = sqlx::query_as(
                "SELECT kid, pem FROM keys WHERE replaced_at IS NULL OR replaced_at > ? ORDER BY number DESC",
            )
            .bind(replaced_after)
            .fetch_all(self.database.readers())
            .await?;
            Ok(rows.into_iter().map(|(kid, pem)| StoredKey { kid, pem }).collect())
        })
    }

    fn rotate(&self, key: StoredKey, now: i64, limit: Live) -> Stored<'_, bool> {
        self.database.stored(async move {
            let mut change = self.database.begin().await?;
            let live: i64 =
                sqlx::query_scalar("SELECT count(*) FROM keys WHERE replaced_at IS NULL OR replaced_at > ?")
                    .bind(limit.replaced_after)
                    .fetch_one(&mut *change)
                    .await?;
            if usize::try_from(live).is_ok_and(|live| live >= limit.fewer_than) {
                return Ok(false);
            }
            sqlx::query("UPDATE keys SET replaced_at = ? WHERE replaced_at IS NULL")
                .bind(now)
                .execute(&mut *change)
                .await?;
            // What nobody can hold a token of any more is not worth keeping, least of all a private key.
            sqlx::query("DELETE FROM keys WHERE replaced_at <= ?")
                .bind(limit.replaced_after)
                .execute(&mut *change)
                .await?;
            sqlx::query("INSERT INTO keys (kid, pem) VALUES (?, ?)")
                .bind(key.kid)
                .bind(key.pem)
                .execute(&mut *change)
                .await?;
            change.commit().await?;
            Ok(true)
        })
    }
}
