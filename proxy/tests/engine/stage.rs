//! A gateway for one test, from a few lines of configuration.

use std::net::SocketAddr;

use portreeve_config::GatewayConfig;
use portreeve_proxy::Gateway;
use serde_json::{Value, json};

use crate::client::{Answer, Client, get};
use crate::origin::Origin;

/// The configuration of a gateway with these routes, in front of one service `s`.
pub(crate) fn config(origins: &[&Origin], routes: Value) -> Value {
    let endpoints: Vec<String> = origins.iter().map(|origin| origin.address.to_string()).collect();
    json!({
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "workers": 2,
        "access_log": "off",
        "services": {"s": {"endpoints": endpoints}},
        "routes": routes,
    })
}

/// One route that takes everything.
pub(crate) fn everything() -> Value {
    json!([{"name": "all", "match": {"path": "/*"}, "service": "s"}])
}

/// The same configuration with one more field, or another value for it.
pub(crate) fn with(mut config: Value, field: &str, value: Value) -> Value {
    config[field] = value;
    config
}

/// Starts a gateway.
pub(crate) async fn start(config: Value) -> Gateway {
    Gateway::builder().config(parsed(config)).serve().await.unwrap()
}

pub(crate) fn parsed(config: Value) -> GatewayConfig {
    serde_json::from_value(config).unwrap()
}

/// A gateway that takes everything to one origin.
pub(crate) async fn before(origin: &Origin) -> Gateway {
    start(config(&[origin], everything())).await
}

/// The sum of a metric over all rows that have all of these labels.
pub(crate) async fn metric(admin: SocketAddr, name: &str, labels: &[&str]) -> f64 {
    let text = scrape(admin).await;
    let rows = text.text().lines().filter(|line| {
        line.split(['{', ' ']).next() == Some(name) && labels.iter().all(|label| line.contains(label))
    });
    rows.map(|row| row.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// What the admin listener says at `/metrics`.
pub(crate) async fn scrape(admin: SocketAddr) -> Answer {
    get(admin, "/metrics").await
}

/// One request by a connection of its own.
pub(crate) async fn ask(gateway: &Gateway, method: &str, target: &str, fields: &str) -> Answer {
    Client::connect(gateway.local_addrs().listen).await.ask(method, target, fields, "").await
}
