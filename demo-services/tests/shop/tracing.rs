//! One order is one trace: every service's spans hang together, in the caller's form, and reach a collector.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::{StatusCode, Uri};
use portreeve_demo_services::{RunningService, Settings, ShopService, start};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::client::{get, send, settings, until};
use crate::outbound::FakeOutbound;
use crate::products::add;

const TRACE: &str = "463ac35c9f6413ad48485a3953bb6124";
const SPAN: &str = "a2fb4a1d1a96d312";

type Spans = Arc<Mutex<Vec<Value>>>;

async fn collector() -> (Uri, Spans) {
    let spans = Spans::default();
    let take = async |State(spans): State<Spans>, Json(batch): Json<Vec<Value>>| {
        spans.lock().unwrap().extend(batch);
        StatusCode::ACCEPTED
    };
    let app = Router::new().route("/api/v2/spans", post(take)).with_state(Arc::clone(&spans));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let uri = format!("http://{}/api/v2/spans", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (uri, spans)
}

struct Traced {
    spans: Spans,
    services: Vec<RunningService>,
    _folder: TempDir,
}

/// All services of an order, each with the collector; orders is the last.
async fn shop() -> Traced {
    let folder = tempfile::tempdir().unwrap();
    let (zipkin, spans) = collector().await;
    let outbound = FakeOutbound::start().await;
    let mut services = Vec::new();
    for service in
        [ShopService::Products, ShopService::Payments, ShopService::Notifications, ShopService::Orders]
    {
        let around = Settings {
            zipkin: Some(zipkin.clone()),
            outbound: Some(outbound.uri.clone()),
            ..settings(folder.path())
        };
        let running = start(service, around).await.unwrap();
        outbound.route(service.name(), running.address());
        services.push(running);
    }
    Traced { spans, services, _folder: folder }
}

impl Traced {
    async fn order(&self, context: &[(&str, &str)]) {
        let lamp = add(self.services[0].address(), 1.0, 9).await;
        let mut headers = vec![("content-type", "application/json"), ("x-user-id", "alice")];
        headers.extend_from_slice(context);
        let body = json!({ "product_ids": [lamp] }).to_string();
        send(self.services[3].address(), "POST /order", &headers, body).await.ok(201);
    }

    fn of_the_trace(&self) -> Vec<Value> {
        let spans = self.spans.lock().unwrap();
        spans.iter().filter(|span| span["traceId"] == TRACE).cloned().collect()
    }
}

#[tokio::test]
async fn an_order_is_one_trace_in_every_form() {
    let traced = shop().await;
    let w3c = format!("00-{TRACE}-{SPAN}-01");
    let single = format!("{TRACE}-{SPAN}-1");
    let forms: [&[(&str, &str)]; 3] = [
        &[("traceparent", &w3c)],
        &[("b3", &single)],
        &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")],
    ];
    for form in forms {
        traced.spans.lock().unwrap().clear();
        traced.order(form).await;
        // Orders, and a client and a server span for each of reserve, pay and notify.
        until("seven spans are there", || async { traced.of_the_trace().len() == 7 }).await;
        let spans = traced.of_the_trace();
        let root = spans.iter().find(|span| span["parentId"] == SPAN).expect("a span below the caller's");
        assert_eq!((&root["kind"], &root["name"]), (&json!("SERVER"), &json!("POST /order")));
        assert_eq!(root["localEndpoint"]["serviceName"], "orders");
        assert_eq!(root["localEndpoint"]["port"], traced.services[3].address().port());
        for service in ["products", "payments", "notifications"] {
            let client = spans.iter().find(|span| span["remoteEndpoint"]["serviceName"] == service).unwrap();
            assert_eq!((&client["kind"], &client["parentId"]), (&json!("CLIENT"), &root["id"]));
            let server = spans.iter().find(|span| span["localEndpoint"]["serviceName"] == service).unwrap();
            assert_eq!((&server["kind"], &server["parentId"]), (&json!("SERVER"), &client["id"]));
            assert!(server["timestamp"].as_u64() > Some(0) && server["duration"].as_u64() > Some(0));
        }
    }
    for service in traced.services {
        service.shutdown().await;
    }
}

#[tokio::test]
async fn what_is_not_sampled_and_health_leave_no_span() {
    let traced = shop().await;
    traced.order(&[("traceparent", &format!("00-{TRACE}-{SPAN}-00"))]).await;
    traced.order(&[("b3", &format!("{TRACE}-{SPAN}-0"))]).await;
    for service in &traced.services {
        get(service.address(), "/health").await.ok(200);
    }
    get(traced.services[3].address(), "/nothing").await.problem(404);
    for service in traced.services {
        service.shutdown().await;
    }
    // Only the two products that were added and the path nobody knows; shutting down has posted everything.
    let spans = traced.spans.lock().unwrap().clone();
    let mut names: Vec<&str> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["GET", "POST /products", "POST /products"]);
    assert!(spans.iter().all(|span| span.get("parentId").is_none()));
}
