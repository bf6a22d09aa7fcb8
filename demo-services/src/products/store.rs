//! The catalogue in SQLite, behind the trait that other databases will implement.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use crate::database::{Database, StorageError, Stored};
use crate::money::Cents;

/// Where products and their stock are kept.
pub(super) trait Catalogue: Send + Sync {
    /// Adds a product and gives it its number.
    fn add(&self, product: NewProduct) -> Stored<'_, Product>;
    /// All products, by number.
    fn all(&self) -> Stored<'_, Vec<Product>>;
    /// One product.
    fn find(&self, id: i64) -> Stored<'_, Option<Product>>;
    /// Takes all items out of stock, or none. Asked again with the same id, it says the same again.
    fn reserve(&self, wanted: Wanted) -> Stored<'_, Reserved>;
    /// Gives the stock of a reservation back, once. An id that is not known yet can never be reserved after.
    fn release(&self, reservation_id: String) -> Stored<'_, ()>;
}

/// A product without its number.
#[derive(Clone, Debug)]
pub(super) struct NewProduct {
    pub(super) name: String,
    pub(super) price: Cents,
    pub(super) stock: i64,
}

/// A product as clients see it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Product {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) price: Cents,
    pub(super) stock: i64,
}

/// So much of one product.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) product_id: i64,
    pub(super) quantity: i64,
}

/// What an order wants to have held back.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) reservation_id: String,
    pub(super) order_id: String,
    pub(super) items: Vec<Item>,
}

/// Stock that is held back for an order, at the prices of that moment.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Reservation {
    pub(super) reservation_id: String,
    pub(super) order_id: String,
    pub(super) items: Vec<ReservedItem>,
    pub(super) total: Cents,
}

/// So much of one product, at the price it was reserved at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReservedItem {
    pub(super) product_id: i64,
    pub(super) quantity: i64,
    pub(super) price: Cents,
}

/// What became of a reservation.
pub(super) enum Reserved {
    /// The stock is held; `stock_left` is what remains of each product that was newly taken from.
    Held { reservation: Reservation, stock_left: Vec<(i64, i64)> },
    /// These products do not exist.
    Unknown(Vec<i64>),
    /// There is not enough of these products.
    OutOfStock(Vec<i64>),
    /// The reservation was released before.
    Released,
    /// The id belongs to a reservation of something else.
    Different,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS products (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        price INTEGER NOT NULL CHECK (price >= 0),
        stock INTEGER NOT NULL CHECK (stock >= 0)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS reservations (
        reservation_id TEXT PRIMARY KEY,
        order_id TEXT NOT NULL,
        items TEXT NOT NULL,
        released INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;";

/// The catalogue of the shop.
pub(super) struct SqliteCatalogue {
    pub(super) database: Database,
}

impl SqliteCatalogue {
    pub(super) async fn open(folder: &Path) -> Result<Self, StorageError> {
        Ok(Self { database: Database::open(folder, "products", SCHEMA).await? })
    }
}

impl Catalogue for SqliteCatalogue {
    fn add(&self, product: NewProduct) -> Stored<'_, Product> {
        self.database.stored(async move {
            let mut change = self.database.begin().await?;
            let id = sqlx::query("INSERT INTO products (name, price, stock) VALUES (?, ?, ?)")
                .bind(&product.name)
                .bind(product.price.0)
                .bind(product.stock)
                .execute(&mut *change)
                .await?
                .last_insert_rowid();
            change.commit().await?;
            Ok(Product { id, name: product.name, price: product.price, stock: product.stock })
        })
    }

    fn all(&self) -> Stored<'_, Vec<Product>> {
        self.database.stored(async move {
            let rows: Vec<Row> = sqlx::query_as("SELECT id, name, price, stock FROM products ORDER BY id")
                .fetch_all(self.database.readers())
                .await?;
            Ok(rows.into_iter().map(product).collect())
        })
    }

    fn find(&self, id: i64) -> Stored<'_, Option<Product>> {
        self.database.stored(async move {
            let row: Option<Row> = sqlx::query_as("SELECT id, name, price, stock FROM products WHERE id = ?")
                .bind(id)
                .fetch_optional(self.database.readers())
                .await?;
            Ok(row.map(product))
        })
    }

    fn reserve(&self, wanted: Wanted) -> Stored<'_, Reserved> {
        self.database.stored(async move {
            let mut change = self.database.begin().await?;
            let quantities = quantities(&wanted.items);
            if let Some(earlier) = earlier(&mut change, &wanted, &quantities).await? {
                return Ok(earlier);
            }
            let outcome = take(&mut change, &wanted, &quantities).await?;
            if let Reserved::Held { reservation, .. } = &outcome {
                record(&mut change, &wanted, &reservation.items, false).await?;
                change.commit().await?;
            }
            Ok(outcome)
        })
    }

    fn release(&self, reservation_id: String) -> Stored<'_, ()> {
        self.database.stored(async move {
            let mut change = self.database.begin().await?;
            match recorded(&mut change, &reservation_id).await? {
                Some((_, items, false)) => {
                    for item in items {
                        sqlx::query("UPDATE products SET stock = stock + ? WHERE id = ?")
                            .bind(item.quantity)
                            .bind(item.product_id)
                            .execute(&mut *change)
                            .await?;
                    }
                    sqlx::query("UPDATE reservations SET released = 1 WHERE reservation_id = ?")
                        .bind(reservation_id)
                        .execute(&mut *change)
                        .await?;
                }
                Some((_, _, true)) => return Ok(()),
                // The request to reserve may still be on its way; it must find the door closed.
                None => {
                    let wanted = Wanted { reservation_id, order_id: String::new(), items: Vec::new() };
                    record(&mut change, &wanted, &[], true).await?;
                }
            }
            change.commit().await
        })
    }
}

type Row = (i64, String, i64, i64);

fn product((id, name, price, stock): Row) -> Product {
    Product { id, name, price: Cents(price), stock }
}

/// How much of each product is wanted in all; one product may be listed several times.
fn quantities(items: &[Item]) -> BTreeMap<i64, i64> {
    let mut quantities = BTreeMap::new();
    for item in items {
        let quantity: &mut i64 = quantities.entry(item.product_id).or_default();
        *quantity = quantity.saturating_add(item.quantity);
    }
    quantities
}

/// What was decided about this reservation before.
async fn earlier(
    change: &mut SqliteConnection,
    wanted: &Wanted,
    quantities: &BTreeMap<i64, i64>,
) -> Result<Option<Reserved>, sqlx::Error> {
    let Some((order_id, items, released)) = recorded(change, &wanted.reservation_id).await? else {
        return Ok(None);
    };
    let same_items = items.iter().map(|item| (item.product_id, item.quantity)).eq(quantities.clone());
    Ok(Some(if released {
        Reserved::Released
    } else if order_id != wanted.order_id || !same_items {
        Reserved::Different
    } else {
        Reserved::Held { reservation: reservation(wanted, items), stock_left: Vec::new() }
    }))
}

async fn take(
    change: &mut SqliteConnection,
    wanted: &Wanted,
    quantities: &BTreeMap<i64, i64>,
) -> Result<Reserved, sqlx::Error> {
    let (mut items, mut stock_left) = (Vec::new(), Vec::new());
    let (mut unknown, mut short) = (Vec::new(), Vec::new());
    for (&product_id, &quantity) in quantities {
        let row: Option<(i64, i64)> = sqlx::query_as("SELECT price, stock FROM products WHERE id = ?")
            .bind(product_id)
            .fetch_optional(&mut *change)
            .await?;
        match row {
            None => unknown.push(product_id),
            Some((_, stock)) if stock < quantity => short.push(product_id),
            Some((price, stock)) => {
                sqlx::query("UPDATE products SET stock = stock - ? WHERE id = ?")
                    .bind(quantity)
                    .bind(product_id)
                    .execute(&mut *change)
                    .await?;
                items.push(ReservedItem { product_id, quantity, price: Cents(price) });
                stock_left.push((product_id, stock - quantity));
            }
        }
    }
    // The caller commits only what is held: whatever was taken above goes back with the transaction.
    Ok(match (unknown.is_empty(), short.is_empty()) {
        (false, _) => Reserved::Unknown(unknown),
        (true, false) => Reserved::OutOfStock(short),
        (true, true) => Reserved::Held { reservation: reservation(wanted, items), stock_left },
    })
}

fn reservation(wanted: &Wanted, items: Vec<ReservedItem>) -> Reservation {
    let cost = |item: &ReservedItem| Cents(item.price.0.saturating_mul(item.quantity));
    Reservation {
        reservation_id: wanted.reservation_id.clone(),
        order_id: wanted.order_id.clone(),
        total: items.iter().map(cost).fold(Cents::default(), |sum, cost| sum + cost),
        items,
    }
}

type Recorded = (String, Vec<ReservedItem>, bool);

async fn recorded(change: &mut SqliteConnection, id: &str) -> Result<Option<Recorded>, sqlx::Error> {
    let row: Option<(String, String, bool)> =
        sqlx::query_as("SELECT order_id, items, released FROM reservations WHERE reservation_id = ?")
            .bind(id)
            .fetch_optional(change)
            .await?;
    let Some((order_id, items, released)) = row else { return Ok(None) };
    let items = serde_json::from_str(&items).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Some((order_id, items, released)))
}

async fn record(
    change: &mut SqliteConnection,
    wanted: &Wanted,
    items: &[ReservedItem],
    released: bool,
) -> Result<(), sqlx::Error> {
    let items = serde_json::to_string(items).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query("INSERT INTO reservations (reservation_id, order_id, items, released) VALUES (?, ?, ?, ?)")
        .bind(&wanted.reservation_id)
        .bind(&wanted.order_id)
        .bind(items)
        .bind(released)
        .execute(change)
        .await?;
    Ok(())
}
