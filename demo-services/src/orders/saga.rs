//! How an order, or a product added to one, comes about over three services without being half done.
//!
//! A change is written down before its first step, and again before money is asked for. It is confirmed in one
//! transaction, or given up in one; what it left with products and payments is then taken back, by the same
//! keys it was asked for with, until both have said so. Whoever dies in between leaves a change that nobody
//! holds: it is given up at the next start, or within seconds by another instance. So an order stands exactly
//! when its confirmation is in the database, and nothing that does not stand keeps stock or money.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::events::Courier;
use super::neighbours::Neighbours;
use super::store::{Change, Leftover, Order, OrderStore, Receipt, Unfinished};
use crate::clock;
use crate::database::StorageError;
use crate::outbound::CallError;

/// How long a change belongs to whoever works on it: longer than any order's deadline.
const CLAIM: Duration = Duration::from_secs(4);
/// How often changes that nobody works on are looked for.
const RECOVER_EVERY: Duration = Duration::from_secs(1);
/// How long one call to another service may take.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(1);
/// The longest pause before something that failed is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Why a change does not stand.
#[derive(Debug, thiserror::Error)]
pub(super) enum SagaFault {
    #[error("unknown products: {0:?}")]
    UnknownProducts(Vec<i64>),
    #[error("out of stock: {0:?}")]
    OutOfStock(Vec<i64>),
    #[error("the payment was refused: {0}")]
    PaymentRefused(String),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("recovery gave the change up before it was confirmed")]
    Overtaken,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl SagaFault {
    /// What may be left of the change elsewhere. No answer means: anything.
    fn leftover(&self) -> Leftover {
        match self {
            Self::UnknownProducts(_) | Self::OutOfStock(_) => Leftover::Nothing,
            Self::PaymentRefused(_) => Leftover::Stock,
            Self::Call(_) | Self::Overtaken | Self::Storage(_) => Leftover::Anything,
        }
    }
}

/// Carries changes out, and takes back what is left of those that do not stand.
pub(super) struct Saga {
    store: Arc<dyn OrderStore>,
    neighbours: Neighbours,
    courier: Arc<Courier>,
}

impl Saga {
    pub(super) fn new(store: Arc<dyn OrderStore>, neighbours: Neighbours, courier: Arc<Courier>) -> Self {
        Self { store, neighbours, courier }
    }

    /// Brings a change that has begun to its decision before `deadline`. A change that does not stand is
    /// cleaned up in what is left of the time, and by recovery after that.
    pub(super) async fn drive(&self, change: &Change, deadline: Instant) -> Result<Order, SagaFault> {
        let fault = match self.attempt(change, deadline).await {
            Ok(order) => {
                self.courier.hurry();
                return Ok(order);
            }
            Err(fault) => fault,
        };
        tracing::info!(order = change.order_id, %fault, "an order does not stand");
        // Where even this cannot be written, the claim runs out and recovery gives the change up.
        if let Some(unfinished) = self.store.give_up(change.clone(), fault.leftover()).await? {
            let undone = timeout_at(deadline, self.undo(&unfinished)).await;
            if !matches!(undone, Ok(Ok(()))) {
                self.store.retry_at(change.change_id.clone(), clock::milliseconds() + 1000).await?;
            }
        }
        Err(fault)
    }

    async fn attempt(&self, change: &Change, deadline: Instant) -> Result<Order, SagaFault> {
        let amount = self.neighbours.reserve(change, time_left(deadline)).await?;
        if !self.store.paying(change.change_id.clone()).await? {
            return Err(SagaFault::Overtaken);
        }
        let payment_id = self.neighbours.pay(change, amount, time_left(deadline)).await?;
        let receipt = Receipt { amount, payment_id };
        self.store.finish(change.change_id.clone(), receipt).await?.ok_or(SagaFault::Overtaken)
    }

    async fn undo(&self, unfinished: &Unfinished) -> Result<(), SagaFault> {
        let change = &unfinished.change;
        if unfinished.payment {
            self.neighbours.cancel_payment(change).await?;
        }
        if unfinished.stock {
            self.neighbours.release(change).await?;
        }
        Ok(self.store.undone(change.change_id.clone()).await?)
    }

    /// Gives up and undoes, at once and every second, whatever nobody works on.
    pub(super) async fn recover_until(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            if let Err(error) = self.recover(&stopped).await {
                tracing::error!(%error, "unfinished orders cannot be read");
            }
            tokio::select! {
                () = sleep(RECOVER_EVERY) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        }
    }

    async fn recover(&self, stopped: &watch::Receiver<bool>) -> Result<(), StorageError> {
        while !*stopped.borrow() {
            let Some(unfinished) = self.store.claim(clock::milliseconds(), claim_until()).await? else {
                return Ok(());
            };
            let order = &unfinished.change.order_id;
            match self.undo(&unfinished).await {
                Ok(()) => tracing::info!(order, "an unfinished order is undone"),
                Err(fault) => {
                    tracing::warn!(order, %fault, "an unfinished order cannot be undone yet");
                    let due = clock::milliseconds() + pause(unfinished.attempts);
                    self.store.retry_at(unfinished.change.change_id.clone(), due).await?;
                }
            }
        }
        Ok(())
    }
}

fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).min(CALL_LIMIT)
}

/// Milliseconds until the next attempt: one second, two, four, eight, eight.
pub(super) fn pause(attempts: u32) -> i64 {
    let longest = LONGEST_PAUSE.as_millis() as i64;
    1000_i64.saturating_mul(1 << attempts.min(10)).min(longest)
}

/// When a claim that is made now runs out.
pub(super) fn claim_until() -> i64 {
    clock::milliseconds() + CLAIM.as_millis() as i64
}
