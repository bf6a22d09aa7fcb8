//! What an order asks of products and payments, and what their answers mean for it. Every request carries the
//! change's id as its key, so that asking twice is asking once.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::saga::{CALL_LIMIT, SagaFault};
use super::store::Change;
use crate::money::Cents;
use crate::outbound::{Call, CallError, Outbound, Reply};

const PRODUCTS: &str = "products";
const PAYMENTS: &str = "payments";

/// The services an order needs.
pub(super) struct Neighbours {
    outbound: Outbound,
}

impl Neighbours {
    pub(super) fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }

    /// Has the change's products held back and says what they cost.
    pub(super) async fn reserve(&self, change: &Change, limit: Duration) -> Result<Cents, SagaFault> {
        let mut quantities: BTreeMap<i64, i64> = BTreeMap::new();
        for product in &change.product_ids {
            *quantities.entry(*product).or_default() += 1;
        }
        let item = |(product_id, quantity)| json!({ "product_id": product_id, "quantity": quantity });
        let items: Vec<Value> = quantities.into_iter().map(item).collect();
        let body = json!({ "reservation_id": change.change_id, "order_id": change.order_id, "items": items });
        let reply = self.outbound.call(&change.trace, post(PRODUCTS, "/reservations", body, limit)).await?;
        match reply.status {
            StatusCode::CREATED => Ok(member(PRODUCTS, &reply, "total")?),
            StatusCode::UNPROCESSABLE_ENTITY => {
                Err(SagaFault::UnknownProducts(member(PRODUCTS, &reply, "unknown_products")?))
            }
            StatusCode::CONFLICT => Err(SagaFault::OutOfStock(member(PRODUCTS, &reply, "out_of_stock")?)),
            status => Err(unexpected(PRODUCTS, status).into()),
        }
    }

    /// Gives back whatever is held for the change.
    pub(super) async fn release(&self, change: &Change) -> Result<(), SagaFault> {
        let call = Call {
            service: PRODUCTS,
            method: Method::DELETE,
            path: format!("/reservations/{}", change.change_id),
            body: None,
            limit: CALL_LIMIT,
        };
        match self.outbound.call(&change.trace, call).await?.status {
            StatusCode::NO_CONTENT => Ok(()),
            status => Err(unexpected(PRODUCTS, status).into()),
        }
    }

    /// Takes the money and says under which payment.
    pub(super) async fn pay(
        &self,
        change: &Change,
        amount: Cents,
        limit: Duration,
    ) -> Result<String, SagaFault> {
        let body = json!({
            "order_id": change.order_id,
            "user_id": change.user_id,
            "amount": amount,
            "idempotency_key": change.change_id,
        });
        let reply = self.outbound.call(&change.trace, post(PAYMENTS, "/payments", body, limit)).await?;
        match reply.status {
            StatusCode::CREATED => Ok(member(PAYMENTS, &reply, "payment_id")?),
            StatusCode::PAYMENT_REQUIRED => {
                Err(SagaFault::PaymentRefused(member(PAYMENTS, &reply, "detail")?))
            }
            status => Err(unexpected(PAYMENTS, status).into()),
        }
    }

    /// Has money that was taken given back, and money that was not taken never be taken.
    pub(super) async fn cancel_payment(&self, change: &Change) -> Result<(), SagaFault> {
        let body = json!({ "idempotency_key": change.change_id });
        let call = post(PAYMENTS, "/payments/cancel", body, CALL_LIMIT);
        match self.outbound.call(&change.trace, call).await?.status {
            StatusCode::OK => Ok(()),
            status => Err(unexpected(PAYMENTS, status).into()),
        }
    }
}

fn post(service: &'static str, path: &str, body: Value, limit: Duration) -> Call<'static> {
    Call { service, method: Method::POST, path: path.to_owned(), body: Some(body), limit }
}

/// A member of an answer; without it the answer is no answer.
fn member<T: DeserializeOwned>(service: &str, reply: &Reply, name: &str) -> Result<T, CallError> {
    let value = reply.body.get(name).cloned().unwrap_or_default();
    serde_json::from_value(value).map_err(|_| unexpected(service, reply.status))
}

fn unexpected(service: &str, status: StatusCode) -> CallError {
    CallError::Failed { service: service.to_owned(), status }
}
