//! The payments service: takes money for an order once for each idempotency key, gives it back, and lets a
//! caller that got no answer close the key, whatever became of its request.

mod store;

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderName, StatusCode};
use serde_json::{Value, json};

use crate::body::Fields;
use crate::caller::{Caller, Id};
use crate::configuration::Configuration;
use crate::money::Cents;
use crate::problem::Problem;
use crate::running::{Opened, StartError, Surroundings};

use self::store::{Charge, Ledger, Paid, Payment, SqliteLedger};

/// The amount above which a payment is refused, where the configuration (`payment-limit`) says nothing.
const DEFAULT_LIMIT: f64 = 10_000.0;
/// The user who never has any money.
const BROKE: &str = "broke";

pub(crate) async fn open(surroundings: Surroundings) -> Result<Opened, StartError> {
    let ledger = SqliteLedger::open(&surroundings.data_dir).await?;
    let database = ledger.database.clone();
    let payments = Payments { ledger: Box::new(ledger), configuration: surroundings.configuration };
    let routes = Router::new()
        .route("/payments", post(pay))
        .route("/payments/cancel", post(cancel))
        .route("/payments/{id}", get(find))
        .route("/payments/{id}/refund", post(refund))
        .with_state(Arc::new(payments));
    Ok(Opened { routes, working: Vec::new(), database })
}

struct Payments {
    ledger: Box<dyn Ledger>,
    configuration: Configuration,
}

impl Payments {
    /// A payment as clients see it.
    fn show(&self, payment: &Payment) -> Json<Value> {
        Json(json!({
            "payment_id": payment.payment_id,
            "order_id": payment.charge.order_id,
            "user_id": payment.charge.user_id,
            "amount": payment.charge.amount,
            "currency": self.configuration.text("currency"),
            "status": payment.status,
        }))
    }

    fn refusal(&self, charge: &Charge) -> Option<&'static str> {
        let limit = self.configuration.number("payment-limit", DEFAULT_LIMIT);
        if charge.user_id == BROKE {
            Some("the user's bank refused the payment")
        } else if charge.amount.0 as f64 / 100.0 > limit {
            Some("the amount is above the limit for one payment")
        } else {
            None
        }
    }
}

type Shop = State<Arc<Payments>>;
type Created = (StatusCode, [(HeaderName, String); 1], Json<Value>);

async fn pay(State(payments): Shop, mut fields: Fields) -> Result<Created, Problem> {
    let charge = Charge {
        order_id: fields.text("order_id", 1..=128),
        user_id: fields.text("user_id", 1..=256),
        amount: fields.money("amount", Cents::MAX),
    };
    let key = fields.text("idempotency_key", 1..=128);
    fields.finish()?;
    let refusal = payments.refusal(&charge).map(str::to_owned);
    match payments.ledger.pay(key, charge, refusal).await? {
        Paid::Taken(payment) => {
            let location = format!("/payments/{}", payment.payment_id);
            Ok((StatusCode::CREATED, [(LOCATION, location)], payments.show(&payment)))
        }
        Paid::Refused(reason) => Err(Problem::new(StatusCode::PAYMENT_REQUIRED, reason)),
        Paid::GivenBack => Err(Problem::new(
            StatusCode::CONFLICT,
            "the payment with this idempotency key has been cancelled",
        )),
        Paid::Different => {
            let detail = "this idempotency key belongs to a payment of something else";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
        }
    }
}

async fn find(
    State(payments): Shop,
    Caller(user): Caller,
    Id(id): Id,
) -> Result<([(HeaderName, &'static str); 1], Json<Value>), Problem> {
    let payment = own(payments.ledger.find(id).await?, user.as_deref())?;
    Ok(([(CACHE_CONTROL, "no-cache")], payments.show(&payment)))
}

async fn refund(State(payments): Shop, Caller(user): Caller, Id(id): Id) -> Result<Json<Value>, Problem> {
    let payment = own(payments.ledger.find(id).await?, user.as_deref())?;
    let payment = payments.ledger.refund(payment.payment_id).await?;
    payment.map(|payment| payments.show(&payment)).ok_or_else(no_such_payment)
}

async fn cancel(State(payments): Shop, mut fields: Fields) -> Result<Json<Value>, Problem> {
    let key = fields.text("idempotency_key", 1..=128);
    fields.finish()?;
    let status = payments.ledger.cancel(key).await?;
    Ok(Json(json!({ "status": status })))
}

/// Another user's payment is no different from one that does not exist.
fn own(payment: Option<Payment>, user: Option<&str>) -> Result<Payment, Problem> {
    payment
        .filter(|payment| user.is_none_or(|user| user == payment.charge.user_id))
        .ok_or_else(no_such_payment)
}

fn no_such_payment() -> Problem {
    Problem::not_found("there is no such payment")
}
