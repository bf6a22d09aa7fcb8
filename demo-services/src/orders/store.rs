//! What the orders service keeps, and the two narrow traits behind which it is kept. Times are milliseconds
//! since 1970.

use serde::Serialize;

use super::events::Event;
use crate::database::Stored;
use crate::money::Cents;
use crate::trace::TraceContext;

/// Orders, and the changes that bring them about.
pub(super) trait OrderStore: Send + Sync {
    /// Writes down that a change is wanted, before anything is done for it. It belongs to the caller until
    /// `claimed_until`. An order never holds more than `max_products`.
    fn begin(&self, change: Change, max_products: usize, claimed_until: i64) -> Stored<'_, Begun>;
    /// Writes down that money is about to be asked for; false when the change has been given up.
    fn paying(&self, change_id: String) -> Stored<'_, bool>;
    /// Makes a paid change part of its order and puts the event into the outbox, all at once; `None` when the
    /// change has been given up.
    fn finish(&self, change_id: String, receipt: Receipt) -> Stored<'_, Option<Order>>;
    /// Decides that a change will not stand; `None` when nothing of it is left anywhere, or it is decided.
    fn give_up(&self, change: Change, leftover: Leftover) -> Stored<'_, Option<Unfinished>>;
    /// Nothing is left of a change that was given up.
    fn undone(&self, change_id: String) -> Stored<'_, ()>;
    /// Lets go of a change that could not be undone, until `due`.
    fn retry_at(&self, change_id: String, due: i64) -> Stored<'_, ()>;
    /// The oldest change that nobody holds and of which something may be left, given up where it was not yet.
    fn claim(&self, now: i64, claimed_until: i64) -> Stored<'_, Option<Unfinished>>;
    /// One order, whatever became of it.
    fn find(&self, order_id: String) -> Stored<'_, Option<Order>>;
}

/// Events that are to be delivered.
pub(super) trait Outbox: Send + Sync {
    /// The oldest event that is due and that nobody delivers at the moment.
    fn next(&self, now: i64, claimed_until: i64) -> Stored<'_, Option<QueuedEvent>>;
    /// The event was handed over.
    fn delivered(&self, event_id: String) -> Stored<'_, ()>;
    /// The event was not handed over; it is due again then, or never by itself.
    fn deliver_at(&self, event_id: String, due: Option<i64>) -> Stored<'_, ()>;
}

/// An order as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Order {
    pub(super) order_id: String,
    pub(super) user_id: String,
    pub(super) product_ids: Vec<i64>,
    pub(super) total: Cents,
    pub(super) status: OrderStatus,
    pub(super) payment_ids: Vec<String>,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OrderStatus {
    /// Not decided yet.
    Pending,
    /// Reserved and paid.
    Confirmed,
    /// Does not stand.
    Failed,
}

/// A new order, or more products for one.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// Also the key of its reservation, its payment and its event.
    pub(super) change_id: String,
    pub(super) order_id: String,
    pub(super) user_id: String,
    pub(super) kind: Kind,
    pub(super) product_ids: Vec<i64>,
    /// The request that asked for it: also what is done later is part of that trace.
    pub(super) trace: TraceContext,
}

impl Change {
    pub(super) fn new(
        kind: Kind,
        order_id: String,
        user_id: String,
        product_ids: Vec<i64>,
        trace: TraceContext,
    ) -> Self {
        Self { change_id: super::new_id(), order_id, user_id, kind, product_ids, trace }
    }
}

/// What a change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Makes the order.
    Create,
    /// Adds to a confirmed order.
    Add,
}

/// Whether a change has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    Started,
    /// There is none of this id, or it is another user's.
    NoSuchOrder,
    NotConfirmed,
    Full,
}

/// What a change cost, and under which payment that was paid.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    pub(super) amount: Cents,
    pub(super) payment_id: String,
}

/// What may be left of a change with other services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leftover {
    Nothing,
    /// Reserved stock.
    Stock,
    /// Reserved stock, and money if any was asked for.
    Anything,
}

/// A change that was given up and of which something may be left.
#[derive(Clone, Debug)]
pub(super) struct Unfinished {
    pub(super) change: Change,
    pub(super) stock: bool,
    pub(super) payment: bool,
    /// How often it could not be undone.
    pub(super) attempts: u32,
}

/// An event that is being delivered.
#[derive(Clone, Debug)]
pub(super) struct QueuedEvent {
    pub(super) event_id: String,
    pub(super) event: Event,
    pub(super) trace: TraceContext,
    /// How often it could not be delivered.
    pub(super) attempts: u32,
}
