//! A gateway with as many routes as asked for, for `peers/run`, made here so that no file has to be written and read.
//! How long a gateway takes to start from such a file is for `start_routes.py` to say.
//! Runs until it is ended.
#![allow(clippy::expect_used)]

use std::env;

use portreeve::{Gateway, GatewayConfig, RouteConfig};
use serde_json::json;

const USAGE: &str = "many_routes ADDRESS COUNT ENDPOINT…";

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let [address, count, endpoints @ ..] = &words[..] else { end_with_usage() };
    let count: usize = count.parse().unwrap_or_else(|_| end_with_usage());
    let written = json!({
        "listen": address, "admin": "127.0.0.1:0", "workers": 1, "access_log": "off",
        "services": {"origin": {"endpoints": endpoints}},
    });
    let mut config: GatewayConfig = serde_json::from_value(written).expect("a configuration");
    let route = |number| {
        let path = format!("/tenant-{number}/orders/{{id}}");
        RouteConfig::new(format!("orders-{number}"), path, "origin")
    };
    config.routes = (0..count).map(route).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let _gateway = Gateway::builder().config(config).serve().await.expect("a gateway");
        std::future::pending::<()>().await;
    });
}

fn end_with_usage() -> ! {
    eprintln!("usage: {USAGE}");
    std::process::exit(2)
}
