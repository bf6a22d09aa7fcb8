//! Who may do what on a control plane, where it is noted, and how much one client may ask for; with hostile callers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod credentials;
mod guesses;
mod limits;
mod nodes;
mod roles;
mod users;

use std::path::Path;

use bytes::Bytes;
use portreeve_config::{ControlPlaneConfig, TokenConfig, TokenRole};
use serde_json::Value;

use support::{Answer, Plane};

/// The secret of the token of this name.
pub(crate) fn secret(name: &str) -> String {
    format!("{name}-0123456789abcdefghijklmnop")
}

/// A token in a file of `folder`.
pub(crate) fn token(folder: &Path, name: &str, role: TokenRole, services: Option<&[&str]>) -> TokenConfig {
    let file = folder.join(format!("{name}.token"));
    std::fs::write(&file, format!("{}\n", secret(name))).unwrap();
    let services = services.map(|services| services.iter().map(|service| (*service).to_owned()).collect());
    TokenConfig { name: name.to_owned(), role, token_file: Some(file), sha256: None, services }
}

/// One token of each role; the node's is for `orders`, the gateway's for nothing.
pub(crate) fn tokens(folder: &Path) -> Vec<TokenConfig> {
    vec![
        token(folder, "reader", TokenRole::Read, None),
        token(folder, "operator", TokenRole::Operate, None),
        token(folder, "admin", TokenRole::Admin, None),
        token(folder, "node", TokenRole::Node, Some(&["orders"])),
        token(folder, "gateway", TokenRole::Node, Some(&[])),
    ]
}

pub(crate) fn guarded(folder: &Path) -> ControlPlaneConfig {
    ControlPlaneConfig { tokens: tokens(folder), ..support::config(&folder.join("data")) }
}

/// Sends a request with a token; none where `name` is empty.
pub(crate) async fn send(plane: &Plane, name: &str, method: &str, path: &str, body: Value) -> Answer {
    let mut request = plane.request(method, path).header("content-type", "application/json");
    if !name.is_empty() {
        request = request.header("authorization", format!("Bearer {}", secret(name)));
    }
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    plane.send(request.body(body).unwrap()).await
}

pub(crate) async fn get(plane: &Plane, name: &str, path: &str) -> Answer {
    send(plane, name, "GET", path, Value::Null).await
}
