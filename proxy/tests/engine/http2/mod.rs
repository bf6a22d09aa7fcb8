//! HTTP/2 by prior knowledge, in frames made by hand: what a client may break, and what it may pile up.

mod downgrade;
mod ends;
mod floods;
mod given_up;
mod held;
mod plain;
mod resets;
mod stuck;
mod tunnels;
pub(crate) mod wire;

use portreeve_proxy::Gateway;
use serde_json::{Value, json};

use crate::origin::{Origin, Reply, ok};
use crate::stage::{config, everything, start, with};

/// An origin that answers everything but `/silent`, at once.
async fn origin() -> Origin {
    Origin::start(|seen| match seen.line().contains("/silent") {
        true => Reply::Silence,
        false => Reply::Keep(ok("ok")),
    })
    .await
}

/// A gateway in front of it that loses its patience soon.
async fn gateway(origin: &Origin) -> Gateway {
    let limits =
        json!({"header_timeout": "2s", "idle_timeout": "2s", "rate_window": "1s", "connect_timeout": "5s"});
    gateway_with(origin, limits).await
}

async fn gateway_with(origin: &Origin, limits: Value) -> Gateway {
    start(with(config(&[origin], everything()), "limits", limits)).await
}
