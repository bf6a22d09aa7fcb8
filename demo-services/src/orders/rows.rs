//! Single rows of the orders database, read and written inside whatever transaction the caller holds.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::SqliteConnection;

use super::events::Event;
use super::store::{Change, Kind, Leftover, Order, OrderStatus, Unfinished};
use crate::clock;
use crate::money::Cents;

/// The order of this id.
pub(super) async fn order(connection: &mut SqliteConnection, id: &str) -> Result<Option<Order>, sqlx::Error> {
    let row: Option<(String, String, i64, String, String)> = sqlx::query_as(
        "SELECT user_id, product_ids, total, status, payment_ids FROM orders WHERE order_id = ?",
    )
    .bind(id)
    .fetch_optional(connection)
    .await?;
    let Some((user_id, product_ids, total, status, payment_ids)) = row else { return Ok(None) };
    let status = match status.as_str() {
        "pending" => OrderStatus::Pending,
        "confirmed" => OrderStatus::Confirmed,
        // The table's own check leaves no fourth.
        _ => OrderStatus::Failed,
    };
    Ok(Some(Order {
        order_id: id.to_owned(),
        user_id,
        product_ids: parsed(&product_ids)?,
        total: Cents(total),
        status,
        payment_ids: parsed(&payment_ids)?,
    }))
}

/// Adds the order, or replaces what is kept of it.
pub(super) async fn save_order(write: &mut SqliteConnection, order: &Order) -> Result<(), sqlx::Error> {
    let status = match order.status {
        OrderStatus::Pending => "pending",
        OrderStatus::Confirmed => "confirmed",
        OrderStatus::Failed => "failed",
    };
    sqlx::query(
        "INSERT INTO orders (order_id, user_id, product_ids, total, status, payment_ids)
         VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET product_ids = excluded.product_ids, total = excluded.total,
             status = excluded.status, payment_ids = excluded.payment_ids",
    )
    .bind(&order.order_id)
    .bind(&order.user_id)
    .bind(written(&order.product_ids)?)
    .bind(order.total.0)
    .bind(status)
    .bind(written(&order.payment_ids)?)
    .execute(write)
    .await?;
    Ok(())
}

/// The change of this id, with what is to be undone if it is given up.
pub(super) async fn change(connection: &mut SqliteConnection, id: &str) -> Result<Unfinished, sqlx::Error> {
    let (order_id, user_id, creates, product_ids, trace): (String, String, bool, String, String) =
        sqlx::query_as(
            "SELECT order_id, user_id, creates, product_ids, trace FROM changes WHERE change_id = ?",
        )
        .bind(id)
        .fetch_one(&mut *connection)
        .await?;
    let (stock, payment, attempts): (bool, bool, u32) =
        sqlx::query_as("SELECT undo_stock, undo_payment, attempts FROM changes WHERE change_id = ?")
            .bind(id)
            .fetch_one(connection)
            .await?;
    let change = Change {
        change_id: id.to_owned(),
        order_id,
        user_id,
        kind: if creates { Kind::Create } else { Kind::Add },
        product_ids: parsed(&product_ids)?,
        trace: parsed(&trace)?,
    };
    Ok(Unfinished { change, stock, payment, attempts })
}

pub(super) async fn insert_change(
    write: &mut SqliteConnection,
    change: &Change,
    claimed_until: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO changes (change_id, order_id, user_id, creates, product_ids, trace, state, claimed_until)
         VALUES (?, ?, ?, ?, ?, ?, 'begun', ?)",
    )
    .bind(&change.change_id)
    .bind(&change.order_id)
    .bind(&change.user_id)
    .bind(change.kind == Kind::Create)
    .bind(written(&change.product_ids)?)
    .bind(written(&change.trace)?)
    .bind(claimed_until)
    .execute(write)
    .await?;
    Ok(())
}

/// Decides that an undecided change will not stand, and its order neither if the change was to make it; false
/// when it was decided before.
pub(super) async fn abandon(
    write: &mut SqliteConnection,
    change: &Change,
    leftover: Leftover,
) -> Result<bool, sqlx::Error> {
    let state = if leftover == Leftover::Nothing { "undone" } else { "undoing" };
    let moved = sqlx::query(
        "UPDATE changes SET state = ?1, undo_payment = (?2 AND state = 'paying')
         WHERE change_id = ?3 AND state IN ('begun', 'paying')",
    )
    .bind(state)
    .bind(leftover == Leftover::Anything)
    .bind(&change.change_id)
    .execute(&mut *write)
    .await?;
    if moved.rows_affected() == 1 && change.kind == Kind::Create {
        sqlx::query("UPDATE orders SET status = 'failed' WHERE order_id = ?")
            .bind(&change.order_id)
            .execute(write)
            .await?;
    }
    Ok(moved.rows_affected() == 1)
}

/// Puts what a finished change did to its order into the outbox. The change's id is the event's.
pub(super) async fn enqueue(
    write: &mut SqliteConnection,
    change: &Change,
    order: &Order,
) -> Result<(), sqlx::Error> {
    let (order_id, user_id, total) = (order.order_id.clone(), order.user_id.clone(), order.total);
    let event = match change.kind {
        Kind::Create => Event::OrderConfirmed { order_id, user_id, total },
        Kind::Add => Event::ProductAdded { order_id, user_id, total },
    };
    sqlx::query("INSERT INTO outbox (event_id, event, trace, due_at) VALUES (?, ?, ?, ?)")
        .bind(&change.change_id)
        .bind(written(&event)?)
        .bind(written(&change.trace)?)
        .bind(clock::milliseconds())
        .execute(write)
        .await?;
    Ok(())
}

pub(super) fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn written<T: Serialize>(value: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}
