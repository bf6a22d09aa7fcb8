//! Payments in SQLite, behind the trait that other databases will implement. A row is never deleted: what
//! became of an idempotency key stays decided.

use std::path::Path;

use serde::Serialize;
use sqlx::SqliteConnection;

use crate::database::{Database, StorageError, Stored};
use crate::money::Cents;

/// Where payments are kept.
pub(super) trait Ledger: Send + Sync {
    /// Takes the money, or records that it was refused because of `refusal`. Asked again with the same key,
    /// it says what was decided the first time.
    fn pay(&self, key: String, charge: Charge, refusal: Option<String>) -> Stored<'_, Paid>;
    /// One payment that was made.
    fn find(&self, payment_id: String) -> Stored<'_, Option<Payment>>;
    /// Gives the money of a payment back, once.
    fn refund(&self, payment_id: String) -> Stored<'_, Option<Payment>>;
    /// Closes a key: money taken under it is given back, and none can be taken under it any more.
    fn cancel(&self, key: String) -> Stored<'_, Status>;
}

/// Who pays how much for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) order_id: String,
    pub(super) user_id: String,
    pub(super) amount: Cents,
}

/// A payment that was made, and perhaps given back.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) payment_id: String,
    pub(super) charge: Charge,
    pub(super) status: Status,
}

/// What became of an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Paid,
    Refunded,
    Refused,
    Cancelled,
}

/// The answer to a request for money.
pub(super) enum Paid {
    Taken(Payment),
    Refused(String),
    /// The key was cancelled, or its payment refunded.
    GivenBack,
    /// The key belongs to another charge.
    Different,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS payments (
        payment_id TEXT PRIMARY KEY,
        idempotency_key TEXT NOT NULL UNIQUE,
        order_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        amount INTEGER NOT NULL CHECK (amount >= 0),
        status TEXT NOT NULL CHECK (status IN ('paid', 'refunded', 'refused', 'cancelled')),
        reason TEXT NOT NULL DEFAULT ''
    ) STRICT, WITHOUT ROWID;";

/// The shop's ledger.
pub(super) struct SqliteLedger {
    pub(super) database: Database,
}

impl SqliteLedger {
    pub(super) async fn open(folder: &Path) -> Result<Self, StorageError> {
        Ok(Self { database: Database::open(folder, "payments", SCHEMA).await? })
    }
}

impl Ledger for SqliteLedger {
    fn pay(&self, key: String, charge: Charge, refusal: Option<String>) -> Stored<'_, Paid> {
        self.database.stored(async move {
            let mut change = self.database.begin().await?;
            if let Some((payment, reason)) = by_key(&mut change, &key).await? {
                return Ok(match payment.status {
                    Status::Cancelled | Status::Refunded => Paid::GivenBack,
                    _ if payment.charge != charge => Paid::Different,
                    Status::Refused => Paid::Refused(reason),
                    Status::Paid => Paid::Taken(payment),
                });
            }
            let status = if refusal.is_some() { Status::Refused } else { Status::Paid };
            let payment = Payment { payment_id: new_payment_id(), charge, status };
            insert(&mut change, &key, &payment, refusal.as_deref()).await?;
            change.commit().await?;
            Ok(refusal.map_or(Paid::Taken(payment), Paid::Refused))
        })
    }

    fn find(&self, payment_id: String) -> Stored<'_, Option<Payment>> {
        self.database.stored(async move {
            let mut reader = self.database.readers().acquire().await?;
            by_id(&mut reader, &payment_id).await
        })
    }

    fn refund(&self, payment_id: String) -> Stored<'_, Option<Payment>> {
        self.database.stored(async move {
            let mut change = self.database.begin().await?;
            sqlx::query("UPDATE payments SET status = 'refunded' WHERE payment_id = ? AND status = 'paid'")
                .bind(&payment_id)
                .execute(&mut *change)
                .await?;
            let payment = by_id(&mut change, &payment_id).await?;
            change.commit().await?;
            Ok(payment)
        })
    }

    fn cancel(&self, key: String) -> Stored<'_, Status> {
        self.database.stored(async move {
            let mut change = self.database.begin().await?;
            let status = match by_key(&mut change, &key).await? {
                Some((payment, _)) if payment.status == Status::Paid => {
                    sqlx::query("UPDATE payments SET status = 'refunded' WHERE payment_id = ?")
                        .bind(payment.payment_id)
                        .execute(&mut *change)
                        .await?;
                    Status::Refunded
                }
                Some((payment, _)) => payment.status,
                // The request to pay may still be on its way; it must find the key closed.
                None => {
                    let charge =
                        Charge { order_id: String::new(), user_id: String::new(), amount: Cents::default() };
                    let payment = Payment { payment_id: new_payment_id(), charge, status: Status::Cancelled };
                    insert(&mut change, &key, &payment, None).await?;
                    Status::Cancelled
                }
            };
            change.commit().await?;
            Ok(status)
        })
    }
}

fn new_payment_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// `payment_id`, `order_id`, `user_id`, `amount`, `status`, `reason`.
type Row = (String, String, String, i64, String, String);

fn payment((payment_id, order_id, user_id, amount, status, reason): Row) -> (Payment, String) {
    let status = match status.as_str() {
        "paid" => Status::Paid,
        "refunded" => Status::Refunded,
        "refused" => Status::Refused,
        // The table's own check leaves no fifth.
        _ => Status::Cancelled,
    };
    (Payment { payment_id, charge: Charge { order_id, user_id, amount: Cents(amount) }, status }, reason)
}

async fn by_key(change: &mut SqliteConnection, key: &str) -> Result<Option<(Payment, String)>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT payment_id, order_id, user_id, amount, status, reason FROM payments WHERE idempotency_key = ?",
    )
    .bind(key)
    .fetch_optional(change)
    .await?;
    Ok(row.map(payment))
}

/// Refused and cancelled keys are no payments: nobody was given their ids.
async fn by_id(connection: &mut SqliteConnection, id: &str) -> Result<Option<Payment>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT payment_id, order_id, user_id, amount, status, reason FROM payments
         WHERE payment_id = ? AND status IN ('paid', 'refunded')",
    )
    .bind(id)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| payment(row).0))
}

async fn insert(
    change: &mut SqliteConnection,
    key: &str,
    payment: &Payment,
    reason: Option<&str>,
) -> Result<(), sqlx::Error> {
    let status = match payment.status {
        Status::Paid => "paid",
        Status::Refunded => "refunded",
        Status::Refused => "refused",
        Status::Cancelled => "cancelled",
    };
    sqlx::query(
        "INSERT INTO payments (payment_id, idempotency_key, order_id, user_id, amount, status, reason)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&payment.payment_id)
    .bind(key)
    .bind(&payment.charge.order_id)
    .bind(&payment.charge.user_id)
    .bind(payment.charge.amount.0)
    .bind(status)
    .bind(reason.unwrap_or_default())
    .execute(change)
    .await?;
    Ok(())
}
