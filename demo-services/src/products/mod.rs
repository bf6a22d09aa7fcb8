//! The products service: the catalogue, and the stock that orders reserve. Several instances run at once on
//! one database, so every change of stock is one transaction there and nothing is kept in memory.

mod store;

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::header::LOCATION;
use http::{HeaderName, StatusCode};
use serde_json::json;

use crate::body::Fields;
use crate::caller::Id;
use crate::configuration::Configuration;
use crate::money::Cents;
use crate::problem::Problem;
use crate::running::{Opened, StartError, Surroundings};

use self::store::{Catalogue, Item, NewProduct, Product, Reservation, Reserved, SqliteCatalogue, Wanted};

/// The most of one product there can be, and the most one reservation can take.
const MAX_STOCK: i64 = 1_000_000_000;
/// The highest price, in cents: a hundred of these are still an amount that payments takes.
const MAX_PRICE: Cents = Cents(100_000_000);
/// Different products in one reservation.
const MAX_ITEMS: usize = 100;

pub(crate) async fn open(surroundings: Surroundings) -> Result<Opened, StartError> {
    let catalogue = SqliteCatalogue::open(&surroundings.data_dir).await?;
    let database = catalogue.database.clone();
    let products = Products { catalogue: Box::new(catalogue), configuration: surroundings.configuration };
    let routes = Router::new()
        .route("/products", get(list).post(add))
        .route("/products/{id}", get(find))
        .route("/reservations", post(reserve))
        .route("/reservations/{id}", delete(release))
        .with_state(Arc::new(products));
    Ok(Opened { routes, working: Vec::new(), database })
}

struct Products {
    catalogue: Box<dyn Catalogue>,
    configuration: Configuration,
}

type Shop = State<Arc<Products>>;

async fn list(State(products): Shop) -> Result<Json<Vec<Product>>, Problem> {
    Ok(Json(products.catalogue.all().await?))
}

async fn find(State(products): Shop, Id(id): Id) -> Result<Json<Product>, Problem> {
    let found = match id.parse() {
        Ok(number) => products.catalogue.find(number).await?,
        Err(_) => None,
    };
    found.map(Json).ok_or_else(|| Problem::not_found("there is no such product"))
}

type Created = (StatusCode, [(HeaderName, String); 1], Json<Product>);

async fn add(State(products): Shop, mut fields: Fields) -> Result<Created, Problem> {
    let product = NewProduct {
        name: fields.text("name", 1..=200),
        price: fields.money("price", MAX_PRICE),
        stock: fields.whole("stock", 0..=MAX_STOCK),
    };
    fields.finish()?;
    let product = products.catalogue.add(product).await?;
    let location = format!("/products/{}", product.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(product)))
}

async fn reserve(
    State(products): Shop,
    mut fields: Fields,
) -> Result<(StatusCode, Json<Reservation>), Problem> {
    let wanted = Wanted {
        reservation_id: fields.text("reservation_id", 1..=128),
        order_id: fields.text("order_id", 1..=128),
        items: fields.objects("items", 1..=MAX_ITEMS, |item| Item {
            product_id: item.whole("product_id", 1..=i64::MAX),
            quantity: item.whole("quantity", 1..=MAX_STOCK),
        }),
    };
    fields.finish()?;
    match products.catalogue.reserve(wanted).await? {
        Reserved::Held { reservation, stock_left } => {
            warn_of_low_stock(&products.configuration, &stock_left);
            Ok((StatusCode::CREATED, Json(reservation)))
        }
        Reserved::Unknown(ids) => {
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "some products are unknown");
            Err(problem.with("unknown_products", json!(ids)))
        }
        Reserved::OutOfStock(ids) => {
            let problem = Problem::new(StatusCode::CONFLICT, "some products are out of stock");
            Err(problem.with("out_of_stock", json!(ids)))
        }
        Reserved::Released => Err(conflict("this reservation has been released")),
        Reserved::Different => Err(conflict("this reservation is there already, with other contents")),
    }
}

fn conflict(detail: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, detail)
}

fn warn_of_low_stock(configuration: &Configuration, stock_left: &[(i64, i64)]) {
    let low = configuration.number("low-stock", 0_i64);
    for (product_id, left) in stock_left.iter().filter(|(_, left)| *left < low) {
        tracing::warn!(product_id, left, "low on stock");
    }
}

async fn release(State(products): Shop, Id(id): Id) -> Result<StatusCode, Problem> {
    products.catalogue.release(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
