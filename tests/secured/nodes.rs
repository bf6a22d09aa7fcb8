//! A gateway and a sidecar whose control plane speaks TLS: requests arrive, changes too, and a renewed certificate is
//! nothing that anybody notices.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use portreeve::{Gateway, Sidecar};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::stage::{Authority, Stage, client, eventually, send};

/// Answers everything with one word.
async fn service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                if stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nlamp";
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    address
}

async fn answers(gateway: &Gateway, path: &str) -> Option<()> {
    let url = format!("http://{}{path}", gateway.local_addrs().listen);
    let answer = send(&client(), Request::get(url).body(Bytes::new()).unwrap()).await.ok()?;
    (answer.status() == 200 && answer.body() == "lamp").then_some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_arrive_through_nodes_that_show_tokens_over_tls() {
    let stage = Stage::new();
    stage.write("gateway.token", "a-gateway-s-token-of-many-characters");
    stage.write("orders.token", "the-token-of-orders-of-many-characters");
    stage.pair("node", &stage.authority.signed(&["node"]));
    let mut tls = stage.tls();
    tls["client_ca"] = json!(stage.path("ca.pem"));
    let tokens = json!([
        {"name": "me", "role": "admin", "token_file": stage.path("operator.token")},
        {"name": "gateway", "role": "node", "services": [], "token_file": stage.path("gateway.token")},
        {"name": "orders", "role": "node", "services": ["orders"], "token_file": stage.path("orders.token")},
    ]);
    let seed = json!({"services": ["orders"], "routes": [
        {"name": "orders", "match": {"path": "/orders/*"}, "service": "orders"},
    ]});
    let plane = stage.plane(json!({"tls": tls, "tokens": tokens, "seed": seed})).await;
    let mut own = stage.link(&plane);
    own.certificate = Some(stage.path("node.pem"));
    own.key = Some(stage.path("node.key"));
    let link = |token: &str| {
        json!({"url": own.url, "node": token, "ca": stage.path("ca.pem"), "certificate": own.certificate,
               "key": own.key, "token_file": stage.path(&format!("{token}.token"))})
    };
    let gateway = json!({
        "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1, "access_log": "off",
        "control_plane": link("gateway"),
    });
    let gateway = Gateway::builder().config(serde_json::from_value(gateway).unwrap()).serve().await.unwrap();
    let sidecar = json!({
        "service": "orders", "app": service().await.to_string(), "control_plane": link("orders"),
    });
    let sidecar = Sidecar::start(serde_json::from_value(sidecar).unwrap(), None).await.unwrap();
    let (orders, ordered) = mpsc::channel(1);
    let sidecar = tokio::spawn(sidecar.live(ordered));
    eventually("a request arrives", || answers(&gateway, "/orders/1")).await;

    // Another authority, which nodes know in time: what stands goes on, and what is new finds its way.
    let second = Authority::new("second");
    stage.write("ca.pem", &format!("{}{}", stage.authority.pem, second.pem));
    stage.pair("plane", &second.signed(&["localhost"]));
    let shown = |ca: &str| {
        let ca = Some(stage.write("only.pem", ca));
        portreeve::config::ControlPlaneLink { ca, ..own.clone() }
    };
    let renewed = shown(&second.pem);
    eventually("the renewed pair is shown", async || stage.ask(&renewed).await.ok().map(drop)).await;
    let route = json!({"match": {"path": "/lamps"}, "service": "orders"});
    stage.put(&own, "/v1/routes/lamps", route).await;
    eventually("a change arrives", || answers(&gateway, "/lamps")).await;

    drop(orders);
    assert_eq!(sidecar.await.unwrap().unwrap(), 0);
    gateway.shutdown().await;
    plane.shutdown().await;
}
