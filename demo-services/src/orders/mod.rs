//! The orders service: takes an order, has its products reserved and paid for by other services, and confirms
//! it or leaves nothing behind. An answer other than 2xx means that the order, or its change, will not stand.

mod events;
mod neighbours;
mod rows;
mod saga;
mod sqlite;
mod store;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use tokio::time::Instant;

use crate::body::Fields;
use crate::caller::{Id, SignedIn};
use crate::problem::Problem;
use crate::running::{Opened, StartError, Surroundings};
use crate::trace::TraceContext;

use self::events::{Courier, MailByHttp};
use self::neighbours::Neighbours;
use self::saga::{Saga, SagaFault};
use self::sqlite::SqliteOrders;
use self::store::{Begun, Change, Kind, Order, OrderStatus, OrderStore, Outbox};

/// Products in one order.
const MAX_PRODUCTS: usize = 100;
/// How long an order may take until it is decided.
const DEADLINE: Duration = Duration::from_secs(3);

pub(crate) async fn open(surroundings: Surroundings) -> Result<Opened, StartError> {
    let store = Arc::new(SqliteOrders::open(&surroundings.data_dir).await?);
    let database = store.database.clone();
    let outbox: Arc<dyn Outbox> = Arc::clone(&store) as Arc<dyn Outbox>;
    let store: Arc<dyn OrderStore> = store;
    let courier = Arc::new(Courier::new(outbox, Box::new(MailByHttp::new(surroundings.outbound.clone()))));
    let neighbours = Neighbours::new(surroundings.outbound);
    let saga = Arc::new(Saga::new(Arc::clone(&store), neighbours, Arc::clone(&courier)));
    let working = vec![
        tokio::spawn(courier.deliver_until(surroundings.stopped.clone())),
        tokio::spawn(Arc::clone(&saga).recover_until(surroundings.stopped)),
    ];
    let routes = Router::new()
        .route("/order", post(create))
        .route("/orders", post(create))
        .route("/order/{id}", get(find).put(add_product))
        .route("/orders/{id}", get(find).put(add_product))
        .with_state(Arc::new(Orders { store, saga }));
    Ok(Opened { routes, working, database })
}

struct Orders {
    store: Arc<dyn OrderStore>,
    saga: Arc<Saga>,
}

type Created = (StatusCode, [(HeaderName, String); 1], Json<Order>);

async fn create(
    State(orders): State<Arc<Orders>>,
    SignedIn(user_id): SignedIn,
    Extension(trace): Extension<TraceContext>,
    mut fields: Fields,
) -> Result<Created, Problem> {
    let product_ids = fields.numbers("product_ids", 1..=MAX_PRODUCTS);
    fields.finish()?;
    let change = Change::new(Kind::Create, new_id(), user_id, product_ids, trace);
    let order = orders.carry_out(change).await?;
    let location = format!("/orders/{}", order.order_id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(order)))
}

async fn add_product(
    State(orders): State<Arc<Orders>>,
    SignedIn(user_id): SignedIn,
    Extension(trace): Extension<TraceContext>,
    Id(order_id): Id,
    mut fields: Fields,
) -> Result<Json<Order>, Problem> {
    let product_id = fields.whole("product_id", 1..=i64::MAX);
    fields.finish()?;
    let change = Change::new(Kind::Add, order_id, user_id, vec![product_id], trace);
    Ok(Json(orders.carry_out(change).await?))
}

async fn find(
    State(orders): State<Arc<Orders>>,
    SignedIn(user_id): SignedIn,
    Id(order_id): Id,
) -> Result<(HeaderMap, Json<Order>), Problem> {
    // Another user's order is no different from one that does not exist.
    let order = orders.store.find(order_id).await?.filter(|order| order.user_id == user_id);
    let order = order.ok_or_else(no_such_order)?;
    let mut headers = HeaderMap::new();
    // What is not decided yet changes by itself: no cache may keep it.
    if order.status == OrderStatus::Pending {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok((headers, Json(order)))
}

impl Orders {
    /// Runs a change to its end, also when the client goes away in the middle.
    async fn carry_out(&self, change: Change) -> Result<Order, Problem> {
        let deadline = Instant::now() + DEADLINE;
        match self.store.begin(change.clone(), MAX_PRODUCTS, saga::claim_until()).await? {
            Begun::Started => {}
            Begun::NoSuchOrder => return Err(no_such_order()),
            Begun::NotConfirmed => return Err(conflict("only a confirmed order takes more products")),
            Begun::Full => return Err(conflict("the order holds as many products as one can")),
        }
        let saga = Arc::clone(&self.saga);
        let driven = tokio::spawn(async move { saga.drive(&change, deadline).await }).await;
        match driven {
            Ok(outcome) => Ok(outcome?),
            // The runtime is going down; the next start will undo the change.
            Err(_) => Err(Problem::unavailable("the service is stopping")),
        }
    }
}

fn new_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn no_such_order() -> Problem {
    Problem::not_found("there is no such order")
}

fn conflict(detail: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, detail)
}

impl From<SagaFault> for Problem {
    fn from(fault: SagaFault) -> Self {
        match fault {
            SagaFault::UnknownProducts(ids) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "some products are unknown")
                    .with("unknown_products", json!(ids))
            }
            SagaFault::OutOfStock(ids) => {
                conflict("some products are out of stock").with("out_of_stock", json!(ids))
            }
            SagaFault::PaymentRefused(detail) => {
                let detail = format!("the payment was refused: {detail}");
                Self::new(StatusCode::PAYMENT_REQUIRED, detail)
            }
            SagaFault::Call(error) => error.into(),
            SagaFault::Overtaken => Self::unavailable("the order was not decided in time and will not stand"),
            SagaFault::Storage(error) => error.into(),
        }
    }
}
