//! A client of the Eureka listener, and the registrations that tests send.

use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portreeve_config::EurekaConfig;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::{LIMIT, Plane, config};

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|fault| panic!("{fault}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) async fn start(data_dir: &Path) -> Plane {
    with(data_dir, EurekaConfig::default()).await
}

pub(crate) async fn with(data_dir: &Path, eureka: EurekaConfig) -> Plane {
    let eureka = Some(EurekaConfig { listen: "127.0.0.1:0".to_owned(), ..eureka });
    Plane::with(portreeve_config::ControlPlaneConfig { eureka, ..config(data_dir) }).await
}

/// One request on a connection of its own.
pub(crate) async fn send(
    plane: &Plane,
    line: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Reply {
    let address = plane.running.eureka_address().unwrap();
    let (method, path) = line.split_once(' ').unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::builder().method(method).uri(path);
    if headers.iter().all(|(name, _)| *name != "host") {
        request = request.header("host", address.to_string());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).unwrap();
    let answer = tokio::time::timeout(LIMIT, sender.send_request(request)).await;
    let (head, body) = answer.expect("no answer in time").unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Reply { status: head.status.as_u16(), headers: head.headers, body }
}

const JSON: (&str, &str) = ("content-type", "application/json");
const ASKS_JSON: (&str, &str) = ("accept", "application/json");

/// A request without a body; asks for JSON.
pub(crate) async fn call(plane: &Plane, line: &str) -> Reply {
    send(plane, line, &[ASKS_JSON], "").await
}

/// As [`call`], asking for nothing.
pub(crate) async fn call_xml(plane: &Plane, line: &str) -> Reply {
    send(plane, line, &[], "").await
}

pub(crate) async fn status(plane: &Plane, line: &str) -> u16 {
    call(plane, line).await.status
}

/// What a Spring client says of itself.
pub(crate) fn spring(application: &str, host: &str, port: u16) -> Value {
    let lower = application.to_lowercase();
    json!({"instance": {
        "instanceId": format!("{host}:{lower}:{port}"), "app": application, "appGroupName": null,
        "hostName": host, "ipAddr": "10.1.0.7", "sid": "na", "status": "UP", "overriddenStatus": "UNKNOWN",
        "port": {"$": port, "@enabled": "true"}, "securePort": {"$": 443, "@enabled": "false"}, "countryId": 1,
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 90, "registrationTimestamp": 0,
            "lastRenewalTimestamp": 0, "evictionTimestamp": 0, "serviceUpTimestamp": 0},
        "vipAddress": lower, "secureVipAddress": lower, "metadata": {"management.port": port.to_string()},
        "homePageUrl": format!("http://{host}:{port}/"),
        "statusPageUrl": format!("http://{host}:{port}/actuator/info"),
        "healthCheckUrl": format!("http://{host}:{port}/actuator/health"), "secureHealthCheckUrl": null,
        "isCoordinatingDiscoveryServer": false, "lastUpdatedTimestamp": 1_751_000_000_100_u64,
        "lastDirtyTimestamp": 1_751_000_000_200_u64, "asgName": null
    }})
}

/// The same with some fields changed; `null` takes one out.
pub(crate) fn changed(mut document: Value, fields: Value) -> Value {
    let instance = document["instance"].as_object_mut().unwrap();
    for (name, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => drop(instance.remove(name)),
            value => drop(instance.insert(name.clone(), value.clone())),
        }
    }
    document
}

pub(crate) async fn register(plane: &Plane, document: &Value) -> Reply {
    let application = document["instance"]["app"].as_str().unwrap_or("ORDERS");
    send(plane, &format!("POST /eureka/apps/{application}"), &[JSON], document.to_string()).await
}

pub(crate) async fn register_xml(plane: &Plane, application: &str, document: &str) -> Reply {
    let kind = ("content-type", "application/xml");
    send(plane, &format!("POST /eureka/apps/{application}"), &[kind], document.to_owned()).await
}

/// The whole registry as JSON.
pub(crate) async fn everything(plane: &Plane) -> Value {
    let reply = call(plane, "GET /eureka/apps/").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["applications"].clone()
}

pub(crate) async fn delta(plane: &Plane) -> Value {
    call(plane, "GET /eureka/apps/delta").await.json()["applications"].clone()
}

/// Statuses of all instances in a list of applications, by name.
pub(crate) fn statuses(applications: &Value) -> Vec<(String, String)> {
    let all = applications["application"].as_array().expect("a list");
    let instances = all.iter().flat_map(|one| one["instance"].as_array().expect("a list"));
    let mut found: Vec<_> = instances
        .map(|instance| {
            let text = |name: &str| instance[name].as_str().unwrap().to_owned();
            (text("instanceId"), text("status"))
        })
        .collect();
    found.sort();
    found
}
