//! Orders, changes and the outbox in SQLite: one file, so that a decision and the event that tells of it are
//! one transaction.

use std::path::Path;

use super::rows::{abandon, change, enqueue, insert_change, order, parsed, save_order};
use super::store::{
    Begun, Change, Kind, Leftover, Order, OrderStatus, OrderStore, Outbox, QueuedEvent, Receipt, Unfinished,
};
use crate::database::{Database, StorageError, Stored};
use crate::money::Cents;

// A change goes begun -> paying -> done, or from either of the first two -> undoing -> undone.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS orders (
        order_id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        product_ids TEXT NOT NULL,
        total INTEGER NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pending', 'confirmed', 'failed')),
        payment_ids TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS changes (
        change_id TEXT PRIMARY KEY,
        order_id TEXT NOT NULL REFERENCES orders,
        user_id TEXT NOT NULL,
        creates INTEGER NOT NULL,
        product_ids TEXT NOT NULL,
        trace TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('begun', 'paying', 'done', 'undoing', 'undone')),
        undo_stock INTEGER NOT NULL DEFAULT 1,
        undo_payment INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        claimed_until INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS unfinished_changes
        ON changes (claimed_until) WHERE state IN ('begun', 'paying', 'undoing');
    CREATE TABLE IF NOT EXISTS outbox (
        event_id TEXT PRIMARY KEY,
        event TEXT NOT NULL,
        trace TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        due_at INTEGER
    ) STRICT, WITHOUT ROWID;";

/// The orders of the shop.
pub(super) struct SqliteOrders {
    pub(super) database: Database,
}

impl SqliteOrders {
    pub(super) async fn open(folder: &Path) -> Result<Self, StorageError> {
        Ok(Self { database: Database::open(folder, "orders", SCHEMA).await? })
    }
}

impl OrderStore for SqliteOrders {
    fn begin(&self, change: Change, max_products: usize, claimed_until: i64) -> Stored<'_, Begun> {
        self.database.stored(async move {
            let mut write = self.database.begin().await?;
            if change.kind == Kind::Create {
                let order = Order {
                    order_id: change.order_id.clone(),
                    user_id: change.user_id.clone(),
                    product_ids: change.product_ids.clone(),
                    total: Cents::default(),
                    status: OrderStatus::Pending,
                    payment_ids: Vec::new(),
                };
                save_order(&mut write, &order).await?;
            } else {
                match order(&mut write, &change.order_id).await? {
                    Some(order) if order.user_id != change.user_id => return Ok(Begun::NoSuchOrder),
                    None => return Ok(Begun::NoSuchOrder),
                    Some(order) if order.status != OrderStatus::Confirmed => return Ok(Begun::NotConfirmed),
                    Some(order) if order.product_ids.len() >= max_products => return Ok(Begun::Full),
                    Some(_) => {}
                }
            }
            insert_change(&mut write, &change, claimed_until).await?;
            write.commit().await?;
            Ok(Begun::Started)
        })
    }

    fn paying(&self, change_id: String) -> Stored<'_, bool> {
        self.database.stored(async move {
            let mut write = self.database.begin().await?;
            let moved =
                sqlx::query("UPDATE changes SET state = 'paying' WHERE change_id = ? AND state = 'begun'")
                    .bind(change_id)
                    .execute(&mut *write)
                    .await?;
            write.commit().await?;
            Ok(moved.rows_affected() == 1)
        })
    }

    fn finish(&self, change_id: String, receipt: Receipt) -> Stored<'_, Option<Order>> {
        self.database.stored(async move {
            let mut write = self.database.begin().await?;
            let moved =
                sqlx::query("UPDATE changes SET state = 'done' WHERE change_id = ? AND state = 'paying'")
                    .bind(&change_id)
                    .execute(&mut *write)
                    .await?;
            if moved.rows_affected() != 1 {
                return Ok(None);
            }
            let change = change(&mut write, &change_id).await?.change;
            let mut order = order(&mut write, &change.order_id).await?.ok_or(sqlx::Error::RowNotFound)?;
            order.status = OrderStatus::Confirmed;
            order.total = order.total + receipt.amount;
            order.payment_ids.push(receipt.payment_id);
            if change.kind == Kind::Add {
                order.product_ids.extend_from_slice(&change.product_ids);
            }
            save_order(&mut write, &order).await?;
            enqueue(&mut write, &change, &order).await?;
            write.commit().await?;
            Ok(Some(order))
        })
    }

    fn give_up(&self, change: Change, leftover: Leftover) -> Stored<'_, Option<Unfinished>> {
        self.database.stored(async move {
            let mut write = self.database.begin().await?;
            if !abandon(&mut write, &change, leftover).await? {
                return Ok(None);
            }
            let unfinished = super::rows::change(&mut write, &change.change_id).await?;
            write.commit().await?;
            Ok((leftover != Leftover::Nothing).then_some(unfinished))
        })
    }

    fn undone(&self, change_id: String) -> Stored<'_, ()> {
        self.database.stored(async move {
            let mut write = self.database.begin().await?;
            sqlx::query("UPDATE changes SET state = 'undone' WHERE change_id = ? AND state = 'undoing'")
                .bind(change_id)
                .execute(&mut *write)
                .await?;
            write.commit().await
        })
    }

    fn retry_at(&self, change_id: String, due: i64) -> Stored<'_, ()> {
        self.database.stored(async move {
            let mut write = self.database.begin().await?;
            sqlx::query("UPDATE changes SET attempts = attempts + 1, claimed_until = ? WHERE change_id = ?")
                .bind(due)
                .bind(change_id)
                .execute(&mut *write)
                .await?;
            write.commit().await
        })
    }

    fn claim(&self, now: i64, claimed_until: i64) -> Stored<'_, Option<Unfinished>> {
        self.database.stored(async move {
            let due = "SELECT change_id FROM changes
                       WHERE state IN ('begun', 'paying', 'undoing') AND claimed_until <= ?
                       ORDER BY claimed_until LIMIT 1";
            // Most of the time there is nothing: look without taking the write lock.
            let id: Option<String> =
                sqlx::query_scalar(due).bind(now).fetch_optional(self.database.readers()).await?;
            if id.is_none() {
                return Ok(None);
            }
            let mut write = self.database.begin().await?;
            let id: Option<String> = sqlx::query_scalar(due).bind(now).fetch_optional(&mut *write).await?;
            let Some(id) = id else { return Ok(None) };
            sqlx::query("UPDATE changes SET claimed_until = ? WHERE change_id = ?")
                .bind(claimed_until)
                .bind(&id)
                .execute(&mut *write)
                .await?;
            let found = change(&mut write, &id).await?.change;
            // False when it was given up before, which is as good.
            abandon(&mut write, &found, Leftover::Anything).await?;
            let unfinished = change(&mut write, &id).await?;
            write.commit().await?;
            Ok(Some(unfinished))
        })
    }

    fn find(&self, order_id: String) -> Stored<'_, Option<Order>> {
        self.database.stored(async move {
            let mut reader = self.database.readers().acquire().await?;
            order(&mut reader, &order_id).await
        })
    }
}

impl Outbox for SqliteOrders {
    fn next(&self, now: i64, claimed_until: i64) -> Stored<'_, Option<QueuedEvent>> {
        self.database.stored(async move {
            let due = "SELECT event_id, event, trace, attempts FROM outbox
                       WHERE due_at <= ? ORDER BY due_at LIMIT 1";
            let row: Option<(String, String, String, u32)> =
                sqlx::query_as(due).bind(now).fetch_optional(self.database.readers()).await?;
            if row.is_none() {
                return Ok(None);
            }
            let mut write = self.database.begin().await?;
            let row: Option<(String, String, String, u32)> =
                sqlx::query_as(due).bind(now).fetch_optional(&mut *write).await?;
            let Some((event_id, event, trace, attempts)) = row else { return Ok(None) };
            sqlx::query("UPDATE outbox SET due_at = ? WHERE event_id = ?")
                .bind(claimed_until)
                .bind(&event_id)
                .execute(&mut *write)
                .await?;
            write.commit().await?;
            Ok(Some(QueuedEvent { event_id, event: parsed(&event)?, trace: parsed(&trace)?, attempts }))
        })
    }

    fn delivered(&self, event_id: String) -> Stored<'_, ()> {
        self.database.stored(async move {
            let mut write = self.database.begin().await?;
            sqlx::query("DELETE FROM outbox WHERE event_id = ?").bind(event_id).execute(&mut *write).await?;
            write.commit().await
        })
    }

    fn deliver_at(&self, event_id: String, due: Option<i64>) -> Stored<'_, ()> {
        self.database.stored(async move {
            let mut write = self.database.begin().await?;
            sqlx::query("UPDATE outbox SET attempts = attempts + 1, due_at = ? WHERE event_id = ?")
                .bind(due)
                .bind(event_id)
                .execute(&mut *write)
                .await?;
            write.commit().await
        })
    }
}
