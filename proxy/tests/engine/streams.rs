//! How many calls share a connection to an instance of HTTP/2: as many as it says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portreeve_proxy::Gateway;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::{get, limited, until};
use crate::foreign::{AnyBody, whole};
use crate::stage::{config, everything, start, with};

/// An instance that takes so many streams by each connection. It answers once it is told.
struct Instance {
    address: SocketAddr,
    go: Arc<Semaphore>,
    asked: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Instance {
    async fn start(streams: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let instance = Self {
            address,
            go: Arc::new(Semaphore::new(1)),
            asked: Arc::default(),
            connections: Arc::default(),
        };
        let (go, asked) = (Arc::clone(&instance.go), Arc::clone(&instance.asked));
        let connections = Arc::clone(&instance.connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (go, asked) = (Arc::clone(&go), Arc::clone(&asked));
                let service = service_fn(move |_: Request<Incoming>| {
                    let (go, asked) = (Arc::clone(&go), Arc::clone(&asked));
                    async move {
                        asked.fetch_add(1, Ordering::SeqCst);
                        go.acquire().await.unwrap().forget();
                        Ok::<Response<AnyBody>, Infallible>(Response::new(whole("ok")))
                    }
                });
                let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                server.max_concurrent_streams(streams);
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        instance
    }

    /// A gateway whose first call was answered, so that it has heard what the instance allows.
    async fn gateway(&self) -> Gateway {
        let mut settings = with(config(&[], everything()), "workers", json!(1));
        settings["services"]["s"] = json!({"endpoints": [self.address.to_string()], "protocol": "http2"});
        let gateway = start(settings).await;
        assert_eq!(get(gateway.local_addrs().listen, "/").await.status, 200);
        gateway
    }

    /// So many calls at one time, all of which come through at once; gives the connections that they took.
    async fn called(&self, gateway: &Gateway, calls: usize) -> usize {
        let to = gateway.local_addrs().listen;
        let mut clients = JoinSet::new();
        for _ in 0..calls {
            clients.spawn(async move { assert_eq!(get(to, "/").await.status, 200) });
        }
        until("all have come", || self.asked.load(Ordering::SeqCst) == 1 + calls).await;
        self.go.add_permits(calls);
        while let Some(client) = limited(clients.join_next()).await {
            client.unwrap();
        }
        self.connections.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn an_instance_that_allows_few_gets_more_connections() {
    let instance = Instance::start(3).await;
    let gateway = instance.gateway().await;
    assert!(instance.called(&gateway, 10).await >= 4);
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_instance_that_allows_many_gets_one_connection() {
    let instance = Instance::start(500).await;
    let gateway = instance.gateway().await;
    assert_eq!(instance.called(&gateway, 250).await, 1);
    gateway.shutdown().await;
}
